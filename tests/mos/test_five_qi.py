"""5QI table."""

from __future__ import annotations

from qoe.mos.five_qi import FIVE_QI


def test_table(vectors):
    """Every row has the numbers of its vector, and is marked verified only if a second source has them."""
    rows = vectors("five_qi")
    assert {int(row["5QI"]) for row in rows} == set(FIVE_QI)
    assert len(rows) == len(FIVE_QI) == 31
    for row in rows:
        qi = FIVE_QI[int(row["5QI"])]
        assert qi.resource_type.value == row["resource_type"]
        assert qi.priority == int(row["priority_level"])
        assert qi.delay_budget_ms == float(row["PDB_ms"])
        assert qi.loss_ratio == float(row["PER"])
        assert qi.averaging_window_ms == (
            float(row["averaging_window_ms"]) if row["averaging_window_ms"] else None
        )
        assert qi.max_burst_bytes == (int(row["MDBV_bytes"]) if row["MDBV_bytes"] else None)
        assert qi.verified == row["source"].startswith("srsRAN")
    assert sum(qi.verified for qi in FIVE_QI.values()) == 20

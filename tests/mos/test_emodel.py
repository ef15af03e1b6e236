"""The full E-model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qoe.mos.emodel import Transmission, rate

SYMBOLS = {
    "T": "t_ms",
    "Ta": "ta_ms",
    "Tr": "tr_ms",
    "Ie": "ie",
    "Bpl": "bpl",
    "Ppl": "loss_percent",
    "BurstR": "burst_ratio",
    "TELR": "telr_db",
    "sT": "s_t",
    "mT": "m_t_ms",
}
OUTPUTS = {
    "R": "r",
    "MOS": "mos",
    "Ro": "ro",
    "Is": "simultaneous",
    "Idle": "listener_echo",
    "Idd": "absolute_delay",
    "Ieeff": "equipment",
}


def _connection(row):
    return Transmission(**{SYMBOLS[k]: float(v) for k, v in json.loads(row["parameters_json"]).items()})


def test_vectors(vectors):
    """Every published and reference value is met to its tolerance."""
    rows = vectors("g107_nb")
    assert len(rows) == 62
    for row in rows:
        got = getattr(rate(_connection(row)), OUTPUTS[row["output"]])
        assert got == pytest.approx(float(row["expected"]), abs=float(row["abs_tol"]), rel=0), row


def test_arrays_equal_scalars(vectors):
    """One call with arrays in all varied parameters gives what the scalar calls give."""
    rows = [row for row in vectors("g107_nb") if row["output"] == "R" and "TELR" in row["parameters_json"]]
    connections = [_connection(row) for row in rows]
    columns = {name: np.array([getattr(c, name) for c in connections]) for name in SYMBOLS.values()}
    rating = rate(Transmission(**columns))
    assert rating.r.shape == (len(rows),)
    np.testing.assert_allclose(rating.r, [float(row["expected"]) for row in rows], atol=1e-9, rtol=0)


def test_terms_add_up():
    """R is what the terms leave, and A is added to it."""
    c = Transmission(t_ms=80, ta_ms=180, tr_ms=160, telr_db=50, ie=7, loss_percent=1, a=10, qdu=3)
    x = rate(c)
    impairments = x.simultaneous + x.talker_echo + x.listener_echo + x.absolute_delay + x.equipment
    assert x.r == pytest.approx(x.ro - impairments + 10, abs=1e-12)


@pytest.mark.parametrize(("stmr_db", "least"), [(8.0, 0.0), (25.0, 0.5)])
def test_sidetone_takes_part_in_talker_echo(stmr_db, least):
    """A sidetone outside 9 to 20 dB changes the talker echo: above, even without any delay."""
    quiet = rate(Transmission(stmr_db=stmr_db))
    normal = rate(Transmission())
    assert normal.talker_echo == 0.0
    assert quiet.talker_echo >= least
    echoing = rate(Transmission(stmr_db=stmr_db, t_ms=100, telr_db=45))
    assert echoing.talker_echo != pytest.approx(
        rate(Transmission(t_ms=100, telr_db=45)).talker_echo, abs=1e-3
    )


def test_more_of_a_disturbance_is_worse():
    """R falls with noise, echo delay, quantising units and loudness away from the optimum."""
    for name, values in {
        "nc_dbm0p": [-70, -60, -50],
        "ps_dba": [35, 50, 65],
        "pr_dba": [35, 50, 65],
        "t_ms": [0, 50, 200],
        "tr_ms": [0, 50, 200],
        "ta_ms": [0, 150, 400],
        "qdu": [1, 4, 14],
        "slr_db": [8, 14, 20],
    }.items():
        r = rate(Transmission(**{name: np.array(values, dtype=float)})).r
        assert (np.diff(r) < 0).all() or (name == "ta_ms" and (np.diff(r) <= 0).all()), name

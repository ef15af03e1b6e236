"""What a replay found, in sentences that a manager can read."""

from __future__ import annotations

from collections.abc import Iterator

from qoe.report import text
from qoe.report.result import AllocationRow, CellResult, ReplayResult, SubscriberSummary

FAIR_MOS = 3.0
"""Below it (``fair`` on the scale of P.800) a subscriber counts as one who suffers."""

_NAMED = 4
_OVERFULL_RATIO = 1.02
_IMPOSSIBLE_RATIO = 1.25  # observed shares that add up to more were never carried by this capacity
_SLACK_RATIO = 0.8  # below this load a scheduler's weights bind nobody
_NOTICED = 0.1  # a change of MOS that is worth a word


def suffering(result: ReplayResult) -> list[SubscriberSummary]:
    """Give the subscribers whose mean MOS is below fair, the worst first."""
    judged = [s for s in result.subscribers if s.mos is not None and s.mos < FAIR_MOS]
    return sorted(judged, key=lambda s: s.mos or 0.0)


def sentences(result: ReplayResult) -> list[str]:
    """Tell what was found, who suffers, and what other weights would change.

    Parameters
    ----------
    result : ReplayResult
        Of `qoe.replay`.

    Returns
    -------
    list of str
        Plain text, most important first; `cell_details` has the rest.
    """
    told = [_what_was_read(result), *_who_suffers(result)]
    for cell in result.cells:
        told.append(f"Cell {cell.cell}, {text.DIRECTION_WORDS[cell.direction]}: {load_sentence(cell)}")
        told += change_sentence(cell)
    return told


def _what_was_read(result: ReplayResult) -> str:
    told = (
        f"{text.plural(result.packets, 'packet')} ({text.si(result.bytes, 'B')}) in"
        f" {text.plural(result.flows, 'flow')} of {text.plural(len(result.subscribers), 'subscriber')}"
        f" over {text.duration(result.duration_s)} were read."
    )
    return (
        f"{told} The result is partial: {result.warnings[0]}." if result.partial and result.warnings else told
    )


def _who_suffers(result: ReplayResult) -> Iterator[str]:
    judged = sum(s.mos is not None for s in result.subscribers)
    if not judged:
        yield "No subscriber had traffic whose quality can be judged."
        return
    worst = suffering(result)
    if worst:
        named = text.some([f"{s.subscriber} ({text.mos(s.mos)})" for s in worst], _NAMED)
        count = text.plural(judged, "subscriber")
        yield f"{len(worst):,} of {count} had less than fair quality (MOS below 3): {named}."
    else:
        yield f"All {judged:,} subscribers that can be judged had at least fair quality (MOS 3 or more)."


def load_sentence(cell: CellResult) -> str:
    """Tell how loaded one direction of one cell was."""
    capacity = text.si(cell.capacity_bps, "bit/s")
    if cell.capacity_is_lower_bound:
        return (
            f"the capacity is not known; its busiest second carried {capacity}, which is a lower bound. No"
            " gain is claimed: give --capacity or --cells."
        )
    overfull = ": more than fits, so it was seen before the queue, or the capacity is higher."
    return (
        f"in its busiest {text.duration(cell.horizon_s)}, until {text.clock(cell.at_s)}, it carried"
        f" {text.si(cell.load_bps, 'bit/s')} of {capacity} ({text.percent(cell.load_ratio)})"
        f"{overfull if cell.load_ratio > _OVERFULL_RATIO else '.'}"
    )


def change_sentence(cell: CellResult) -> Iterator[str]:
    """Tell what the weights would change, and how near that is to the best."""
    before, after = cell.mos_before, cell.mos_after
    if cell.capacity_is_lower_bound or before is None or after is None:
        return
    claimed = reservation(cell)
    if claimed:
        yield claimed
        return
    count = text.plural(len(cell.allocations), "bearer")
    if after - before < _NOTICED / 2:
        yield (
            "The shares are about as good as they can be: new ones would move the weighted mean MOS of"
            f" {count} from {before:.2f} to {after:.2f}."
        )
        return
    told = f"The weights would raise the weighted mean MOS of {count} from {before:.2f} to {after:.2f}"
    if cell.mos_bound is not None and cell.gap_ratio is not None:
        nearness = text.gap_word(cell.gap_ratio)
        told += f"; no weights can give more than {cell.mos_bound:.2f}, so this is {nearness}"
    yield f"{told}."


def reservation(cell: CellResult) -> str:
    """Tell why before and after are not to be compared; empty where they are."""
    if cell.load_ratio < _SLACK_RATIO:
        return "The cell was not full: its weights bound nobody, and new ones alone would change little."
    observed = sum(a.share_before_ratio or 0.0 for a in cell.allocations)
    if observed > _IMPOSSIBLE_RATIO:
        return (
            f"What was observed needs {text.percent(observed)} of this capacity, so the MOS before is not"
            " what such a cell gives: is the capacity right?"
        )
    return ""


def cell_details(cell: CellResult) -> Iterator[str]:
    """Tell who gains and who gives, which promises are cut, and who stays badly served."""
    up, down = ([], []) if reservation(cell) else changed(cell)
    if up:
        yield f"Who gains: {_named(up)}."
    if down:
        yield f"Who gives: {_named(down)}."
    pf, after = cell.counterfactual_pf, cell.mos_after
    if pf is not None and after is not None and pf - after >= _NOTICED and not reservation(cell):
        yield (
            f"The promises have a price: proportional fairness without any would give a mean MOS of {pf:.2f},"
            f" not {after:.2f}."
        )
    if cell.shed:
        yield f"Not every promise can be kept: {text.some(cell.shed, _NAMED)}."
    if cell.below_mos_2:
        still = "Below" if cell.capacity_is_lower_bound else "Still below"
        yield f"{still} MOS 2: {text.some(cell.below_mos_2, _NAMED)}."


def changed(cell: CellResult) -> tuple[list[AllocationRow], list[AllocationRow]]:
    """Give the bearers that gain and that lose a noticeable MOS, the largest change first."""
    rows = [
        (a.mos_after - a.mos_before, a)
        for a in cell.allocations
        if a.mos_after is not None and a.mos_before is not None
    ]
    rows.sort(key=lambda row: row[0])
    return [a for d, a in reversed(rows) if d >= _NOTICED], [a for d, a in rows if d <= -_NOTICED]


def _named(rows: list[AllocationRow]) -> str:
    told = [
        f"{a.subscriber}'s {a.app_class} ({text.mos(a.mos_before)} to {text.mos(a.mos_after)})" for a in rows
    ]
    return text.some(told, _NAMED)

"""Intents in a simulated cell: compiled into the optimiser's question, and held to account each interval."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from qoe.intent import (
    Admission,
    Compiled,
    Fulfilment,
    IntentsFile,
    IntentSummary,
    admit,
    compile_intents,
)
from qoe.optimise import Allocation, CellProblem, Group
from qoe.optimise.curves import invert
from qoe.schema import FloatArray


@dataclass(slots=True)
class Wishes:
    """What an operator asks for, over a run.

    Parameters
    ----------
    file : IntentsFile
        Of `qoe.intent.load_intents`.
    start_s : float
        When the run begins, in seconds since 1970.
    """

    file: IntentsFile
    start_s: float
    _fulfilment: Fulfilment = field(init=False)
    _asked: tuple[Compiled, Admission] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._fulfilment = Fulfilment(self.file)

    def into(self, problem: CellProblem, at_ms: int) -> CellProblem:
        """Put what holds now into a problem, as far as it fits.

        Parameters
        ----------
        problem : CellProblem
            Of all bearers.
        at_ms : int
            Since the run began.

        Returns
        -------
        CellProblem
            With weights, floors, least shares and groups of the intents.
        """
        compiled = compile_intents(
            self.file, problem, self.start_s + at_ms / 1e3, steer=self._fulfilment.steer
        )
        admission = admit(
            compiled,
            lambda mos: invert(problem.curves, mos),
            efficiency_bps=problem.efficiency_bps,
            floor_mos=problem.floor_mos,
            min_share_ratio=problem.min_share_ratio,
            budget_ratio=problem.budget_ratio,
            floor_cap_ratio=problem.floor_cap_ratio,
        )
        self._asked = compiled, admission
        return replace(
            problem,
            weight=problem.weight * compiled.weight,
            floor_mos=admission.floor_mos,
            min_share_ratio=admission.min_share_ratio,
            groups=problem.groups + tuple(Group(*group) for group in admission.groups),
        )

    def judge(self, mos: FloatArray, allocation: Allocation) -> None:
        """Hold the intents of the last `into` against what was measured.

        Parameters
        ----------
        mos : ndarray of float64, shape (n_bearers,)
            Of the problem's bearers; NaN where not judged.
        allocation : Allocation
            What was granted.
        """
        if self._asked is not None:
            self._fulfilment.add(self._asked[0], mos, allocation, self._asked[1])

    def summaries(self, at_ms: int) -> tuple[IntentSummary, ...]:
        """Tell how each intent fared, in the order of the file."""
        return tuple(self._fulfilment.summaries(self.start_s + at_ms / 1e3))

"""Intents: what an operator wants for whom, compiled to what an optimiser takes, and held to account.

>>> intents = load_intents("intents.toml")                                  # doctest: +SKIP
>>> compiled = compile_intents(intents, problem, at_s)                      # doctest: +SKIP
>>> admission = admit(compiled, lambda mos: invert(problem.curves, mos))    # doctest: +SKIP

The intents of other systems are read and answered by :mod:`qoe.intent.tmf921`, :mod:`qoe.intent.ts28312` and
:mod:`qoe.intent.camara`.
"""

from qoe.intent.admission import Admission, Reason, admit
from qoe.intent.compiling import Compiled, GroupTarget, compile_intents
from qoe.intent.conflicts import Conflict, find_conflicts
from qoe.intent.fulfilment import Fulfilment, IntentSummary, Status
from qoe.intent.fulfilment_json import summaries_from_json, summaries_to_dict
from qoe.intent.judging import Outcome, State
from qoe.intent.model import Intent, IntentsFile, Target, load_intents
from qoe.intent.select import Bearers

__all__ = [
    "Admission",
    "Bearers",
    "Compiled",
    "Conflict",
    "Fulfilment",
    "GroupTarget",
    "Intent",
    "IntentSummary",
    "IntentsFile",
    "Outcome",
    "Reason",
    "State",
    "Status",
    "Target",
    "admit",
    "compile_intents",
    "find_conflicts",
    "load_intents",
    "summaries_from_json",
    "summaries_to_dict",
]

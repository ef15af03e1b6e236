"""qoe: from packets to experience, from experience to scheduler weights.

The public names stand in the order of the pipeline. Each is imported when first used, so that
``import qoe`` costs nothing.

>>> import qoe
>>> engine = qoe.Engine()
>>> for burst in qoe.read(["capture.pcapng"]):
...     verdicts = engine.process(burst)
>>> flows = engine.snapshot()
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from qoe.capture import read as read
    from qoe.cells import SubscriberTable as SubscriberTable
    from qoe.config import load_cells as load_cells
    from qoe.errors import QoeError as QoeError
    from qoe.experience import Tracker as Tracker
    from qoe.flows import Engine as Engine
    from qoe.optimise import solve as solve
    from qoe.schema import AppClass as AppClass
    from qoe.schema import Burst as Burst
    from qoe.utility import curves as curves

_HOME = {
    "read": "qoe.capture",
    "Burst": "qoe.schema",
    "Engine": "qoe.flows",
    "AppClass": "qoe.schema",
    "Tracker": "qoe.experience",
    "load_cells": "qoe.config",
    "SubscriberTable": "qoe.cells",
    "curves": "qoe.utility",
    "solve": "qoe.optimise",
    "QoeError": "qoe.errors",
}
__all__ = [*_HOME, "__version__"]  # noqa: PLE0604  (the keys of _HOME are strings)


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'qoe' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

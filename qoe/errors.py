"""The exceptions that qoe raises.

::

    QoeError
    ├── ConfigError      a configuration file or value (carries the path of the key)
    ├── CaptureError     a capture that cannot be read at all
    ├── ModelError       a classifier file that is unreadable, corrupt or of another schema
    ├── ProblemError     an optimisation problem that is malformed (NaN, wrong shape, unknown key)
    ├── ForecastError    a load history or table that cannot be forecast from
    ├── EngineError      the kernel refused a call (carries its negative code)
    └── MissingExtraError  an optional dependency is not installed

A message says what is wrong, where, and how to mend it, in one line: the command line prints it as it
is. *Status* is not an error: an infeasible problem, a truncated capture or a malformed packet is a
result that says so.
"""

from __future__ import annotations


class QoeError(Exception):
    """Base of every exception raised on purpose by qoe."""


class ConfigError(QoeError):
    """A configuration file or value is wrong.

    Parameters
    ----------
    message : str
        What is wrong and how to mend it.
    path : str
        Where: ``file`` and key path, such as ``cells.toml: $.cell[0].capacity``.
    """

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path


class CaptureError(QoeError):
    """A capture cannot be opened or is not a capture."""


class ModelError(QoeError):
    """A classifier file is unreadable, corrupt, or made for another feature schema."""


class ProblemError(QoeError):
    """An optimisation problem is malformed."""


class ForecastError(QoeError):
    """A load history is malformed, or a forecast of it was asked for that makes no sense."""


class EngineError(QoeError):
    """The kernel refused a call.

    Parameters
    ----------
    message : str
        What was refused and how to mend it.
    code : int
        The negative code of ``qoe.h``.
    """

    def __init__(self, message: str, code: int = -1) -> None:
        super().__init__(message)
        self.code = code


class MissingExtraError(QoeError):
    """An optional dependency is needed: the message names the extra that installs it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed: pip install 'qoe[{extra}]'")
        self.package = package
        self.extra = extra

"""The command line: ``qoe COMMAND …``.

Data goes to standard output, everything else to standard error. Exit codes: 0 good, 1 failed (also: only
part could be read), 2 wrong usage.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final, NoReturn

from qoe import __version__
from qoe.commands import common
from qoe.errors import QoeError

_COMMANDS: Final = (
    "replay",
    "flows",
    "optimise",
    "intents",
    "forecast",
    "simulate",
    "train",
    "info",
)
_DEBUG: Final = "QOE_DEBUG"
_DESCRIPTION: Final = "From packets to experience (MOS), from experience to scheduler weights."
_EXAMPLES: Final = """\
examples:
  qoe replay busy.pcapng --cells cells.toml       who had what quality; the weights that would help
  qoe replay busy.pcapng --capacity 20M --html report.html
  qoe flows busy.pcapng -o flows.csv              every flow with its class
  qoe optimise problem.json                       share cells whose MOS curves are known
  qoe intents check intents.toml                  what is wanted for whom, and what cannot be had together
  qoe forecast load.csv --horizon 24h             what cells will carry, and when they will be busy
  qoe simulate examples/evening.toml              schedulers and our weights on the same simulated users
  qoe info                                        version, kernel, model

'qoe COMMAND --help' tells more of each. Exit codes: 0 good, 1 failed or only partly done, 2 wrong usage.
"""


class _Parser(argparse.ArgumentParser):
    """Says what is wrong with the usage in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")


def _parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """Give the parser of the command that is named first, or of all if none is."""
    parser = _Parser(
        prog="qoe",
        description=_DESCRIPTION,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"qoe {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name in arguments[:1] if arguments and arguments[0] in _COMMANDS else _COMMANDS:
        import_module(f"qoe.commands.{name}").add(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; default those of the process.

    Returns
    -------
    int
        The exit code.
    """
    arguments = sys.argv[1:] if argv is None else argv
    try:
        args = _parser(arguments).parse_args(arguments)
        code: int = args.run(args)
        if sys.stdout is not None:
            sys.stdout.flush()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except BrokenPipeError:
        _drop_stdout()
        return 1
    except QoeError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return _fail("interrupted")
    except Exception as error:
        return _unexpected(error)
    return code


def _fail(message: str) -> int:
    common.say(message)
    return 1


def _unexpected(error: Exception) -> int:
    if os.environ.get(_DEBUG):
        raise error
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    if isinstance(error, MemoryError):
        return _fail("out of memory: give a smaller --max-flows")
    kind = type(error).__name__
    return _fail(f"internal error, please report it: {kind}: {error} (for the traceback set {_DEBUG}=1)")


def _drop_stdout() -> None:
    """Let the interpreter's last flush go nowhere: whoever read our output has left."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def entry() -> NoReturn:
    """Run as the ``qoe`` program."""
    sys.exit(main())

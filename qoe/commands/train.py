"""``qoe train``: captures and labels in, a classifier and its card out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Final

from qoe.commands import common

_EXAMPLES: Final = """\
example:
  qoe train captures/ labels.csv -o flows.qoemodel
  qoe replay busy.pcapng --model flows.qoemodel
"""


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "train",
        help="make a classifier from labelled captures (extra [train])",
        description="Train a classifier from labelled captures and write it with its card beside it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("captures", type=Path, metavar="CAPTURES", help="folder of the captures")
    parser.add_argument("labels", type=Path, metavar="LABELS", help="table of what each capture is")
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="MODEL", help="write the model here"
    )
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit code."""
    from qoe.train import train

    train(args.captures, args.labels, args.output)
    common.say(f"wrote {args.output}")
    return 0

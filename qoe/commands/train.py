"""``qoe train``: captures and labels in, a classifier and its card out."""

from __future__ import annotations

import argparse
import sys
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
    parser.add_argument("labels", type=Path, metavar="LABELS", help="CSV file, a row a flow: what each is")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        required=True,
        metavar="MODEL",
        help="write the model here, its card beside",
    )
    parser.add_argument(
        "--seed", type=common.whole_number, default=1, metavar="N", help="of every random choice (default: 1)"
    )
    parser.add_argument(
        "--min-confidence",
        type=_ratio,
        metavar="P",
        help="a verdict below it stays unknown (default: 0.4)",
    )
    parser.add_argument(
        "--scenes",
        type=common.whole_number,
        metavar="N",
        help="generated scenes beside the captures; 0: captures alone (default: 30)",
    )
    parser.add_argument(
        "--max-folds",
        type=common.whole_number,
        default=0,
        metavar="N",
        help="score by the N largest folds only; 0: by all (default: 0)",
    )
    parser.set_defaults(run=run, parser=parser)


def _ratio(value: str) -> float:
    """Read a number from 0 to 1."""
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number from 0 to 1")
    return number


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit code."""
    from qoe.train import DEFAULT_SCENES, MIN_CONFIDENCE, train

    card = train(
        args.captures,
        args.labels,
        args.output,
        seed=args.seed,
        min_confidence=MIN_CONFIDENCE if args.min_confidence is None else args.min_confidence,
        n_scenes=DEFAULT_SCENES if args.scenes is None else args.scenes,
        max_folds=args.max_folds,
        progress=common.say if sys.stderr is not None and sys.stderr.isatty() else lambda line: None,
    )
    common.say(f"wrote {args.output} ({card.model['n_bytes']:,} bytes) and its card")
    return 0

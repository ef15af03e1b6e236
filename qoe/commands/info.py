"""``qoe info``: what is installed and how it was built."""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Iterator
from typing import Any, Final

import qoe_native
from qoe import __version__
from qoe.commands import common
from qoe.errors import QoeError

_NEEDED: Final = ("numpy", "scipy", "numba", "msgspec", "pyarrow")
_EXTRAS: Final = {"train": ("scikit-learn",), "test": ("pytest", "hypothesis", "scapy")}


def add(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command's parser."""
    parser = commands.add_parser(
        "info",
        help="show the version, how the kernel was built, and the model",
        description="Show the version, the build of the kernel, the classifier's card and what is installed.",
    )
    parser.add_argument("--json", action="store_true", help="write one JSON object")
    parser.set_defaults(run=run, parser=parser)


def run(args: argparse.Namespace) -> int:
    """Run the command; gives the exit code."""
    found = collect()
    if args.json:
        common.write_text(json.dumps(found, indent=2) + "\n")
    else:
        common.write_text("\n".join(_lines(found)) + "\n")
    return 0


def collect() -> dict[str, Any]:
    """Give all that the command shows.

    Returns
    -------
    dict
        ``version``, ``python``, ``platform``, ``kernel``, ``embedding`` (for a C host), ``model`` and
        ``packages`` (None: not installed).
    """
    from qoe_native.engine import build_info

    return {
        "version": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "kernel": build_info(),
        "embedding": {
            "include": qoe_native.get_include(),
            "library": qoe_native.get_library(),
            "pkgconfig": qoe_native.get_pkgconfig(),
        },
        "model": _model(),
        "packages": {name: _version(name) for name in _NEEDED},
        "extras": {extra: {name: _version(name) for name in names} for extra, names in _EXTRAS.items()},
    }


def _version(package: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _model() -> dict[str, Any]:
    """The card of the classifier that comes with qoe, and whether an engine takes it."""
    from importlib import resources

    from qoe.flows import Engine

    found: dict[str, Any] = {"usable": True}
    try:
        Engine(max_flows=1024)
    except QoeError as error:
        found = {"usable": False, "error": str(error)}
    card = resources.files("qoe_native.models") / "flows.card.json"
    if card.is_file():
        found["card"] = json.loads(card.read_text(encoding="utf-8"))
    return found


def _lines(found: dict[str, Any]) -> list[str]:
    kernel, model = found["kernel"], found["model"]
    built = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in kernel.items())
    lines = [
        f"qoe {found['version']}, Python {found['python']}, {found['platform']}",
        f"kernel: {built}",
        *(f"{key}: {path}" for key, path in found["embedding"].items()),
        f"model: {'usable' if model['usable'] else model['error']}",
    ]
    lines += [f"  {line}" for line in _card_lines(model.get("card", {}))]
    lines.append(f"packages: {_listed(found['packages'])}")
    return lines + [f"extra [{extra}]: {_listed(packages)}" for extra, packages in found["extras"].items()]


def _card_lines(card: dict[str, Any]) -> Iterator[str]:
    """Sum up a model card; it is a document of its own, so a part that is not there is left out."""
    model, training, scores = (card.get(key, {}) for key in ("model", "training", "evaluation"))
    if model:
        named = ("file", "kind", "n_trees", "n_bytes", "feature_schema", "min_confidence")
        yield ", ".join(f"{key.replace('_', ' ')} {model[key]}" for key in named if key in model)
    if "flows_by_class" in training:
        flows = ", ".join(f"{name} {count:,}" for name, count in training["flows_by_class"].items())
        yield f"trained on {training.get('collection', 'captures')}: {flows} flows"
    for hints in ("without_hints", "with_hints"):
        score = scores.get(hints, {}).get("flows_20")
        if score:
            yield (
                f"{hints.replace('_', ' ')}: macro-F1 {score['macro_f1']} on {score['n_flows']:,} flows of 20"
                " packets or more, of applications and sources it had not seen"
            )
    if "use" in card:
        yield f"use: {card['use']}"
    yield from (f"limit: {limit}" for limit in card.get("limits", ()))


def _listed(packages: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {version or '(not installed)'}" for name, version in packages.items())

"""Benchmarks of qoe: ``python -m benchmarks [NAME] [--json] [--quick]``.

Each module holds ``run(quick) -> list[dict]``: the cases it measured, with a floor or a peer beside them.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# `python -m` puts the source tree first on the path, where the kernel may not be built: last will do.
_outside = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
sys.path[:] = [*_outside, str(ROOT)]

"""What all tests share: the installed kernel is the one under test, never an unbuilt source tree."""

import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from installed import installed, wheel  # noqa: F401  (fixtures)

ROOT = Path(__file__).resolve().parent.parent

# `python -m pytest` puts the source tree first on the path; an installation must win over it.
_outside = [entry for entry in sys.path if Path(entry or ".").resolve() != ROOT]
sys.path[:] = [*_outside, str(ROOT)]

try:
    import qoe_native.engine  # noqa: F401  (the check is that it can be imported)
except ImportError as error:
    pytest.exit(f"the kernel is not built ({error}): pip install -e '.[test]'", returncode=4)

# A shell's background jobs ignore Ctrl-C and hand that on, but some tests press it.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The same examples every time, so that a change fails for what it did; `--hypothesis-profile=explore`
# looks for new ones. No deadline: a busy machine is not a bug.
settings.register_profile("repeatable", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=1000, deadline=None)
settings.load_profile("repeatable")

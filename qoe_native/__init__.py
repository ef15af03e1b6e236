"""The native half of qoe: the packet kernel and the batch mathematics.

`engine` is the compiled kernel (C ABI in ``include/qoe.h``), `waterfill` the per-cell solver. Nothing is
imported here, so that each part costs only those who use it.
"""

from pathlib import Path


def get_include() -> str:
    """Directory of ``qoe.h``, for a host's compiler."""
    return str(Path(__file__).parent / "include")


def get_library() -> str:
    """Path of the shared object that a C host links with.

    Raises
    ------
    ImportError
        The kernel is not built: this is a source tree, not an installation.
    """
    for path in Path(__file__).parent.glob("engine.*.so"):
        return str(path)
    raise ImportError(f"the kernel is not built in {Path(__file__).parent}: run 'pip install .'")

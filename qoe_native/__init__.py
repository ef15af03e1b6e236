"""The native half of qoe: the packet kernel and the batch mathematics.

`engine` is the compiled kernel (C ABI in ``include/qoe.h``), `waterfill` the per-cell solver. Nothing is
imported here, so that each part costs only those who use it.
"""

from pathlib import Path

_HERE = Path(__file__).parent


def get_include() -> str:
    """Directory of ``qoe.h``, for a host's compiler."""
    return str(_HERE / "include")


def get_library() -> str:
    """Path of the shared object that a C host links with; it needs no Python.

    Raises
    ------
    ImportError
        The kernel is not built: this is a source tree, not an installation.
    """
    for path in _HERE.glob("lib/libqoe.so.*"):
        return str(path)
    raise ImportError(f"the kernel is not built in {_HERE}: run 'pip install .'")


def get_pkgconfig() -> str:
    """Directory of ``qoe.pc``, for ``PKG_CONFIG_PATH``."""
    return str(_HERE / "lib" / "pkgconfig")

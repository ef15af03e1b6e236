"""Builds the one extension module of the kernel.

Knobs (environment variables)
-----------------------------
QOE_SANITIZE=1
    Build with AddressSanitizer and UndefinedBehaviorSanitizer, and hand every packet to the decoder in
    a heap buffer of its own of exactly ``captured_len`` bytes, so that an over-read cannot go unseen.
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

NATIVE = Path("qoe_native")
SOURCES = ("*.pyx", "*.pxd", "*.pxi", "*.h", "include/*.h")
SANITIZE = os.environ.get("QOE_SANITIZE") == "1"

SANITIZE_FLAGS = [
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
]
compile_args = ["-std=c11", "-fvisibility=hidden", "-fno-strict-aliasing"]
compile_args += ["-O1", "-g", "-DQOE_ISOLATE_PACKETS", *SANITIZE_FLAGS] if SANITIZE else ["-O3"]

engine = Extension(
    "qoe_native.engine",
    sources=[str(NATIVE / "engine.pyx")],
    include_dirs=[str(NATIVE / "include"), str(NATIVE)],
    depends=[str(path) for pattern in SOURCES for path in sorted(NATIVE.glob(pattern))],
    extra_compile_args=compile_args,
    extra_link_args=SANITIZE_FLAGS if SANITIZE else [],
)

setup(
    ext_modules=cythonize(
        [engine],
        compiler_directives={
            "language_level": 3,
            "boundscheck": False,
            "wraparound": False,
            "cdivision": True,
            "initializedcheck": False,
            "autotestdict": False,  # stubtest reads the compiled module
            "embedsignature": True,
        },
    )
)

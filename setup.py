"""Builds the kernel: one extension module for Python, and the same objects as a C library for hosts.

Knobs (environment variables)
-----------------------------
QOE_SANITIZE=1
    Build with AddressSanitizer and UndefinedBehaviorSanitizer, and hand every packet to the decoder in
    a heap buffer of its own of exactly ``captured_len`` bytes, so that an over-read cannot go unseen.
"""

import os
import re
import shutil
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

NATIVE = Path("qoe_native")
SOURCES = ("*.pyx", "*.pxd", "*.pxi", "*.h", "*.map", "include/*.h")
SANITIZE = os.environ.get("QOE_SANITIZE") == "1"

SANITIZE_FLAGS = [
    "-fsanitize=address,undefined,float-cast-overflow",
    "-fno-sanitize-recover=undefined",
    "-fno-omit-frame-pointer",
    "--param=asan-globals=0",  # registering them would keep Python's in libqoe; UBSan watches their bounds
]
compile_args = ["-std=c11", "-fvisibility=hidden", "-fno-strict-aliasing"]
compile_args += ["-ffunction-sections", "-fdata-sections"]  # libqoe leaves out what Python alone calls
compile_args += ["-O1", "-g", "-DQOE_ISOLATE_PACKETS", *SANITIZE_FLAGS] if SANITIZE else ["-O3", "-g0"]
link_args = SANITIZE_FLAGS if SANITIZE else []

PKGCONFIG = """\
prefix=${{pcfiledir}}/../..
includedir=${{prefix}}/include
libdir=${{prefix}}/lib
model=${{prefix}}/models/flows.qoemodel

Name: qoe
Description: Classifies and measures packet flows
Version: {version}
Cflags: -I${{includedir}}
Libs: -L${{libdir}} -Wl,-rpath,${{libdir}} -l:{library}
"""


class BuildKernel(build_ext):
    """Links the objects of the module a second time, as libqoe, with a pkg-config file beside it.

    The library holds what the functions of ``qoe.h`` reach and nothing else. ``-z defs`` makes the build
    fail if that ever includes a symbol of Python's, so a host needs neither libpython nor its headers. The
    module itself would tie a host to the libpython of one version: it refers to Python's types and
    exceptions, data that the loader binds at start even where functions are bound lazily.
    """

    def build_extension(self, ext):
        """Build the module, then the library from its objects."""
        super().build_extension(ext)
        version = re.search(r"QOE_ABI_VERSION (\d+)u", (NATIVE / "include" / "qoe.h").read_text())[1]
        directory = self._directory(self.build_lib)
        shutil.rmtree(directory, ignore_errors=True)  # no library of an older ABI stays behind
        name = f"libqoe.so.{version}"  # the file has its soname's name, as a wheel holds no links
        flags = [f"-Wl,-soname,{name}", f"-Wl,--version-script={NATIVE / 'libqoe.map'}"]
        flags += ["-Wl,--gc-sections"] + (
            ["-Wl,-z,defs"] if not SANITIZE else []
        )  # clang's come with the program
        objects = self.compiler.object_filenames(ext.sources, output_dir=self.build_temp)
        self.compiler.link_shared_object(
            objects, str(directory / name), libraries=["m"], extra_postargs=[*flags, *link_args]
        )
        pkgconfig = directory / "pkgconfig" / "qoe.pc"
        pkgconfig.parent.mkdir()
        pkgconfig.write_text(
            PKGCONFIG.format(version=self.distribution.get_version(), library=name), encoding="utf-8"
        )

    def copy_extensions_to_source(self):
        """Put the library into the source tree too, for an editable installation."""
        super().copy_extensions_to_source()
        shutil.rmtree(self._directory("."), ignore_errors=True)
        shutil.copytree(self._directory(self.build_lib), self._directory("."))

    def _directory(self, root):
        return Path(root) / NATIVE / "lib"


engine = Extension(
    "qoe_native.engine",
    sources=[str(NATIVE / "engine.pyx")],
    include_dirs=[str(NATIVE / "include"), str(NATIVE)],
    depends=[str(path) for pattern in SOURCES for path in sorted(NATIVE.glob(pattern))],
    extra_compile_args=compile_args,
    # a host that links libqoe and starts Python holds both: each calls its own functions
    extra_link_args=["-Wl,-Bsymbolic-functions", *link_args],
)

setup(
    cmdclass={"build_ext": BuildKernel},
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
    ),
)

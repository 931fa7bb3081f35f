#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Builds the wheels: unisparse, the package with its runtime, and unisparse-compiler, unisparse-compile without LLVM.

    cmake --build build --target unisparse-compile-static
    scripts/wheels.py --out DIR [--compiler build/static/unisparse-compile] [--openmp libomp.so.5] [--license zlib=FILE ...]

The package gets LLVM's OpenMP runtime beside its own (--openmp= leaves it out), and each wheel the licence texts of what
is in it: of LLVM with MLIR, zlib and zstd, which the compiler is linked with, and of the OpenMP runtime. On Debian they
are found where its packages have them. Needs pip, wheel 0.40 and scikit-build-core in this Python, and readelf. A wheel gets the platform tag that its files have
earned: manylinux_2_N, N being the newest glibc whose symbols they ask for. One that asks for another library than
glibc's is refused.
"""

import argparse
import pathlib
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What every system with glibc has.
GLIBC = re.compile(r"lib(c|m|dl|rt|pthread)\.so\.\d+|ld-linux.*")


# Whose licence texts there have to be, and where Debian has them: of the version that is installed.
LICENSES = {"LLVM": "llvm-*-dev", "zlib": "zlib1g-dev", "zstd": "libzstd-dev", "OpenMP": "libomp5*"}


def run(*command):
    """-> stdout; the last line of what went wrong ends the script."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["nothing said"]
        sys.exit(f"wheels: {pathlib.Path(command[0]).name}: exit status {done.returncode}: {lines[-1]}")
    return done.stdout


def build(source, folder, **defines):
    """-> the wheel of a project."""
    settings = [word for name, value in defines.items() for word in ("--config-settings", f"cmake.define.{name}={value}")]
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, *settings, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


def licenses(named, wanted):
    """{file in a wheel's licenses: text} of these."""
    found = {}
    for name in wanted:
        places = [named[name]] if name in named else sorted(pathlib.Path("/usr/share/doc").glob(f"{LICENSES[name]}/copyright"))
        places = [place for place in places if place.is_file()]
        if not places:
            sys.exit(f"wheels: expected the licence text of {name}, which is in the wheel, got none; --license {name}=FILE names it")
        found[f"LICENSE.{name}.txt"] = places[-1]
    return found


def with_files(wheel, files, texts):
    """The wheel with {path in it: file} and {name of a licence: file}."""
    with tempfile.TemporaryDirectory(dir=wheel.parent) as folder:
        run(sys.executable, "-m", "wheel", "unpack", "--dest", folder, wheel)
        (root,) = pathlib.Path(folder).iterdir()
        (info,) = root.glob("*.dist-info")
        for path, file in {**files, **{f"{info.name}/licenses/{name}": file for name, file in texts.items()}}.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, root / path)
        wheel.unlink()
        run(sys.executable, "-m", "wheel", "pack", "--dest-dir", wheel.parent, root)
    (wheel,) = wheel.parent.glob("*.whl")
    return wheel


def found_openmp():
    """Where the C compiler finds LLVM's OpenMP runtime, or nothing."""
    name = "libomp.so.5"
    found = run("cc", f"-print-file-name={name}").strip()
    return found if found != name else ""


def glibc_of(path):
    """The newest glibc, 2.N, whose symbols an ELF file asks for -> N."""
    text = run("readelf", "--dynamic", "--version-info", "--wide", path)
    others = [name for name in re.findall(r"\(NEEDED\).*\[(.*)\]", text) if not GLIBC.fullmatch(name)]
    if others:
        sys.exit(f"wheels: {path.name}: expected to need glibc alone, got {', '.join(others)}")
    return max([int(minor) for minor in re.findall(r"GLIBC_2\.(\d+)", text)], default=17)


def tagged(wheel, out):
    """The wheel with its true tag, in `out`."""
    newest = 17
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as files:
            files.extractall(folder)
        for path in pathlib.Path(folder).rglob("*"):
            if path.is_file() and path.open("rb").read(4) == b"\x7fELF":
                newest = max(newest, glibc_of(path))
    tag = f"manylinux_2_{newest}_{platform.machine()}"
    run(sys.executable, "-m", "wheel", "tags", "--remove", "--platform-tag", tag, wheel)
    (wheel,) = wheel.parent.glob("*.whl")
    return wheel.replace(out / wheel.name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True, help="folder for the wheels")
    parser.add_argument("--compiler", type=pathlib.Path, default=ROOT / "build" / "static" / "unisparse-compile")
    parser.add_argument("--openmp", help="LLVM's OpenMP runtime, for the package; the one that cc finds, empty for none")
    parser.add_argument("--license", action="append", default=[], metavar="NAME=FILE", help=f"licence text of {', '.join(LICENSES)}")
    arguments = parser.parse_args()
    named = dict(word.partition("=")[::2] for word in arguments.license)
    if unknown := sorted(set(named) - set(LICENSES)):
        sys.exit(f"--license: expected {', '.join(LICENSES)}, got {unknown[0]}")
    named = {name: pathlib.Path(file) for name, file in named.items()}
    openmp = found_openmp() if arguments.openmp is None else arguments.openmp
    if openmp and not pathlib.Path(openmp).is_file():
        sys.exit(f"--openmp: expected LLVM's libomp.so.5, got no file {openmp}")
    if not arguments.compiler.exists():
        sys.exit(f"--compiler: expected what `cmake --build build --target unisparse-compile-static` makes, got no {arguments.compiler}")
    beside = {"unisparse/lib/libomp.so.5": openmp} if openmp else {}
    compiler = {"UNISPARSE_STATIC_COMPILER": arguments.compiler.resolve()}
    texts = licenses(named, ["OpenMP"] if openmp else []), licenses(named, ["LLVM", "zlib", "zstd"])
    arguments.out.mkdir(parents=True, exist_ok=True)
    for source, defines, files, texts in (
        (ROOT, {}, beside, texts[0]),
        (ROOT / "python" / "compiler", compiler, {}, texts[1]),
    ):
        # Beside the wheels, not in /tmp, which may be another file system.
        with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
            wheel = build(source, pathlib.Path(folder), **defines)
            if source == ROOT and "unisparse/_native.abi3.so" not in zipfile.ZipFile(wheel).namelist():
                print("wheels: no headers of Python were found: the package will be without its part in C", file=sys.stderr)
            print(tagged(with_files(wheel, files, texts) if texts else wheel, arguments.out), flush=True)
    if not openmp:
        print("wheels: no libomp.so.5 was found: the package will ask for LLVM's OpenMP runtime where it runs", file=sys.stderr)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Builds the wheels: unisparse, the package with its runtime, and unisparse-compiler, unisparse-compile without LLVM.

    cmake --build build --target unisparse-compile-static
    scripts/wheels.py --out DIR [--compiler build/static/unisparse-compile]

Needs pip, wheel and scikit-build-core in this Python, and readelf. A wheel gets the platform tag that its files have
earned: manylinux_2_N, N being the newest glibc whose symbols they ask for. One that asks for another library than
glibc's is refused.
"""

import argparse
import pathlib
import platform
import re
import subprocess
import sys
import tempfile
import zipfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
# What every system with glibc has.
GLIBC = re.compile(r"lib(c|m|dl|rt|pthread)\.so\.\d+|ld-linux.*")


def run(*command):
    """-> stdout; the last line of what went wrong ends the script."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["nothing said"]
        sys.exit(f"wheels: {pathlib.Path(command[0]).name}: exit status {done.returncode}: {lines[-1]}")
    return done.stdout


def build(source, folder, **defines):
    """-> the wheel of a project."""
    settings = [word for name, value in defines.items() for word in ("-C", f"cmake.define.{name}={value}")]
    run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, *settings, source)
    (wheel,) = folder.glob("*.whl")
    return wheel


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
    arguments = parser.parse_args()
    if not arguments.compiler.exists():
        sys.exit(f"--compiler: expected what `cmake --build build --target unisparse-compile-static` makes, got no {arguments.compiler}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for source, defines in ((ROOT, {}), (ROOT / "python" / "compiler", {"UNISPARSE_STATIC_COMPILER": arguments.compiler.resolve()})):
        # Beside the wheels, not in /tmp, which may be another file system.
        with tempfile.TemporaryDirectory(dir=arguments.out) as folder:
            print(tagged(build(source, pathlib.Path(folder), **defines), arguments.out))


if __name__ == "__main__":
    main()

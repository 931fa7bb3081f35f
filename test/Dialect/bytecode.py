# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --opt=%unisparse_opt --mlir-opt=mlir-opt-22 --plugin=%plugin --tmp=%t
"""Bytecode: what was stored is read, by version; what a later version wrote, or a program without the dialect reads, is
refused in words. Inputs/version-N.mlirbc is Inputs/stored.mlir as version N wrote it: kept as it is when N grows."""
import argparse
import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
INPUTS = os.path.join(HERE, "Inputs")
CURRENT = {"unisparse": 2, "unitile": 1}
parser = argparse.ArgumentParser(description=__doc__)
for option in ("opt", "mlir-opt", "plugin", "tmp"):
    parser.add_argument(f"--{option}", required=True)
args = parser.parse_args()
os.makedirs(args.tmp, exist_ok=True)
failures = []
text = open(os.path.join(INPUTS, "stored.mlir")).read()


def expect(good, what):
    if not good:
        failures.append(what)


def run(*command):
    return subprocess.run(command, capture_output=True)


def read(path, what):
    done = run(args.opt, path)
    expect(done.returncode == 0 and done.stdout.decode().strip() == text.strip(), f"{what}: {done.stderr.decode()[:500] or done.stdout.decode()}")


def section(version):
    """A dialect's version in a file: section 7, one byte, a varint below 128."""
    return bytes([7, 3, 2 * version + 1])


# Every version of the dialect whose ops they hold that ever was, and files from before versions.
stored = sorted(glob.glob(os.path.join(INPUTS, "*.mlirbc")))
expect(len(stored) == CURRENT["unisparse"] + 1, f"expected {CURRENT['unisparse'] + 1} stored files, got {stored}")
for path in stored:
    read(path, os.path.basename(path))

# What is written now has the version of both dialects, and is read.
now = os.path.join(args.tmp, "now.mlirbc")
run(args.opt, os.path.join(INPUTS, "stored.mlir"), "--strip-debuginfo", "--emit-bytecode", "-o", now)
read(now, "written now")
data = open(now, "rb").read()
for dialect, version in CURRENT.items():
    expect(data.count(section(version)) == list(CURRENT.values()).count(version), f"expected version {version} of {dialect}")

# A later version of either, in a file of its ops.
for dialect, source in (("unisparse", "stored.mlir"), ("unitile", "../UniTile/ops.mlir")):
    written = run(args.opt, os.path.join(INPUTS, source), "--emit-bytecode").stdout
    later = os.path.join(args.tmp, "later.mlirbc")
    with open(later, "wb") as file:
        file.write(written.replace(section(CURRENT[dialect]), section(CURRENT[dialect] + 1)))
    done = run(args.opt, later)
    wanted = f"expected version {CURRENT[dialect]} or earlier of dialect {dialect}, got {CURRENT[dialect] + 1}, which a later UniSparse wrote"
    expect(done.returncode != 0 and wanted in done.stderr.decode(), f"a later {dialect}: {done.stderr.decode()}")

# Without the dialect, and with it from the plugin.
done = run(args.mlir_opt, now)
expect(done.returncode != 0 and "dialect 'unisparse' is unknown" in done.stderr.decode(), f"without the dialect: {done.stderr.decode()}")
done = run(args.mlir_opt, f"--load-dialect-plugin={args.plugin}", now)
expect(done.returncode == 0 and done.stdout.decode().strip() == text.strip(), f"with the plugin: {done.stderr.decode()[:500]}")

for failure in failures:
    print("FAIL ", failure)
sys.exit(bool(failures))

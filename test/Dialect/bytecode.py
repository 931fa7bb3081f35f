# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --opt=%unisparse_opt --mlir-opt=mlir-opt-22 --plugin=%plugin --tmp=%t
"""Bytecode: what was stored is read, by version; what a later version wrote, or a program without the dialect reads, is
refused in words. Inputs/version-N.mlirbc is Inputs/stored.mlir as version N of unisparse wrote it, Inputs/tile-version-N.mlirbc
Inputs/tile.mlir, Inputs/products-version-N.mlirbc Inputs/products.mlir and Inputs/steps-version-N.mlirbc Inputs/steps.mlir as
version N of unitile did: kept as they are when N grows."""
import argparse
import glob
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
INPUTS = os.path.join(HERE, "Inputs")
CURRENT = {"unisparse": 4, "unitile": 5}
parser = argparse.ArgumentParser(description=__doc__)
for option in ("opt", "mlir-opt", "plugin", "tmp"):
    parser.add_argument(f"--{option}", required=True)
args = parser.parse_args()
os.makedirs(args.tmp, exist_ok=True)
failures = []


def expect(good, what):
    if not good:
        failures.append(what)


def run(*command):
    return subprocess.run(command, capture_output=True)


def holds(done, source):
    return done.returncode == 0 and done.stdout.decode().strip() == open(os.path.join(INPUTS, source)).read().strip()


def read(path, source, what):
    done = run(args.opt, path)
    expect(holds(done, source), f"{what}: {done.stderr.decode()[:500] or done.stdout.decode()}")


def section(version):
    """A dialect's version in a file: section 7, one byte, a varint below 128."""
    return bytes([7, 3, 2 * version + 1])


# Every version of the dialect whose ops they hold that ever was, and files of unisparse from before versions. Products have a
# place for an atom from version 3 on: with by_rows and without, and with numbers of operands behind it. Steps of a softmax have
# one for a settled reference from version 5 on.
for names, source, count in (("[uv]*.mlirbc", "stored.mlir", CURRENT["unisparse"] + 1), ("tile-*.mlirbc", "tile.mlir", CURRENT["unitile"]),
                             ("products-*.mlirbc", "products.mlir", CURRENT["unitile"] - 1), ("steps-*.mlirbc", "steps.mlir", CURRENT["unitile"] - 3)):
    stored = sorted(glob.glob(os.path.join(INPUTS, names)))
    expect(len(stored) == count, f"expected {count} stored files, got {stored}")
    for path in stored:
        read(path, source, os.path.basename(path))

# What is written now has the version of both dialects, and is read.
now = os.path.join(args.tmp, "now.mlirbc")
run(args.opt, os.path.join(INPUTS, "stored.mlir"), "--strip-debuginfo", "--emit-bytecode", "-o", now)
read(now, "stored.mlir", "written now")
data = open(now, "rb").read()
for version in CURRENT.values():
    expect(data.count(section(version)) == list(CURRENT.values()).count(version), f"expected version {version} of {CURRENT}")

# MLIR's own earlier form too, which has numbers of operands as an attribute.
for source in ("tile.mlir", "products.mlir", "steps.mlir"):
    earlier = os.path.join(args.tmp, "earlier.mlirbc")
    run(args.opt, os.path.join(INPUTS, source), "--emit-bytecode", "--emit-bytecode-version=5", "-o", earlier)
    read(earlier, source, f"{source} in MLIR's version 5")

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
expect(done.returncode == 0 and holds(done, "stored.mlir"), f"with the plugin: {done.stderr.decode()[:500]}")

for failure in failures:
    print("FAIL ", failure)
sys.exit(bool(failures))

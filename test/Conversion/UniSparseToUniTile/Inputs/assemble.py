# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Kernels compile for a chip to the instructions that they should have, and assemble: with no stack frame, no spill but the
few of KNOWN_SPILLS, and no word of ptxas that products were serialised or registers did not move. Attend is warp-specialised,
with the chip's own instructions, exactly where Config says so.

Of configurations.py, those that represent a form of kernel; `--all` takes every one, `--only=` those of a name. `--list`
prints what each kernel takes; `--compile-only` goes no further than PTX.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys

import configurations

OWN_INSTRUCTIONS = ("wgmma.mma_async", "cp.async.bulk.tensor", "mbarrier.try_wait", "setmaxnreg.inc", "setmaxnreg.dec")
CLUSTER_INSTRUCTIONS = (".reqnctapercluster 2", ".multicast::cluster", "mapa.shared::cluster", "barrier.cluster.wait")
PORTABLE_INSTRUCTIONS = ("mma.sync", "cp.async.cg", "__nv_", "st.local")

# An output of 256 columns is half of all registers. For these ptxas keeps a few words in memory, with 32 keys in a step
# as with 64; steps of 16 keys would cost more. The largest score so far takes registers that P leaves too late, outside
# the loop over plain blocks. The most bytes of frame, stores and loads.
KNOWN_SPILLS = {"sm_100a.d256.attend": 32, "sm_120.d256.attend": 40, "sm_120.d256_fine.attend": 16,
                "sm_90a.running_alone.attend": 8,
                "sm_100a.alibi_d256.attend": 32, "sm_120.softcap_d256.attend": 16, "sm_120.alibi_d256.attend": 20,
                "sm_100a.top_k_group.score": 8}


def compile_to_ptx(opt, chip, configs, folder):
    """One run of the compiler for all programs; returns the .ptx of each."""
    source = "// -----\n".join(c.program() for c in configs)
    run = subprocess.run([opt, "-", "-split-input-file", f"--unisparse-to-gpu-pipeline=chip={chip} caller-strides"], input=source, capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"{chip}: {run.stderr[:2000]}")
    assemblies = re.findall(r'assembly = "(.*?)"', run.stdout, re.S)
    assert len(assemblies) == len(configs), f"{chip}: {len(assemblies)} binaries for {len(configs)} programs"
    paths = []
    for config, assembly in zip(configs, assemblies):
        ptx = re.sub(r"\\([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), assembly).rstrip("\0")
        assert f".target {chip}" in ptx, f"{config.name}: not for {chip}"
        entries = set(re.findall(r"\.entry (\w+)\(", ptx))
        assert entries == config.kernels(), f"{config.name}: kernels {sorted(entries)}"
        if attend := re.search(r"\.entry attend\(.*?(?=\.entry |\Z)", ptx, re.S):
            check_instructions(config, chip, attend[0])
        paths.append(folder / f"{chip}.{config.name}.ptx")
        paths[-1].write_text(ptx)
    return paths


def check_instructions(config, chip, attend):
    """That attend is the kernel that it should be."""
    own = config.is_specialised(chip)
    for instruction in OWN_INSTRUCTIONS:
        assert (instruction in attend) == own, f"{chip}.{config.name}: {'no' if own else 'unexpected'} {instruction}"
    shared = config.is_in_clusters(chip)
    for instruction in CLUSTER_INSTRUCTIONS:
        assert (instruction in attend) == shared, f"{chip}.{config.name}: {'no' if shared else 'unexpected'} {instruction}"
    for instruction in PORTABLE_INSTRUCTIONS:
        assert not own or instruction not in attend, f"{chip}.{config.name}: unexpected {instruction}"


def assemble(ptxas, chip, path):
    """(kernel, registers, stack, stores, loads) of each kernel in the file."""
    run = subprocess.run([ptxas, "-v", f"-arch={chip}", path, "-o", "/dev/null"], capture_output=True, text=True)
    if run.returncode or re.search(r"C75\d\d|warning", run.stderr):
        return [(path.stem, 0, run.stderr[:1000])]
    found = re.findall(r"Function properties for (\w+)\s+(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads\s.*?Used (\d+) registers", run.stderr)
    return [(f"{path.stem}.{kernel}", int(registers), *map(int, frame)) for kernel, *frame, registers in found]


def wrong_with(path, rows):
    """What is wrong with the kernels of one file, a line each."""
    kernels = len(re.findall(r"\.entry ", path.read_text()))
    if len(rows) != kernels or len(rows[0]) != 5:
        yield f"{path.stem}: expected a report on {kernels} kernels, got {rows}"
        return
    for name, registers, *frame in rows:
        if not any(frame) and name in KNOWN_SPILLS:
            yield f"{name}: does not spill any more; take it out of KNOWN_SPILLS"
        if max(frame) > KNOWN_SPILLS.get(name, 0):
            yield f"{name}: {registers} registers, stack frame {frame[0]}, spill stores {frame[1]}, loads {frame[2]} bytes"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("opt")
    parser.add_argument("chip")
    parser.add_argument("folder", type=pathlib.Path, help="for the .ptx files")
    parser.add_argument("--all", action="store_true", help="every configuration")
    parser.add_argument("--only", default="", help="only configurations whose name contains this")
    parser.add_argument("--compile-only", action="store_true", help="to PTX")
    parser.add_argument("--list", action="store_true", help="print the registers of every kernel")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    configs = configurations.of_chip(arguments.chip, arguments.all or bool(arguments.only))
    configs = [c for c in configs if arguments.only in c.name]
    paths = compile_to_ptx(arguments.opt, arguments.chip, configs, arguments.folder)
    assert paths, "nothing was compiled"
    if arguments.compile_only:
        print(f"{arguments.chip}: {len(paths)} programs compiled")
        return
    ptxas = shutil.which("ptxas")
    if not ptxas:
        sys.exit("ptxas: expected one in PATH, got none")
    kernels, wrong = 0, []
    for path in paths:
        rows = assemble(ptxas, arguments.chip, path)
        wrong += wrong_with(path, rows)
        kernels += len(rows)
        if arguments.list:
            print("\n".join(f"{name} {registers} registers" for name, registers, *_ in rows))
    print(f"{arguments.chip}: {kernels} kernels of {len(paths)} programs assembled, {len(wrong)} wrong")
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main()

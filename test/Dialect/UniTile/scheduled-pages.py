# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --opt=%unisparse_opt
"""Pages that say more than attention's: unitile-pipeline and unitile-specialise-warps do it, or say why not; no op of a
page goes missing, and memory is what the launch passes."""

import argparse
import re
import subprocess

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--opt", required=True)
OPT = parser.parse_args().opt

PROGRAM = """
func.func @f(%q: tensor<1x4x?x64xbf16>, %k: tensor<1x2x?x64xbf16>, %c: tensor<1x4x?xi32>, %i: tensor<1x4x?x?xi32>) -> tensor<1x4x?x64xbf16> {
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> causal
    : (tensor<1x4x?x64xbf16>, tensor<1x2x?x64xbf16>, tensor<1x2x?x64xbf16>, tensor<1x4x?xi32>, tensor<1x4x?x?xi32>) -> tensor<1x4x?x64xbf16>
  return %o : tensor<1x4x?x64xbf16>
}
"""
Q = "memref<1x4x?x64xbf16, strided<[?, ?, ?, 1], offset: ?>>"
O = "memref<1x4x?x64xbf16>"


def opt(source, *passes):
    done = subprocess.run([OPT, "-", *passes], input=source, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1), (passes, done.stderr[:2000])
    return done


PAGES = {
    "unitile-pipeline": opt(PROGRAM, "--unisparse-select-schedule=chip=sm_80", "--convert-unisparse-to-unitile", "--canonicalize", "--cse").stdout,
    "unitile-specialise-warps": opt(PROGRAM, "--unisparse-select-schedule=chip=sm_90a", "--convert-unisparse-to-unitile", "--canonicalize", "--cse").stdout,
}
# Where an op can be put: in front of all, of the walk, behind it, and in its regions.
START, WALK, END = "%c2_i32 = arith.constant 2 : i32\n", "      unitile.walk to", "      gpu.return"
BLOCK, FINISH = "        unitile.yield %14, %arg7 : i32, i32", re.compile(r"        unitile.put %13.*\n")


def edited(page, *edits):
    for old, new in edits:
        found = old if isinstance(old, str) else old.search(page)[0]
        assert found in page, (old, page)
        page = page.replace(found, new.replace("{}", found))
    return page


def refused(message, *edits, passes=tuple(PAGES)):
    for name in passes:
        done = opt(edited(PAGES[name], *edits), f"--{name}")
        errors = [line for line in done.stderr.splitlines() if " error: " in line]
        assert done.returncode == 1 and len(errors) == 1 and message in errors[0], (name, message, done.stderr[:1000])


def kept(*edits, passes=tuple(PAGES), holds=()):
    for name in passes:
        done = opt(edited(PAGES[name], *edits), f"--{name}", "--canonicalize")
        assert not done.returncode, (name, edits, done.stderr[:1000])
        for part in holds:
            assert part in done.stdout, (name, part, done.stdout)


SPECIALISE = ("unitile-specialise-warps",)
kept()
# Memory.
ALLOC = START + "      %size = arith.constant 3 : index\n      %mine = memref.alloc(%size) : " + O + "\n"
refused(f"'unitile.fetch' op expected a memref that is the kernel's argument, got '{O}'", (START, ALLOC), (f"fetch %arg0[%2, %1] rows %5 to %arg6 : {Q}", f"fetch %mine[%2, %1] rows %5 to %arg6 : {O}"))
refused(f"'unitile.put' op expected a memref that is the kernel's argument, got '{O}'", (START, ALLOC), ("to %arg3[", "to %mine["))
refused("'unitile.fetch' op expected a memref that is the kernel's argument", (START, START + f"      %cast = memref.cast %arg0 : {Q} to {Q}\n"), ("fetch %arg0", "fetch %cast"))
refused("expected a memref whose last dim is contiguous, got 'memref<1x4x?x64xbf16, strided<[?, ?, ?, ?], offset: ?>>'", (Q, Q.replace("1]", "?]")), ("memref<1x2x?x64xbf16, strided<[?, ?, ?, 1]", "memref<1x2x?x64xbf16, strided<[?, ?, ?, 1]"))
COUNT = "memref<1x4x?xi32>"
refused("'memref.load' op expected a memref whose last dim is contiguous, got 'memref<1x4x?xi32, affine_map<(d0, d1, d2) -> (d1, d0, d2)>>'", (COUNT + ", %arg5", "memref<1x4x?xi32, affine_map<(a, b, c) -> (b, a, c)>>, %arg5"), ("%6] : " + COUNT, "%6] : memref<1x4x?xi32, affine_map<(a, b, c) -> (b, a, c)>>"), (re.compile(r"    gpu.launch_func.*\n"), ""))
refused("'memref.load' op expected a memref whose last dim is contiguous, got 'memref<i32>'", (COUNT + ", %arg5", "memref<i32>, %arg5"), (re.compile(r"memref.load %arg4\[.*"), "memref.load %arg4[] : memref<i32>"), (re.compile(r"    gpu.launch_func.*\n"), ""))
# What a GPU has beside its grid.
for op in ("gpu.thread_id x", "gpu.block_dim x", "gpu.lane_id"):
    refused(f"'{op.split()[0]}' op expected a kernel that knows its place in the grid alone", (START, START + f"      %mine = {op}\n"))
refused("'gpu.func' op expected a kernel without buffers of its own", ("kernel attributes", "workgroup(%mine : memref<32xf32, #gpu.address_space<workgroup>>) kernel attributes"))
# Writes beside the walk's own.
STORE = "      memref.store %c1_i32, %arg4[%block_id_z, %block_id_y, %6] : memref<1x4x?xi32>\n"
for place in (WALK, END, BLOCK):
    refused("'memref.store' op expected ", (place, STORE + "{}"), passes=SPECIALISE)
refused("'gpu.printf' op expected a kernel that knows its place", (END, '      gpu.printf "x"\n{}'))
refused("'unitile.walk' op expected a finish that writes one matrix", (FINISH, "{}{}"), passes=SPECIALISE)
refused("'unitile.walk' op expected a finish that writes one matrix", (FINISH, ""), passes=SPECIALISE)
refused("'gpu.grid_dim' op expected a page that writes in finish alone and does not ask for the grid's size", (START, START + "      %mine = gpu.grid_dim x\n"), passes=SPECIALISE)
# Where the walk stands, and what it goes through.
refused("'unitile.walk' op expected a walk that every item has, or one with rows", (WALK, "      scf.for %x = %c1_i32 to %7 step %c1_i32 : i32 {\n{}"), (END, "      }\n{}"), passes=SPECIALISE)
refused("'unitile.walk' op expected tiles that end where the walk's keys do", ("rows %arg9 to %arg10", "rows %arg9 to %c2_i32"), passes=SPECIALISE)
refused("'gpu.func' op expected one unitile.walk in a kernel to be warp-specialised, got 2", (re.compile(r"      unitile.walk.*?(?=      gpu.return)", re.S), "{}{}"), passes=SPECIALISE)
kept((WALK, "      %some = arith.cmpi slt, %5, %arg6 : i32\n      scf.if %some {\n{}"), (END, "      }\n{}"))
# A region of an op in a region uses what the latter computed.
HEAD = re.compile(r"        %12 = arith.divui %1, %c2_i32 : i32\n        %13 = unitile.fetch %arg2\[%2, %12\]")
kept((HEAD, """        %12 = arith.divui %1, %c2_i32 : i32
        %odd = arith.cmpi ne, %12, %c2_i32 : i32
        %head = scf.if %odd -> i32 {
          scf.yield %12 : i32
        } else {
          scf.yield %c1_i32 : i32
        }
        %13 = unitile.fetch %arg2[%2, %head]"""))

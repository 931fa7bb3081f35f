# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && mkdir %t && %python %s --run=%unisparse_run --compile=unisparse-compile --driver=%fake_driver --tmp=%t
"""unisparse-run --target=cuda without a GPU: what it says where there is none, and, on a driver of host memory, that
tensors get there and back, that the chip is the device's, and what is reported."""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Execution", "lib"))

import numpy as np
import safetensors
from safetensors import Tensor

parser = argparse.ArgumentParser()
for name in ("run", "compile", "driver"):
    parser.add_argument(f"--{name}", required=True)
parser.add_argument("--tmp", type=pathlib.Path, required=True)
args = parser.parse_args()
tmp = args.tmp

# 2 sequences, 4 heads, 100 queries and keys. The program's o is v, its lse is 7.
SHAPE = (2, 4, 100, 32)
COPY = """
!t = memref<?x4x?x32xf32>
module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\\0A.target sm_80\\0A.entry copy()">]
  func.func @main(%q: !t, %k: !t, %v: !t) -> (!t, memref<?x4x?xf32>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %c2 = arith.constant 2 : index
    %row = arith.constant 512 : index
    %seven = arith.constant 7.0 : f32
    %b = memref.dim %q, %c0 : !t
    %l = memref.dim %q, %c2 : !t
    %bk = memref.dim %k, %c0 : !t
    %same = arith.cmpi eq, %b, %bk : index
    cf.assert %same, "I2: the batch of q == the batch of k" {unisparse.check = #unisparse.check<"I2", "the batch of q" equal "the batch of k">}
    %o = gpu.alloc (%b, %l) : !t
    %lse = gpu.alloc (%b, %l) : memref<?x4x?xf32>
    %w = gpu.alloc (%b, %l) : !t
    %n = arith.muli %b, %l : index
    %bytes = arith.muli %n, %row : index
    %size = arith.index_cast %bytes : index to i64
    %av = memref.extract_aligned_pointer_as_index %v : !t -> index
    %iv = arith.index_cast %av : index to i64
    %pv = llvm.inttoptr %iv : i64 to !llvm.ptr<1>
    %aw = memref.extract_aligned_pointer_as_index %w : !t -> index
    %iw = arith.index_cast %aw : index to i64
    %pw = llvm.inttoptr %iw : i64 to !llvm.ptr<1>
    %ao = memref.extract_aligned_pointer_as_index %o : !t -> index
    %io = arith.index_cast %ao : index to i64
    %po = llvm.inttoptr %io : i64 to !llvm.ptr<1>
    gpu.launch_func @unisparse_kernels::@copy blocks in (%l, %b, %c1) threads in (%c2, %c1, %c1) args(%pv : !llvm.ptr<1>, %pw : !llvm.ptr<1>, %size : i64)
    gpu.launch_func @unisparse_kernels::@copy blocks in (%l, %b, %c1) threads in (%c2, %c1, %c1) args(%pw : !llvm.ptr<1>, %po : !llvm.ptr<1>, %size : i64)
    gpu.memset %lse, %seven : memref<?x4x?xf32>, f32
    return %o, %lse : !t, memref<?x4x?xf32>
  }
}
"""
rng = np.random.default_rng(0)
q, k, v = (rng.normal(size=SHAPE).astype(np.float32) for _ in range(3))
safetensors.write(str(tmp / "f32.safetensors"), {"q": Tensor("F32", q), "k": Tensor("F32", k), "v": Tensor("F32", v)})
half = {"q": Tensor("F16", q), "k": Tensor("F16", k), "v": Tensor("F16", v)}
safetensors.write(str(tmp / "f16.safetensors"), half)
counts, indices = np.full((2, 4, 2), 1), np.zeros((2, 4, 2, 2), int)
safetensors.write(str(tmp / "selection.safetensors"), {"counts": Tensor("I32", counts), "indices": Tensor("I32", indices)})
(tmp / "copy.mlir").write_text(COPY)
subprocess.run([args.compile, tmp / "copy.mlir", "-o", tmp / "copy.usp"], check=True, timeout=60)

# What artifacts return: sizes of -1 are the batch of q.
def returning(name, *results):
    """Compiles an artifact that returns such buffers."""
    lines, values = [], []
    for i, (shape, element) in enumerate(results):
        kind = f"memref<{'x'.join('?' if n < 0 else str(n) for n in shape)}x{element}>"
        zero = "%z" if element == "f32" else "%i" if element == "i32" else "%h"
        lines.append(f"    %r{i} = gpu.alloc ({', '.join('%b' for n in shape if n < 0)}) : {kind}")
        if element != "f16":
            lines.append(f"    gpu.memset %r{i}, {zero} : {kind}, {element}")
        values.append((f"%r{i}", kind))
    (tmp / f"{name}.mlir").write_text("\n".join([
        "!t = memref<?x4x?x32xf32>",
        "module attributes {gpu.container_module} {",
        '  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\\0A.target sm_80">]',
        f"  func.func @main(%q: !t, %k: !t, %v: !t) -> ({', '.join(kind for _, kind in values)}) {{",
        "    %c0 = arith.constant 0 : index", "    %z = arith.constant 0.0 : f32", "    %i = arith.constant 0 : i32",
        "    %b = memref.dim %q, %c0 : !t", *lines,
        f"    return {', '.join(value for value, _ in values)} : {', '.join(kind for _, kind in values)}", "  }", "}"]))
    subprocess.run([args.compile, tmp / f"{name}.mlir", "-o", tmp / f"{name}.usp"], check=True, timeout=60)
    return f"--artifact={tmp}/{name}.usp"


def run(*options, **environment):
    log = tmp / "log"
    log.unlink(missing_ok=True)
    env = {**os.environ, "UNISPARSE_LIBCUDA": args.driver, "FAKE_LOG": str(log), **environment}
    done = subprocess.run([args.run, *map(str, options)], capture_output=True, text=True, env=env, timeout=60)
    return done, log.read_text().splitlines() if log.exists() else []


def fails(part, *options, status=1, **environment):
    done, log = run(*options, **environment)
    assert done.returncode == status, (options, done)
    assert done.stderr.startswith("unisparse-run: ") and done.stderr.count("\n") == 1 and not done.stdout, done
    assert part in done.stderr, (part, done.stderr)
    assert not any(line.startswith("launch") for line in log), log


F32, F16, CUDA, COPY = tmp / "f32.safetensors", tmp / "f16.safetensors", "--target=cuda", f"--artifact={tmp}/copy.usp"
SELECTION = f"--selection={tmp}/selection.safetensors"

# What is wrong, in one line.
fails("--target=cuda: expected NVIDIA's driver on this machine, got ", F16, CUDA, UNISPARSE_LIBCUDA="/none/libcuda.so")
fails("--target=cuda: expected an NVIDIA GPU, got none", F16, CUDA, FAKE_DEVICES="0")
fails("--device: expected 0 to 1, got 2", F16, CUDA, "--device=2", FAKE_DEVICES="2")
fails("--device: expected 0 to 0, got -1", F16, CUDA, "--device=-1")
fails("--device: expected a GPU that can run code for one of sm_80,", F16, CUDA, FAKE_CAPABILITY="75")
fails("--device: expected a whole number, got 'x'", F16, CUDA, "--device=x", status=2)
fails("--chip: expected one of sm_80, ", F16, CUDA, "--chip=sm_75")
fails("--chip: expected --target=cuda or tile-cpu beside it, got 'cpu'", F16, "--chip=sm_80", status=2)
fails("--descending: expected --target=tile-cpu beside it, got 'cuda'", F16, CUDA, "--descending", status=2)
fails("--device: expected --target=cuda beside it, got 'tile-cpu'", F16, "--target=tile-cpu", "--device=0", status=2)
fails("--artifact: expected --target=cuda beside it, got 'cpu'", F16, COPY, status=2)
fails("--compare: expected nothing to compile beside --artifact, got 'dense'", F32, CUDA, COPY, "--compare=dense", status=2)
fails("--p: expected no option about the computation beside --artifact", F32, CUDA, COPY, "--p=0.5", status=2)
fails("/none.usp: cannot open, expected a readable file, got", F32, CUDA, "--artifact=/none.usp")
fails("f32.safetensors: ", F32, CUDA, f"--artifact={F32}")
# The runtime's own words: another type, a check, a chip.
fails("copy.usp: ", F16, CUDA, COPY)
fails("copy.usp: ", F32, CUDA, COPY, FAKE_CAPABILITY="75")
# What the tile level has no kernel for.
fails("expected at most 128 composites in a query block at the tile level, got 256", F16, CUDA, "--block=256x64", "--pool=1x8")

# What is asked for has to be what the artifact returns: said before anything is launched, and never read.
O, COUNTS, INDICES, BLOCK = ((-1, 4, 100, 32), "f32"), ((-1, 1, 2), "i32"), ((-1, 1, 2, 2), "i32"), "--block=64x64"
OUT, MAP = f"--output={tmp}/never", f"--map={tmp}/never.png"
counts_alone, indices_alone = returning("counts", O, COUNTS), returning("indices", O, INDICES)
selecting, plain, density = returning("selecting", O, COUNTS, INDICES), returning("plain", O), returning("density", ((-1, 4), "f32"))
for more in ([], [SELECTION], [OUT], [SELECTION, OUT], [MAP]):
    fails("counts.usp: expected counts and indices together, got counts alone", F32, CUDA, BLOCK, counts_alone, *more)
    fails("indices.usp: expected counts and indices together, got indices alone", F32, CUDA, BLOCK, indices_alone, *more)
fails("plain.usp: expected counts and indices to draw --map, got neither", F32, CUDA, BLOCK, plain, MAP)
fails("density.usp: expected o, lse, or counts and indices, to write to --output, got density alone", F32, CUDA, BLOCK, density, OUT)
fails("got I32[-1, 3, 2]", F32, CUDA, BLOCK, returning("heads", ((-1, 3, 2), "i32"), ((-1, 3, 2, 2), "i32")))
fails("of as many heads, got 1 and 2", F32, CUDA, BLOCK, returning("two", COUNTS, ((-1, 2, 2, 2), "i32")))
fails("got F16[-1, 4, 100]", F32, CUDA, BLOCK, returning("lse", ((-1, 4, 100), "f16")))
fails("got F32[3, 4, 100, 32]", F32, CUDA, BLOCK, returning("batch", ((3, 4, 100, 32), "f32")))
# Sizes that only the inputs give: as many rows as batches, 2, where blocks of 128 make it 1.
rows = returning("rows", ((-1, 1, -1), "i32"), ((-1, 1, -1, -1), "i32"))
fails("rows.usp: expected results among ", F32, CUDA, rows)
assert not (tmp / "never").exists() and not (tmp / "never.png").exists()
done, log = run(F32, CUDA, BLOCK, selecting, f"--output={tmp}/selecting")
assert done.returncode == 0 and sorted(safetensors.read(str(tmp / "selecting"))) == ["counts", "indices", "o"], done

# An artifact: there and back, with NaN around the inputs or without.
for more in ([], ["--poison", "--repeat=3"]):
    done, log = run(F32, CUDA, COPY, "--json", f"--output={tmp}/out.safetensors", *more)
    assert done.returncode == 0 and not done.stderr, done
    out = safetensors.read(str(tmp / "out.safetensors"))
    assert np.array_equal(out["o"].data, v) and np.all(out["lse"].data == 7) and out["lse"].data.shape == SHAPE[:3]
    report = json.loads(done.stdout)
    assert report["device"] == "Fake GPU 0" and report["chip"] == "sm_80", report
    assert report["kernels"] == {}, report
    assert report["seconds"]["total"] == 0.0025 and report["density"] == 1, report
    tensor = v.nbytes
    assert report["device_memory_bytes"] == 5 * tensor + tensor // 32, report
    assert log == ["load sm_80"] + ["launch copy 100x2x1 2x1x1 0"] * 2 * (3 if more else 1), log

# In process: compiled for what the device is, exact chips first. On Hopper's own
# chip maps of q, k, v and o go before a kernel whose CTAs share out
# the rows: 2 of each of 4 heads of 2 sequences.
TILES = ["launch attend 2x4x2 128x1x1 24576"]
MAPS = ["map 32x100x4x2 strides 64,6400,25600 box 64x64x1x1"] * 4 + ["launch attend 16x1x1 256x1x1 57476"]
SPECIALISED, PORTABLE = "#unitile.schedule<stages = 3, keys = 64, ctas = 2, ", "#unitile.tiles<rows = 64, keys = 64>"
for capability, chip in (("80", "sm_80"), ("87", "sm_86"), ("90", "sm_90a"), ("103", "sm_90"), ("121", "sm_120")):
    done, log = run(F16, CUDA, SELECTION, "--block=64x64", "--compare=dense", "--json", FAKE_CAPABILITY=capability)
    assert done.returncode == 0, done
    report = json.loads(done.stdout)
    assert report["chip"] == chip and "compare" in report and report["selected_blocks"] == 16, report
    assert list(report["kernels"]) == ["attend"], report
    assert report["kernels"]["attend"].startswith(SPECIALISED if chip == "sm_90a" else PORTABLE), report
    log = [line.replace("attend_0", "attend") for line in log]  # The dense program's.
    assert log == [f"load {chip}"] * 2 + (MAPS if chip == "sm_90a" else TILES) * 2, log
done, log = run(F16, CUDA, SELECTION, "--block=64x64", "--chip=sm_80", "--device=1", f"--dump-ir={tmp}/ir", FAKE_DEVICES="2")
assert done.returncode == 0 and "(Fake GPU 1, sm_80)" in done.stdout and "of the device for the run" in done.stdout, done
assert log[0] == "load sm_80" and (tmp / "ir" / "00-input.mlir").exists(), log

# Which kernel runs is in the report: on Hopper's own chip the warp-specialised one, but not for what that cannot do.
narrow = np.zeros((2, 4, 100, 40), np.float16)
safetensors.write(str(tmp / "d40.safetensors"), {name: Tensor("F16", narrow) for name in "qkv"})
for file, dim, rows, attend in (
    (F16, 32, 64, r"warp-specialised \(stages = 3, keys = 64, ctas = 2, .*\)"),
    (F16, 32, 32, r"portable \(rows = 32, keys = 64\)"),
    (tmp / "d40.safetensors", 40, 64, r"portable \(rows = 64, keys = 64\)"),
):
    t = f"tensor<?x4x?x{dim}xf16>"
    (tmp / "dense.mlir").write_text(f"""
func.func @dense(%q: {t}, %k: {t}, %v: {t}) -> {t} {{
  %o = unisparse.block_sparse_attention %q, %k, %v block <{rows}x64> : ({t}, {t}, {t}) -> {t}
  return %o : {t}
}}""")
    done, log = run(file, CUDA, f"--program={tmp}/dense.mlir", FAKE_CAPABILITY="90")
    assert done.returncode == 0 and "(Fake GPU 0, sm_90a)" in done.stdout, done
    assert re.search(f"^  attend      {attend}$", done.stdout, re.MULTILINE), (dim, rows, done.stdout)

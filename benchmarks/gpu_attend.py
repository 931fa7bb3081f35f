#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks and times the attend kernels of the portable GPU path on a device.

    gpu_attend.py compile DIR [--opt=build/bin/unisparse-opt] [--chip=sm_90]    needs no GPU
    gpu_attend.py run DIR                                                       needs torch and a GPU, no LLVM

`compile` lowers one program for each case below to PTX, and writes beside it how to launch it: what unisparse-opt's
own launch says of threads, shared memory and arguments. `run` launches them through libcuda, with NaN around every
input and in every output, compares o and lse with float64 on the same selection (A1-A3), and times the first case at
8K, 32K and 128K tokens. The two may be different machines.
"""
import argparse
import ctypes
import json
import math
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass


@dataclass
class Case:
    name: str
    heads: int
    kv_heads: int
    selections: int
    dim: int
    value_dim: int
    bq: int
    bk: int
    dtype: str
    causal: bool = True
    lse: bool = True
    selection: bool = True
    packed: bool = False

    def arguments(self):
        """What the kernel takes, in order; a tensor of tokens is its address and three strides."""
        names = [n for x in "qkv" for n in (x, f"{x}.batch_stride", f"{x}.head_stride", f"{x}.row_stride")]
        names += ["o"] + ["lse"] * self.lse + ["lq", "lk"]
        names += ["cu_q", "cu_k", "sequences"] * self.packed + ["slots"]
        return names + ["counts", "indices", "key_blocks"] * self.selection

    def program(self):
        """The op on dynamic lengths."""
        b = "1" if self.packed else "?"
        q, k, v, o = (f"tensor<{b}x{h}x?x{d}x{self.dtype}>" for h, d in (
            (self.heads, self.dim), (self.kv_heads, self.dim), (self.kv_heads, self.value_dim), (self.heads, self.value_dim)))
        operands = [("q", q), ("k", k), ("v", v)]
        text = "unisparse.block_sparse_attention %q, %k, %v"
        if self.selection:
            operands += [("c", f"tensor<{b}x{self.selections}x?xi32>"), ("i", f"tensor<{b}x{self.selections}x?x?xi32>")]
            text += " selection(%c, %i)"
        if self.packed:
            operands += [("cq", "tensor<?xi32>"), ("ck", "tensor<?xi32>")]
            text += " cu_seqlens(%cq, %ck)"
        text += f" block <{self.bq}x{self.bk}>" + " causal" * self.causal + " return_lse" * self.lse
        types = [o] + [f"tensor<{b}x{self.heads}x?xf32>"] * self.lse
        names = ", ".join(f"%r{n}" for n in range(len(types)))
        results, arguments = ", ".join(types), ", ".join(f"%{n}: {t}" for n, t in operands)
        return (f"func.func @main({arguments}) -> ({results}) {{\n"
                f"  {names} = {text} : ({', '.join(t for _, t in operands)}) -> ({results})\n"
                f"  return {names} : {results}\n}}\n")


CASES = [
    Case("headline", 32, 8, 32, 128, 128, 128, 128, "bf16"),
    Case("d64", 4, 2, 4, 64, 64, 128, 128, "bf16"),
    Case("d96_f16_full", 4, 4, 4, 96, 96, 128, 64, "f16", causal=False),
    Case("d80_shared_selection", 4, 2, 2, 80, 32, 64, 64, "bf16"),
    Case("odd_blocks", 4, 1, 4, 32, 128, 48, 112, "f16"),
    Case("dense", 4, 2, 4, 128, 128, 128, 128, "bf16", lse=False, selection=False),
    Case("dense_full", 4, 2, 4, 128, 64, 64, 128, "f16", causal=False, selection=False),
    Case("packed", 4, 2, 4, 64, 64, 64, 64, "bf16", packed=True),
    Case("f32", 4, 2, 4, 64, 64, 64, 64, "f32"),
    Case("f32_dense", 4, 2, 4, 64, 64, 64, 64, "f32", selection=False),
    Case("f32_dense_full", 4, 4, 4, 128, 80, 128, 64, "f32", causal=False, selection=False),
    Case("f32_odd_packed", 4, 1, 2, 48, 128, 48, 80, "f32", packed=True),
    Case("packed_dense", 4, 2, 4, 128, 128, 128, 128, "bf16", selection=False, packed=True),
    Case("d40", 4, 2, 4, 40, 40, 64, 64, "bf16"),
    Case("d72_uneven_blocks", 4, 2, 2, 72, 72, 100, 24, "f16"),
    Case("d192_large_blocks", 4, 2, 4, 192, 128, 200, 256, "bf16"),
    Case("d256", 4, 4, 4, 256, 256, 128, 128, "bf16"),
    Case("d256_packed_uneven", 4, 2, 2, 256, 64, 100, 24, "f16", packed=True),
    Case("large_blocks_packed", 4, 2, 4, 128, 128, 200, 256, "bf16", packed=True),
    Case("small_blocks", 4, 4, 4, 64, 72, 16, 16, "f16", causal=False),
]


def host_constant(text, name):
    return int(re.search(rf"{re.escape(name)} = arith.constant (\d+) :", text)[1])


def launch_of(case, text):
    """Threads, dynamic shared bytes and tiles of queries in a block, as the host code has them."""
    launch = re.search(r"gpu.launch_func @unisparse_kernels::@attend blocks in \((%[\w#]+), .*? threads in \((%\w+), .*?"
                       r"dynamic_shared_memory_size (%\w+) args\((.*)\)", re.sub(" +", " ", text))
    blocks, threads, shared, operands = launch.groups()
    types = [o.rsplit(" : ", 1)[1] for o in operands.split(", ")]
    expected = ["!llvm.ptr<1>" if n in ("q", "k", "v", "o", "lse", "cu_q", "cu_k", "counts", "indices") else "i64" if n.endswith("stride") else "i32"
                for n in case.arguments()]
    if types != expected:
        sys.exit(f"{case.name}: expected a kernel of {case.arguments()}, got {types}")
    tiles = re.search(rf"{re.escape(blocks)} = arith.muli %\w+, (%c\d+) : index", text)
    return {"threads": host_constant(text, threads), "shared": host_constant(text, shared), "row_tiles": host_constant(text, tiles[1]) if tiles else 1}


def compile_all(folder, opt, chip):
    folder.mkdir(parents=True, exist_ok=True)
    for case in CASES:
        run = subprocess.run([opt, "-", f"--unisparse-to-gpu-pipeline=chip={chip}"], input=case.program(), capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{case.name}: {run.stderr}")
        assembly = re.search(r'assembly = "(.*?)"', run.stdout, re.S)[1]
        ptx = re.sub(r"\\([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), assembly).rstrip("\0")
        (folder / f"{case.name}.ptx").write_text(ptx)
        (folder / f"{case.name}.json").write_text(json.dumps(launch_of(case, run.stdout)))
    print(f"{len(CASES)} kernels in {folder}")


class Driver:
    """The few calls of libcuda that a launch takes."""

    def __init__(self):
        self.cuda = ctypes.CDLL("libcuda.so.1")

    def check(self, status, what):
        if status:
            text = ctypes.c_char_p()
            self.cuda.cuGetErrorString(status, ctypes.byref(text))
            sys.exit(f"{what}: {status} {text.value}")

    def load(self, folder, case):
        """The kernel of a case, and how to launch it."""
        path, how = folder / f"{case.name}.ptx", json.loads((folder / f"{case.name}.json").read_text())
        module, function = ctypes.c_void_p(), ctypes.c_void_p()
        self.check(self.cuda.cuModuleLoadData(ctypes.byref(module), path.read_bytes() + b"\0"), path)
        self.check(self.cuda.cuModuleGetFunction(ctypes.byref(function), module, b"attend"), path)
        self.check(self.cuda.cuFuncSetAttribute(function, 8, how["shared"]), "shared memory")
        return function, how

    def launch(self, kernel, case, tensors, numbers, stream):
        """`tensors` and `numbers` by the names of Case.arguments(); strides are those of the tensors."""
        function, how = kernel
        values = dict(numbers)
        for name, tensor in tensors.items():
            values[name] = ctypes.c_void_p(tensor.data_ptr())
            if name in "qkv":
                for dimension, stride in enumerate(("batch", "head", "row")):
                    values[f"{name}.{stride}_stride"] = ctypes.c_int64(tensor.stride(dimension))
        values = [v if not isinstance(v, int) else ctypes.c_int(v) for v in (values[n] for n in case.arguments())]
        pointers = (ctypes.c_void_p * len(values))(*(ctypes.cast(ctypes.pointer(v), ctypes.c_void_p) for v in values))
        grid = numbers["slots"] * how["row_tiles"], case.heads, tensors["q"].shape[0]
        self.check(self.cuda.cuLaunchKernel(function, *grid, how["threads"], 1, 1, how["shared"],
                                            ctypes.c_void_p(stream), pointers, None), case.name)


def sequences_for(case):
    if case.packed:
        return [[(5, 5), (0, 0), (130, 200), (64, 64), (1, 129)], [(128, 128)], [(0, 0), (257, 257)]]
    lengths = [[(n, n)] for n in (1, 7, 63, 64, 65, 127, 128, 129, 257)] + [[(1, 130)], [(70, 333)], [(128, 129)]]
    return lengths + ([] if case.causal else [[(300, 100)]])


def draw_selection(torch, case, batch, sequences, slots, blocks, generator):
    """Counts, indices (-7 behind them) and the mask of what each query sees."""
    lq, lk = (sum(s[n] for s in sequences) for n in (0, 1))
    counts = torch.zeros(batch, case.selections, slots, dtype=torch.int32)
    indices = torch.full((batch, case.selections, slots, blocks), -7, dtype=torch.int32)
    keep = torch.zeros(batch, case.selections, lq, lk, dtype=torch.bool)
    visible = torch.zeros(lq, lk, dtype=torch.bool)
    q0 = k0 = 0
    for number, (a, b) in enumerate(sequences):
        keys, position = torch.arange(b)[None], torch.arange(a)[:, None] + b - a
        visible[q0:q0 + a, k0:k0 + b] = keys <= position if case.causal else True
        for r in range(-(-a // case.bq)):
            slot = q0 // case.bq + number + r if case.packed else r
            last = b - a + min((r + 1) * case.bq, a) - 1
            candidates = min(last // case.bk + 1, -(-b // case.bk)) if case.causal else -(-b // case.bk)
            for x in range(batch):
                for h in range(case.selections):
                    chosen = [j for j in range(candidates) if not case.selection or torch.rand(1, generator=generator) < .6]
                    counts[x, h, slot] = len(chosen)
                    indices[x, h, slot, :len(chosen)] = torch.tensor(chosen, dtype=torch.int32)
                    for j in chosen:
                        keep[x, h, q0 + r * case.bq:q0 + min((r + 1) * case.bq, a), k0 + j * case.bk:k0 + min((j + 1) * case.bk, b)] = True
        q0, k0 = q0 + a, k0 + b
    return counts.cuda(), indices.cuda(), (keep & visible).cuda().repeat_interleave(case.heads // case.selections, 1)


def check_case(torch, driver, case, kernel):
    """Returns how many runs were compared and how many were wrong."""
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16, "f32": torch.float32}[case.dtype]
    generator = torch.Generator().manual_seed(1)

    def guarded(batch, heads, length, dim):
        """NaN on both sides, and behind every sequence and row (P3): strides are not those of a contiguous tensor."""
        buffer = torch.full((batch, heads, length + 24, dim + 16), math.nan, device="cuda", dtype=dtype)
        tokens = buffer[:, :, 8:8 + length, 8:8 + dim]
        tokens.copy_(torch.randn(tokens.shape, device="cuda"))
        return tokens

    runs = wrong = 0
    for sequences in sequences_for(case):
        lq, lk = (sum(s[n] for s in sequences) for n in (0, 1))
        batch = 1 if case.packed else 2
        q, k, v = guarded(batch, case.heads, lq, case.dim), guarded(batch, case.kv_heads, lk, case.dim), guarded(batch, case.kv_heads, lk, case.value_dim)
        slots = lq // case.bq + len(sequences) if case.packed else -(-lq // case.bq)
        blocks = -(-lk // case.bk)
        counts, indices, keep = draw_selection(torch, case, batch, sequences, slots, blocks, generator)
        group = case.heads // case.kv_heads
        logits = (q.double() @ k.double().repeat_interleave(group, 1).transpose(2, 3)) * case.dim ** -.5
        logits = logits.masked_fill(~keep, -math.inf)
        p, values = torch.nan_to_num(torch.softmax(logits, -1)), v.repeat_interleave(group, 1)
        expected, expected_lse = p @ values.double(), torch.logsumexp(logits, -1)
        plain_p = p
        if dtype == torch.float32:  # Products of 16 bits are exact in f32; those of f32 are not, so logits are plain too.
            plain_logits = (q @ k.repeat_interleave(group, 1).transpose(2, 3)) * case.dim ** -.5
            plain_p = torch.nan_to_num(torch.softmax(plain_logits.masked_fill(~keep, -math.inf), -1))
        plain = (plain_p.to(dtype).float() @ values.float()).to(dtype)
        rounding = expected.abs().max().item() * {"bf16": 2 ** -8, "f16": 2 ** -11, "f32": 2 ** -24}[case.dtype]
        bound = 2 * (plain.double() - expected).abs().max().item() + rounding + 1e-6  # A3
        lse_bound = 1e-5 if case.dtype == "f32" else 2e-4  # Products of tf32 alone miss it.
        o = torch.full_like(expected, math.nan, dtype=dtype)
        lse = torch.full_like(expected_lse, math.nan, dtype=torch.float32)
        ends = [torch.tensor([sum(s[n] for s in sequences[:e]) for e in range(len(sequences) + 1)], dtype=torch.int32).cuda() for n in (0, 1)]
        tensors = {"q": q, "k": k, "v": v, "o": o, "lse": lse, "counts": counts, "indices": indices, "cu_q": ends[0], "cu_k": ends[1]}
        numbers = {"lq": lq, "lk": lk, "slots": slots, "key_blocks": blocks, "sequences": len(sequences)}
        driver.launch(kernel, case, tensors, numbers, torch.cuda.current_stream().cuda_stream)
        torch.cuda.synchronize()
        error = (o.double() - expected).abs().max().item()
        same_blind = not case.lse or bool((torch.isinf(lse) == torch.isinf(expected_lse)).all())
        lse_error = torch.nan_to_num(lse.double() - expected_lse, nan=0., posinf=0., neginf=0.).abs().max().item() if case.lse else 0.
        good = error <= bound and same_blind and lse_error < lse_bound and (not case.lse or not torch.isnan(lse).any())
        runs, wrong = runs + 1, wrong + (not good)
        if not good:
            print(f"WRONG {case.name} {sequences}: o off by {error:.3e}, bound {bound:.3e}; lse off by {lse_error:.1e}")
    return runs, wrong


def block_rows(torch, n, rho, heads, block=128, seed=0):
    """Blocks 0 and the diagonal forced, the rest random up to ceil(rho * (i + 1))."""
    generator, out = torch.Generator().manual_seed(seed), []
    for _ in range(heads):
        rows = []
        for i in range(n // block):
            count = max(min(i + 1, 2), math.ceil(rho * (i + 1)))
            extra = torch.randperm(max(i - 1, 0), generator=generator)[:max(count - 2, 0)] + 1
            rows.append(sorted({0, i, *extra.tolist()}))
        out.append(rows)
    return out


def time_headline(torch, driver, case, kernel):
    for n, rho in ((8192, .25), (32768, .1), (32768, .25), (131072, .1), (131072, .25)):
        shape = lambda heads: (1, heads, n, case.dim)
        q = torch.randn(shape(case.heads), device="cuda", dtype=torch.bfloat16)
        k, v = (torch.randn(shape(case.kv_heads), device="cuda", dtype=torch.bfloat16) for _ in range(2))
        rows = block_rows(torch, n, rho, 4)  # Four masks; head h takes mask h mod 4.
        r = n // 128
        counts, indices = torch.zeros(1, 4, r, dtype=torch.int32), torch.zeros(1, 4, r, r, dtype=torch.int32)
        for h in range(4):
            for i, chosen in enumerate(rows[h]):
                counts[0, h, i] = len(chosen)
                indices[0, h, i, :len(chosen)] = torch.tensor(chosen)
        counts, indices = (t.repeat(1, case.heads // 4, *[1] * (t.dim() - 2)).cuda() for t in (counts, indices))
        tensors = {"q": q, "k": k, "v": v, "o": torch.empty_like(q), "lse": torch.empty(1, case.heads, n, device="cuda"),
                   "counts": counts, "indices": indices}
        numbers = {"lq": n, "lk": n, "slots": r, "key_blocks": r}
        times = []
        for _ in range(15):
            begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
            begin.record()
            driver.launch(kernel, case, tensors, numbers, torch.cuda.current_stream().cuda_stream)
            end.record()
            torch.cuda.synchronize()
            times.append(begin.elapsed_time(end))
        ms = sorted(times[3:])[6]
        flops = 4 * 128 * 128 * case.dim * counts.sum().item()
        print(f"{n:7d} tokens, rho {rho:.2f}: {ms:8.3f} ms {flops / ms / 1e9:6.0f} TFLOP/s", flush=True)


def run_all(folder):
    import torch
    driver = Driver()
    torch.zeros(1, device="cuda")
    torch.backends.cuda.matmul.allow_tf32 = False  # The yardstick of f32 is f32.
    print(torch.cuda.get_device_name())
    runs = wrong = 0
    kernels = {case.name: driver.load(folder, case) for case in CASES}
    for case in CASES:
        r, w = check_case(torch, driver, case, kernels[case.name])
        runs, wrong = runs + r, wrong + w
    print(f"{runs} runs compared, {wrong} wrong")
    if wrong or not runs:
        sys.exit(1)
    time_headline(torch, driver, CASES[0], kernels[CASES[0].name])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["compile", "run"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--opt", default="build/bin/unisparse-opt")
    parser.add_argument("--chip", default="sm_90")
    arguments = parser.parse_args()
    if arguments.action == "compile":
        compile_all(arguments.folder, arguments.opt, arguments.chip)
    else:
        run_all(arguments.folder)


if __name__ == "__main__":
    main()

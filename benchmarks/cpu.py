#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Speed and memory of unisparse-run on this machine's CPU (`make bench`).

    benchmarks/cpu.py [--run=build/bin/unisparse-run] [--json=FILE] [--repeat=3]

Every ratio is taken between figures of one round: a round measures OpenBLAS and the tool one after the other, and a
figure is the median over the rounds. The bounds that the project set itself stand beside the figures; missing one is
no failure of the script.
"""

import argparse
import ctypes
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "test", "Execution", "lib"))

import numpy as np
import safetensors
from case import qkv

LENGTH, DIM, HEADS, KV_HEADS, BLOCK = 8192, 128, 8, 2, 128
DTYPES = ("F32", "F16", "BF16")
THREADS = (1, 2)
DENSITIES = (0.05, 0.1, 0.25, 0.5, 1.0)
ESTIMATE = ("pool", "score", "select")
# sgemm's m, n, k and whether b is transposed: a large square, and the two products of one attention block.
GEMMS = {"square 4096": (4096, 4096, 4096, False), "block q k^T": (BLOCK, BLOCK, DIM, True), "block p v": (BLOCK, DIM, BLOCK, False)}
RATE_BOUND, ESTIMATE_BOUND, MEMORY_SLACK = 0.5, 0.05, 64 << 20


# --- OpenBLAS, in a process of its own -------------------------------------------------------------------------------


def blas_server():
    """Answers lines "GEMM THREADS" on stdin with seconds per product on stdout; the first line says what it is."""
    blas = ctypes.CDLL("libopenblas.so.0")
    blas.openblas_get_corename.restype = blas.openblas_get_config.restype = ctypes.c_char_p
    floats = ctypes.POINTER(ctypes.c_float)
    i, f = ctypes.c_int, ctypes.c_float
    blas.cblas_sgemm.argtypes = [i, i, i, i, i, i, f, floats, i, floats, i, f, floats, i]
    rng = np.random.default_rng(0)
    side = max(GEMMS["square 4096"])
    a, b = (rng.random((side, side), np.float32) for _ in range(2))
    c = np.zeros((side, side), np.float32)
    address = [x.ctypes.data_as(floats) for x in (a, b, c)]

    def gemm(m, n, k, transposed):
        row_major, plain, other = 101, 111, 112
        blas.cblas_sgemm(
            row_major, plain, other if transposed else plain, m, n, k, 1.0, address[0], k, address[1], k if transposed else n, 0.0, address[2], n
        )

    def right(m, n, k, transposed):
        """Is the last product right? Its first row, in float64."""
        row = a.ravel()[:k].astype(np.float64)
        right_side = b.ravel()[: n * k].reshape((n, k) if transposed else (k, n)).astype(np.float64)
        exact = right_side @ row if transposed else row @ right_side
        return bool(np.allclose(c.ravel()[:n], exact, rtol=1e-4))

    print(json.dumps({"kernel": blas.openblas_get_corename().decode(), "config": blas.openblas_get_config().decode()}), flush=True)
    for line in sys.stdin:
        name, threads = line.rsplit(None, 1)
        shape = GEMMS[name]
        blas.openblas_set_num_threads(int(threads))
        c.fill(0)
        gemm(*shape)
        if not right(*shape):
            sys.exit(f"OpenBLAS gives a wrong product ({name}, {threads} threads)")
        calls = max(1, int(4e10 / (2 * shape[0] * shape[1] * shape[2])))
        start = time.perf_counter()
        for _ in range(calls):
            gemm(*shape)
        print((time.perf_counter() - start) / calls, flush=True)


class Blas:
    """The server, seen from here. It picks the kernel for this CPU: variables that would say another are left out."""

    def __init__(self):
        unset = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "GOTO_NUM_THREADS")
        environment = {name: value for name, value in os.environ.items() if name not in unset}
        command = [sys.executable, os.path.abspath(__file__), "--blas-server"]
        self.server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.facts = json.loads(self._read())

    def _read(self):
        line = self.server.stdout.readline()
        if not line:
            sys.exit("OpenBLAS does not run: install libopenblas0-pthread")
        return line

    def rate(self, name, threads):
        """Floating-point operations per second of one kind of product."""
        self.server.stdin.write(f"{name} {threads}\n")
        self.server.stdin.flush()
        m, n, k, _ = GEMMS[name]
        return 2 * m * n * k / float(self._read())


# --- unisparse-run ---------------------------------------------------------------------------------------------------


class Tool:
    def __init__(self, path, folder, length, runs):
        self.path, self.folder, self.length, self.runs = path, folder, length, runs
        q, k, v = qkv(0, HEADS, KV_HEADS, length, length, DIM, batch=1)
        for dtype in DTYPES:
            named = {name: safetensors.Tensor(dtype, x) for name, x in zip("qkv", (q, k, v))}
            safetensors.write(self.file(dtype), named)
        for density in DENSITIES:
            safetensors.write(self.file(density), self.selection(density))

    def file(self, what):
        return os.path.join(self.folder, f"{what}.safetensors")

    def selection(self, density):
        """Per head and row i: blocks 0 and i, and others at random up to ceil(density * (i + 1))."""
        rng = np.random.default_rng(int(density * 1000))
        rows = -(-self.length // BLOCK)
        counts = np.zeros((1, HEADS, rows), np.int32)
        indices = np.zeros((1, HEADS, rows, rows), np.int32)
        for h, r in np.ndindex(HEADS, rows):
            chosen = {0, r}
            more = int(np.ceil(density * (r + 1) - 1e-9)) - len(chosen)
            chosen.update(1 + rng.permutation(max(r - 1, 0))[: max(more, 0)])
            counts[0, h, r] = len(chosen)
            indices[0, h, r, : len(chosen)] = sorted(chosen)
        return {"counts": safetensors.Tensor("I32", counts), "indices": safetensors.Tensor("I32", indices)}

    def run(self, dtype, threads, *options):
        """One process -> its report; its own seconds are medians of several runs, the first of which is cold."""
        command = [self.path, self.file(dtype), f"--threads={threads}", f"--repeat={self.runs}", "--json", *options]
        command.append(f"--output={os.path.join(self.folder, 'out.safetensors')}")
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            sys.exit(f"{' '.join(command)}: exit status {done.returncode}: {done.stderr.strip()}")
        return json.loads(done.stdout)


def block_rate(report):
    """Floating-point operations per second, each selected block counted as a whole."""
    return report["selected_blocks"] * report["flops_per_selected_block"] / report["seconds"]["attend"]


def memory(tool, dtype, report):
    """Bytes against the bound: inputs + outputs + block masses + 64 MiB.

    The tool's run_memory_bytes is what attention added to a process that already held the inputs and the compiler;
    peak_memory_bytes is all of that process.
    """
    size = np.dtype(safetensors._STORAGE[dtype]).itemsize
    rows = -(-tool.length // BLOCK)
    inputs = tool.length * DIM * (HEADS + 2 * KV_HEADS) * size
    outputs = HEADS * (tool.length * (DIM * size + 4) + rows * 4 + rows * rows * 4)
    masses = HEADS * rows * rows * 4
    return {
        "bound_bytes": inputs + outputs + masses + MEMORY_SLACK,
        "inputs_and_run_bytes": inputs + report["run_memory_bytes"],
        "peak_memory_bytes": report["peak_memory_bytes"],
    }


def measure_round(blas, tool):
    """One round: everything once, the things to be compared next to each other."""
    found = {}
    for threads in THREADS:
        gemm = {name: blas.rate(name, threads) for name in GEMMS}
        found.update({("gemm", name, threads): rate for name, rate in gemm.items()})
        for dtype in DTYPES:
            report = tool.run(dtype, threads, "--compare=dense")
            seconds, key = report["seconds"], (dtype, threads)
            estimate, dense = sum(seconds[stage] for stage in ESTIMATE), report["compare"]["dense_seconds"]
            found[("attend", *key)] = seconds["attend"]
            found[("rate", *key)] = block_rate(report)
            found[("rate / sgemm", *key)] = block_rate(report) / gemm["square 4096"]
            found[("rate / block", *key)] = block_rate(report) / statistics.harmonic_mean([gemm["block q k^T"], gemm["block p v"]])
            for stage in (*ESTIMATE, "compile"):
                found[(stage, *key)] = seconds[stage]
            found[("estimate", *key)] = estimate
            found[("dense", *key)] = dense
            found[("estimate / dense", *key)] = estimate / dense
            found[("speedup", *key)] = dense / (estimate + seconds["attend"])
            found[("density", *key)] = report["density"]
            found[("max_abs_error", *key)] = report["compare"]["max_abs_error"]
        found.update(measure_densities(tool, threads))
    for dtype in DTYPES:
        # --compare holds a second output: memory is measured without it.
        found.update({("memory", dtype, name): value for name, value in memory(tool, dtype, tool.run(dtype, THREADS[-1])).items()})
    return found


def measure_densities(tool, threads):
    """Time per selected block of given selections, against that at density 1."""
    found, per_block = {}, {}
    for density in DENSITIES:
        report = tool.run("F32", threads, f"--selection={tool.file(density)}")
        per_block[density] = report["seconds"]["attend"] / report["selected_blocks"]
        found[("sweep density", density, threads)] = report["density"]
        found[("sweep attend", density, threads)] = report["seconds"]["attend"]
        found[("sweep per block", density, threads)] = per_block[density]
    for density in DENSITIES:
        found[("sweep relative", density, threads)] = per_block[density] / per_block[1.0]
    return found


# --- the report ------------------------------------------------------------------------------------------------------


def machine():
    model, flags = platform.processor(), ""
    with open("/proc/cpuinfo") as file:
        for line in file:
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            if key.strip() == "flags":
                flags = value
    widths = [name for name in ("avx2", "fma", "avx512f", "avx512_bf16", "avx512_fp16", "amx_bf16") if name in flags.split()]
    with open("/proc/meminfo") as file:
        total = int(file.readline().split()[1]) * 1024
    return {
        "cpu": model,
        "cores": len(os.sched_getaffinity(0)),
        "features": widths,
        "memory_bytes": total,
        "kernel": platform.release(),
        "load": os.getloadavg()[0],
    }


def show(facts, blas, config, m):
    """The tables. m: medians by key."""
    giga, milli, mib = 1e-9, 1e3, 1 / (1 << 20)
    print(f"{facts['cpu']}, {facts['cores']} cores, {' '.join(facts['features'])}, Linux {facts['kernel']}, load {facts['load']:.1f} at the start")
    print(f"OpenBLAS kernel {blas['kernel']} ({blas['config']})")
    print(
        f"N = {config['length']}, D = {DIM}, {HEADS}:{KV_HEADS} heads, blocks {BLOCK}x{BLOCK}, c = 8, causal; medians of {config['repeat']} rounds\n"
    )
    print("OpenBLAS sgemm, GFLOP/s")
    print("  threads  " + "".join(f"{name:>14}" for name in GEMMS))
    for t in THREADS:
        print(f"  {t:7}  " + "".join(f"{m[('gemm', name, t)] * giga:14.1f}" for name in GEMMS))
    print(f"\nAttention over the selected blocks (p = .9); bounds: F32's rate / sgemm at least {RATE_BOUND}, F32's estimate / dense at most {ESTIMATE_BOUND:.0%}")
    head = ("attend ms", "GFLOP/s", "/ sgemm", "/ block", "estimate ms", "dense ms", "est / dense", "density", "speed-up", "max error")
    print("  type threads " + "".join(f"{name:>12}" for name in head))
    for dtype in DTYPES:
        for t in THREADS:
            g = lambda what: m[(what, dtype, t)]
            print(
                f"  {dtype:4} {t:7} {g('attend') * milli:12.1f}{g('rate') * giga:12.1f}{g('rate / sgemm'):12.3f}{g('rate / block'):12.3f}"
                f"{g('estimate') * milli:12.2f}{g('dense') * milli:12.1f}{g('estimate / dense'):12.2%}{g('density'):12.3f}{g('speedup'):12.2f}{g('max_abs_error'):12.2g}"
            )
    print("\nThe estimate's stages, and compilation, ms")
    print("  type threads " + "".join(f"{name:>12}" for name in (*ESTIMATE, "compile")))
    for dtype in DTYPES:
        for t in THREADS:
            print(f"  {dtype:4} {t:7} " + "".join(f"{m[(stage, dtype, t)] * milli:12.2f}" for stage in (*ESTIMATE, "compile")))
    print("\nGiven selections, F32: time per selected block, relative to density 1 (1.0 is proportional)")
    print("  threads    density   attend ms  us / block    relative")
    for t in THREADS:
        for d in DENSITIES:
            g = lambda what: m[(what, d, t)]
            print(f"  {t:7}{g('sweep density'):11.3f}{g('sweep attend') * milli:12.1f}{g('sweep per block') * 1e6:12.2f}{g('sweep relative'):12.3f}")
    print("\nMemory, MiB; bound: inputs + outputs + block masses + 64 MiB")
    print("  type  inputs+run     process       bound")
    for dtype in DTYPES:
        values = [m[("memory", dtype, name)] * mib for name in ("inputs_and_run_bytes", "peak_memory_bytes", "bound_bytes")]
        print(f"  {dtype:4}" + "".join(f"{value:12.1f}" for value in values))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default=os.path.join(HERE, "..", "build", "bin", "unisparse-run"), help="unisparse-run")
    parser.add_argument("--json", metavar="FILE", help="write every figure of every round too")
    parser.add_argument("--repeat", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--inner-repeat", type=int, default=3, metavar="N", help="runs in each process of the tool, which reports their medians (default 3)")
    parser.add_argument("--length", type=int, default=LENGTH, help=f"tokens (default {LENGTH}, what the bounds are about)")
    parser.add_argument("--blas-server", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.blas_server:
        return blas_server()
    if not os.access(args.run, os.X_OK):
        sys.exit(f"--run: expected a program, got '{args.run}'")
    facts, blas = machine(), Blas()
    with tempfile.TemporaryDirectory() as folder:
        tool = Tool(os.path.abspath(args.run), folder, args.length, args.inner_repeat)
        rounds = []
        for number in range(max(1, args.repeat)):
            print(f"round {number + 1} of {args.repeat}", file=sys.stderr, flush=True)
            rounds.append(measure_round(blas, tool))
    medians = {key: statistics.median(r[key] for r in rounds) for key in rounds[0]}
    config = {"length": args.length, "dim": DIM, "heads": HEADS, "kv_heads": KV_HEADS, "block": BLOCK, "repeat": len(rounds), "inner_repeat": args.inner_repeat}
    show(facts, blas.facts, config, medians)
    if args.json:
        figures = [{"figure": key[0], "of": list(key[1:]), "median": medians[key], "rounds": [r[key] for r in rounds]} for key in medians]
        bounds = {"rate / sgemm": RATE_BOUND, "estimate / dense": ESTIMATE_BOUND}
        with open(args.json, "w") as file:
            json.dump({"machine": facts, "openblas": blas.facts, "config": config, "bounds": bounds, "figures": figures}, file, indent=1)
            file.write("\n")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks and times the warp-specialised attend kernels for sm_90a on a device.

    gpu_attend_hopper.py compile DIR [--opt=build/bin/unisparse-opt]      needs no GPU
    gpu_attend_hopper.py run DIR [NAME...] [--only=check|time|compare] [--probe=LIB.so]    needs torch and a Hopper GPU, no LLVM

As gpu_attend.py: `compile` lowers one program for each case to PTX, `run` launches them through libcuda. Every launch
has a deadline: a kernel that waits for ever ends the run. --probe times hopper_ceiling.cu beside the headline.
"""
import argparse
import ctypes
import math
import os
import pathlib
import re
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from gpu_attend import Case, Driver, draw_selection  # noqa: E402

HEADLINE = (32, 8, 32, 128, 128, 128, 128, "bf16")
CASES = [
    Case("headline", *HEADLINE),
    Case("dense", *HEADLINE, selection=False),
    Case("d64", 4, 2, 4, 64, 64, 128, 128, "bf16"),
    Case("d96_f16_full", 4, 4, 4, 96, 96, 128, 64, "f16", causal=False),
    Case("d128_keys64", 4, 1, 4, 128, 128, 128, 64, "bf16"),
    Case("d80_shared_selection", 4, 2, 2, 80, 32, 64, 64, "bf16"),
    Case("no_lse_f16", 4, 2, 4, 128, 64, 128, 128, "f16", lse=False),
    Case("dense_full", 4, 2, 4, 128, 128, 128, 128, "f16", causal=False, selection=False),
    Case("block64x64", 32, 8, 32, 128, 128, 64, 64, "bf16"),
    Case("block64x128", 32, 8, 32, 128, 128, 64, 128, "bf16"),
    Case("block128x64", 32, 8, 32, 128, 128, 128, 64, "bf16"),
    Case("packed_headline", *HEADLINE, packed=True),
    Case("heads_of_64", 32, 8, 32, 64, 64, 128, 128, "bf16"),
]
CASES += [
    Case("packed", 4, 2, 4, 128, 128, 128, 128, "bf16", packed=True),
    Case("packed64_f16", 4, 2, 2, 96, 64, 64, 64, "f16", packed=True),
    Case("packed_dense_full", 4, 1, 4, 64, 64, 128, 64, "bf16", causal=False, selection=False, packed=True),
]
# The headline on other schedules: what each word of #unitile.schedule is worth.
SCHEDULES = {
    "two_stages": "stages = 2",
    "running": "reference = running",
    "no_overlap": "overlap = false",
    "turns": "turns = true",
    "turns_no_overlap": "overlap = false, turns = true",
}
CASES += [Case(name, *HEADLINE) for name in SCHEDULES]
DEADLINE = 5.0  # seconds


def compile_all(folder, opt):
    folder.mkdir(parents=True, exist_ok=True)
    pipeline = "builtin.module(unisparse-select-schedule{chip=sm_90a},convert-unisparse-to-unitile,canonicalize,cse,unitile-to-nvvm-pipeline{chip=sm_90a})"
    for case in CASES:
        program = case.program()
        if case.name in SCHEDULES:
            program = program.replace(" return_lse", f" return_lse {{unitile.schedule = #unitile.schedule<{SCHEDULES[case.name]}>}}")
        run = subprocess.run([opt, "-", f"--pass-pipeline={pipeline}"], input=program, capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{case.name}: {run.stderr}")
        assembly = re.search(r'assembly = "(.*?)"', run.stdout, re.S)[1]
        ptx = re.sub(r"\\([0-9A-F]{2})", lambda m: chr(int(m[1], 16)), assembly).rstrip("\0")
        name = re.search(r"dynamic_shared_memory_size (%\w+)", run.stdout)[1]
        shared = re.search(rf"{name} = \S*constant\((\d+) : i32\)", run.stdout)[1]
        (folder / f"{case.name}.ptx").write_text(f"// shared {shared}\n{ptx}")
    print(f"{len(CASES)} kernels in {folder}")


class TensorMap:
    """A CUtensorMap of a tensor [batch, heads, length, columns]: boxes of 64 columns and `rows` rows."""

    def __init__(self, driver, tensor, rows):
        batch, heads, length, columns = tensor.shape
        self.storage = (ctypes.c_char * 192)()
        self.address = (ctypes.addressof(self.storage) + 63) // 64 * 64
        sizes = (ctypes.c_uint64 * 3)(columns, length, batch * heads)
        strides = (ctypes.c_uint64 * 2)(columns * 2, columns * 2 * length)
        box, steps = (ctypes.c_uint32 * 3)(64, rows, 1), (ctypes.c_uint32 * 3)(1, 1, 1)
        element = {"torch.bfloat16": 9, "torch.float16": 6}[str(tensor.dtype)]
        driver.check(driver.cuda.cuTensorMapEncodeTiled(
            ctypes.c_void_p(self.address), element, 3, ctypes.c_void_p(tensor.data_ptr()), sizes, strides, box, steps,
            0, 3, 3, 0), f"tensor map of {tuple(tensor.shape)}")


class Kernel:
    def __init__(self, torch, driver, folder, case):
        path = folder / f"{case.name}.ptx"
        self.torch, self.driver, self.case = torch, driver, case
        self.shared = int(path.read_text().split()[2])
        self.function = driver.load(path, self.shared)
        self.counter = torch.zeros(1, dtype=torch.int32, device="cuda")
        blocks = int(re.search(r"minnctapersm (\d+)", path.read_text())[1])
        self.grid = blocks * torch.cuda.get_device_properties(0).multi_processor_count

    def prepare(self, q, k, v, o, lse, counts, indices, ends=()):
        """A call that clears the counter and launches; its arguments are kept alive by it."""
        case = self.case
        maps = [TensorMap(self.driver, t, rows) for t, rows in ((q, case.bq), (k, case.bk), (v, case.bk), (o, 64))]
        tensors = [o] * case.packed + [lse] * case.lse + [counts, indices] * case.selection + [*ends, self.counter]
        batch, _, lq, _ = q.shape
        slots, last = -(-lq // case.bq), batch
        if case.packed:
            last = len(ends[0]) - 1
            slots = lq // case.bq + last
        numbers = [lq, k.shape[2], slots, -(-k.shape[2] // case.bk), last]
        values = [ctypes.c_void_p(t.data_ptr()) for t in tensors] + [ctypes.c_int(n) for n in numbers]
        pointers = (ctypes.c_void_p * (4 + len(values)))(
            *(m.address for m in maps), *(ctypes.cast(ctypes.pointer(x), ctypes.c_void_p) for x in values))
        threads = 128 * (1 + case.bq // 64)
        stream = ctypes.c_void_p(self.torch.cuda.current_stream().cuda_stream)

        def call(keep=(maps, values, tensors)):
            self.counter.zero_()
            self.driver.check(self.driver.cuda.cuLaunchKernel(self.function, self.grid, 1, 1, threads, 1, 1, self.shared, stream,
                                                              pointers, None), case.name)
        return call


def finish(torch, what):
    """Waits for the stream, but not for ever."""
    stream, start = torch.cuda.current_stream(), time.time()
    while not stream.query():
        if time.time() - start > DEADLINE:
            print(f"HANG {what}", flush=True)
            os._exit(3)
        time.sleep(0.0002)
    torch.cuda.synchronize()


def sequences_for(case):
    if case.packed:
        return [[(5, 5), (0, 0), (130, 200), (64, 64), (1, 129)], [(128, 128)], [(0, 0), (257, 257)], [(1000, 1000), (300, 1500), (128, 128), (7, 7)],
                [(256, 256), (256, 384)]]
    square = [(n, n) for n in (1, 7, 63, 64, 65, 127, 128, 129, 257, 1000, 2048)]
    return [[x] for x in square + [(1, 130), (70, 333), (128, 129), (300, 1500)] + ([] if case.causal else [(300, 100)])]


def check_case(torch, kernel, gain=1.0):
    case = kernel.case
    dtype = {"bf16": torch.bfloat16, "f16": torch.float16}[case.dtype]
    generator = torch.Generator().manual_seed(1)

    def guarded(*shape, factor=1.0):  # NaN on both sides (P3)
        n = math.prod(shape)
        buffer = torch.full((n + 4096,), math.nan, device="cuda", dtype=dtype)
        buffer[2048:2048 + n] = (torch.randn(n, device="cuda") * factor).to(dtype)
        return buffer[2048:2048 + n].view(shape)

    runs = wrong = 0
    worst = 0.0
    for sequences in sequences_for(case):
        lq, lk = (sum(x[n] for x in sequences) for n in (0, 1))
        batch = 2 if lq < 1000 and not case.packed else 1
        q = guarded(batch, case.heads, lq, case.dim, factor=gain)
        k, v = guarded(batch, case.kv_heads, lk, case.dim), guarded(batch, case.kv_heads, lk, case.value_dim)
        slots, blocks = lq // case.bq + len(sequences) if case.packed else -(-lq // case.bq), -(-lk // case.bk)
        counts, indices, keep = draw_selection(torch, case, batch, sequences, slots, blocks, generator)
        ends = [torch.tensor([sum(x[n] for x in sequences[:e]) for e in range(len(sequences) + 1)], dtype=torch.int32).cuda() for n in (0, 1)]
        group = case.heads // case.kv_heads
        logits = (q.double() @ k.double().repeat_interleave(group, 1).transpose(2, 3)) * case.dim ** -.5
        logits = logits.masked_fill(~keep, -math.inf)
        p, values = torch.nan_to_num(torch.softmax(logits, -1)), v.repeat_interleave(group, 1)
        expected, expected_lse = p @ values.double(), torch.logsumexp(logits, -1)
        plain = (p.to(dtype).float() @ values.float()).to(dtype)
        rounding = expected.abs().max().item() * (2 ** -8 if case.dtype == "bf16" else 2 ** -11)
        bound = 2 * (plain.double() - expected).abs().max().item() + rounding + 1e-6  # A3
        outs = []
        for _ in range(2):
            guard = torch.full((expected.numel() + 4096,), math.nan, device="cuda", dtype=dtype)
            o = guard[2048:2048 + expected.numel()].view(expected.shape)
            lse = torch.full_like(expected_lse, math.nan, dtype=torch.float32)
            kernel.prepare(q, k, v, o, lse, counts, indices, ends * case.packed)()
            finish(torch, f"{case.name} {sequences}")
            outside = not bool(torch.isnan(guard[:2048]).all() and torch.isnan(guard[2048 + expected.numel():]).all())
            outs.append((o, lse))
        error = (o.double() - expected).abs().max().item()
        same = torch.equal(outs[0][0], outs[1][0]) and (not case.lse or torch.equal(outs[0][1], outs[1][1]))
        blind = not case.lse or bool((torch.isinf(lse) == torch.isinf(expected_lse)).all())
        lse_error = torch.nan_to_num(lse.double() - expected_lse, nan=0., posinf=0., neginf=0.).abs().max().item() if case.lse else 0.
        lse_bound = 2e-4 if gain == 1.0 else 2e-6 * max(1., expected_lse[~torch.isinf(expected_lse)].abs().max().item())
        good = error <= bound and blind and lse_error < lse_bound and not (case.lse and torch.isnan(lse).any()) and same and not outside
        runs, wrong, worst = runs + 1, wrong + (not good), max(worst, error / bound)
        if not good:
            print(f"WRONG {case.name} x{gain:g} {sequences}: o off by {error:.3e}, bound {bound:.3e}; lse off by {lse_error:.1e}; "
                  f"same {same} blind {blind} outside {outside}", flush=True)
    if case.packed:
        wrong += check_neighbours(torch, kernel, dtype)
    print(f"{case.name} x{gain:g}: {runs} runs, {wrong} wrong, error / bound at most {worst:.2f}", flush=True)
    return wrong


def check_neighbours(torch, kernel, dtype):
    """What one sequence of a packed batch holds, another does not see: the first with the others NaN and with the others 0."""
    case, outs = kernel.case, []
    sequences = [(130, 200), (200, 300)]
    lq, lk = (sum(x[n] for x in sequences) for n in (0, 1))
    ends = [torch.tensor([0, sequences[0][n], sequences[0][n] + sequences[1][n]], dtype=torch.int32).cuda() for n in (0, 1)]
    slots, blocks = lq // case.bq + 2, -(-lk // case.bk)
    counts, indices, _ = draw_selection(torch, case, 1, sequences, slots, blocks, torch.Generator().manual_seed(2))
    for other in (math.nan, 0.):
        torch.manual_seed(3)
        q, k, v = (torch.randn(1, h, n, d, device="cuda").to(dtype) for h, n, d in (
            (case.heads, lq, case.dim), (case.kv_heads, lk, case.dim), (case.kv_heads, lk, case.value_dim)))
        q[:, :, 130:], k[:, :, 200:], v[:, :, 200:] = other, other, other
        o, lse = torch.full((1, case.heads, lq, case.value_dim), 7., device="cuda", dtype=dtype), torch.zeros(1, case.heads, lq, device="cuda")
        kernel.prepare(q, k, v, o, lse, counts, indices, ends)()
        finish(torch, f"{case.name} neighbours")
        outs.append((o[:, :, :130].clone(), lse[:, :, :130].clone()))
    same = torch.equal(outs[0][0], outs[1][0]) and torch.equal(outs[0][1], outs[1][1]) and not torch.isnan(outs[0][0]).any()
    if not same:
        print(f"WRONG {case.name}: a neighbour's NaN leaks", flush=True)
    return not same


def median_ms(torch, call, reps=12, rest=0.7):
    """Median of `reps` after 3 warm-up calls on a card that rested."""
    torch.cuda.synchronize()
    time.sleep(rest)
    for _ in range(3):
        call()
    finish(torch, "timing")
    times = []
    for _ in range(reps):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[reps // 2]


def queued_ms(torch, call, reps=12):
    """The same with the host's launch time hidden."""
    times = []
    for _ in range(reps):
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda._sleep(400_000)
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        times.append(begin.elapsed_time(end))
    return sorted(times)[reps // 2]


def draw_rows(torch, n, rho, heads, bq, bk):
    """Counts [H, R] and ascending indices [H, R, J]: block 0 and the diagonal, the rest random up to ceil(rho * J)."""
    rows, blocks = n // bq, n // bk
    last = ((torch.arange(rows, device="cuda") + 1) * bq + bk - 1) // bk  # Candidates of a row.
    first_diagonal = torch.arange(rows, device="cuda") * bq // bk
    number = torch.arange(blocks, device="cuda")
    seen = number < last[:, None]
    forced = (number == 0) | ((number >= first_diagonal[:, None]) & seen)
    counts = torch.maximum(forced.sum(1), torch.ceil(last * (1. if rho == "dense" else rho)).long())
    indices = torch.zeros(heads, rows, blocks, dtype=torch.int32, device="cuda")
    for h in range(heads):
        rank = torch.rand(rows, blocks, device="cuda").masked_fill(forced, 2.).masked_fill(~seen, -1.)
        place = rank.argsort(1, descending=True).argsort(1)
        chosen = torch.where(place < counts[:, None], number, blocks).sort(1).values
        indices[h] = chosen.masked_fill(chosen == blocks, 0).int()
    return counts.int().expand(heads, rows).contiguous(), indices


TIMED = [("headline", n, rho) for n, rho in ((8192, .1), (8192, .25), (32768, .1), (32768, .25), (131072, .1), (131072, .25), (32768, "dense"))]
TIMED += [("dense", 8192, "dense"), ("dense", 32768, "dense")]
TIMED += [("packed_headline", 8192, .25)]  # Four sequences of that length.
TIMED += [(name, n, rho) for name in SCHEDULES for n, rho in ((8192, .25), (32768, .25))]
TIMED += [(name, n, rho) for name in ("block64x64", "block64x128", "block128x64", "heads_of_64") for n, rho in ((8192, .25), (32768, .1), (32768, .25))]


def time_all(torch, driver, folder, probe, names):
    reference = None
    if probe:
        sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "prototypes"))
        from hopper_ceiling import Probe
        reference = Probe(probe)
    cases = {c.name: c for c in CASES}
    for name, n, rho in TIMED:
        if names and name not in names:
            continue
        case = cases[name]
        torch.manual_seed(0)
        q = torch.randn(1, case.heads, n, case.dim, device="cuda", dtype=torch.bfloat16)
        k, v = (torch.randn(1, case.kv_heads, n, case.dim, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        o, lse = torch.empty_like(q), torch.empty(1, case.heads, n, device="cuda")
        counts, indices = draw_rows(torch, n, rho, case.heads, case.bq, case.bk)
        ends = ()
        if case.packed:
            q, k, v, o, lse = (x.repeat(1, 1, 4, *[1] * (x.dim() - 3)) for x in (q, k, v, o, lse))
            ends = [torch.arange(5, dtype=torch.int32, device="cuda") * n] * 2
            # Every sequence owns a spare slot.
            counts = torch.nn.functional.pad(counts, (0, 1)).repeat(1, 4)
            indices = torch.nn.functional.pad(indices, (0, 3 * indices.shape[2], 0, 1)).repeat(1, 4, 1).contiguous()
        flops = 4 * case.bq * case.bk * case.dim * counts.sum().item()
        if rho == "dense":  # The causal half, not the diagonal whole.
            flops = 2 * n * n * case.dim * case.heads
        calls = {name: Kernel(torch, driver, folder, case).prepare(q, k, v, o, lse, counts[None], indices[None], ends)}
        if reference and name in ("headline", "dense"):
            po, plse = torch.empty_like(q[0]), torch.empty(case.heads, n, device="cuda")
            calls["the probe"] = lambda: reference.run("Base", q[0], k[0], v[0], po, plse, counts, indices)
        for label, call in calls.items():
            rested, queued = median_ms(torch, call), queued_ms(torch, call)
            print(f"{n:7d} {rho!s:5} {label:12s} rested {rested:8.4f} ms {flops / rested / 1e9:6.1f}   queued {flops / queued / 1e9:6.1f} TFLOP/s",
                  flush=True)
        if "the probe" in calls:
            print(f"        largest difference from the probe {(o[0].float() - po.float()).abs().max().item():.1e}", flush=True)
        del q, k, v, o, lse, counts, indices, calls


def compare_schedules(torch, driver, folder, rounds=3):
    """Every schedule on the same inputs, in turns, as a card that has worked is slower: medians of `rounds` medians."""
    cases = {c.name: c for c in CASES}
    for n, rho in ((8192, .1), (8192, .25), (32768, .1), (32768, .25), (131072, .1)):
        torch.manual_seed(0)
        q = torch.randn(1, 32, n, 128, device="cuda", dtype=torch.bfloat16)
        k, v = (torch.randn(1, 8, n, 128, device="cuda", dtype=torch.bfloat16) for _ in range(2))
        o, lse = torch.empty_like(q), torch.empty(1, 32, n, device="cuda")
        counts, indices = draw_rows(torch, n, rho, 32, 128, 128)
        flops = 4 * 128 ** 3 * counts.sum().item()
        calls = {name: Kernel(torch, driver, folder, cases[name]).prepare(q, k, v, o, lse, counts[None], indices[None])
                 for name in ("headline", *SCHEDULES)}
        times = {name: [] for name in calls}
        for r in range(rounds):
            names = list(calls)
            for name in names[r:] + names[:r]:
                times[name].append(median_ms(torch, calls[name]))
        for name, t in times.items():
            print(f"{n:7d} {rho!s:5} {name:16s} " + " ".join(f"{flops / x / 1e9:6.1f}" for x in sorted(t, reverse=True)), flush=True)
        del q, k, v, o, lse, counts, indices, calls


def run_all(folder, only, probe, names):
    import torch
    driver = Driver()
    torch.zeros(1, device="cuda")
    print(torch.cuda.get_device_name(), flush=True)
    wrong = 0
    if only in (None, "check"):
        kernels = [Kernel(torch, driver, folder, case) for case in CASES]
        for kernel in kernels:
            wrong += check_case(torch, kernel)
        for gain in (8., 100.):  # The maximum moves late and often.
            wrong += check_case(torch, kernels[0], gain)
            wrong += check_case(torch, kernels[3], gain)
    if only == "compare":
        compare_schedules(torch, driver, folder)
        return
    if only != "check":
        time_all(torch, driver, folder, probe, names)
    if wrong:
        sys.exit(f"{wrong} wrong")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["compile", "run"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--opt", default="build/bin/unisparse-opt")
    parser.add_argument("--only", choices=["check", "time", "compare"])
    parser.add_argument("--probe", help="hopper_ceiling.so")
    parser.add_argument("names", nargs="*", help="cases to time")
    arguments = parser.parse_args()
    if arguments.action == "compile":
        compile_all(arguments.folder, arguments.opt)
    else:
        run_all(arguments.folder, arguments.only, arguments.probe, arguments.names)


if __name__ == "__main__":
    main()

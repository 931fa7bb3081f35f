# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --tool=%unisparse_run --tmp=%t
"""What unisparse-run reports and writes besides its tensors: --json, --compare, --map, --dump-ir, --threads, --repeat,
and the table for people."""

import argparse
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Execution", "lib"))

import checks
import numpy as np
import safetensors
from case import Case, Options, ends, qkv

TIMEOUT_SECONDS = 120
STAGES = ["pool", "score", "select", "attend", "compile", "total"]
KEYS = [
    "input",
    "density",
    "density_per_head",
    "seconds",
    "threads",
    "repeat",
    "peak_memory_bytes",
    "run_memory_bytes",
    "flops_per_selected_block",
    "selected_blocks",
    "candidate_blocks",
]
ESTIMATE = ("pool", "score", "select")


class Tester:
    def __init__(self, tool, tmp):
        self.tool, self.tmp, self.checked, self.failed = tool, tmp, 0, 0
        shutil.rmtree(tmp, ignore_errors=True)
        os.makedirs(tmp)

    def path(self, name):
        return os.path.join(self.tmp, name)

    def call(self, case, *args):
        safetensors.write(self.path("in.safetensors"), case.tensors())
        self.command = [self.tool, self.path("in.safetensors"), "--opt-level=0", *case.options.args(), *args]
        done = subprocess.run(self.command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        self.expect(done.returncode == 0, f"exit status 0, got {done.returncode}: {done.stderr[:500]}")
        return done

    def report(self, case, *args):
        """A run with --json -> its report: one object of strict JSON, and nothing else on stdout or stderr."""
        done = self.call(case, *args, "--json")
        try:
            found = json.loads(done.stdout, parse_constant=lambda text: math.nan)
        except ValueError as error:
            self.expect(False, f"one JSON object on stdout, got {done.stdout[:300]!r} ({error})")
            return {}
        self.expect(isinstance(found, dict), f"an object on stdout, got {done.stdout[:300]!r}")
        self.expect(done.stderr == "", f"nothing on stderr, got {done.stderr[:300]!r}")
        self.expect(not re.search(r"\b(NaN|Infinity|nan|inf)\b", done.stdout), f"finite numbers, got {done.stdout[:1000]!r}")
        return found if isinstance(found, dict) else {}

    def expect(self, true, what):
        self.checked += 1
        if true:
            return
        self.failed += 1
        print(f"FAIL  expected {what}")
        print(f"      command: {' '.join(self.command)}", flush=True)


def number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def keys(t, case, report):
    """Every key, with the right type and the values that follow from the input."""
    for key in KEYS:
        t.expect(key in report, f"the key '{key}', got {sorted(report)}")
    shapes = {name: list(getattr(case, name).shape) for name in "qkv"}
    want = {**shapes, "dtype": case.dtype}
    t.expect(report.get("input") == want, f"input {want}, got {report.get('input')}")
    seconds = report.get("seconds", {})
    for stage in STAGES:
        t.expect(number(seconds.get(stage)) and seconds[stage] >= 0, f"seconds.{stage} >= 0, got {seconds.get(stage)}")
    for key in ("threads", "repeat", "peak_memory_bytes", "run_memory_bytes", "selected_blocks", "candidate_blocks"):
        t.expect(isinstance(report.get(key), int) and report[key] > 0, f"{key}: a positive integer, got {report.get(key)}")
    (bq, bk), d, dv = case.options.block, case.q.shape[-1], case.v.shape[-1]
    flops = 2 * bq * bk * (d + dv)
    t.expect(report.get("flops_per_selected_block") == flops, f"flops_per_selected_block {flops}, got {report.get('flops_per_selected_block')}")


def stages(t, seconds, ran):
    """Stages that ran took time, and the total covers them."""
    if not all(number(seconds.get(stage)) for stage in STAGES):
        return
    for stage in ran:
        t.expect(seconds[stage] > 0, f"seconds.{stage} > 0, got {seconds[stage]}")
    parts = sum(seconds[stage] for stage in STAGES if stage not in ("compile", "total"))
    t.expect(seconds["total"] >= 0.99 * parts, f"seconds.total >= the sum {parts} of the stages, got {seconds['total']}")


def densities(t, case, report, tensors):
    wrong, masks = checks.masks(case, tensors["counts"].data, tensors["indices"].data)
    wrong += checks.density(case, masks, report)
    t.expect(not wrong, f"a report that agrees with the output, got {wrong}")
    return masks


def reports(t):
    """--json in several kinds of run."""
    out = t.path("out.safetensors")
    small = Options(block=(32, 32), p=0.5)
    data = qkv(0, 4, 2, 300, 300, 64)
    cu = ends([100, 0, 200])
    for case in (
        Case("no B", *data, small),
        Case("B=2", *qkv(1, 4, 2, 200, 333, 64, 32, batch=2), small, dtype="F16"),
        Case("BF16", *qkv(2, 4, 1, 200, 200, 80), Options(block=(96, 40), pool=(8, 4), share="group"), dtype="BF16"),
        Case("packed", *qkv(3, 4, 2, 300, 300, 64, batch=1), small, cu=(cu, cu)),
        Case("top-k", *data, Options(block=(32, 32), top_k=3)),
        Case("dense", *data, Options(dense=True)),
        Case("all", *data, Options(p=1.0)),
    ):
        report = t.report(case, f"--output={out}")
        keys(t, case, report)
        every = case.options.dense or case.options.p == 1
        stages(t, report.get("seconds", {}), ["attend"] if every else [*ESTIMATE, "attend"])
        t.expect("compare" not in report, f"no 'compare' without --compare, got {report.get('compare')}")
        densities(t, case, report, safetensors.read(out))
        if case.options.dense:
            t.expect(report.get("density") == 1, f"density 1 of a dense run, got {report.get('density')}")


def threads_and_repeat(t):
    case = Case("", *qkv(4, 4, 2, 300, 300, 64), Options(block=(32, 32), p=0.5))
    first = None
    for threads, repeat in ((1, 1), (2, 3), (3, 2)):
        out = t.path("out.safetensors")
        report = t.report(case, f"--threads={threads}", f"--repeat={repeat}", f"--output={out}")
        t.expect(report.get("threads") == threads, f"threads {threads}, got {report.get('threads')}")
        t.expect(report.get("repeat") == repeat, f"repeat {repeat}, got {report.get('repeat')}")
        tensors = safetensors.read(out)
        bits = {name: tensors[name].data.tobytes() for name in sorted(tensors)}
        first = first or bits
        t.expect(bits == first, "results that do not depend on --threads and --repeat")


def compare(t):
    """--compare=dense: the errors are those of the output against exact dense attention."""
    out = t.path("out.safetensors")
    for dtype, p in (("F32", 0.3), ("F32", 1.0), ("F16", 0.3)):
        case = Case("", *qkv(5, 4, 2, 300, 300, 64), Options(block=(32, 32), p=p), dtype=dtype)
        report = t.report(case, "--compare=dense", f"--output={out}")
        keys(t, case, report)
        found = report.get("compare", {})
        for key in ("max_abs_error", "max_rel_error", "dense_seconds", "speedup"):
            t.expect(number(found.get(key)) and found[key] >= 0, f"compare.{key} >= 0, got {found.get(key)}")
        if not all(number(x) for x in found.values()) or not found:
            continue
        t.expect(found["dense_seconds"] > 0 and found["speedup"] > 0, f"times > 0, got {found}")
        (s,) = case.sequences()
        every = checks.O.every_candidate(300, 300, 32, 32, True)
        dense = np.stack([checks.O.attend(s.q[h], s.k[h // 2], s.v[h // 2], every, 32, 32, case.scale)[0] for h in range(4)])
        want = np.abs(safetensors.read(out)["o"].data.astype(float) - dense).max()
        # Both sides of the tool's comparison are rounded: its own dense output is not this exact one.
        slack = (4 * safetensors.UNIT_ROUNDOFF[dtype] + 64 * safetensors.UNIT_ROUNDOFF["F32"]) * np.abs(dense).max()
        t.expect(abs(found["max_abs_error"] - want) <= slack, f"compare.max_abs_error {want:.6g} within {slack:.2g}, got {found['max_abs_error']}")
        if p < 1:
            t.expect(found["max_abs_error"] > 20 * slack and found["max_rel_error"] > 0, f"errors that show what was left out, got {found}")


def decode_png(content):
    """PNG bytes -> width, height, the set of pixels' bytes. Raises ValueError where it is not sound."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        raise ValueError("no PNG signature")
    chunks, at = [], 8
    while at < len(content):
        (size,) = struct.unpack(">I", content[at : at + 4])
        kind, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        if struct.unpack(">I", content[at + 8 + size : at + 12 + size])[0] != zlib.crc32(kind + data):
            raise ValueError(f"CRC of chunk {kind}")
        chunks.append((kind, data))
        at += 12 + size
    if chunks[0][0] != b"IHDR" or chunks[-1][0] != b"IEND":
        raise ValueError(f"chunks {[kind for kind, _ in chunks]}")
    width, height, depth, colour, *_ = struct.unpack(">IIBBBBB", chunks[0][1])
    samples = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
    stride = (width * samples * depth + 7) // 8 + 1
    raw = zlib.decompress(b"".join(data for kind, data in chunks if kind == b"IDAT"))
    if len(raw) != stride * height:
        raise ValueError(f"{len(raw)} bytes of pixels, expected {stride * height}")
    return width, height, set(raw)


def maps(t):
    """--map: a sound PNG, larger for more heads, that shows more than one colour."""
    sizes = []
    for heads in (1, 8):
        case = Case("", *qkv(6, heads, 1, 300, 300, 64), Options(block=(32, 32), p=0.5))
        path = t.path(f"map{heads}.png")
        t.report(case, f"--map={path}")
        try:
            with open(path, "rb") as file:
                width, height, values = decode_png(file.read())
        except (OSError, ValueError, KeyError, IndexError, struct.error, zlib.error) as error:
            t.expect(False, f"a PNG in {path}, got {type(error).__name__}: {error}")
            continue
        sizes.append(width * height)
        t.expect(width >= 100 and height >= 100, f"a map that can be read, got {width}x{height}")
        t.expect(len(values) > 1, "more than one colour")
    t.expect(len(sizes) == 2 and sizes[1] > sizes[0], f"more room for more heads, got {sizes} pixels")


def dumped_ir(t):
    """--dump-ir: numbered files, one a pass that changed something; the folder is there or not."""
    case = Case("", *qkv(7, 2, 1, 100, 100, 64), Options(block=(32, 32)))
    os.makedirs(t.path("there"))
    for folder in (t.path("there"), t.path("new")):
        t.report(case, f"--dump-ir={folder}")
        paths = [os.path.join(at, name) for at, _, names in os.walk(folder) for name in names]
        names = [os.path.basename(path) for path in paths]
        t.expect(all(re.match(r"\d+.*\.mlir$", name) for name in names), f"numbered .mlir files, got {names}")
        outer = min((path.count(os.sep) for path in paths), default=0)
        steps = {}
        for path in paths:
            number = re.match(r"\d+", os.path.basename(path))
            if number and path.count(os.sep) == outer:
                t.expect(int(number.group()) not in steps, f"one file per number, got {names}")
                with open(path) as file:
                    steps[int(number.group())] = file.read()
        t.expect("00-input.mlir" in names, f"00-input.mlir, got {names}")
        t.expect(sorted(steps) == list(range(len(names))), f"numbers without a hole, got {names}")
        t.expect(len(steps) >= 10, f"at least 10 steps in {folder}, got {names}")
        if steps:
            first, last = steps[min(steps)], steps[max(steps)]
            t.expect(all("func" in text for text in steps.values()), "IR in every file")
            t.expect("unisparse." in first, "the program in the first file")
            t.expect("unisparse." not in last and "llvm." in last, "the LLVM dialect alone in the last file")


def table(t):
    """Without --json: some lines for people, and no control codes where no terminal is."""
    case = Case("", *qkv(8, 4, 2, 300, 300, 64), Options(block=(32, 32)))
    for extra in ((), ("--compare=dense",)):
        done = t.call(case, *extra)
        lines = done.stdout.splitlines()
        t.expect(3 <= len(lines) <= 60, f"a short table, got {len(lines)} lines: {done.stdout[:300]!r}")
        t.expect("density" in done.stdout.lower(), f"the density among {done.stdout[:1000]!r}")
        t.expect("\x1b" not in done.stdout + done.stderr and "\r" not in done.stdout + done.stderr, "no control codes in a pipe")
        t.expect(done.stderr == "", f"nothing on stderr, got {done.stderr[:300]!r}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tool", required=True, help="unisparse-run")
    parser.add_argument("--tmp", required=True, help="a folder of the script's own, for files")
    args = parser.parse_args()
    if not os.access(args.tool, os.X_OK):
        sys.exit(f"--tool: expected a program, got '{args.tool}'")
    t = Tester(args.tool, args.tmp)
    crashed = 0
    for part in (reports, threads_and_repeat, compare, maps, dumped_ir, table):
        try:
            part(t)
        except Exception as error:  # A part that ends early has failed; the others still run.
            crashed += 1
            print(f"FAIL  {part.__name__}: {type(error).__name__}: {error}")
            print(f"      command: {' '.join(getattr(t, 'command', []))}", flush=True)
    print(f"{t.checked} checks, {t.failed + crashed} failed")
    if not t.failed and not crashed:
        shutil.rmtree(args.tmp, ignore_errors=True)
    return 1 if t.failed or crashed or not t.checked else 0


sys.exit(main())

# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# REQUIRES: long
# RUN: %python %s --opt=%unisparse_opt --tests=%src_root/test --tmp=%t --rounds=1 --generated=60
"""unisparse-opt survives programs that nobody wrote: whatever it is given, it succeeds or says `error: ` and ends with status
1, without a signal, an abort of LLVM's or a silent failure, and it ends.

Each program of the .mlir tests is changed here and there and goes through a pipeline of its own test or of POOL; so do
programs of a grammar. A seed gives the same programs every time, and a test that is added or changed changes no others.
"""

import argparse
import concurrent.futures
import os
import pathlib
import random
import re
import resource
import shlex
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))

from mutate import generate, mutate

# Far above what any program takes, on a busy machine too: a hang.
HANG_SECONDS = 300
MEMORY_BYTES = 8 << 30
BATCH = 8

WHOLE = [
    ["--unisparse-to-cpu-pipeline"],
    ["--unisparse-to-gpu-pipeline=chip=sm_80 format=llvm"],
    ["--unisparse-to-gpu-pipeline=chip=sm_90a format=llvm"],
]
POOL = WHOLE + [
    [],
    ["--verify-roundtrip"],
    ["--canonicalize", "--cse"],
    ["--mlir-print-op-generic"],
    ["--unisparse-decompose-attention"],
    ["--unisparse-decompose-attention", "--convert-unisparse-to-loops"],
    ["--unisparse-select-schedule=chip=sm_90a", "--convert-unisparse-to-unitile"],
    ["--one-shot-bufferize=bufferize-function-boundaries"],
    ["--pass-pipeline=builtin.module(gpu.module(unitile-verify-tile-contract,unitile-allocate-shared))"],
    ["--pass-pipeline=builtin.module(gpu.module(unitile-assign-layouts,convert-unitile-to-nvvm))"],
    ["--pass-pipeline=builtin.module(unitile-to-nvvm-pipeline{chip=sm_90a format=llvm})"],
    ["--pass-pipeline=builtin.module(func.func(unisparse-vectorize-contractions,unisparse-expand-math,unisparse-expand-copies,unisparse-dynamic-schedule))"],
    ["--unisparse-instrument-stages"],
    ["--unisparse-verify-launch-contract"],
    ["--unisparse-verify-loops-contract"],
    ["--unisparse-to-cpu-pipeline=pages"],
    ["--unisparse-from-linalg"],
    ["--unitile-to-cpu-pipeline"],
    ["--unitile-pipeline", "--unitile-specialise-warps", "--unitile-decompose-softmax"],
    ["--unitile-walk-to-for=descending", "--unitile-decompose-softmax", "--convert-unitile-to-linalg"],
]
# The project's passes, and those of upstream's that its pipelines run between them.
PASSES = [
    "canonicalize", "cse", "unisparse-decompose-attention", "unisparse-verify-tensor-contract", "convert-unisparse-to-loops",
    "one-shot-bufferize{bufferize-function-boundaries=true function-boundary-type-conversion=identity-layout-map}",
    "one-shot-bufferize{bufferize-function-boundaries}", "buffer-deallocation-pipeline", "convert-bufferization-to-memref",
    "unisparse-verify-loops-contract", "func.func(unisparse-vectorize-contractions)", "func.func(unisparse-expand-copies)",
    "func.func(unisparse-expand-math)", "func.func(unisparse-dynamic-schedule)", "unisparse-instrument-stages", "convert-linalg-to-loops",
    "convert-scf-to-openmp", "unisparse-verify-llvm-contract", "unisparse-select-schedule{chip=sm_80}", "unisparse-select-schedule{chip=sm_90a}",
    "unisparse-raise-attention", "unisparse-sparsify-attention", "convert-unisparse-to-unitile", "unitile-walk-to-for",
    "unitile-pipeline", "unitile-specialise-warps", "gpu.module(unitile-decompose-softmax)", "unitile-launch-to-parallel",
    "convert-unitile-to-linalg", "gpu.module(unitile-verify-tile-contract)", "gpu.module(unitile-allocate-shared)",
    "gpu.module(unitile-assign-layouts)", "gpu.module(convert-unitile-to-nvvm)", "gpu.module(unitile-pass-maps-by-value)", "unisparse-verify-launch-contract",
]
# What a test says of how it runs, beside its pipeline.
NOT_PIPELINE = re.compile(r"%|-{1,2}(split-input-file|verify-diagnostics|verify-roundtrip|emit-bytecode|o|mlir-print-ir.*|mlir-timing)\b")


def pipelines_of(text):
    """The options of each unisparse-opt of a test's RUN lines."""
    found = []
    for command in re.findall(r"(?<!not )unisparse-opt %s ([^|\n]*)", re.sub(r"\\\n// RUN\W", " ", text)):
        try:
            words = shlex.split(command.split("2>&1")[0].replace("\\", " "))
        except ValueError:
            continue
        options = [w for w in words if w.startswith("-") and not NOT_PIPELINE.match(w)]
        # LLVM's own code generation is not what is tested here.
        found.append([re.sub(r"(gpu-pipeline=)(chip=\S+)$", r"\1\2 format=llvm", o) for o in options])
    return found


def read_tests(folder):
    """(program, pipelines) of every .mlir test."""
    programs = []
    for path in sorted(folder.rglob("*.mlir")):
        text = path.read_text()
        pipelines = pipelines_of(text)
        for part in re.split(r"^// -----.*$", text, flags=re.M):
            part = "\n".join(line for line in part.splitlines() if not line.lstrip().startswith("//"))
            if part.strip():
                programs.append((part + "\n", pipelines))
    return programs


def draw_pipeline(rng, own):
    """A test's own, one of the pool, or passes in an order that nobody meant; those that are in order more often."""
    kind = rng.random()
    if own and kind < 0.5:
        return rng.choice(own)
    if kind < 0.8:
        return rng.choice(POOL)
    passes = rng.sample(PASSES, rng.randint(1, 6))
    if rng.random() < 0.7:
        passes.sort(key=PASSES.index)
    return [f"--pass-pipeline=builtin.module({','.join(passes)})"]


def limit_resources():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def problem_of(opt, options, programs):
    """Runs programs through a pipeline; what went wrong, or None."""
    text = "// -----\n".join(programs)
    try:
        run = subprocess.run([opt, "-", "-split-input-file", "-o", os.devnull, *options], input=text, capture_output=True, text=True,
                             errors="replace", timeout=HANG_SECONDS, preexec_fn=limit_resources)
    except subprocess.TimeoutExpired:
        return f"no end after {HANG_SECONDS} seconds"
    said = re.search(r"Assertion .*|LLVM ERROR.*|UNREACHABLE.*|terminate called.*|std::bad_alloc.*", run.stderr)
    if run.returncode not in (0, 1) or said:
        # Where a stack dump says that it was.
        places = [p for p in re.findall(r"#\d+ 0x\w+ ((?:mlir|unisparse|llvm)::[\w:~]+)", run.stderr) if "llvm::sys::" not in p]
        return ", ".join([f"status {run.returncode}", *([said[0]] if said else []), *places[:2]])
    if run.returncode == 1 and "error: " not in run.stderr:
        return f"failed without a diagnostic: {run.stderr[:200]!r}"
    return None


def reduce(opt, options, program):
    """The program without the lines that its problem does not need."""
    lines, step = program.splitlines(keepends=True), 8
    while step >= 1:
        at = 0
        while at < len(lines):
            fewer = lines[:at] + lines[at + step:]
            if problem_of(opt, options, ["".join(fewer)]):
                lines = fewer
            else:
                at += step
        step //= 2
    return "".join(lines)


class Fuzzer:
    def __init__(self, opt, tmp):
        self.opt, self.tmp, self.ran, self.found = opt, tmp, 0, {}

    def run(self, batch):
        """One process for programs of one pipeline; one each where that went wrong."""
        options, programs = batch
        self.ran += len(programs)
        if not problem_of(self.opt, options, programs):
            return
        for program in programs:
            if problem := problem_of(self.opt, options, [program]):
                self.note(problem, options, program)

    def note(self, problem, options, program):
        known = problem in self.found
        self.found.setdefault(problem, []).append(program)
        if not known and "seconds" not in problem:
            program = reduce(self.opt, options, program)
        path = self.tmp / f"{len(self.found)}-{len(self.found[problem])}.mlir"
        path.write_text(program)
        print(f"{problem}\n  unisparse-opt {path} {shlex.join(options)}", flush=True)
        if not known:
            print("".join(f"    {line}\n" for line in program.splitlines()[:60]), flush=True)


def batches(tests, seed, count_generated):
    """Programs by pipeline, in batches: each test changed once, and so many of the grammar."""
    by_pipeline = {}
    for text, own in tests:
        rng = random.Random(f"{seed} {text}")
        by_pipeline.setdefault(tuple(draw_pipeline(rng, own)), []).append(mutate(rng, text))
    for number in range(count_generated):
        rng = random.Random(f"{seed} {number}")
        program = generate(rng)
        options = rng.choice(WHOLE) if rng.random() < 0.7 else draw_pipeline(rng, [])
        by_pipeline.setdefault(tuple(options), []).append(mutate(rng, program) if rng.random() < 0.5 else program)
    return [(list(options), programs[i:i + BATCH]) for options, programs in by_pipeline.items() for i in range(0, len(programs), BATCH)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--opt", required=True, help="unisparse-opt")
    parser.add_argument("--tests", required=True, type=pathlib.Path, help="a folder of .mlir tests")
    parser.add_argument("--tmp", required=True, type=pathlib.Path, help="a folder for what was found")
    parser.add_argument("--seed", type=int, default=0, help="the first round's")
    parser.add_argument("--rounds", type=int, default=1, help="how often every test is changed")
    parser.add_argument("--generated", type=int, default=60, help="programs of the grammar in a round")
    parser.add_argument("--seconds", type=float, help="rounds until then, whatever --rounds says")
    parser.add_argument("--jobs", type=int, default=1)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.tmp, ignore_errors=True)
    arguments.tmp.mkdir(parents=True)
    tests = read_tests(arguments.tests)
    assert len(tests) > 100, f"{arguments.tests}: {len(tests)} programs"
    fuzzer, seed, end = Fuzzer(arguments.opt, arguments.tmp), arguments.seed, time.monotonic() + (arguments.seconds or 0)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        while time.monotonic() < end if arguments.seconds else seed < arguments.seed + arguments.rounds:
            for _ in pool.map(fuzzer.run, batches(tests, seed, arguments.generated)):
                if arguments.seconds and time.monotonic() > end:
                    pool.shutdown(cancel_futures=True)
                    break
            seed += 1
    print(f"{fuzzer.ran} programs, seeds {arguments.seed} to {seed - 1}, {len(fuzzer.found)} kinds of problems")
    sys.exit(1 if fuzzer.found else 0)


if __name__ == "__main__":
    main()

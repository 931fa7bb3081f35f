#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Times the GPU path: B = 1, 32 query and 8 KV heads, bf16, blocks of 128x128.

    gpu_speed.py prepare DIR [--chips sm_90a] [--zip]
        needs unisparse-compile (PATH or UNISPARSE_COMPILE), no GPU
    gpu_speed.py run DIR --json OUT [--lengths 8192,32768,131072] [--rho 0.1,0.25] [--only TEXT] [--no-peers]
        needs torch and a GPU, this checkout, and DIR (or DIR.zip)
    gpu_speed.py prepare DIR --modified [--zip]
    gpu_speed.py modified DIR --json OUT [--lengths 32768] [--rho 0.25] [--only TEXT] [--no-peers]
        attend with modified logits (programs.MODIFIED) and FlexAttention with the same, in turns, in one process
    gpu_speed.py turns OLD NEW --json OUT [--chips ...] [--lengths ...] [--rho ...] [--only TEXT]
        as run, for two folders that two compilers prepared: attend, dense and the whole of both in turns, in one process

attend runs in several forms (programs.ATTENDS) on masks drawn at random, and torch's FlexAttention on each of these next to
it; dense next to torch's own. TFLOP/s count 4 * 128 * 128 * D for a selected block and head, the diagonal whole. The stages
are programs of their own and run on one another's results; the whole is one program with the measured
policy, on q, k and v that are like a text's, and unisparse.attention itself beside it. Rates are also given as
shares of the chip's matrix product (share_of_matmul) and of the peers' (ratio_to_flex, ratio_to_cudnn).

Figures are medians. "rested": 12 calls after 3, each between two events, which includes what the host needs to launch.
"queued": as many calls between two events as take a few milliseconds, enqueued while the device is kept busy.
"""

import argparse
import datetime
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
for folder in ("python", "benchmarks/gpu"):
    sys.path.insert(0, str(ROOT / folder))
sys.dont_write_bytecode = True

import parcel


def numbers(text, kind):
    return [kind(x) for x in text.split(",")]


def prepare(arguments):
    import programs
    from unisparse import _artifacts
    from unisparse import prepare as ahead

    folder, failed = arguments.folder, 0
    wanted = [form.entry for form in programs.ATTENDS] + [programs.WHOLE]
    if arguments.modified:
        wanted = [programs.modified(name) for name in programs.MODIFIED]
    parcel.begin(folder, arguments.runtime)
    for chip in arguments.chips.split(","):
        place = folder / chip
        failed += len(ahead.prepare(map(programs.configuration, wanted), place, [chip], arguments.jobs))
        sources = {}
        for n in numbers(arguments.lengths, int) if not arguments.modified else ():
            sources.update({f"{stage}-{n}": text for stage, text in programs.stages(n).items()})
        for stage, form in programs.ESTIMATES.items() if not arguments.modified else ():
            sources[f"{stage}-{programs.MILLION}"] = programs.estimate(programs.MILLION, *form, programs.MILLION_HEADS)
        for stage, text in sources.items():
            source = place / f"{stage}.mlir"
            source.write_text(text)
            done = subprocess.run(
                [_artifacts.compiler(), str(source), f"--chip={chip}", "-o", str(source.with_suffix(".usp"))], capture_output=True, text=True
            )
            failed += done.returncode != 0
            print(f"{chip}: {source.stem}: {done.stderr.strip() or 'compiled'}"[:300])
    parcel.finish(folder, arguments.zip)
    sys.exit(1 if failed else 0)


def parts(timing, lengths, rho, folder, peers):
    """[(name, function, arguments behind the report)]"""
    import programs

    found = []
    for n in lengths:
        found.append((f"attend {n}", timing.attend, programs.ATTEND, n, rho, peers))
        found.append((f"dense {n}", timing.dense, n, folder, peers))
        found.append((f"stages {n}", timing.stages, n, folder, peers))
    found.append((f"estimates {programs.MILLION}", timing.million, folder))
    others = [form for form in programs.ATTENDS if form is not programs.ATTEND]
    return found + [(f"{form.name} {n}", timing.attend, form, n, rho, peers) for form in others for n in lengths if n in form.lengths]


def run(arguments):
    with parcel.opened(arguments.folder) as folder:
        chip = parcel.chips(folder, arguments.chips)[0]
        os.environ.update(parcel.environment(folder, chip))
        import timing

        report = timing.Report(arguments.json, chip)
        lengths, rho = numbers(arguments.lengths, int), numbers(arguments.rho, float)
        # What others are set against comes first, whatever --only says.
        report.attempt("copy", timing.copy_bandwidth, report, lengths)
        report.attempt("matmul", timing.matrix_product, report)
        for what, function, *more in parts(timing, lengths, rho, folder / chip, arguments.peers):
            if arguments.only in what:
                report.attempt(what, function, report, *more)
        report.data["finished"] = datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
        report.write()
    sys.exit(1 if report.data["failures"] else 0)


def modified(arguments):
    with parcel.opened(arguments.folder) as folder:
        chip = parcel.chips(folder, arguments.chips)[0]
        os.environ.update(parcel.environment(folder, chip))
        import modified as costs
        import timing

        report = timing.Report(arguments.json, chip)
        for n in numbers(arguments.lengths, int):
            for rho in numbers(arguments.rho, float):
                report.attempt(f"modified {n} rho {rho}", costs.run, report, n, rho, arguments.peers, arguments.only)
        report.write()
    sys.exit(1 if report.data["failures"] else 0)


def turns(arguments):
    with parcel.opened(arguments.folder) as old, parcel.opened(arguments.other) as new:
        chip = parcel.chips(new, arguments.chips)[0]
        os.environ.update(parcel.environment(new, chip))
        import timing
        import turns as both

        report = timing.Report(arguments.json, chip)
        both.run(report, (old / chip, new / chip), numbers(arguments.lengths, int), numbers(arguments.rho, float), arguments.only)
        report.write()
    sys.exit(1 if report.data["failures"] else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["prepare", "run", "modified", "turns"])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("other", type=pathlib.Path, nargs="?", help="turns: the folder of the new compiler")
    parser.add_argument("--chips", default="sm_90a", help="prepare: all of them; run: the first that is there")
    parcel.options(parser)
    parser.add_argument("--lengths", help="default 8192,32768,131072; of modified 32768")
    parser.add_argument("--rho", help="default 0.1,0.25; of modified 0.25")
    parser.add_argument("--only", default="", help="only parts whose name has this in it, such as 'd64' or 'dense 8192'")
    parser.add_argument("--modified", action="store_true", help="prepare: what modified takes")
    parser.add_argument("--no-peers", dest="peers", action="store_false")
    arguments = parser.parse_args()
    alone = arguments.action == "modified"
    arguments.lengths = arguments.lengths or ("32768" if alone else "8192,32768,131072")
    arguments.rho = arguments.rho or ("0.25" if alone else "0.1,0.25")
    if (arguments.action == "turns") != (arguments.other is not None):
        parser.error("expected two folders for turns, one for prepare and run")
    {"prepare": prepare, "run": run, "modified": modified, "turns": turns}[arguments.action](arguments)


if __name__ == "__main__":
    main()

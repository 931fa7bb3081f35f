#!/usr/bin/env python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Checks the GPU path's numbers on a device, through the Python API: the matrix of benchmarks/gpu/cases.py.

    gpu_matrix.py prepare DIR [--chips sm_90a,sm_90,sm_80] [--jobs 2] [--zip]
        needs unisparse-compile (PATH or UNISPARSE_COMPILE), no GPU: one folder of artifacts for each chip, and the runtime
    gpu_matrix.py run DIR --json OUT [--chips ...] [--only TEXT]
        needs torch and a GPU, this checkout, and DIR (or DIR.zip); no compiler
    gpu_matrix.py run DIR --sanitize [--chips sm_90a]
        a few small runs and hardly any kernel of torch's own, for compute-sanitizer
    gpu_matrix.py long DIR --json OUT [--chips sm_90a,sm_90] [--only TEXT]
        as run; 128K tokens: the artifacts of two chips against one another on this device, and some rows against float64
    gpu_matrix.py selftest
        needs torch, no GPU: the checks on results made by the reference, and on wrong ones

Every run has NaN around its inputs, every byte of outputs and workspace set before (to one value, then another: both
runs must give the same bits) and guards around them. Results are held against float64: L6, L7, A1 to A3 of docs/SPEC.md.
The cases run in a process of their own: one that dies or hangs costs its case and no other.
"""

import argparse
import json
import os
import pathlib
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
for folder in ("test/Execution/lib", "test/Oracle", "python", "benchmarks/gpu"):
    sys.path.insert(0, str(ROOT / folder))
sys.dont_write_bytecode = True

import parcel

CHIPS = "sm_90a,sm_90,sm_80"


def entries(some):
    """Every program of some cases -> is one required?"""
    result = {}
    for case in some:
        for entry in filter(None, (case.entry, case.whole)):
            key = json.dumps(entry, sort_keys=True)
            result[key] = result.get(key, False) or case.required
    return {key: required for key, required in result.items()}


def prepare(arguments):
    import cases
    import programs
    from unisparse import prepare as ahead

    folder, failed = arguments.folder, 0
    parcel.begin(folder, arguments.runtime)
    wanted = entries([c for c in cases.matrix() + cases.sanitize() + cases.long() if arguments.only in c.name])
    configs = {programs.configuration(json.loads(key)): required for key, required in wanted.items()}
    for chip in arguments.chips.split(","):
        failures = ahead.prepare(configs, folder / chip, [chip], arguments.jobs)
        (folder / chip).mkdir(exist_ok=True)
        (folder / chip / "refused.json").write_text(json.dumps(failures, indent=1))
        required = {config.file_name() for config, needed in configs.items() if needed}
        missing = len(required & set(failures))
        failed += missing
        print(f"{chip}: {len(configs) - len(failures)} of {len(configs)} programs, {len(failures)} refused, {missing} of these required")
    parcel.finish(folder, arguments.zip)
    sys.exit(1 if failed else 0)


def run(arguments):
    import supervise

    deadline = time.monotonic() + arguments.seconds
    with parcel.opened(arguments.folder) as folder:
        chips = parcel.chips(folder, arguments.chips)
        if arguments.sanitize:
            os.environ.update(parcel.environment(folder, chips[0]), PYTORCH_NO_CUDA_MEMORY_CACHING="1")
            import cases
            import sanitize

            sys.exit(sanitize.run([c for c in cases.sanitize() if arguments.only in c.name], copy_engine=chips[0] == "sm_90a"))
        import cases

        names = [c.name for c in cases.matrix() if arguments.only in c.name]
        command = [sys.executable, str(pathlib.Path(__file__).resolve()), "child", str(folder)]
        report = {}
        for chip in chips:
            report[chip] = supervise.run(command, names, parcel.environment(folder, chip), deadline)
            write(report, arguments.json)
    finish(report, arguments.json)


def long(arguments):
    with parcel.opened(arguments.folder) as folder:
        chips = parcel.chips(folder, arguments.chips)[:2]
        if len(chips) < 2:
            sys.exit(f"{folder}: expected folders of two chips of {arguments.chips}, got {chips[0]}")
        os.environ.update(parcel.environment(folder, chips[0]))
        import cases
        import long as both

        some = [c for c in cases.long() if arguments.only in c.name]
        sys.exit(both.run(folder, chips, some, arguments.json and pathlib.Path(arguments.json)))


def write(report, path):
    if path:
        pathlib.Path(path).write_text(json.dumps(report, indent=1))


def finish(report, path):
    """Writes the report, prints what failed, exits."""
    failed = runs = 0
    for chip, result in report.items():
        done = [c for c in result["cases"].values() if c["runs"]]
        wrong = {name: c for name, c in result["cases"].items() if c["failures"]}
        refused = sorted(name for name, c in result["cases"].items() if c.get("refused"))
        result["totals"] = dict(
            cases=len(done), runs=sum(c["runs"] for c in done), rows=sum(c["rows"] for c in done), failed_cases=len(wrong), refused=refused
        )
        for name, c in wrong.items():
            print(f"FAIL  {chip}: {name}")
            for line in c["failures"][:4]:
                print(f"      {line[:600]}")
        print(f"{chip}: {result['totals']}")
        failed, runs = failed + len(wrong), runs + result["totals"]["runs"]
    write(report, path)
    if not runs:
        print("FAIL  nothing was compared")
    sys.exit(1 if failed or not runs else 0)


def child(arguments):
    """Reads names of cases from stdin, writes one JSON line for each event."""
    import cases
    import matrix

    wanted = json.loads(sys.stdin.read())
    by_name = {c.name: c for c in cases.matrix()}
    refused = pathlib.Path(os.environ["UNISPARSE_ARTIFACTS"], "refused.json")
    matrix.run_all([by_name[name] for name in wanted], json.loads(refused.read_text()) if refused.exists() else {})


def selftest(_):
    import selftest as tests

    sys.exit(tests.run())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["prepare", "run", "long", "child", "selftest"])
    parser.add_argument("folder", nargs="?", type=pathlib.Path)
    parser.add_argument("--chips", default=CHIPS)
    parcel.options(parser)
    parser.add_argument("--seconds", type=float, default=540, help="run ends after so long, and reports what it has")
    parser.add_argument("--only", default="", help="only cases whose name has this in it")
    parser.add_argument("--sanitize", action="store_true")
    arguments = parser.parse_args()
    if arguments.action != "selftest" and arguments.folder is None:
        parser.error("DIR is missing")
    {"prepare": prepare, "run": run, "long": long, "child": child, "selftest": selftest}[arguments.action](arguments)


if __name__ == "__main__":
    main()

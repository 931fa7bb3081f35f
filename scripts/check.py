#!/usr/bin/python3
# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs the unit tests and the lit tests of a finished build and adds them up.

The counts come from what GoogleTest and lit themselves report (their JSON
files, kept in BUILD/check), not from their output. BUILD/check/summary then
holds "N passed, N failed, N skipped" for scripts. Exit status: 0 when tests
passed and none failed, 1 otherwise.
"""
import argparse
import concurrent.futures
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

LIT_PASSED = {"PASS", "FLAKYPASS", "XFAIL"}
LIT_SKIPPED = {"UNSUPPORTED", "SKIPPED", "EXCLUDED"}


class Suite:
    """What one test runner reported."""

    def __init__(self, name):
        self.name, self.passed, self.failures, self.skipped, self.seconds = name, 0, [], 0, 0.0

    def fail(self, test):
        self.failures.append(test)


def run_unit_tests(build, results, jobs):
    suite, begin = Suite("unit tests"), time.monotonic()
    programs = [p for folder in ("bin", "unittests") for p in sorted((build / folder).rglob("*Tests"))
                if p.is_file() and os.access(p, os.X_OK)]
    if not programs:
        suite.fail("no unit test program under bin/ or unittests/")
    report_of = {program: results / f"{program.name}.json" for program in programs}

    def run(program):
        return subprocess.run([program, f"--gtest_output=json:{report_of[program]}", "--gtest_brief=1"]).returncode

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        statuses = list(pool.map(run, programs))
    for (program, report), status in zip(report_of.items(), statuses):
        failures_before = len(suite.failures)
        if report.exists():
            for group in json.loads(report.read_text())["testsuites"]:
                for test in group["testsuite"]:
                    if test.get("failures"):
                        suite.fail(f'{test["classname"]}.{test["name"]}')
                    elif test["result"] == "COMPLETED":
                        suite.passed += 1
                    else:
                        suite.skipped += 1
        if status != 0 and len(suite.failures) == failures_before:
            suite.fail(f"{program.name} ended with status {status}")
    suite.seconds = time.monotonic() - begin
    return suite


def run_lit(build, results, jobs):
    suite, begin = Suite("lit"), time.monotonic()
    report = results / "lit.json"
    environment = dict(os.environ)
    environment["LIT_OPTS"] = f"{os.environ.get('LIT_OPTS', '')} -j{jobs} --output={shlex.quote(str(report))}"
    if "UNISPARSE_TEST_FILTER" in os.environ:
        environment["LIT_FILTER"] = os.environ["UNISPARSE_TEST_FILTER"]
    status = subprocess.run(["cmake", "--build", build, "--target", "check-unisparse"], env=environment).returncode
    if report.exists():
        for test in json.loads(report.read_text())["tests"]:
            if test["code"] in LIT_PASSED:
                suite.passed += 1
            elif test["code"] in LIT_SKIPPED:
                suite.skipped += 1
            else:
                suite.fail(f'{test["name"]} ({test["code"]})')
    if status != 0 and not suite.failures:
        suite.fail(f"lit ended with status {status}")
    suite.seconds = time.monotonic() - begin
    return suite


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    build = arguments.build.resolve()
    results = build / "check"
    results.mkdir(exist_ok=True)
    for old in results.iterdir():
        old.unlink()

    suites = [run_unit_tests(build, results, arguments.jobs), run_lit(build, results, arguments.jobs)]
    passed = sum(s.passed for s in suites)
    failed = sum(len(s.failures) for s in suites)
    skipped = sum(s.skipped for s in suites)

    print(f"\n{'':12}{'passed':>8}{'failed':>8}{'skipped':>9}{'seconds':>9}")
    for s in suites:
        print(f"{s.name:12}{s.passed:8}{len(s.failures):8}{s.skipped:9}{s.seconds:9.1f}")
    for s in suites:
        for failure in s.failures:
            print(f"FAILED  {failure}")
    (results / "summary").write_text(f"{passed} passed, {failed} failed, {skipped} skipped\n")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    sys.exit(main())

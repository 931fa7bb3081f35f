# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs unisparse-run on cases and compares with the oracle. A script's last line is harness.main(cases, __doc__)."""

import argparse
import json
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import checks
import numpy as np
import safetensors
from case import Case, Options, Sequence, ends, qkv, random_selection  # noqa: F401 (what scripts use)

TIMEOUT_SECONDS = 300


class Failure(Exception):
    """A run that gave no results to compare."""


def opt_level(level=0):
    """The word for unisparse-run: most of its time would be LLVM's for code that runs once. `make check-optimized`, and users,
    have everything optimized."""
    return f"--opt-level={os.environ.get('UNISPARSE_TEST_OPT_LEVEL') or level}"


class Suite:
    """Checks cases, and remembers what was compared."""

    def __init__(self, tool, tmp, only="", verbose=False, target=None):
        self.tool, self.tmp, self.only, self.verbose = tool, tmp, only, verbose
        self.target = [f"--target={target}"] if target else []
        self.failed, self.cases, self.rows = [], 0, 0
        shutil.rmtree(tmp, ignore_errors=True)
        os.makedirs(tmp)

    def run(self, case, extra=()):
        """One run -> its tensors and its report. Files stay for whoever wants to look, until the script passes."""
        stem = os.path.join(self.tmp, "".join(c if c.isalnum() else "-" for c in case.name[:100]))
        files = {name: f"{stem}.{name}.safetensors" for name in ("in", "sel", "out")}
        safetensors.write(files["in"], case.tensors(), **case.file)
        command = [self.tool, files["in"], opt_level(case.opt_level), *case.args(), *self.target, *case.extra, *extra, f"--output={files['out']}", "--json"]
        if case.selection is not None:
            named = zip(("counts", "indices"), case.selection)
            safetensors.write(files["sel"], {name: safetensors.Tensor("I32", x) for name, x in named})
            command.append(f"--selection={files['sel']}")
        if os.path.exists(files["out"]):
            os.remove(files["out"])
        self.command = " ".join(command)
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            raise Failure(f"no result in {TIMEOUT_SECONDS} seconds")
        if done.returncode:
            raise Failure(f"exit status {done.returncode}: {done.stderr.strip()[-2000:]}")
        try:
            report = json.loads(done.stdout)
        except ValueError as error:
            raise Failure(f"--json: {error} in {done.stdout[:500]!r}")
        try:
            return safetensors.read(files["out"]), report
        except (OSError, ValueError) as error:
            raise Failure(f"--output: {error}")

    def check(self, case, extra=()):
        """Runs a case and compares everything; its tensors, or None where it was left out or failed."""
        if self.only not in case.name:
            return None
        self.cases += 1
        tensors, wrong = None, []
        try:
            tensors, report = self.run(case, extra)
            wrong = self._compare(case, tensors, report)
        except Failure as failure:
            wrong = [str(failure)]
        self._note(case.name, wrong)
        return None if wrong else tensors

    def check_tensors(self, case, tensors):
        """Compares results that a run did not report by themselves, such as one sequence of a packed batch."""
        if self.only not in case.name:
            return
        self.cases += 1
        self._note(case.name, self._compare(case, tensors))

    def _compare(self, case, tensors, report=None):
        wrong = checks.shapes(case, tensors)
        if wrong:
            return wrong
        counts, indices = tensors["counts"].data, tensors["indices"].data
        wrong, masks = checks.masks(case, counts, indices)
        if wrong:
            return wrong
        if report is not None:
            wrong += checks.density(case, masks, report)
        if case.selection is None:
            more, rows = checks.selection(case, masks)
            wrong += more
        else:
            rows = counts.size
            for name, given, got in zip(("counts", "indices"), case.selection, (counts, indices)):
                if not np.array_equal(given, got):
                    wrong.append(f"{name} [A4]: expected what was given, got something else")
        more, compared = checks.outputs(case, masks, tensors["o"].data, tensors["lse"].data)
        if (not rows or not compared) and tensors["lse"].data.size:
            wrong.append("nothing was compared")
        self.rows += compared
        return wrong + more

    def same(self, name, first, second, select=lambda tensor: tensor):
        """Two runs must agree in every bit (of a part of each result)."""
        if self.only not in name:
            return
        self.cases += 1
        wrong = [] if first and second else ["no results to compare"]
        compared = 0
        for tensor in ("o", "lse", "counts", "indices") if not wrong else ():
            a, b = (np.ascontiguousarray(select(x[tensor].data)) for x in (first, second))
            compared += a.size
            if a.shape != b.shape or a.tobytes() != b.tobytes():
                wrong.append(f"{tensor}: expected the same bits, got a difference")
        if not wrong and not compared:
            wrong.append("nothing was compared")
        self._note(name, wrong)

    def expect(self, name, true, what):
        """Any other property of results."""
        if self.only not in name:
            return
        self.cases += 1
        self._note(name, [] if true else [what])

    def _note(self, name, wrong):
        if not wrong:
            if self.verbose:
                print(f"ok    {name}", flush=True)
            return
        self.failed.append(name)
        print(f"FAIL  {name}")
        for line in wrong[:8]:
            print(f"      {line}")
        if len(wrong) > 8:
            print(f"      and {len(wrong) - 8} more")
        print(f"      command: {getattr(self, 'command', 'none')}", flush=True)

    def finish(self):
        """Prints the count and returns the exit status."""
        print(f"{self.cases} cases, {self.rows} rows of output compared, {len(self.failed)} failed")
        if not self.cases or not self.rows:
            print("FAIL  nothing was compared")
            return 1
        if self.failed:
            return 1
        shutil.rmtree(self.tmp, ignore_errors=True)
        return 0


def check_numpy():
    """Stops where NumPy itself multiplies wrongly: some BLAS builds do on processors that they do not know."""
    rng = np.random.default_rng(0)
    for dtype, tolerance in ((np.float32, 1e-4), (np.float64, 1e-12)):
        for rows, columns, inner in ((1, 333, 64), (128, 129, 80), (513, 64, 1000)):
            a, b = rng.random((rows, inner)).astype(dtype), rng.random((columns, inner)).astype(dtype)
            right = np.einsum("ik,jk->ij", a.astype(np.float64), b.astype(np.float64), optimize=False)
            if not np.allclose(a @ b.T, right, rtol=tolerance):
                sys.exit(f"NumPy: a wrong {np.dtype(dtype)} product of {rows}x{inner} and {inner}x{columns}: its BLAS does not know this CPU")


def main(cases, doc, options=()):
    """Runs the function `cases` on a suite made from the command line, and exits. `options` are more of that, (name,
    settings) each, that `cases` takes by name."""
    parser = argparse.ArgumentParser(description=doc)
    more = [parser.add_argument(name, **settings).dest for name, settings in options]
    parser.add_argument("--tool", required=True, help="unisparse-run")
    parser.add_argument("--tmp", required=True, help="a folder of the script's own, for files")
    parser.add_argument("--only", default="", help="only the cases whose name has this in it")
    parser.add_argument("--verbose", action="store_true", help="name the cases that hold too")
    parser.add_argument("--target", help="unisparse-run's: tile-cpu for the pages that GPUs get")
    args = parser.parse_args()
    if not os.access(args.tool, os.X_OK):
        sys.exit(f"--tool: expected a program, got '{args.tool}'")
    check_numpy()
    suite = Suite(args.tool, args.tmp, args.only, args.verbose, args.target)
    cases(suite, **{name: getattr(args, name) for name in more})
    sys.exit(suite.finish())

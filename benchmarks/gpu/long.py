# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Long sequences: what two chips' artifacts compute on the same device, all of it against one another and some rows against
float64. Needs torch and a GPU."""

import json
import time

import numpy
import torch

import device
import matrix
import programs
import spot
import unisparse


def places(counts):
    """[(head, row)]: of every head the first row and one at random, of all the heaviest and what spot.picked takes."""
    heads, rows = counts.shape
    rng = numpy.random.default_rng(2)
    each = [(h, r) for h in range(heads) for r in (0, int(rng.integers(rows)))]
    heaviest = numpy.unravel_index(int(counts[:, 1:].argmax()), (heads, rows - 1)) if rows > 1 else (0, -1)
    return [*each, (int(heaviest[0]), int(heaviest[1]) + 1), *spot.picked(heads, rows)]


def difference(x, y):
    """The largest, a head at a time; none where both are the same infinity, NaN where one is NaN."""
    found = []
    for a, b in zip(x[0].float(), y[0].float()):
        found.append(torch.where(a == b, torch.zeros_like(a), (a - b).abs()).max())
    return torch.stack(found).max().item()


def compare(run, results):
    """run: a matrix.Run of one sequence; results: {who: (o, lse)} of two -> what is wrong, differences as shares of their limits."""
    counts, indices = run.selection
    each_head = counts[0].repeat_interleave(run.q.shape[1] // counts.shape[1], 0).cpu().numpy()
    wrong, limits, shares = [], dict(o=0.0, lse=0.0), {}
    for who, (o, lse) in results.items():
        outputs = spot.check(places(each_head), run.q, run.k, run.v, counts, indices, run.case.block[0], run.case.causal, o, lse)
        wrong += [f"{who}: {w}" for w in outputs.verdict()]
        # A3 allows each its bound.
        limits = {name: limit + outputs.bound(name) for name, limit in limits.items()}
    (first, one), (second, other) = results.items()
    for name, x, y in zip(("o", "lse"), one, other):
        off = difference(x, y)
        shares[name] = off / limits[name]
        if not off <= limits[name]:
            wrong.append(
                f"{name}: {first} and {second} differ by {off:.3g}, expected at most {limits[name]:.3g}, the sum of their bounds [A3]"
            )
    return wrong, shares


def run(folder, chips, some, path):
    """Exit status. The two chips' artifacts lie in folders of their names."""
    report, failed = dict(device=device.facts(), cases={}), 0
    for case in some:
        begin, wrong, shares, loaded = time.monotonic(), [], {}, []
        try:
            one = matrix.Run(case, case.shapes[0], matrix.Cuda)
            tensors = [one.q, one.k, one.v] + ([] if case.dense else list(one.selection))
            results = {}
            for chip in chips:
                program = unisparse.Program(folder / chip / programs.configuration(case.entry).file_name())
                loaded.append(program.loaded(0).chip)
                results[chip] = program(*tensors)
            torch.cuda.synchronize()
            if loaded != chips:
                wrong.append(f"loaded: expected {chips}, got {loaded}")
            more, shares = compare(one, results)
            wrong += more
            del one, tensors, results
        except (unisparse.Error, AssertionError, RuntimeError, ValueError) as error:
            wrong.append(f"{type(error).__name__}: {error}")
        torch.cuda.empty_cache()
        failed += bool(wrong)
        shares = {name: round(share, 4) for name, share in shares.items()}
        report["cases"][case.name] = dict(chips=loaded, share=shares, failures=wrong, seconds=round(time.monotonic() - begin, 1))
        print("FAIL" if wrong else "ok  ", case.name, json.dumps(report["cases"][case.name])[:900], flush=True)
        if path:
            path.write_text(json.dumps(report, indent=1))
    print(f"{len(report['cases'])} cases, {failed} failed")
    return 1 if failed or not report["cases"] else 0

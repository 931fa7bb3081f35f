# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cases of attention as a page of tile code, run on the CPU."""

import dataclasses

import harness
import numpy as np
from harness import Case, Options, random_selection

PAGE = ("--target=tile-cpu",)
SMALL = Options(block=(32, 32))


def page(name, seed, data, options=SMALL, given=True, extra=(), **kw):
    how = {key: kw.pop(key) for key in ("density", "empty_rows") if key in kw}
    case = Case(name, *data, options, extra=PAGE + tuple(extra), **kw)
    if given:
        case.selection = random_selection(np.random.default_rng(seed), case, **how)
    return case


def both(suite, case, settled=False):
    """Tiles from the first up and from the last down. A selection of one block each has but one order, and exponentials of a
    settled reference are the same in any."""
    up = suite.check(case)
    down = suite.check(dataclasses.replace(case, name=f"{case.name}, descending", extra=(*case.extra, "--descending")))
    if up and down and not settled:
        suite.expect(f"{case.name}: the order", (up["o"].data != down["o"].data).any(), "expected other roundings from another order, got the same bits")


def results(suite, case):
    """A run whose inputs no oracle takes."""
    if suite.only not in case.name:
        return None
    try:
        return suite.run(case)[0]
    except harness.Failure as failure:
        suite.expect(case.name, False, str(failure))
        return None

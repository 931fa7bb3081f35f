# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Selections from outside, by name: shapes of work that a schedule over rows may stumble on. Needs NumPy alone."""

import dataclasses

import numpy


@dataclasses.dataclass
class Grid:
    """The blocks of one sequence and one head of a selection. first, last: the key blocks of a row's diagonal, by row."""

    rows: int
    columns: int
    first: numpy.ndarray
    last: numpy.ndarray
    head: int
    heads: int

    def none(self):
        return numpy.zeros((self.rows, self.columns), bool)

    def one(self, column):
        """One block in each row."""
        mask = self.none()
        mask[numpy.arange(self.rows), column] = True
        return mask


def uneven(rng, grid, _):
    """All blocks, then none, then one, then a mixture: a third of the rows empty, the others with a heavy tail."""
    counts = numpy.minimum(grid.columns, 1 + rng.pareto(0.7, grid.rows)).astype(int)
    counts[rng.random(grid.rows) < 1 / 3] = 0
    counts[:3] = (grid.columns, 0, 1)[: grid.rows]
    mask = grid.none()
    numpy.put_along_axis(mask, rng.random(mask.shape).argsort(1), numpy.arange(grid.columns) < counts[:, None], 1)
    return mask


def band(_, grid, __):
    """Every block that the diagonal crosses, and no other."""
    at = numpy.arange(grid.columns)
    return (at >= grid.first[:, None]) & (at <= grid.last[:, None])


def behind(_, grid, __):
    """Every block that lies wholly behind the diagonal: with causality nobody sees a key."""
    return numpy.arange(grid.columns) > grid.last[:, None]


def runs(_, grid, __):
    """Long runs of empty rows, then a full one."""
    at = numpy.arange(grid.rows)
    return grid.none() | ((at % 37 == 36) | (at == grid.rows - 1))[:, None]


def random(rng, grid, fill):
    density, empty = fill
    return (rng.random((grid.rows, grid.columns)) < density) & (rng.random((grid.rows, 1)) >= empty)


PATTERNS = {
    "random": random,
    "none": lambda rng, grid, fill: grid.none(),
    "all": lambda rng, grid, fill: ~grid.none(),
    "first block": lambda rng, grid, fill: grid.one(0),
    "diagonal block": lambda rng, grid, fill: grid.one(grid.last),
    "last block": lambda rng, grid, fill: grid.one(grid.columns - 1),
    "random block": lambda rng, grid, fill: grid.one(rng.integers(grid.columns, size=grid.rows)),
    "diagonal": band,
    "behind": behind,
    "uneven": uneven,
    "runs": runs,
    # The second, so that a pair of heads has an empty one first.
    "one head": lambda rng, grid, fill: grid.none() | (grid.head == min(1, grid.heads - 1)),
    "every second head": lambda rng, grid, fill: grid.none() | (grid.head % 2 == 0),
}


def draw(name, rng, lengths, block, head, heads, fill=(0.5, 0.2)):
    """-> which key blocks each row of blocks takes [R, J]. fill: of "random", the share of blocks and of empty rows."""
    (lq, lk), (bq, bk) = lengths, block
    rows, columns = -(-lq // bq), -(-lk // bk)
    if not rows or not columns:
        return numpy.zeros((rows, columns), bool)
    begin = numpy.arange(rows) * bq
    ends = (begin, numpy.minimum(begin + bq, lq) - 1)
    first, last = (numpy.clip((x + lk - lq) // bk, 0, columns - 1) for x in ends)
    return PATTERNS[name](rng, Grid(rows, columns, first, last, head, heads), fill)

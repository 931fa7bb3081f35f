# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Comparisons of one run with the reference: L6, L7, A1 to A3. Each returns what is wrong, in words."""

import numpy
import torch

import reference as R
import score_mods

EPS = {"f32": 1e-4, "f16": 0.02, "bf16": 0.02}  # L7


class Sequence:
    """One sequence of one batch: where its tokens and its rows of blocks lie."""

    def __init__(self, case, number, batch, q0, k0, lq, lk):
        bq, bk = case.block
        self.name = f"batch {batch}, sequence {number} ({lq}, {lk})"
        self.batch, self.lq, self.lk = batch, lq, lk
        self.queries, self.keys = slice(q0, q0 + lq), slice(k0, k0 + lk)
        first = q0 // bq + number if case.packed else 0
        self.rows = slice(first, first + -(-lq // bq))
        self.columns = -(-lk // bk)


def sequences(case, lengths):
    result = []
    for batch in range(case.batch):
        q0 = k0 = 0
        for number, (lq, lk) in enumerate(lengths):
            result.append(Sequence(case, number, batch, q0, k0, lq, lk))
            q0, k0 = q0 + lq, k0 + lk
    return result


def shape_of_selection(case, lengths):
    """R and J."""
    (bq, bk), lq, lk = case.block, sum(s[0] for s in lengths), sum(s[1] for s in lengths)
    return lq // bq + len(lengths) if case.packed else -(-lq // bq), -(-lk // bk)


def masks(case, seqs, counts, indices, lengths):
    """L6, on NumPy arrays -> what is wrong, and the masks [H, R, J] of each sequence, one for each query head."""
    rows, columns = shape_of_selection(case, lengths)
    if (
        counts.shape[0] != case.batch
        or counts.shape[2] != rows
        or indices.shape != (*counts.shape, columns)
        or case.entry["heads"] % counts.shape[1]
    ):
        return [f"counts [L6]: expected [{case.batch}, H, {rows}] and J = {columns}, got {counts.shape} and {indices.shape}"], []
    wrong, spare = [], numpy.ones(counts.shape, bool)
    at = numpy.arange(columns)
    limit = numpy.zeros(counts.shape, int)
    for s in seqs:
        spare[s.batch, :, s.rows] = False
        limit[s.batch, :, s.rows] = s.columns
    if counts[spare].any():
        wrong.append("counts [L6]: a spare row with a count")
    inside = at < counts[..., None]
    for what, bad in (
        ("counts [L6]: out of range", (counts < 0) | (counts > limit)),
        ("indices [L6]: out of range", (inside & ((indices < 0) | (indices >= limit[..., None]))).any(-1)),
        ("indices [L6]: not ascending", (inside[..., 1:] & (indices[..., 1:] <= indices[..., :-1])).any(-1)),
        ("indices [L6]: not 0 behind the count", (~inside & (indices != 0)).any(-1) & ~spare),
    ):
        if bad.any():
            b, h, r = map(int, numpy.argwhere(bad)[0])
            wrong.append(
                f"{what}: at batch {b}, head {h}, row {r}: count {counts[b, h, r]}, "
                f"indices {indices[b, h, r].tolist()[:40]}; {int(bad.sum())} such rows"
            )
    if any("range" in w for w in wrong):
        return wrong, []
    whole = numpy.zeros((*counts.shape, columns + 1), bool)
    numpy.put_along_axis(whole, numpy.where(inside, indices, columns), True, -1)
    whole = numpy.repeat(whole[..., :columns], case.entry["heads"] // counts.shape[1], 1)
    return wrong, [whole[s.batch, :, s.rows, : s.columns] for s in seqs]


def random_masses(case, oracle, s):
    """L10: a head's masses follow from the number of its selection among those of the batch."""
    e, share = case.entry, case.option("share", "none")
    selections = e["heads"] // (*case.option("pooling", (8, 8)), 1)[2]
    if share == "group":
        selections = min(selections, e["kv_heads"])
    rows, columns = -(-s.lq // case.block[0]), -(-s.lk // case.block[1])
    units = [s.batch * selections + h * selections // e["heads"] for h in range(e["heads"])]
    return numpy.stack([oracle.random_mass(rows, columns, case.option("seed", 0), unit) for unit in units])


def selection(case, oracle, s, mask, q, k, scale):
    """L7: is the mask [Hq, R, J] of a sequence what the rule asks for? q, k: float64, of this sequence."""
    e = case.entry
    if not s.lq or not s.lk:
        return []
    share = case.option("share", "none")
    if "random" in e:
        m64 = random_masses(case, oracle, s)
    else:
        m64 = R.masses(
            q,
            k,
            (*case.option("pooling", (8, 8)), 1)[:3],
            case.block,
            scale,
            case.causal,
            case.option("alpha", 1.0),
            case.option("agg", "max"),
            share,
            e["dtype"],
            case.option("representatives", 0),
            case.option("spread", 0),
            case.option("softcap", None),
            case.window,
            modify=score_mods.of_estimate(case, s.batch),
        )
        m64 = m64.cpu().numpy()
    p = oracle.head_shares(case.option("p", 0.9), e["heads"], e["kv_heads"], share)
    rule = {name: e[name] for name in ("min_blocks", "max_blocks", "top_k", "dense_below") if name in e}
    rule.update(n_sink=case.option("sink", 1), n_local=case.option("local", 1), n_last=case.option("last", 0))
    rule.update(threshold=e.get("threshold"), share_of=e.get("random"), window=case.window, relax=case.option("relax", 0.0))
    found = []
    for h in range(e["heads"]):
        said = oracle.selection_valid(mask[h], m64[h], s.lq, s.lk, *case.block, float(p[h]), case.causal, EPS[e["dtype"]], **rule)
        if said:
            row = int(said.split()[1].rstrip(":"))
            found.append(
                f"selection [L7]: {s.name}, head {h}, {said}; took {numpy.flatnonzero(mask[h, row]).tolist()[:40]} "
                f"of masses {numpy.round(m64[h, row], 4).tolist()[:40]}"
            )
    return found


class Outputs:
    """A1 to A3, over all sequences of a run: the largest error against the bound."""

    def __init__(self, dtype):
        self.dtype, self.wrong, self.rows = dtype, [], 0
        self.error, self.plain, self.size, self.where = {}, {}, {}, {}
        for name in ("o", "lse"):
            self.error[name] = self.plain[name] = self.size[name] = 0.0

    def add(self, s, q, k, v, keep, scale, o, lse, **modification):
        """q, k, v: float64; o, lse: what came out, lse None where it was not asked for. modification: softcap, sinks, modify."""
        if not s.lq:
            return
        exact = dict(zip(("o", "lse"), R.attend(q, k, v, keep, scale, **modification)))
        got = {"o": o.double()} if lse is None else {"o": o.double(), "lse": lse.double()}
        blind = ~keep.any(-1)
        self.rows += blind.numel()
        if modification.get("sinks") is not None:
            if (got["o"][blind] != 0).any():
                self.wrong.append(f"outputs [M3]: {s.name}: a row that sees nothing is not o = 0")
            blind = torch.zeros_like(blind)  # Its lse is the sink.
        if (got["o"][blind] != 0).any() or lse is not None and not torch.isneginf(got["lse"][blind]).all():
            self.wrong.append(f"outputs [A2]: {s.name}: a row that sees nothing is not o = 0, lse = -inf")
        yardsticks = [dict(zip(("o", "lse"), R.plain(q, k, v, keep, scale, self.dtype, n, **modification))) for n in range(3)]
        for name, mine in got.items():
            want = torch.where(blind if name == "lse" else blind[..., None], torch.zeros_like(exact[name]), exact[name])
            hide = lambda x: torch.where(blind if name == "lse" else blind[..., None], torch.zeros_like(want), x.double())
            error = (hide(mine) - want).abs()
            error = torch.where(torch.isnan(error), torch.full_like(error, numpy.inf), error)
            largest = error.max().item()
            if largest > self.error[name]:
                place = numpy.unravel_index(int(error.argmax()), tuple(error.shape))
                self.error[name] = largest
                self.where[name] = (
                    f"{s.name} at {tuple(map(int, place))}: expected {want[place].item():.7g}, got {hide(mine)[place].item():.7g}; "
                    f"{int((error > 0.1 * largest).sum())} elements off by a tenth of this"
                )
            self.plain[name] = max([self.plain[name]] + [(hide(y[name]) - want).abs().max().item() for y in yardsticks])
            self.size[name] = max(self.size[name], want.abs().max().item())

    def bound(self, name):
        """A3. exp2 and log2 of the hardware are good to about 2^-22 of the range they work on: the LSE gets a little more."""
        if name == "lse":
            return 2 * self.plain[name] + 2.0**-20 * max(1.0, self.size[name])
        return 2 * self.plain[name] + max(R.UNIT_ROUNDOFF[self.dtype] * self.size[name], R.SMALLEST[self.dtype])

    def verdict(self):
        said = list(self.wrong)
        for name in self.where:
            if not self.error[name] <= self.bound(name):
                said.append(
                    f"{name} [A3]: {self.where[name]}; error {self.error[name]:.3g}, "
                    f"bound {self.bound(name):.3g} (plain computation {self.plain[name]:.3g})"
                )
        return said

    def share(self):
        """The largest error as a share of its bound."""
        return {name: self.error[name] / self.bound(name) for name in self.where if self.bound(name)}

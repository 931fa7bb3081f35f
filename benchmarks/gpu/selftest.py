# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Do the checks of the matrix accept what is right and see what is wrong? On the CPU, with the reference in the place of
the package. Needs torch, no GPU."""

import itertools
import math

import oracle
import torch

import cases
import compare
import inputs
import long
import matrix
import programs
import reference
import score_mods


class StandIn:
    """Computes what the package would, in float64, rounded; `spoil` then changes one thing."""

    device = "cpu"

    def __init__(self, spoil=None):
        self.memory, self.spoil = inputs.Memory(), spoil

    def wait(self):
        pass

    def attention(self, q, k, v, **options):
        sinks, options = options.get("sinks"), {name: x for name, x in options.items() if name != "sinks"}
        entry = dict(heads=q.shape[1], kv_heads=k.shape[1], head_dim=q.shape[3], value_dim=v.shape[3], dtype=self.dtype(q), **options)
        entry["packed"] = entry.pop("cu_seqlens", None) is not None
        case = cases.Case("stand-in", entry, [], q.shape[0])
        config = programs.configuration(entry)
        lengths = self.lengths(q, k, options)
        rows, columns = compare.shape_of_selection(case, lengths)
        mask = torch.zeros(q.shape[0], q.shape[1], rows, columns, dtype=torch.bool)
        p = oracle.head_shares(
            config.rule.p if len(config.rule.p) > 1 else config.rule.p[0], config.heads, config.kv_heads, config.rule.share
        )
        for s in compare.sequences(case, lengths):
            m = reference.masses(
                q[s.batch, :, s.queries].double(),
                k[s.batch, :, s.keys].double(),
                config.rule.pooling,
                config.block,
                self.scale(q, options),
                config.causal,
                config.rule.alpha,
                config.rule.agg,
                config.rule.share,
                self.dtype(q),
                config.rule.representatives,
                config.rule.spread,
                config.softcap,
                config.window,
            )
            r = config.rule
            if r.random is not None:
                m = torch.from_numpy(compare.random_masses(case, oracle, s))
            for h in range(config.heads):
                one = oracle.select(
                    m[h].numpy(),
                    s.lq,
                    s.lk,
                    *config.block,
                    float(p[h]),
                    config.causal,
                    r.sink,
                    r.local,
                    r.min_blocks,
                    r.max_blocks,
                    r.top_k,
                    r.dense_below,
                    r.last,
                    r.threshold,
                    r.random,
                    config.window,
                    r.relax,
                )
                mask[s.batch, h, s.rows, : s.columns] = torch.from_numpy(one)
        mask = mask[:, :: config.heads // config.selections]
        counts = mask.sum(-1).int()
        taken_first = torch.sort(mask.int(), stable=True, dim=-1, descending=True)[1]
        indices = torch.where(torch.arange(columns) < counts[..., None], taken_first, torch.zeros_like(taken_first)).int()
        o, lse = self.attend(case, lengths, q, k, v, mask, self.scale(q, options), sinks)
        out = dict(o=o, lse=lse, counts=counts, indices=indices)
        if self.spoil:
            self.spoil(out, self)
        names = ["o"] + ["lse"] * config.return_lse + ["counts", "indices"] * config.return_selection
        return tuple(self.place(out[name]) for name in names)

    def block_sparse_attention(self, q, k, v, counts, indices, **options):
        sinks, options = options.get("sinks"), {name: x for name, x in options.items() if name != "sinks"}
        entry = dict(
            heads=q.shape[1],
            kv_heads=k.shape[1],
            head_dim=q.shape[3],
            value_dim=v.shape[3],
            dtype=self.dtype(q),
            selection_heads=counts.shape[1],
            **options,
        )
        entry["packed"] = entry.pop("cu_seqlens", None) is not None
        case = cases.Case("stand-in", entry, [], q.shape[0])
        inside = torch.arange(indices.shape[3]) < counts[..., None]
        mask = torch.zeros(*indices.shape[:3], indices.shape[3] + 1, dtype=torch.bool)
        mask.scatter_(3, torch.where(inside, indices, indices.shape[3]).long(), True)
        out = dict(zip(("o", "lse"), self.attend(case, self.lengths(q, k, options), q, k, v, mask[..., :-1], self.scale(q, options), sinks)))
        if self.spoil:
            self.spoil(out, self)
        return tuple(self.place(out[name]) for name in ["o"] + ["lse"] * options["return_lse"])

    def dense(self, entry, q, k, v, ends, sinks, table):
        case = cases.Case("stand-in", entry, [], q.shape[0])
        lengths = self.lengths(q, k, dict(cu_seqlens=ends))
        mask = torch.ones(*q.shape[:2], *compare.shape_of_selection(case, lengths), dtype=torch.bool)
        return tuple(map(self.place, self.attend(case, lengths, q, k, v, mask, self.scale(q, entry), sinks, table)))

    @staticmethod
    def dtype(q):
        return next(name for name, dtype in reference.DTYPES.items() if dtype == q.dtype)

    @staticmethod
    def scale(q, options):
        return options.get("scale") or q.shape[3] ** -0.5

    @staticmethod
    def lengths(q, k, options):
        if options.get("cu_seqlens") is None:
            return [(q.shape[2], k.shape[2])]
        a, b = ([y - x for x, y in zip(e.tolist(), e.tolist()[1:])] for e in options["cu_seqlens"])
        return list(zip(a, b))

    def attend(self, case, lengths, q, k, v, mask, scale, sinks=None, table=None):
        self.values = v
        mask = mask.repeat_interleave(q.shape[1] // mask.shape[1], 1)
        o, lse = torch.zeros(*q.shape[:3], v.shape[3]), torch.zeros(q.shape[:3])
        for s in compare.sequences(case, lengths):
            keep = reference.visible(mask[s.batch, :, s.rows, : s.columns], s.lq, s.lk, case.block, case.causal, case.window)
            part = reference.attend(
                q[s.batch, :, s.queries].double(), k[s.batch, :, s.keys].double(), v[s.batch, :, s.keys].double(), keep, scale,
                case.option("softcap", None), sinks, score_mods.of(case, s.batch, s.lq, s.lk, table),
            )
            o[s.batch, :, s.queries], lse[s.batch, :, s.queries] = (x.float() for x in part)
        return o.to(q.dtype), lse

    def place(self, x):
        y = self.memory.allocate(None, tuple(x.shape), x.dtype, "cpu")
        y.copy_(x)
        return y


def wrong_value(out, _):
    # One element, by more than rounding: the bound is of the largest error.
    out["o"].view(-1)[0] += 0.5 * out["o"].abs().max().clamp(min=1)


def wrong_nan(out, _):
    out["o"].view(-1)[-1] = math.nan


def wrong_lse(out, _):
    out["lse"].view(-1)[0] += 0.01


def wrong_order(out, _):
    h, r = next((h, r) for h, r in itertools.product(*map(range, out["counts"].shape[1:])) if out["counts"][0, h, r] > 1)
    out["indices"][0, h, r, :2] = out["indices"][0, h, r, :2].flip(0)


def wrong_choice(out, _):
    """A forced block left out."""
    h, r = next((h, r) for h, r in itertools.product(*map(range, out["counts"].shape[1:])) if out["counts"][0, h, r] > 1)
    out["indices"][0, h, r, : out["counts"][0, h, r] - 1] = out["indices"][0, h, r, 1 : out["counts"][0, h, r]].clone()
    out["counts"][0, h, r] -= 1
    out["indices"][0, h, r, out["counts"][0, h, r]] = 0


def wrong_count(out, _):
    out["counts"].view(-1)[0] = 99


def wrong_bits(out, maker):
    """Differs from run to run, by little."""
    if maker.memory.poison != 0xFF:
        out["lse"].view(-1)[0] += 1e-7 * out["lse"].view(-1)[0].abs()


def wrong_place(out, maker):
    """Writes behind an output."""
    place = maker.place

    def spill(x):
        y = place(x)
        maker.memory.blocks[-1][0][inputs.GUARD - 1] ^= 1
        return y

    maker.place = spill


def wrong_neighbour(out, _):
    """Adds nothing of the other sequences, which is NaN where they are."""
    out["o"] += 0 * out["o"].sum()


def wrong_unseen(out, maker):
    """Multiplies what no row sees by 0."""
    out["o"] += 0 * maker.values.sum()


SPOILS = {
    wrong_value: "A3",
    wrong_nan: "A3",
    wrong_lse: "A3",
    wrong_order: "ascending",
    wrong_choice: "L7",
    wrong_count: "range",
    wrong_bits: "bits",
    wrong_place: "outside",
    wrong_neighbour: "sees NaN",
    wrong_unseen: "A5",
}

# The entry and lengths on which a spoil shows, where not on every one.
SPOILED = {wrong_neighbour: ("packed bf16", [(130, 200), (64, 64)]), wrong_unseen: ("given sparse", [(257, 257)])}


def long_runs():
    """The comparison of two artifacts, on few tokens -> what failed of how many."""
    failed, done = [], 0
    for case in cases.long():
        case.entry.update(heads=4, kv_heads=2, head_dim=16, value_dim=16)
        if not case.dense:
            case.entry["selection_heads"] = 2 if "shared" in case.name else 4
        one = matrix.Run(case, [(640, 640)], StandIn())
        good, bad = ([one.call(case.entry)[name].clone() for name in ("o", "lse")] for _ in range(2))
        done += 2
        failed += [f"{case.name}: {w}" for w in long.compare(one, {"one": good, "other": good})[0]]
        bad[0][0, 1, 300, 3] += 1
        if not any("differ" in w for w in long.compare(one, {"one": good, "other": bad})[0]):
            failed.append(f"{case.name}: expected a difference to be found")
    return failed, done


def run():
    agreed, failed, done = reference.against_oracle(oracle), [], 0
    everything = {c.name: c for c in cases.matrix()}
    for case in everything.values():
        case.shapes = [s for s in case.shapes if sum(a * b for a, b in s) <= 300 * 300][-2:] or case.shapes[:1]
        result = matrix.run_case(case, StandIn())
        done += result["runs"]
        failed += [f"{case.name}: {f}" for f in result["failures"]]
    for spoil, sign in SPOILS.items():
        entry, lengths = SPOILED.get(spoil, ("bf16 d64", [(257, 257)]))
        case = cases.Case("spoiled", everything[entry].entry, [lengths])
        result = matrix.run_case(case, StandIn(spoil))
        done += 1
        if not any(sign in f for f in result["failures"]):
            failed.append(f"{spoil.__name__}: expected to be found ({sign}), got {result['failures']}")
    more, both = long_runs()
    failed, done = failed + more, done + both
    print(f"reference and oracle agree on {agreed} cases; {done} runs of {len(everything)} cases, {len(failed)} failed")
    for f in failed[:20]:
        print("FAIL ", f[:500])
    return 1 if failed or not done else 0

# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The cases of the matrix on a device: makes inputs, calls unisparse twice, compares. Needs torch."""

import concurrent.futures
import json
import math
import sys
import time
import zlib

import numpy
import oracle
import torch

import compare
import device
import inputs
import patterns
import programs
import reference
import score_mods
import unisparse
from unisparse import _cuda, _program, _torch


def say(event, **more):
    print(json.dumps({"event": event, **more}), flush=True)


class Cuda:
    """Where results come from: the package, with memory of our own."""

    device = "cuda"

    def __init__(self):
        self.memory = inputs.Memory()
        _torch.allocate = self.memory.allocate

    def attention(self, *tensors, **options):
        return unisparse.attention(*tensors, **options)

    def block_sparse_attention(self, *tensors, **options):
        return unisparse.block_sparse_attention(*tensors, **options)

    def dense(self, entry, q, k, v, ends, sinks, table):
        named = dict(q=q, k=k, v=v, **(dict(zip(("cu_seqlens_q", "cu_seqlens_k"), ends)) if ends else {}))
        if sinks is not None:
            named["sink_logits"] = sinks
        if table is not None:
            named["table"] = table
        return tuple(_cuda.run(programs.configuration(entry), named).values())

    def wait(self):
        torch.cuda.synchronize()


SHAPE = ("heads", "kv_heads", "head_dim", "value_dim", "dtype", "packed", "selection_heads")


class Run:
    """One case on one list of lengths."""

    def __init__(self, case, lengths, maker):
        self.case, self.lengths, self.maker = case, lengths, maker
        self.seed = zlib.crc32(f"{case.name} {lengths}".encode()) % (1 << 31)
        self.dtype = reference.DTYPES[case.entry["dtype"]]
        self.q, self.k, self.v, self.backing = inputs.make(case, lengths, self.seed, self.dtype, maker.device)
        self.sequences = compare.sequences(case, lengths)
        self.ends = inputs.ends(lengths, maker.device) if case.packed else None
        scale = case.option("scale", None)
        self.scale = case.entry["head_dim"] ** -0.5 if scale is None else scale
        self.sinks = torch.linspace(-2, 7, case.entry["heads"], device=maker.device) if case.option("sinks", False) else None
        self.table = None
        if case.entry.get("table"):
            rng = numpy.random.default_rng(self.seed)
            entries = rng.normal(size=(case.entry["heads"], programs.TABLE_ENTRIES)).astype(numpy.float32)
            self.table = torch.from_numpy(entries).to(maker.device)
        self.selection = self.draw() if case.given else None

    def draw(self):
        """Counts and indices that satisfy L6 and no rule; -7 behind the counts, which nobody may look at."""
        case, rng = self.case, numpy.random.default_rng(self.seed)
        rows, columns = compare.shape_of_selection(case, self.lengths)
        heads = case.option("selection_heads", case.entry["heads"])
        counts = numpy.zeros((case.batch, heads, rows), numpy.int32)
        indices = numpy.full((*counts.shape, columns), -7, numpy.int32)
        for s in self.sequences:
            for h in range(heads):
                mask = patterns.draw(case.pattern, rng, (s.lq, s.lk), case.block, h, heads, case.fill)
                for r, row in enumerate(mask, s.rows.start):
                    chosen = numpy.flatnonzero(row)
                    counts[s.batch, h, r] = len(chosen)
                    indices[s.batch, h, r, : len(chosen)] = chosen
        return tuple(torch.from_numpy(x).to(self.maker.device) for x in (counts, indices))

    def call(self, entry):
        """-> {"o": ..., "lse": ..., "counts": ..., "indices": ...}, those that the entry asks for."""
        options = {name: value for name, value in entry.items() if name not in SHAPE}
        if self.sinks is not None:
            options["sinks"] = self.sinks
        if self.ends is not None:
            options["cu_seqlens"] = self.ends
        tensors = [self.q, self.k, self.v]
        if self.case.dense:
            found = self.maker.dense(entry, *tensors, self.ends, self.sinks, self.table)
        elif self.case.given:
            found = self.maker.block_sparse_attention(*tensors, *self.selection, **options)
        else:
            found = self.maker.attention(*tensors, **options)
        names = ["o"] + ["lse"] * entry["return_lse"] + ["counts", "indices"] * entry.get("return_selection", False)
        return dict(zip(names, found if isinstance(found, tuple) else (found,)))

    def check(self):
        """-> what is wrong, how many rows were compared, the largest errors as shares of their bounds."""
        before = [inputs.bits(x).clone() for x in self.backing]
        memory, results = self.maker.memory, []
        for memory.poison in (0xFF, 0x3C):
            results.append(self.call(self.case.entry))
        self.maker.wait()
        memory.poison = 0xFF
        whole = results[0] if self.case.whole is None else self.call(self.case.whole)
        self.maker.wait()
        # Numbers first: what was never written also differs from run to run.
        wrong, rows, share = self.compare(results[0], whole)
        if overrun := memory.overrun():
            wrong.append(f"memory: {overrun} outputs or workspaces were written outside")
        if not all(torch.equal(inputs.bits(x), b) for x, b in zip(self.backing, before)):
            wrong.append("memory: an input was written")
        for name in results[0]:
            if not torch.equal(inputs.bits(results[0][name]), inputs.bits(results[1][name])):
                wrong.append(f"{name}: two runs differ in their bits")
        return wrong + self.unseen(results[0]) + self.neighbours(results[0]), rows, share

    def unseen(self, before):
        """A5, where no estimate decides what a row sees: some rows of K and V not finite; afterwards they are what they were."""
        if not self.case.given:
            return []
        rng, wrong, saved = numpy.random.default_rng(self.seed), [], [x.clone() for x in (self.k, self.v)]
        masks = self.masks()
        for bad in (math.nan, math.inf):
            keys = torch.from_numpy(rng.random((2, self.k.shape[2])) < min(0.02, 4 / max(1, self.k.shape[2]))).to(self.k.device)
            for x, at in zip((self.k, self.v), keys):
                x[:, :, at] = bad
            after = self.call(self.case.entry)
            self.maker.wait()
            for x, old in zip((self.k, self.v), saved):
                x.copy_(old)
            for s, mask in zip(self.sequences, masks):
                kept = reference.undisturbed(mask, s.lq, s.lk, self.case.block, self.case.causal, *keys[:, s.keys], self.case.window)
                for name in ("o", "lse") if "lse" in after else ("o",):
                    x, y = (inputs.bits(r[name][s.batch, :, s.queries])[kept] for r in (before, after))
                    if not torch.equal(x, y):
                        wrong.append(f"{name} [A5]: {s.name} sees {bad} of keys that it may not see")
        return wrong

    def neighbours(self, before):
        """What other sequences of a packed batch hold changes nothing: NaN in every second one, at the end of all checks."""
        if not self.case.packed:
            return []
        for s in self.sequences[1::2]:
            for x, at in ((self.q, s.queries), (self.k, s.keys), (self.v, s.keys)):
                x[:, :, at] = math.nan
        after = self.call(self.case.entry)
        self.maker.wait()
        pairs = [(s, name, *(x[name][:, :, s.queries] for x in (before, after))) for s in self.sequences[::2] for name in ("o", "lse") if name in after]
        return [f"{name}: {s.name} sees NaN of another" for s, name, x, y in pairs if not torch.equal(inputs.bits(x), inputs.bits(y))]

    def chosen(self, results):
        """compare.masks of what is selected: of what was given, where it was."""
        counts, indices = (x.cpu().numpy() for x in (self.selection or (results["counts"], results["indices"])))
        if self.case.given:
            indices = numpy.where(numpy.arange(indices.shape[-1]) < counts[..., None], indices, 0)
        return compare.masks(self.case, self.sequences, counts, indices, self.lengths)

    def masks(self):
        """The masks [H, R, J] of a given selection, by sequence."""
        return [torch.from_numpy(mask).to(self.k.device) for mask in self.chosen(None)[1]]

    def compare(self, got, whole):
        wrong, masks = self.chosen(whole)
        if not masks:
            return wrong or ["nothing to compare"], 0, {}
        outputs = compare.Outputs(self.case.entry["dtype"])
        if tuple(got["o"].shape) != (*self.q.shape[:3], self.v.shape[3]) or got["o"].dtype != self.dtype:
            return (
                wrong + [f"o: expected {[*self.q.shape[:3], self.v.shape[3]]} {self.dtype}, got {list(got['o'].shape)} {got['o'].dtype}"],
                0,
                {},
            )
        for s, mask in zip(self.sequences, masks):
            q, k, v = self.q[s.batch, :, s.queries].double(), self.k[s.batch, :, s.keys].double(), self.v[s.batch, :, s.keys].double()
            if not self.case.given:
                wrong += compare.selection(self.case, oracle, s, mask, q, k, self.scale)
            chosen = torch.from_numpy(mask).to(q.device)
            keep = reference.visible(chosen, s.lq, s.lk, self.case.block, self.case.causal, self.case.window)
            lse = got["lse"][s.batch, :, s.queries] if "lse" in got else None
            outputs.add(s, q, k, v, keep, self.scale, got["o"][s.batch, :, s.queries], lse,
                        softcap=self.case.option("softcap", None), sinks=self.sinks,
                        modify=score_mods.of(self.case, s.batch, s.lq, s.lk, self.table))
        return wrong + outputs.verdict(), outputs.rows, outputs.share()


def run_case(case, maker):
    result, begin = dict(runs=0, rows=0, failures=[], share={}), time.monotonic()
    for lengths in case.shapes:
        try:
            wrong, rows, share = Run(case, lengths, maker).check()
        except (unisparse.Error, AssertionError, RuntimeError, ValueError) as error:
            if case.layout != "contiguous" and ".stride(" in str(error):
                return {**result, "refused": str(error)}  # The C interface says which strides it takes.
            wrong, rows, share = [f"{type(error).__name__}: {error}"], 0, {}
        result["runs"] += 1
        result["rows"] += rows
        result["failures"] += [f"{lengths}: {w}" for w in wrong[:5]]
        result["share"] = {n: max(share.get(n, 0.0), result["share"].get(n, 0.0)) for n in {*share, *result["share"]}}
        if wrong and not device.alive(maker.device):
            break
    result["seconds"] = round(time.monotonic() - begin, 2)
    return result


def load(some):
    """Loads every program, several at a time: the driver compiles PTX when it is loaded."""

    def one(entry):
        begin = time.monotonic()
        try:
            program = _program.program_for(programs.configuration(entry))
            said = program.loaded(0).chip
        except unisparse.Error as error:
            said = str(error)
        say("loaded", entry=entry, chip=said, seconds=round(time.monotonic() - begin, 2))

    begin = time.monotonic()
    unique = {json.dumps(e, sort_keys=True): e for case in some for e in (case.entry, case.whole) if e}
    with concurrent.futures.ThreadPoolExecutor(12) as pool:
        list(pool.map(one, unique.values()))
    return time.monotonic() - begin


def run_all(some, refused):
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.zeros(1, device=Cuda.device)
    facts = device.facts()
    facts["reference_agrees_with_oracle"] = reference.against_oracle(oracle)
    maker, left = Cuda(), []
    for case in some:
        names = [programs.configuration(e).file_name() for e in (case.entry, case.whole) if e]
        said = [refused[name] for name in names if name in refused]
        if said:
            failures = [f"the compiler refused it: {said[0]}"] if case.required else []
            say("done", case=case.name, result=dict(runs=0, rows=0, failures=failures, refused=said[0]))
        else:
            left.append(case)
    facts["load_seconds"] = round(load(left), 1)
    say("device", device=facts)
    for case in left:
        say("start", case=case.name)
        result = run_case(case, maker)
        say("done", case=case.name, result=result)
        if result["failures"] and not device.alive(maker.device):
            sys.exit(3)  # The supervisor goes on with a new process.

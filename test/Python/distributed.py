# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# REQUIRES: torch
# RUN: rm -rf %t && env %host_programs %python %s %t
"""Attention of a sequence in parts, by gloo in 2 and 4 processes: what one device gives, bit by bit by heads, and one
error for all where a rank fails."""

import json
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent  # Out of the path: a test there is called cuda, as a module that torch imports.
sys.path[:1] = [str(HERE.parent.parent / "python")]

BASE = dict(p=0.5, block=(32, 32))
# A bias by head and distance, and one by the key's position in the whole.
TABLES = """
    %h = arith.index_cast %head : i32 to index
    %ki = arith.index_cast %k : i32 to index
    %d = arith.subi %q, %k : i32
    %at = arith.index_cast %d : i32 to index
    %b = tensor.extract %bias[%h, %at] : tensor<?x?xf32>
    %n = tensor.extract %parts[%ki] : tensor<?xi32>
    %f = arith.sitofp %n : i32 to f32
    %sum = arith.addf %logit, %b : f32
    %y = arith.addf %sum, %f : f32
    unisparse.yield %y : f32
"""
# Heads, lengths of queries and keys (by rank, and so on in turn), options.
CASES = [
    ("ragged", (8, 2), (40, 71), None, dict(return_lse=True)),
    ("an empty part", (8, 2), (0, 120), None, dict(pooling=(8, 8, 2), p=[0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9])),
    ("chunk behind a prefix", (4, 4), (30, 33), (70, 50), dict(parts="zigzag", agg="sum")),
    ("group", (8, 4), (64, 50), None, dict(share="group", p=[0.3, 0.5, 0.7, 0.9], layout="bshd", out=True)),
    ("not causal", (4, 2), (40, 20), (90, 31), dict(causal=False, top_k=2, parts="zigzag", return_lse=True)),
    ("packed", (4, 2), (50, 60), (60, 70), dict(cu=((0, 20, 20, 81, -1), (0, 30, 35, 96, -1)), layout="bshd", return_lse=True)),
    ("some short", (4, 2), (96, 32), None, dict(dense_below=100, top_k=1, last=2)),
    ("outlying rows", (4, 2), (75, 50), None, dict(representatives=4, spread=4, threshold=0.3, dtype="bfloat16")),
    # The last rows go to the keys, which is where sinks have to join once.
    ("long", (4, 2), (300, 270), None, dict(return_lse=True, sinks=True, window=(500, 0), softcap=5.0)),
    ("positions", (4, 2), (75, 50), (90, 60), dict(causal=False, window=(60, 24), score_mod="alibi", parts="zigzag")),
    ("tables", (4, 2), (90, 70), None, dict(score_mod=TABLES, tables=True, estimate_with_region=True)),
    # Of six heads, slopes are not those of the powers of two.
    ("heads by number", (6, 3), (90, 70), None, dict(score_mod="alibi", estimate_with_region=True, share="group")),
]


class Odd:
    def __iter__(self):
        raise KeyError("odd")


def worker(rank, size, folder):
    import torch
    import torch.distributed as dist

    import unisparse.distributed

    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size)
    mesh = dist.device_mesh.init_device_mesh("cpu", (size,))

    def parts_of(x, lengths, parts):
        from unisparse._shares import segments

        mine = sorted((s for s in segments(lengths, parts) if s.rank == rank), key=lambda s: s.place)
        return torch.cat([x[:, :, s.begin : s.end] for s in mine], 2)

    failures = []
    allocate = unisparse._torch.allocate

    def full_of_holes(torch, sizes, dtype, device):
        return allocate(torch, sizes, dtype, device).fill_(torch.nan if dtype.is_floating_point else -1)

    # What a rank has not got is never read.
    unisparse._torch.allocate = full_of_holes
    # Short sequences come at once; four ranks have them come by parts, as long ones do.
    if size > 2:
        unisparse._shares.PARTED_BYTES = 0
    # Where something came in the first call by rows, all comes in the second.
    small, unisparse._rates.UNASKED = unisparse._shares.ROUND_BYTES, 0.0
    for name, (heads, kv_heads), lq, lk, options in CASES if size > 2 else CASES[2:6]:
        options = {**BASE, **options}
        layout, out, parts = options.pop("layout", "bhsd"), options.pop("out", False), options.pop("parts", "contiguous")
        lq, lk = ([x[r % len(x)] for r in range(size)] for x in (lq, lk or lq))
        generator = torch.Generator().manual_seed(11)
        batch = 1 if "cu" in options else 2
        dtype = getattr(torch, options.pop("dtype", "float32"))
        q, k, v = (torch.randn(batch, h, sum(n), d, generator=generator).to(dtype) for h, n, d in ((heads, lq, 16), (kv_heads, lk, 16), (kv_heads, lk, 8)))
        if cu := options.pop("cu", None):
            options["cu_seqlens"] = tuple(torch.tensor([*one[:-1], sum(n)], dtype=torch.int32) for one, n in zip(cu, (lq, lk)))
        if options.get("sinks"):
            options["sinks"] = torch.linspace(-1, 4, heads)
        if options.pop("tables", False):
            options["score_tables"] = {"bias": torch.randn(heads, 50, generator=generator), "parts": torch.arange(sum(lk), dtype=torch.int32) // 40 % 3}
        # Heads of short sequences come in one round; of two ranks in as many as there may be, as those of long ones do.
        unisparse._shares.ROUND_BYTES = 0 if size == 2 or name == "ragged" else small
        wanted = None
        if rank == 0:
            wanted = unisparse.attention(q, k, v, **options)
        box = [wanted]
        dist.broadcast_object_list(box)
        wanted = box[0] if isinstance(box[0], tuple) else box
        for n, mode in enumerate(("heads", "rows", *["auto"] * 2 * (name == "group"), "rows")):
            mine = [parts_of(x, n, parts) for x, n in ((q, lq), (k, lk), (v, lk))]
            where = None
            if layout == "bshd":
                mine = [x.transpose(1, 2).contiguous() for x in mine]
                mine = [x[0] for x in mine] if cu else mine
                where = torch.full((*mine[0].shape[:-1], 8), torch.nan) if out else None
            group = mesh if mode == "heads" else None
            found = unisparse.distributed.attention(*mine, group=group, mode=mode, parts=parts, layout=layout, out=where, **options)
            found = list(found) if isinstance(found, tuple) else [found]
            told = unisparse.distributed.chosen() if mode == "auto" else None
            # The first call is no measure, and the second, by heads, is one.
            reasons = "each rank takes . of 8 heads, and no call", "by heads [^ ]* ms as calls took, by rows .* ms of steps, .* ms of transfers and .* ms of attention, where [^ ]* of others"
            if told and not re.match(reasons[n - 2], told.reason):
                failures.append(f"{name}: got {told}")
            if where is not None and found[0] is not where:
                failures.append(f"{name}, {mode}: out is not what came back")
            if layout == "bshd":
                found[0] = found[0].transpose(0, 1)[None] if cu else found[0].transpose(1, 2)
            for what, x, y in zip(("o", "lse"), found, wanted):
                y = parts_of(y, lq, parts)
                good = torch.equal(x, y) if mode == "heads" else x.shape == y.shape and torch.allclose(x, y, atol=1e-5 if dtype == torch.float32 else torch.finfo(dtype).eps * y.abs().max().item())  # A3: of the largest.
                if not good:
                    failures.append(f"{name}, {mode}: {what} {tuple(x.shape)} of rank {rank}, expected {tuple(y.shape)}, off by "
                                    f"{(x - y).abs().max().item() if x.shape == y.shape and x.numel() else 0}")  # fmt: skip
        report = unisparse.distributed.report()
        if "ask for blocks" in report.sent or report.came_blocks != report.other_blocks:
            failures.append(f"{name}: expected all blocks to come, got {report}")
        if name == "long" and rank == size - 1 and unisparse.distributed.report().sent["send edges of parts"] == 0:
            failures.append("long: the last rows went nowhere")
    unisparse._shares.ROUND_BYTES, unisparse._rates.UNASKED = small, 0.75
    failures += traffic(rank, size) if size > 2 else hooks(rank, size, mesh) + collectives(rank, size)
    # Wrong calls are one error on all ranks, which goes on working.
    q = torch.randn(1, 4, 32, 16)
    for arguments, options, message in (
        ((q.double() if rank == 1 else q, q, q), {}, "rank 1: q: expected [I1] float32, float16 or bfloat16, got torch.float64"),
        ((q[:, : 4 - 2 * rank], *[q[:, :2]] * 2) if rank < 2 else (q, q[:, :2], q[:, :2]), {}, "rank 1: expected query heads as on rank 0, 4, got 2"),
        ((q, q, q), dict(p=0.5 + 0.1 * rank), "rank 1: expected options as on rank 0, --p=0.5, got --p=0.6"),
        ((q[0], q[0], q[0]) if rank == 1 else (q, q, q), dict(layout="bshd"), "rank 1: q: expected 4 dimensions, [batch, length, heads, head_dim], got 3"),
        ((q, None if rank == 1 else q, q), {}, "rank 1: k: expected a torch tensor or a NumPy array, got NoneType"),
        ((q, q, q), dict(block=Odd()) if rank == 1 else {}, "rank 1: expected to call attention, got KeyError: 'odd'"),
        ((q, q, q), dict(mode="rings"), "rank 0: mode: expected 'heads' or 'rows' or 'auto', got 'rings'"),
        ((q, q, q), dict(score_mod=TABLES, score_tables={"bias": q[0, 0] + (rank == 1), "parts": torch.zeros(3, dtype=torch.int32)}), "rank 1: expected what sinks and score_tables hold as on rank 0, bias 32x16 "),
        ((q, q, q), dict(sinks=torch.full((4,), 1.0 + (rank == 1))), "rank 1: expected what sinks and score_tables hold as on rank 0, sink_logits 4 "),
        ((q, q, q), dict(score_tables={"bias": q[0, 0]}), "rank 0: score_tables: expected [M5] the text of a region as score_mod beside it, got none"),
        ((q, q, q), dict(random=0.5), "rank 0: random: expected [L10] None, as a part knows no numbers of the whole's heads and rows, got 0.5"),
        ((q, q, q), dict(return_selection=True), "rank 0: return_selection: expected an option among p, relax, top_k, threshold"),
        ((torch.cat([q, q], 2), q, q), {}, f"q: expected [I7] no more queries than the {32 * size} keys under causal, got {64 * size}"),
        ((q, q, q), dict(cu_seqlens=torch.tensor([0, 5], dtype=torch.int32)), "cu_seqlens_q: expected [I8] never decreasing entries from 0"),
    ):
        try:
            unisparse.distributed.attention(*arguments, **options)
            failures.append(f"{message}: no error")
        except unisparse.Error as error:
            if message not in str(error):
                failures.append(f"{message}: got {error}")
    try:
        unisparse.distributed.attention(*[q.to("meta")] * 3)
        failures.append("meta: no error")
    except unisparse.Error as error:
        if "q: expected a tensor on a device of the group's backends, " not in str(error):
            failures.append(f"meta: got {error}")
    for mode, when in (("heads", 2), ("rows", 1)):
        failures += fails_later(rank, size, mode, when)
    # What fails in the middle fails everywhere.
    if rank == size - 1:
        os.environ["UNISPARSE_COMPILE"] = "/none/unisparse-compile"
    try:
        unisparse.distributed.attention(q, q, q, scale=0.3, **BASE)
        failures.append("no program: no error")
    except unisparse.Error as error:
        if f"rank {size - 1}: /none/unisparse-compile: expected a program that starts" not in str(error):
            failures.append(f"no program: got {error}")
    told = unisparse.distributed.chosen()
    if told is None or told.mode != "heads" or not told.reason.endswith(" heads, and no call by heads has been timed"):
        failures.append(f"got {told}")
    print(json.dumps(failures))


def fails_later(rank, size, mode, when):
    """A rank has no memory for a first call; then it has, and fails where it attends, by heads in its second round: one error of all, each time."""
    import torch

    import unisparse.distributed

    q, k = torch.randn(1, 8, 64, 16), torch.randn(1, 2 * size, 64, 16)
    call = lambda: unisparse.distributed.attention(q, k, k, mode=mode, p=1, block=(32, 32))
    module, failures, left = unisparse._heads if mode == "heads" else unisparse._rows, [], [0]

    def failing(inner):
        def run(*arguments, **named):
            left[0] -= 1
            if left[0] == 0:
                raise MemoryError("none left")
            return inner(*arguments, **named)

        return run

    name = "attention" if mode == "heads" else "block_sparse_attention"
    rounds, unisparse._shares.ROUND_BYTES = unisparse._shares.ROUND_BYTES, 0
    for owner, what, n in ((module._torch, "allocate", 1), (module._attention, name, when)):
        inner, left[0] = getattr(owner, what), n
        if rank == 1:
            setattr(owner, what, failing(inner))
        try:
            call()
            failures.append(f"{mode}, {what}: no error")
        except unisparse.Error as error:
            if str(error) != "rank 1: expected to attend, got MemoryError: none left":
                failures.append(f"{mode}, {what}: got {error}")
        setattr(owner, what, inner)
    with unisparse._phases.recorded(torch.device("cpu")) as recorder:
        call()
    told = [one["phase"] for one in recorder.told()]
    if told.count("attend") != (2 if mode == "heads" else 4 if size > 2 else 1) or not {"agree: attend", "send heads" if mode == "heads" else "select"} <= set(told):
        failures.append(f"{mode}: got the phases {told}")
    unisparse._shares.ROUND_BYTES = rounds
    return failures


def traffic(rank, size):
    """The first block and those on the diagonal: a rank gets one block of K and V, of each KV head, and no other."""
    import torch

    import unisparse.distributed

    generator = torch.Generator().manual_seed(rank)
    q, k, v = (torch.randn(1, h, 512, 16, generator=generator) for h in (4, 2, 2))
    unisparse.distributed.attention(q, k, v, mode="rows", p=0, block=(32, 32), return_lse=True)
    report = unisparse.distributed.report()
    came, other, block = (2 if rank else 0), 2 * (size - 1) * 16, 2 * 32 * 16 * 4
    failures = []
    if report[:1] + report[2:4] != ("rows", came, other):
        failures.append(f"traffic: expected {came} of {other} blocks, got {report}")
    if report.sent["send keys and values"] != (0 if rank else 2 * (size - 1) * block):
        failures.append(f"traffic: expected bytes of one block to each other rank, got {report}")
    # All keys and values would have been so many.
    if sum(report.sent.values()) > k.nbytes * (size - 1):
        failures.append(f"traffic: expected less than half of all K and V to move, got {report}")
    return failures


def collectives(rank, size):
    """How many a call like an earlier one has, and that a rank which has forgotten what was said hears it again."""
    import torch
    import torch.distributed as dist

    import unisparse.distributed

    generator = torch.Generator().manual_seed(rank)
    # Rows are even, and no last row takes every candidate.
    q, k, v = (torch.randn(1, h, 128, 16, generator=generator) for h in (4, 2, 2))
    options, failures, count = dict(p=0, block=(32, 32), last=0), [], [0]

    def counted(call):
        def run(*arguments, **named):
            count[0] += 1
            return call(*arguments, **named)

        return run

    originals = {name: getattr(dist, name) for name in ("all_gather_into_tensor", "all_to_all_single")}
    for name, call in originals.items():
        setattr(dist, name, counted(call))
    # Where one rank has forgotten them, words for the call and for what came of it are sent again: two more.
    # By rows none sends results, as each keeps its rows; where nobody asks for blocks, none does.
    for mode, unasked, wanted in (("heads", 1.0, (4, 4, 6)), ("rows", 1.0, (6, 6, 8)), ("rows", 0.0, (5, 5, 7))):
        unisparse._rates.UNASKED = unasked
        unisparse.distributed.attention(q, k, v, mode=mode, **options)
        for n, most in enumerate(wanted):
            if n == 2 and rank == 1:
                unisparse._ranks._known.clear()
            count[0] = 0
            unisparse.distributed.attention(q, k, v, mode=mode, **options)
            if count[0] != most:
                failures.append(f"{mode}, call {n}: expected {most} collectives, got {count[0]}")
    for name, call in originals.items():
        setattr(dist, name, call)
    unisparse._rates.UNASKED = 0.75
    return failures


def hooks(rank, size, mesh):
    """Parallelism of others: shards of heads, which need no call of ours, and torch's context_parallel, whose parts are zigzag."""
    import torch
    from torch.distributed.tensor.experimental import context_parallel

    import unisparse.distributed

    generator = torch.Generator().manual_seed(7)
    q, k, v = (torch.randn(2, h, 32 * size, 16, generator=generator) for h in (8, 4, 4))
    p = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8]
    whole, failures = unisparse.attention(q, k, v, p=p, block=(32, 32)), []
    heads, keys = (slice(rank * n // size, (rank + 1) * n // size) for n in (8, 4))
    if not torch.equal(unisparse.attention(q[:, heads], k[:, keys], v[:, keys], p=p[heads], block=(32, 32)), whole[:, heads]):
        failures.append("shards of heads: expected the heads of the whole")
    with context_parallel(mesh, buffers=[q, k, v, whole], buffer_seq_dims=[2, 2, 2, 2]):
        for mode in ("heads", "rows"):
            o = unisparse.distributed.attention(q, k, v, group=mesh, parts="zigzag", mode=mode, p=p, block=(32, 32))
            if not torch.allclose(o, whole, atol=1e-5):
                failures.append(f"context_parallel, {mode}: off by {(o - whole).abs().max().item()}")
    return failures


def lost(rank, size, folder, how):
    """The last rank does not come, or dies, before the call or where it selects."""
    import datetime

    import torch
    import torch.distributed as dist

    import unisparse.distributed

    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=size, timeout=datetime.timedelta(seconds=4))
    q = torch.randn(1, 4, 64, 16)
    dist.barrier()
    if rank == size - 1:
        if how == "dies":
            os._exit(1)
        if how == "dies halfway":
            unisparse._rows._stages.select = lambda *arguments: os._exit(1)
            unisparse.distributed.attention(q, q, q, mode="rows", **BASE)
        time.sleep(9)
        return
    try:
        unisparse.distributed.attention(q, q, q, mode="rows", **BASE)
        print(json.dumps("no error"))
    except unisparse.Error as error:
        print(json.dumps(str(error)), flush=True)
    os._exit(0)


class Distributed(unittest.TestCase):
    def ranks(self, size, *what):
        """-> what each of `size` processes printed, as JSON."""
        folder = TMP / "-".join([str(size), *what])
        folder.mkdir(parents=True)
        command = [sys.executable, __file__, "--", str(size), str(folder), *what]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        running = [subprocess.Popen([*command[:3], str(rank), *command[3:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
                   for rank in range(size)]  # fmt: skip
        results = []
        try:
            for process in running:
                out, err = process.communicate(timeout=300)
                lines = out.strip().splitlines()
                results.append((json.loads(lines[-1]) if lines else None, err[-2000:]))
        finally:
            for process in running:
                process.kill()
        return results

    def check(self, size):
        for failures, err in self.ranks(size, "works"):
            self.assertEqual(failures, [], err)

    def test_two(self):
        self.check(2)

    def test_four(self):
        self.check(4)

    def test_lost(self):
        for how, what in (("dies", "call attention"), ("dies halfway", "tell what was selected"), ("sleeps", "call attention")):
            with self.subTest(how):
                results = self.ranks(3, how)
                for (said, err) in results[:2]:
                    self.assertRegex(said or err, f"^rank 2: expected to {what}, got ")

    def test_refused(self):
        import torch

        import unisparse.distributed

        with self.assertRaisesRegex(unisparse.Error, "^group: expected torch.distributed.init_process_group to have been called, got none$"):
            unisparse.distributed.attention(*[torch.zeros(1, 1, 1, 1)] * 3)


if __name__ == "__main__":
    if "--" in sys.argv:
        _, _, rank, size, folder, what = sys.argv
        worker(int(rank), int(size), folder) if what == "works" else lost(int(rank), int(size), folder, what)
    else:
        TMP = pathlib.Path(sys.argv.pop())
        unittest.main()

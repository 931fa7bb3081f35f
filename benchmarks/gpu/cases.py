# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The correctness matrix: which configurations are compiled, and on which lengths each runs. Needs neither
torch nor a GPU.

A case's `entry` is what programs.configuration takes. Its `shapes` are lists of sequences [(Lq, Lk), ...]: one sequence
unless packed.
"""

import dataclasses
import itertools
from typing import Optional, Tuple

import adversaries
import score_mods


@dataclasses.dataclass
class Case:
    name: str
    entry: dict
    shapes: list
    batch: int = 1
    layout: str = "contiguous"  # How q, k and v lie in memory: inputs.py.
    gain: float = 1.0  # Factor of q.
    required: bool = True  # False: the compiler may refuse it, in words.
    whole: Optional[dict] = None  # The entry that also returns LSE and selection, where this one does not.
    fill: Tuple[float, float] = (0.5, 0.2)  # Given selections: share of blocks, share of empty rows.
    pattern: str = "random"  # Given selections: one of patterns.py.
    measured: dict = dataclasses.field(default_factory=dict)  # Options that are not given, and what they have to become.

    @property
    def dense(self):
        """Every block, in a program that takes no selection: programs.py."""
        return self.entry.get("dense", False)

    @property
    def given(self):
        """Is the selection known beforehand?"""
        return "selection_heads" in self.entry or self.dense

    @property
    def packed(self):
        return self.entry.get("packed", False)

    def option(self, name, default):
        return self.entry.get(name, self.measured.get(name, default))

    @property
    def block(self):
        return tuple(self.option("block", (128, 128)))

    @property
    def causal(self):
        return self.option("causal", True)

    @property
    def window(self):
        """M2: -1 for no limit."""
        return tuple(self.option("window", (-1, -1)))


def lengths(block, causal=True, long=0):
    """Every length around multiples of the block, chunks of longer prefills, and without causality more queries than keys."""
    bq, bk = block
    b = max(block)
    same = sorted({1, 2, *(n + d for n in (bq, bk, 2 * b) for d in (-1, 0, 1))})
    shapes = [(n, n) for n in same] + [(1, 2 * b + 1), (2, bk), (bq + 1, 3 * bk - 1), (bq, 5 * bk), (bq - 1, 2 * bk + 7)]
    if not causal:
        shapes += [(2 * b + 1, bk - 1), (5, 1), (3 * bq, 2)]
    if long:
        shapes += [(long * b + 3, long * b + 3), (3 * b, long * b + 5)]
    return [[(lq, lk)] for lq, lk in shapes if not causal or lq <= lk]  # I7


PACKED = [
    [(5, 5), (0, 0), (130, 200), (64, 64), (1, 129)],
    [(128, 128)],
    [(0, 0), (257, 257), (0, 0), (0, 0)],
    [(127, 300), (129, 129), (1, 1), (256, 256), (2, 400)],
    [(1, 1)] * 7,
]
PACKED_FULL = PACKED + [[(300, 40), (20, 0), (7, 300)]]


class Matrix:
    """Builds cases from a base entry, so that each line below says what is different about it."""

    def __init__(self):
        self.cases = []

    def add(
        self,
        name,
        heads="4:2",
        dim=128,
        dtype="bf16",
        shapes=None,
        long=0,
        batch=1,
        layout="contiguous",
        gain=1.0,
        required=True,
        fill=(0.5, 0.2),
        pattern="random",
        measured=None,
        **options,
    ):
        hq, hkv = map(int, heads.split(":"))
        d, dv = dim if isinstance(dim, tuple) else (dim, dim)
        entry = dict(heads=hq, kv_heads=hkv, head_dim=d, value_dim=dv, dtype=dtype, return_lse=True)
        given = "selection_heads" in options or "dense" in options
        if not given:
            # The plain form, so that each line says what it adds to it.
            entry.update(return_selection=True, p=0.8, representatives=0, spread=0, last=0)
            for option in measured or ():
                entry.pop(option, None)
            if {"top_k", "threshold", "random"} & options.keys():
                del entry["p"]
        entry.update(options)
        whole = (
            None if given or entry["return_lse"] and entry["return_selection"] else {**entry, "return_lse": True, "return_selection": True}
        )
        case = Case(name, entry, shapes, batch, layout, gain, required, whole, fill, pattern, measured or {})
        if shapes is None:
            case.shapes = (PACKED if case.causal or case.window != (-1, -1) else PACKED_FULL) if case.packed else lengths(case.block, case.causal or case.window != (-1, -1), long)
        assert all(c.name != name for c in self.cases), name
        self.cases.append(case)


def kernels(m):
    """Element types, head counts and dimensions: which kernels are made."""
    heads = ("4:2", "8:2", "4:1")
    for t, dtype in enumerate(("bf16", "f16", "f32")):
        for n, dim in enumerate((64, 96, 128)):
            m.add(f"{dtype} d{dim}", heads[(t + n) % 3], dim, dtype, long=8 if dim == 128 else 0, required=dtype != "f32")
            m.add(f"{dtype} d{dim} full", heads[(t + n + 1) % 3], dim, dtype, causal=False, required=dtype != "f32")
    for h in ("4:4", "8:2", "6:3", "1:1", "8:1"):
        m.add(f"heads {h}", h, batch=2, long=4)
    for dim in (16, 32, 40, 80, 192, 256):
        m.add(f"d{dim}", dim=dim, required=dim in (32, 192, 256), shapes=lengths((128, 128))[::2])
    m.add("f16 d40 full", dim=40, dtype="f16", causal=False, required=False)
    for dim in ((128, 64), (64, 128), (96, 32), (192, 128), (64, 40)):
        m.add(f"d{dim[0]} dv{dim[1]}", dim=dim, required=dim != (64, 40))
    m.add("f16 d128 dv64 full", dim=(128, 64), dtype="f16", causal=False)


def blocks(m):
    for block, pooling, dim, required in (
        ((64, 64), (8, 8), 128, True),
        ((64, 128), (8, 8), 128, True),
        ((128, 64), (8, 8), 64, True),
        ((16, 16), (8, 8), 64, True),
        ((16, 16), (1, 1), 128, False),
        ((48, 80), (8, 8), 64, True),
        ((48, 80), (16, 16), 128, False),
        ((32, 64), (4, 8), 96, True),
        ((64, 32), (32, 32), 128, False),
        ((256, 128), (8, 8), 64, False),
        ((128, 256), (8, 8), 64, False),
        ((112, 48), (8, 8), 64, False),
    ):
        name = "block {}x{} pool {}x{}".format(*block, *pooling)
        m.add(name, dim=dim, block=block, pooling=pooling, long=10, required=required)
        m.add(name + " full f16", "4:4", 64, "f16", block=block, pooling=pooling, causal=False, required=required)


def estimates(m):
    """Pooling, scoring, selecting: with enough blocks that a choice is to be made."""
    few = lengths((128, 128), long=10)[::2] + [[(1283, 1283)]]
    for n, (cq, ck) in enumerate(((1, 1), (2, 2), (4, 4), (16, 16), (32, 32), (8, 4), (4, 16), (1, 32), (32, 1))):
        m.add(f"pool {cq}x{ck}", pooling=(cq, ck), agg=("max", "sum")[n % 2], shapes=few, required=(cq, ck) not in ((1, 32), (32, 1)))
    for heads, ch in (("8:2", 2), ("8:2", 4), ("8:2", 8), ("4:4", 2), ("4:1", 2)):
        m.add(f"pooled heads {ch} of {heads}", heads, 64, pooling=(8, 8, ch), shapes=few)
    m.add("pooled heads, sum", "8:2", pooling=(8, 8, 4), agg="sum", shapes=few, p=0.9)
    m.add("sum", "8:2", agg="sum", p=0.9, long=10, batch=2)
    m.add("sum f16 full", "4:2", 64, "f16", agg="sum", p=0.6, causal=False, long=10)
    m.add("group", "8:2", share="group", shapes=few)
    m.add("group sum", "8:2", 64, share="group", agg="sum", p=0.9, shapes=few)
    m.add("group p per head", "8:2", share="group", p=[0.3, 0.9], shapes=few)
    m.add("group of pooled heads", "8:2", 64, share="group", pooling=(8, 8, 2), shapes=few)
    for p in (0.0, 0.3, 0.8, 0.9, 1.0):
        m.add(f"p {p}", "8:2", p=p, shapes=few)
    m.add("p per head", "4:2", p=[0.0, 0.3, 0.9, 1.0], shapes=few)
    m.add("p per head of pooled heads", "4:2", p=[0.2, 0.4, 0.6, 0.9], pooling=(8, 8, 2), shapes=few)
    for k in (1, 3, 5, 100):
        m.add(f"top-k {k}", "8:2", 64, top_k=k, long=10)
    m.add("top-k 2 full, no sink", top_k=2, causal=False, sink=0, long=10)
    for name, guards in (
        ("no forced", dict(sink=0, local=0)),
        ("no local", dict(local=0, p=0.3)),
        ("sink 2 local 3", dict(sink=2, local=3, p=0.3)),
        ("min 4", dict(min_blocks=4, p=0.3)),
        ("min 3 p 0", dict(min_blocks=3, p=0.0)),
        ("max 0", dict(max_blocks=0)),
        ("max 2", dict(max_blocks=2, p=0.95)),
        ("min 5 max 1", dict(min_blocks=5, max_blocks=1)),
        ("top-k 5 max 2", dict(top_k=5, max_blocks=2)),
        ("p 1 max 3", dict(p=1.0, max_blocks=3)),
    ):
        m.add(name, dim=64, block=(64, 64), long=12, **guards)
    m.add(
        "small blocks, many",
        "4:2",
        64,
        block=(16, 16),
        pooling=(4, 4),
        p=0.9,
        shapes=[[(n, n)] for n in (500, 1023, 2050)] + [[(33, 4000)]],
    )
    m.add("dense below 300", dense_below=300, p=0.2, shapes=[[(n, n)] for n in (1, 128, 299, 300, 301, 600)] + [[(5, 300)], [(5, 301)]])
    m.add("scale .3", dim=64, scale=0.3, shapes=few)
    m.add("scale negative", dim=64, scale=-0.05, shapes=few)
    m.add("alpha .5", alpha=0.5, shapes=few)
    m.add("alpha 3 sum", "8:2", 64, alpha=3.0, agg="sum", shapes=few)


def outliers(m):
    """Representatives and spread (P5, P6), and the rules beside p (L8 to L10)."""
    few = [[(1, 1)], [(130, 300)], [(257, 257)], [(700, 700)], [(1283, 1283)]]
    policy = dict(representatives=16, spread=1, last=1, p=0.7)
    for dtype in ("bf16", "f16", "f32"):
        m.add(f"policy {dtype}", "4:2", (128, 128, 64)[("bf16", "f16", "f32").index(dtype)], dtype, shapes=few, required=dtype != "f32", **policy)
    m.add("policy full", "8:2", 64, causal=False, shapes=few, batch=2, **policy)
    m.add("policy packed", "4:2", 64, packed=True, **policy)
    m.add("policy group", "8:2", 64, share="group", shapes=few, **policy)
    m.add("policy 64x64", "4:2", 128, block=(64, 64), shapes=few, **policy)
    # What a call without options gets.
    measured = dict(p=0.8, relax=0.5, representatives=16, spread=4, last=1)
    long = [[(n, n)] for n in (700, 4100, 9000)] + [[(300, 20000)]]
    m.add("relax", "2:1", 64, relax=0.5, shapes=long)
    m.add("relax per head, full", "2:1", 64, p=[0.5, 1.0], relax=0.9, causal=False, shapes=long[:3])
    m.add("measured, long", "2:1", 64, measured=measured, shapes=long)
    for dtype, dim in (("bf16", 128), ("bf16", 80), ("f16", 64), ("f32", 64)):
        spread = 2 if dim == 80 else 4
        m.add(f"measured {dtype} d{dim}", "8:2", dim, dtype, measured=dict(measured, spread=spread), shapes=few, required=dim != 80 and dtype != "f32")
    m.add("measured d256", "4:1", 256, measured=measured, shapes=few)
    m.add("measured full", "4:2", 64, measured=dict(measured, last=0), causal=False, shapes=few, batch=2)
    m.add("measured packed", "4:2", 128, measured=measured, packed=True)
    m.add("measured sum", "4:2", 64, measured=dict(measured, representatives=0), agg="sum", shapes=few)
    for t in (1, 5, 8, 64, 112):
        m.add(f"representatives {t}", "4:2", 64, representatives=t, shapes=few)
    m.add("representatives of pooled heads", "8:2", 64, representatives=8, pooling=(8, 8, 2), shapes=few)
    m.add("representatives packed 48x80", "4:2", 64, block=(48, 80), representatives=10, packed=True, required=False)
    m.add("more representatives than rows", "4:2", 64, block=(16, 16), pooling=(4, 4), representatives=16, shapes=few, required=False)
    for s in (2, 4, 16):
        m.add(f"spread {s}", "4:2", 128, spread=s, shapes=few, required=s != 16)
    # Composites of more than 256 columns.
    for s in (1, 4):
        m.add(f"spread {s} d256", "4:1", 256, representatives=16, spread=s, last=1, p=0.7, shapes=few)
    m.add("spread sum", "8:2", 64, spread=4, agg="sum", shapes=few)
    for gain in (8.0, 100.0):
        m.add(f"policy gain {gain:g} f16", "4:2", 64, "f16", gain=gain, shapes=few, **policy)
    for rule in (dict(threshold=0.1), dict(threshold=0.001, sink=0, local=0), dict(random=0.3, seed=7), dict(random=0.5), dict(last=3), dict(top_k=2, last=1)):
        name = " ".join(f"{k} {v}" for k, v in rule.items())
        m.add(name, "8:2", 64, block=(64, 64), long=10, **rule)
        m.add(name + " packed", "4:2", 64, block=(64, 64), packed=True, **rule)
    m.add("random of groups", "8:2", 64, share="group", random=0.3, shapes=few, batch=2)
    m.add("random full", "4:2", 64, causal=False, random=0.4, shapes=few, batch=2)


def packed(m):
    for n, dtype in enumerate(("bf16", "f16", "f32")):
        m.add(f"packed {dtype}", "4:2", (128, 64, 64)[n], dtype, packed=True, required=dtype != "f32")
        m.add(f"packed {dtype} full", "4:2", (64, 128, 64)[n], dtype, packed=True, causal=False, required=dtype != "f32")
    m.add("packed 64x128", "8:2", 64, block=(64, 128), packed=True, p=0.5)
    m.add("packed 48x80", "4:2", 64, block=(48, 80), packed=True, p=0.5)
    m.add("packed pooled heads, sum", "8:2", 64, block=(64, 64), pooling=(4, 8, 2), agg="sum", packed=True)
    m.add("packed group top-k", "8:2", 64, block=(32, 32), share="group", top_k=3, packed=True)
    m.add("packed p per head", "4:2", 64, block=(32, 32), p=[0.0, 0.5, 0.9, 1.0], packed=True)
    m.add("packed guards", "4:2", 64, block=(32, 32), sink=2, local=2, min_blocks=3, max_blocks=4, packed=True)
    m.add("packed dense below", "4:2", 64, block=(32, 32), dense_below=130, p=0.2, packed=True)


def memory(m):
    """Strides, magnitudes, results left out."""
    shapes = [[(1, 1)], [(127, 127)], [(129, 129)], [(130, 300)], [(257, 257)], [(700, 700)]]
    for layout in ("blhd", "fused", "padded"):
        m.add(f"layout {layout}", "8:2", layout=layout, shapes=shapes, batch=2)
        m.add(f"layout {layout} d64 f16 full", "4:4", 64, "f16", layout=layout, shapes=shapes, causal=False)
        m.add(f"layout {layout} packed", "4:2", 64, layout=layout, block=(64, 64), packed=True)
    for gain in (8.0, 100.0):
        m.add(f"gain {gain:g}", "8:2", gain=gain, shapes=shapes)
        m.add(f"gain {gain:g} f16 full", "4:2", 64, "f16", gain=gain, shapes=shapes, causal=False)
    m.add("o alone", "8:2", shapes=shapes, return_lse=False, return_selection=False)
    m.add("o and lse", "8:2", shapes=shapes, return_selection=False)
    m.add("o and selection", "8:2", 64, shapes=shapes, return_lse=False)
    m.add("empty batch of queries", "4:2", 64, shapes=[[(0, 5)], [(0, 0)]])
    m.add("no keys", "4:2", 64, causal=False, shapes=[[(130, 0)], [(5, 300)]])


def given(m):
    """Selections from outside (A4): any blocks, empty rows."""
    for t, dtype in enumerate(("bf16", "f16", "f32")):
        for dim in (64, 128):
            for causal in (True, False):
                m.add(
                    f"given {dtype} d{dim}" + " full" * (not causal),
                    "4:2",
                    dim,
                    dtype,
                    selection_heads=(4, 2, 4)[t],
                    causal=causal,
                    long=6,
                    batch=2,
                    required=dtype != "f32",
                )
    for block in ((64, 64), (64, 128), (128, 64), (16, 16), (48, 80)):
        m.add("given {}x{}".format(*block), "8:2", 64, selection_heads=8, block=block, long=8, fill=(0.3, 0.3))
    m.add("given sparse", "8:2", selection_heads=8, fill=(0.1, 0.0), long=10)
    m.add("given all", "8:2", selection_heads=2, fill=(1.0, 0.0), long=4)
    m.add("given nothing", "4:2", selection_heads=4, fill=(0.0, 1.0))
    # Blocks of which some rows of a query block see nothing, all do, or none: what they may not see is not finite then (A5).
    for name, block, pattern in (("half blind", (128, 64), "last block"), ("blind", (64, 64), "behind"), ("diagonal", (64, 128), "diagonal")):
        m.add(f"given {name}", "4:2", selection_heads=4, block=block, pattern=pattern, batch=2)
        m.add(f"given {name} packed", "4:2", 64, "f16", selection_heads=2, block=block, pattern=pattern, packed=True)
    m.add("given blind f32", "4:2", 64, "f32", selection_heads=4, block=(64, 64), pattern="behind", required=False)
    m.add("given no lse", "4:2", 64, selection_heads=4, return_lse=False)
    m.add("given dv", "4:2", (128, 64), selection_heads=4)
    m.add("given d80 dv32", "4:2", (80, 32), selection_heads=2, block=(64, 64))
    m.add("given d96 f16 full 128x64", "4:4", 96, "f16", selection_heads=4, block=(128, 64), causal=False)
    for gain in (8.0, 100.0):
        m.add(f"given gain {gain:g}", "8:2", selection_heads=8, gain=gain)
    m.add("given packed", "4:2", selection_heads=4, packed=True)
    m.add("given packed d96 f16", "4:2", (96, 64), "f16", selection_heads=2, block=(64, 64), packed=True)
    m.add("given packed full", "4:2", 64, selection_heads=2, block=(64, 64), packed=True, causal=False)
    for layout in ("blhd", "padded"):
        m.add(f"given layout {layout}", "4:2", selection_heads=4, layout=layout, batch=2)


MODIFICATIONS = {
    "softcap": dict(softcap=4.0),
    "window": dict(window=(150, 40)),
    "sinks": dict(sinks=True),
}


def modifications(m):
    """Soft cap, window, sinks (M1 to M3): each and in pairs and all, by kernels, selections and layouts."""
    together = [names for n in (1, 2, 3) for names in itertools.combinations(MODIFICATIONS, n)]
    few = [[(1, 1)], [(130, 300)], [(257, 257)], [(700, 700)], [(64, 1283)]]
    for n, names in enumerate(together):
        what, options = " ".join(names), {k: v for name in names for k, v in MODIFICATIONS[name].items()}
        for t, dtype in enumerate(("bf16", "f16", "f32")):
            dim, required = (128, 64, 64)[(n + t) % 3], dtype != "f32"
            m.add(f"{what} {dtype}", ("4:2", "8:2", "4:1")[(n + t) % 3], dim, dtype, shapes=few, required=required, **options)
            m.add(f"{what} {dtype} full", "4:2", dim, dtype, shapes=few, causal=False, required=required, **options)
        m.add(f"{what} given", "4:2", 128, selection_heads=4, batch=2, shapes=few, **options)
        m.add(f"{what} given full 64x64", "4:2", 64, "f16", selection_heads=2, block=(64, 64), causal=False, shapes=few, **options)
        m.add(f"{what} packed", "4:2", 64, packed=True, **options)
        m.add(f"{what} packed given full", "4:2", 128, selection_heads=4, packed=True, causal=False, block=(64, 128), **options)
        m.add(f"{what} dense", "4:2", 64, dense=True, pattern="all", shapes=few, **options)
    every = {k: v for options in MODIFICATIONS.values() for k, v in options.items()}
    for dim in (96, 192, 256, (128, 64), (64, 128)):
        m.add(f"modified d{dim}", "4:2", dim, shapes=few, **every)
    m.add("modified policy", "4:2", 128, representatives=16, spread=1, last=1, shapes=few, **every)
    m.add("modified policy packed", "4:2", 64, representatives=16, spread=1, last=1, packed=True, **every)
    m.add("modified 48x80", "4:2", 64, block=(48, 80), shapes=few, required=False, **every)
    m.add("modified 128x256", "4:2", 64, block=(128, 256), shapes=few, required=False, **every)
    m.add("modified group", "8:2", share="group", shapes=few, **every)
    m.add("modified negative scale", "4:2", 64, scale=-0.05, shapes=few, **every)
    for window in ((0, -1), (-1, 0), (127, 0), (128, 128), (1000, -1), (31, 500)):
        for causal in (True, False):
            name = "window {} {}".format(*window) + " full" * (not causal)
            m.add(name, "4:2", 64, window=window, causal=causal, long=10)
            m.add(f"{name} given", "4:2", 128, "f16", window=window, causal=causal, selection_heads=4, long=10)
    for rule in (dict(top_k=2), dict(threshold=0.1), dict(random=0.4, seed=5), dict(last=2), dict(sink=2, local=3)):
        name = "window " + " ".join(f"{k} {v}" for k, v in rule.items())
        m.add(name, "8:2", 64, block=(64, 64), window=(300, 100), causal=False, shapes=few, **rule)
    for gain in (8.0, 100.0):
        m.add(f"softcap gain {gain:g}", "4:2", softcap=50.0, gain=gain, shapes=few)
        # References that are settled far from all that a row may have, up to the largest cap that has one, and beyond.
        for cap, dim, options in (
            (50.0, 64, dict(causal=False, sinks=True)),
            (50.0, 256, dict(selection_heads=4)),
            (50.0, 128, dict(packed=True, window=(300, -1))),
            (53.0, 128, dict(selection_heads=2, causal=False)),
            (53.0, 96, dict(packed=True, causal=False, sinks=True)),
            (60.0, 128, dict(sinks=True)),
            (50.0, 128, dict(dtype="f16")),
        ):
            m.add(f"softcap {cap:g} gain {gain:g} d{dim} {' '.join(options)}", "4:2", dim, softcap=cap, gain=gain, shapes=None if options.get("packed") else few, **options)


def regions(m):
    """Any function of a logit and its place (M5): by kernels, layouts and head_dims, beside the other modifications."""
    few = [[(1, 1)], [(130, 300)], [(257, 257)], [(700, 700)], [(64, 1283)]]
    full = [*few, [(300, 130)]]
    for n, (what, text) in enumerate((("alibi", "alibi"), ("log", score_mods.LOG), ("even", score_mods.EVEN), ("square", score_mods.SQUARE))):
        more = dict(score_mod=text)
        for t, dtype in enumerate(("bf16", "f16", "f32")):
            dim, required = (128, 64, 64)[(n + t) % 3], dtype != "f32"
            m.add(f"region {what} {dtype}", ("4:2", "8:2", "6:3")[(n + t) % 3], dim, dtype, shapes=few, required=required, **more)
            m.add(f"region {what} {dtype} full", "4:1", dim, dtype, shapes=full, causal=False, required=required, **more)
        m.add(f"region {what} given", "4:2", 128, selection_heads=4, batch=2, shapes=few, **more)
        m.add(f"region {what} packed", "4:2", 64, packed=True, **more)
        m.add(f"region {what} packed given full", "4:2", 128, selection_heads=4, packed=True, causal=False, block=(64, 128), **more)
    for dim in (96, 192, 256, (128, 64)):
        m.add(f"region alibi d{dim}", "8:2", dim, shapes=few, score_mod="alibi")
        m.add(f"region log full d{dim}", "4:2", dim, "f16", causal=False, shapes=full, score_mod=score_mods.LOG)
    every = {k: v for options in MODIFICATIONS.values() for k, v in options.items()}
    for what, text in (("alibi", "alibi"), ("square", score_mods.SQUARE)):
        m.add(f"region {what} modified", "4:2", 128, shapes=few, score_mod=text, **every)
        m.add(f"region {what} modified packed", "4:2", 64, packed=True, score_mod=text, **every)
    m.add("region alibi 48x80", "4:2", 64, block=(48, 80), shapes=few, required=False, score_mod="alibi")
    m.add("region alibi negative scale", "4:2", 64, scale=-0.05, shapes=few, score_mod="alibi")
    # The estimate with the region (M6), by means alone and by what a call without options gets.
    measured = dict(p=0.8, relax=0.5, representatives=16, spread=4, last=1)
    for n, (what, text) in enumerate((("alibi", "alibi"), ("log", score_mods.LOG), ("square", score_mods.SQUARE))):
        more = dict(score_mod=text, estimate_with_region=True)
        for t, dtype in enumerate(("bf16", "f16", "f32")):
            dim, required = (128, 64, 64)[(n + t) % 3], dtype != "f32"
            m.add(f"estimate {what} {dtype}", ("4:2", "8:2", "6:3")[(n + t) % 3], dim, dtype, shapes=few, required=required, **more)
            m.add(f"estimate {what} {dtype} measured", "4:2", 64, dtype, measured=measured, shapes=few, required=required, **more)
        m.add(f"estimate {what} full", "4:1", 64, causal=False, batch=2, shapes=full, **more)
        m.add(f"estimate {what} packed", "4:2", 128, packed=True, measured=measured, **more)
        m.add(f"estimate {what} sum 64x64", "4:2", 64, block=(64, 64), agg="sum", shapes=few, softcap=4.0, window=(400, 40), **more)
    for heads in ("4:2", "6:3", "4:4"):
        for causal in (True, False):
            name = f"region table {heads}" + " full" * (not causal)
            m.add(name, heads, 128, dense=True, table=True, pattern="all", shapes=few, causal=causal)
            m.add(f"{name} f16 packed", heads, 64, "f16", dense=True, table=True, pattern="all", packed=True, causal=causal)
    for dim in (64, 192, 256):
        m.add(f"region table d{dim}", "4:2", dim, dense=True, table=True, pattern="all", shapes=few)


def matrix():
    m = Matrix()
    for part in (kernels, blocks, estimates, outliers, packed, memory, given, modifications, regions, adversaries.large_heads, adversaries.pairs, adversaries.patterned):
        part(m)
    return m.cases


def sanitize():
    """Few and small, and every kernel: for compute-sanitizer, under which a launch costs a hundred times as much."""
    m = Matrix()
    some = [[(130, 200)]]
    m.add("bf16", "2:1", 128, shapes=some + [[(257, 257)]])
    m.add("f16 full", "2:1", 64, "f16", shapes=some, causal=False, agg="sum")
    m.add("blocks", "2:1", 64, block=(64, 64), pooling=(8, 8, 2), shapes=some)
    m.add("packed group", "2:1", 64, block=(64, 64), share="group", packed=True, shapes=[[(5, 5), (0, 0), (130, 200)]])
    m.add("top-k", "2:1", 128, top_k=2, shapes=[[(300, 300)]])
    m.add("given", "2:1", 128, selection_heads=2, shapes=some)
    m.add("given d256", "2:1", 256, selection_heads=2, shapes=some)
    m.add("d192 dv128", "2:1", (192, 128), "f16", shapes=some)
    m.add("group", "4:2", share="group", shapes=some)
    m.add("dense", "4:2", dense=True, pattern="all", shapes=some)
    m.add("policy", "2:1", 64, representatives=16, spread=1, last=1, p=0.7, shapes=some)
    m.add("policy packed", "2:1", 64, representatives=16, spread=1, last=1, p=0.7, packed=True, shapes=[[(5, 5), (0, 0), (130, 200)]])
    m.add("threshold", "2:1", 64, threshold=0.1, shapes=some)
    m.add("random", "2:1", 64, random=0.3, shapes=some)
    m.add("f32", "2:1", 64, "f32", shapes=some, required=False)
    m.add("modified", "2:1", 64, softcap=4.0, window=(150, 40), sinks=True, causal=False, shapes=some)
    m.add("modified packed", "2:1", 64, softcap=4.0, window=(70, -1), sinks=True, packed=True, shapes=[[(5, 5), (0, 0), (130, 200)]])
    m.add("region", "2:1", 128, score_mod="alibi", shapes=some)
    m.add("estimate region", "2:1", 64, score_mod="alibi", estimate_with_region=True, representatives=16, spread=4, last=1, p=0.7, shapes=some)
    m.add("estimate region f32", "2:1", 64, "f32", score_mod="alibi", estimate_with_region=True, shapes=some, required=False)
    return m.cases


def long():
    """What gpu_matrix.py long compares between two chips' artifacts."""
    m, whole = Matrix(), [[(131072, 131072)]]
    for pattern in ("random", "uneven"):
        drawn = dict(pattern=pattern, fill=(0.1, 0.0), shapes=whole)
        m.add(f"long {pattern}", "32:8", selection_heads=32, **drawn)
        m.add(f"long {pattern} shared", "32:8", selection_heads=8, **drawn)
    m.add("long dense", "32:8", dense=True, pattern="all", shapes=whole)
    return m.cases


if __name__ == "__main__":
    cases = matrix()
    print(len(cases), "cases,", len({repr(sorted(c.entry.items())) for c in cases}), "programs,", sum(len(c.shapes) for c in cases), "runs")

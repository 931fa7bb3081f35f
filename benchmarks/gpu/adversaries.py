# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cases of the matrix that a schedule of work over multiprocessors may stumble on: large heads, heads that read the same
blocks, uneven selections. m: a cases.Matrix."""

import patterns


def large_heads(m):
    """Heads so large that tiles of shared memory become few."""
    few = [[(1, 1)], [(64, 64)], [(127, 127)], [(130, 300)], [(257, 257)], [(700, 700)], [(65, 1100)]]
    for name, dim, dtype, options in (
        ("bf16 d256 full", 256, "bf16", dict(causal=False)),
        ("f16 d192 full", 192, "f16", dict(causal=False)),
        ("f16 d256 64x64", 256, "f16", dict(block=(64, 64))),
        ("bf16 d192 128x64", 192, "bf16", dict(block=(128, 64))),
        ("f16 d192 dv128 full", (192, 128), "f16", dict(causal=False)),
        ("f16 d256 dv128 128x64", (256, 128), "f16", dict(block=(128, 64))),
        ("f16 d128 dv256", (128, 256), "f16", {}),
        ("group d256", 256, "bf16", dict(share="group")),
        ("packed d256 f16", 256, "f16", dict(packed=True)),
        ("given bf16 d256", 256, "bf16", dict(selection_heads=4, batch=2)),
        ("given f16 d192 full", 192, "f16", dict(selection_heads=2, causal=False)),
        ("given shared f16 d256 128x64", 256, "f16", dict(selection_heads=2, block=(128, 64))),
        ("given bf16 d256 dv128 full", (256, 128), "bf16", dict(selection_heads=4, causal=False)),
        ("given bf16 d128 dv256 64x64", (128, 256), "bf16", dict(selection_heads=4, block=(64, 64))),
        ("given packed bf16 d192 dv128", (192, 128), "bf16", dict(selection_heads=2, packed=True)),
    ):
        m.add(name, "4:2", dim, dtype, shapes=None if options.get("packed") else few, **options)
    for pattern in ("uneven", "one head", "behind", "runs"):
        m.add(f"given {pattern} d256", dim=256, selection_heads=4, pattern=pattern, batch=2, shapes=few + [[(3000, 3000)]])


def pairs(m):
    """Query heads that read the same blocks: all of them, or those that a KV group shares. Odd rows, odd groups, odd batches."""
    one_row = [[(1, 1)], [(60, 60)], [(1, 300)]]
    for name, heads, options in (
        ("4:1", "4:1", dict(batch=3)),
        ("8:2 f16 full", "8:2", dict(dim=64, dtype="f16", causal=False)),
        ("6:3 128x64", "6:3", dict(batch=3, block=(128, 64))),
        ("6:2 packed", "6:2", dict(packed=True)),
        ("2:1 64x64 f16", "2:1", dict(block=(64, 64), dtype="f16")),
        ("8:2 packed full", "8:2", dict(dim=64, packed=True, causal=False, block=(64, 128))),
        ("4:2 d256", "4:2", dict(dim=256)),
    ):
        m.add(f"dense {name}", heads, dense=True, pattern="all", long=0 if options.get("packed") else 5, **options)
    for name, heads, options in (
        ("2:1", "2:1", dict(batch=3)),
        ("4:1 f16 full", "4:1", dict(dim=64, dtype="f16", causal=False, batch=3)),
        ("6:2", "6:2", dict(dtype="f16", batch=3)),
        ("6:3 128x64", "6:3", dict(dim=64, block=(128, 64))),
        ("6:2 packed", "6:2", dict(packed=True)),
    ):
        shared = dict(selection_heads=int(heads[2]), **options)
        m.add(f"shared {name}", heads, long=0 if options.get("packed") else 5, **shared)
        m.add(f"shared all {name}", heads, pattern="all", **shared)
        m.add(f"shared uneven {name}", heads, pattern="uneven", long=0 if options.get("packed") else 5, **shared)
        if not options.get("packed"):
            m.add(f"shared one row {name}", heads, pattern="all", shapes=one_row, **shared)
    m.add("group 2:1", "2:1", share="group", batch=3, long=5)
    m.add("group 6:2 packed f16", "6:2", 64, "f16", share="group", packed=True)


# Each kind of work meets each of these. 5000 tokens: more rows than all multiprocessors hold at a time.
ADVERSARIES = (
    ("bf16 128x128", "8:4", dict(block=(128, 128), selection_heads=8)),
    ("f16 128x128 full shared", "8:2", dict(dtype="f16", block=(128, 128), selection_heads=2, causal=False)),
    ("bf16 64x64 shared", "8:2", dict(block=(64, 64), selection_heads=2)),
    ("f16 64x64 full", "8:4", dict(dim=64, dtype="f16", block=(64, 64), selection_heads=8, causal=False)),
    ("bf16 128x64 full packed", "8:2", dict(block=(128, 64), selection_heads=8, packed=True, causal=False)),
    ("f16 128x64 shared", "8:4", dict(dtype="f16", block=(128, 64), selection_heads=4)),
    ("f16 64x128", "8:2", dict(dim=64, dtype="f16", block=(64, 128), selection_heads=8)),
    ("bf16 64x128 shared packed", "8:4", dict(block=(64, 128), selection_heads=4, packed=True)),
    ("f16 128x128 shared packed", "8:2", dict(dtype="f16", block=(128, 128), selection_heads=2, packed=True)),
)


def patterned(m):
    shapes = [[(1, 1)], [(300, 300)], [(200, 450)], [(70, 1000)], [(5000, 5000)]]
    batches = [[(5, 5), (0, 0), (130, 200), (64, 64), (1, 129)], [(1, 1)] * 7, [(700, 1500), (0, 0), (2500, 2500), (129, 129)]]
    for pattern in sorted(patterns.PATTERNS.keys() - {"random"}):
        for name, heads, options in ADVERSARIES:
            m.add(f"given {pattern}: {name}", heads, pattern=pattern, shapes=batches if options.get("packed") else shapes, **options)

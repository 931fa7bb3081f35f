# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs whose kernels reach the corners of every schedule."""
import re
from dataclasses import dataclass
from typing import Optional


@dataclass
class Config:
    """One unisparse.attention on dynamic lengths, with its four stages; or attend alone."""

    name: str
    dim: int
    block: str = "128x128"
    pooling: str = "8x8"
    value_dim: int = 0  # dim
    dtype: str = "bf16"
    heads: int = 4
    kv_heads: int = 2
    head_pool: int = 1
    rule: str = "top_p = 0.9"
    agg: str = "max"
    share: str = "none"
    causal: bool = True
    packed: bool = False
    lse: bool = True
    scale: float = 0.0
    stage: str = "attention"
    schedule: Optional[str] = None  # Of attend alone: what is asked for.
    selections: int = 0  # Of attend alone; kv_heads.
    modification: str = ""  # Of attend alone (M1, M2, M5); of score alone a region (M6).
    sinks: bool = False  # Of attend alone (M3).

    def is_specialised(self, chip):
        """Is attend the warp-specialised kernel?"""
        rows, keys = map(int, self.block.split("x"))
        sizes = (self.dim, self.value_dim or self.dim, keys)
        return chip == "sm_90a" and self.dtype != "f32" and rows in (64, 128) and all(n % 16 == 0 for n in sizes) and self.scale >= 0

    def is_in_clusters(self, chip):
        """Do two CTAs share the copies of K and V?"""
        if self.packed or not self.is_specialised(chip) or "cluster = 1" in (self.schedule or ""):
            return False
        if self.rule == "all" and max(self.dim, self.value_dim) <= 128 and "cluster = 2" not in (self.schedule or ""):
            return False
        if self.stage == "attend":
            selections = self.heads if self.rule == "all" else self.selections or self.kv_heads
        else:
            selections = self.kv_heads if self.share == "group" else self.heads // self.head_pool
        return self.heads // self.kv_heads % 2 == 0 and (self.rule == "all" or self.heads // selections % 2 == 0)

    def program(self):
        b = "1" if self.packed else "?"
        value_dim = self.value_dim or self.dim
        q, k, v, o = (f"tensor<{b}x{h}x?x{d}x{self.dtype}>" for h, d in (
            (self.heads, self.dim), (self.kv_heads, self.dim), (self.kv_heads, value_dim), (self.heads, value_dim)))
        operands, ends = [("q", q), ("k", k), ("v", v)], [("cq", "tensor<?xi32>"), ("ck", "tensor<?xi32>")]
        results = [o] + [f"tensor<{b}x{self.heads}x?xf32>"] * self.lse
        if self.stage == "attend":
            text = "unisparse.block_sparse_attention %q, %k, %v"
            if self.rule != "all":
                n = self.selections or self.kv_heads
                operands += [("c", f"tensor<{b}x{n}x?xi32>"), ("i", f"tensor<{b}x{n}x?x?xi32>")]
                text += " selection(%c, %i)"
            if self.packed:
                operands += ends
                text += " cu_seqlens(%cq, %ck)"
            if self.sinks:
                operands.append(("s", f"tensor<{self.heads}xf32>"))
                text += " sink_logits(%s)"
            text += f" block <{self.block}>" + self.flags() + f" {self.modification}"
            text += "" if self.schedule is None else f" {{unitile.schedule = #unitile.schedule<{self.schedule}>}}"
            return self.function(operands, text, results)
        if self.stage == "score":
            return self.score()
        selections = self.heads // self.head_pool
        if self.share == "group":
            selections = min(selections, self.kv_heads)
        text = "unisparse.attention %q, %k, %v"
        if self.rule == "top_p":  # The operand: a share for each head.
            operands.append(("p", f"tensor<{self.kv_heads if self.share == 'group' else self.heads}xf32>"))
            selections = max(selections, self.kv_heads if self.share == "group" else self.heads)
            text += " top_p(%p)"
        if self.packed:
            operands += ends
            text += " cu_seqlens(%cq, %ck)"
        heads = f", heads = {self.head_pool}" if self.head_pool > 1 else ""
        text += f" block <{self.block}> pooling <{self.pooling}{heads}> rule <{self.rule}> agg {self.agg} share {self.share}"
        results += [f"tensor<{b}x{selections}x?xi32>", f"tensor<{b}x{selections}x?x?xi32>", f"tensor<{b}x{selections}xf32>"]
        return self.function(operands, text + self.flags(), results)

    def score(self):
        """4096 tokens, or two sequences of them."""
        lengths = [4096 // int(by) + 2 * self.packed for by in self.pooling.split("x")]
        bq, bk = map(int, self.block.split("x"))
        tensors = [("q", f"tensor<1x{self.heads}x{lengths[0]}x{self.dim}x{self.dtype}>"), ("k", f"tensor<1x{self.kv_heads}x{lengths[1]}x{self.dim}x{self.dtype}>")]
        text = "unisparse.block_score %q, %k lengths [4096, 4096]"
        if self.packed:
            tensors += [("cq", "tensor<3xi32>"), ("ck", "tensor<3xi32>")]
            text += " cu_seqlens(%cq, %ck)"
        text += f" block <{self.block}> pooling <{self.pooling}> agg {self.agg} share {self.share}" + " causal" * self.causal
        text += f" {{unitile.schedule = #unitile.{self.schedule}}}" if self.schedule else ""
        text += f" {self.modification}"
        masses = self.kv_heads if self.share == "group" else self.heads
        return self.function(tensors, text, [f"tensor<1x{masses}x{4096 // bq + 2 * self.packed}x{-(-4096 // bk)}xf32>"])

    def flags(self):
        return " causal" * self.causal + " return_lse" * self.lse + (f" scale {self.scale:e}" if self.scale else "")

    def function(self, operands, text, results):
        names, types = ", ".join(f"%r{n}" for n in range(len(results))), ", ".join(results)
        return (f"func.func @{self.name}({', '.join(f'%{n}: {t}' for n, t in operands)}) -> ({types}) {{\n"
                f"  {names} = {text} : ({', '.join(t for _, t in operands)}) -> ({types})\n"
                f"  return {names} : {types}\n}}\n")

    def kernels(self):
        if self.stage in ("attend", "score"):
            return {self.stage}
        kernels = {"select", "density", "attend"}
        if self.rule == "all":  # Nothing is estimated.
            return kernels
        # A factor of 1 pools nothing, but a packed batch gets its slots.
        pools = sum(by != "1" or self.head_pool > 1 or self.packed for by in self.pooling.split("x"))
        return kernels | {"score"} | set(["pool", "pool_0"][:pools])


CONFIGS = [
    Config("headline", 128, heads=32, kv_heads=8),
    Config("plain", 64, causal=False, lse=False, dtype="f16"),
    Config("dense", 128, rule="all"),
    Config("short_rows", 40, "16x16", "1x1", rule="top_k = 4", causal=False),
    Config("uneven", 80, "48x80", "4x8", value_dim=48, dtype="f16"),
    Config("d96", 96, "64x128", "16x16", packed=True),
    Config("d96_wide_values", 96, "128x128", "8x8", value_dim=128, packed=True, dtype="f16"),
    Config("d192", 192, value_dim=128, heads=16, kv_heads=16),
    Config("d192_packed", 192, packed=True, agg="sum"),
    Config("d256", 256),
    Config("d256_fine", 256, "64x64", "1x1", share="group", packed=True, dtype="f16"),
    Config("d256_full", 256, "128x64", "16x4", value_dim=64, causal=False),
    Config("wide_values", 64, "64x64", "4x4", value_dim=256),
    Config("odd_blocks", 72, "100x24", "10x8", rule="top_p = 0.8, min_blocks = 2, max_blocks = 9"),
    Config("odd_blocks_packed", 128, "100x24", "20x3", packed=True, share="group"),
    Config("large_blocks_d192", 192, "200x256", "25x32", packed=True),
    Config("coarse", 128, pooling="32x32"),
    Config("finest_queries", 64, pooling="1x8", agg="sum"),
    Config("finest_keys", 64, pooling="8x1"),
    Config("head_pool_within", 128, pooling="16x2", heads=8, head_pool=2, agg="sum", share="group"),
    Config("head_pool_across", 64, "64x64", "8x8", heads=8, kv_heads=4, head_pool=4, packed=True, agg="sum", causal=False),
    Config("shares_of_heads", 128, rule="top_p", heads=8),
    Config("negative_scale", 128, scale=-0.125, packed=True, rule="top_p = 0.95, dense_below = 2048"),
    Config("f32", 64, dtype="f32"),
    Config("f32_packed", 128, dtype="f32", packed=True, agg="sum", share="group"),
    Config("f32_long_rows", 256, value_dim=128, dtype="f32", stage="attend"),
    Config("f32_one_warp", 128, "16x16", dtype="f32", stage="attend", packed=True),
    Config("f32_odd_blocks", 40, "100x24", "10x8", value_dim=64, dtype="f32"),
    Config("top_k_group", 112, "16x128", "4x16", rule="top_k = 8", share="group", heads=8, dtype="f16"),
]


# Scoring alone: shapes, and tiles or schedules that are asked for.
SCORING = [
    Config("score", 128, stage="score"),
    Config("score_long", 256, stage="score"),
    Config("score_wide", 320, stage="score"),
    Config("score_widest", 512, stage="score", dtype="f16"),
    Config("score_side_by_side", 1024, "16x16", "1x1", stage="score", dtype="f16", agg="sum"),
    Config("score_spread", 160, pooling="4x8", stage="score"),
    Config("score_tiles", 128, stage="score", schedule="tiles<rows = 64, keys = 128>"),
    Config("score_packed", 64, "64x64", stage="score", packed=True, agg="sum", share="group", schedule="tiles<rows = 64, keys = 64>"),
    Config("score_f32", 128, stage="score", dtype="f32", schedule="tiles<rows = 64, keys = 16>"),
    Config("score_fine", 64, "64x64", "1x8", stage="score", dtype="f16", causal=False, schedule="tiles<rows = 64, keys = 64>"),
]
# Its warp-specialised kernel.
OWN_SCORING = [
    Config("score_turns", 128, stage="score", schedule="schedule<ping_pong = true>"),
    Config("score_running", 128, stage="score", schedule="schedule<reference = running>"),
    Config("score_keys64", 128, stage="score", schedule="schedule<keys = 64>"),
]


# The warp-specialised kernel: shapes, then each word of a schedule on the headline's.
SPECIALISED = [
    Config("rows64_keys64", 128, "64x64", stage="attend"),
    Config("rows64_keys128", 128, "64x128", stage="attend"),
    Config("rows128_keys64", 96, "128x64", stage="attend", dtype="f16", causal=False),
    Config("narrow_values", 80, "64x64", stage="attend", value_dim=32),
    Config("no_lse", 128, stage="attend", value_dim=64, dtype="f16", lse=False),
    Config("dense_full", 128, stage="attend", dtype="f16", rule="all", causal=False),
    Config("packed", 128, stage="attend", packed=True, schedule=""),
    Config("packed_rows64", 96, "64x64", stage="attend", packed=True, value_dim=64, dtype="f16", schedule=""),
    Config("packed_dense_full", 64, "128x64", stage="attend", packed=True, rule="all", causal=False, schedule=""),
    # Alone in its CTA, whichever way that comes about.
    Config("alone", 128, stage="attend", schedule="cluster = 1"),
    Config("odd_group", 128, stage="attend", heads=6),
    Config("own_selections", 128, stage="attend", heads=8, selections=8),
    # In clusters: dense, and with selections that two or four heads share.
    Config("cluster_dense", 128, stage="attend", rule="all", heads=32, kv_heads=8, schedule="cluster = 2"),
    Config("cluster_of_group", 128, stage="attend", heads=32, kv_heads=8, schedule="cluster = 2"),
    Config("cluster_of_pairs", 64, stage="attend", heads=32, kv_heads=8, selections=16),
    Config("cluster_rows64", 128, "64x64", stage="attend", rule="all", heads=32, kv_heads=8, dtype="f16", schedule="cluster = 2"),
    Config("cluster_d256", 256, stage="attend", rule="all", heads=32, kv_heads=8),
    Config("cluster_d192", 192, stage="attend", value_dim=128, heads=8),
    Config("parts_of_blocks", 128, "64x256", stage="attend", packed=True),
    Config("cluster_wide_values", 64, stage="attend", heads=8, value_dim=128, dtype="f16"),
    Config("two_stages", 128, stage="attend", schedule="stages = 2"),
    Config("running", 128, stage="attend", schedule="reference = running"),
    Config("running_alone", 128, stage="attend", schedule="reference = running, cluster = 1"),
    Config("no_overlap", 128, stage="attend", schedule="overlap = false"),
    Config("turns", 128, stage="attend", schedule="ping_pong = true"),
    Config("turns_no_overlap", 128, stage="attend", schedule="overlap = false, ping_pong = true"),
]

# Of the forms that a kernel has some, for the two chips that are assembled for without `--all`: `make check-assemble` takes
# all, for every chip.
REPRESENTATIVES = {
    "sm_80": {"headline", "d256", "head_pool_across", "f32_packed", "softcap"},
    "sm_90a": {"headline", "d256", "score_spread", "alibi", "packed_rows64", "cluster_dense", "turns_no_overlap"},
}

# Attention with linear biases, by head and distance (M5).
ALIBI = """modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %at: i32, %of: i32):
    %step = arith.constant -0.25 : f32
    %head = arith.sitofp %h : i32 to f32
    %exponent = arith.mulf %head, %step : f32
    %slope = math.exp2 %exponent : f32
    %far = arith.subi %of, %at : i32
    %distance = arith.sitofp %far : i32 to f32
    %bias = arith.mulf %distance, %slope : f32
    %y = arith.addf %x, %bias : f32
    unisparse.yield %y : f32
  }"""

# Modified logits, on every chip.
MODIFIED = [
    Config("softcap", 128, stage="attend", selections=4, modification="softcap 50.0"),
    Config("window", 128, stage="attend", selections=4, modification="window <left = 8192>"),
    Config("sinks", 128, stage="attend", selections=4, sinks=True),
    Config("alibi", 128, stage="attend", heads=32, kv_heads=8, selections=32, modification=ALIBI),
    Config("alibi_full", 64, stage="attend", causal=False, dtype="f16", modification=ALIBI),
    Config("alibi_packed", 128, stage="attend", packed=True, modification=ALIBI),
    Config("alibi_d256", 256, stage="attend", modification=ALIBI),
    Config("softcap_alibi", 128, stage="attend", modification="softcap 50.0 " + ALIBI),
    Config("softcap_d64", 64, stage="attend", modification="softcap 50.0", packed=True),
    Config("softcap_d256", 256, stage="attend", modification="softcap 50.0"),
    Config("score_alibi", 128, stage="score", modification=ALIBI),
    Config("score_alibi_full", 160, pooling="4x8", stage="score", dtype="f16", causal=False, modification=ALIBI),
    Config("score_alibi_packed", 64, "100x24", "10x8", stage="score", packed=True, modification=ALIBI),
    Config("score_alibi_f32", 128, stage="score", dtype="f32", modification=ALIBI),
]


def of_chip(chip, every):
    """The configurations that concern a chip: every one, or those that represent a form."""
    found = CONFIGS + SCORING + MODIFIED + (SPECIALISED + OWN_SCORING) * (chip == "sm_90a")
    named = set().union(*REPRESENTATIVES.values())
    assert named <= {c.name for c in CONFIGS + SCORING + MODIFIED + SPECIALISED + OWN_SCORING}, named
    return [c for c in found if every or c.name in REPRESENTATIVES.get(chip, ())]

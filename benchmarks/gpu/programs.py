# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is compiled beside unisparse.prepare's: dense attention, and programs of one stage each, for timing them apart
(B = 1, causal, blocks of 128x128, composites of 8x8 tokens). Needs no torch."""

import dataclasses
import hashlib
import pathlib
import tempfile
from typing import Optional, Tuple

from unisparse import _config
from unisparse import prepare as ahead

HEADS, KV_HEADS, DIM, BLOCK, FACTOR = 32, 8, 128, 128, 8

# Representatives and spread (P5, P6) of estimates that are timed whole, pool, score and select in one program.
ESTIMATES = {"estimate": (0, 0), "estimate t16 s4": (16, 4), "estimate t16 s1": (16, 1)}

# A long prompt's, on few heads.
MILLION, MILLION_HEADS = 1 << 20, (4, 1)


def _function(results, arguments, body):
    """Named arguments and result types, and the op between them."""
    listed = ", ".join(f"%{name}: {kind}" for name, kind in arguments)
    types, names = ", ".join(results), ", ".join(f"%r{n}" for n in range(len(results)))
    operands = ", ".join(kind for _, kind in arguments)
    return (
        f"func.func @main({listed}) -> ({types}) {{\n  {names} = {body}\n    : ({operands}) -> ({types})\n  return {names} : {types}\n}}\n"
    )


def _tokens(heads, length):
    return f"tensor<1x{heads}x{length}x{DIM}xbf16>"


def stages(n):
    """{stage: MLIR} for sequences of n tokens, a multiple of the block."""
    rows, composites = n // BLOCK, n // FACTOR
    block, pooling = f"block <{BLOCK}x{BLOCK}>", f"pooling <{FACTOR}x{FACTOR}>"
    mass = f"tensor<1x{HEADS}x{rows}x{rows}xf32>"
    selection = [f"tensor<1x{HEADS}x{rows}xi32>", f"tensor<1x{HEADS}x{rows}x{rows}xi32>"]
    q, k = _tokens(HEADS, n), _tokens(KV_HEADS, n)
    pooled = [("qc", _tokens(HEADS, composites)), ("kc", _tokens(KV_HEADS, composites))]
    return {
        "pool_q": _function([pooled[0][1]], [("q", q)], f"unisparse.pool %q by {FACTOR}"),
        "pool_k": _function([pooled[1][1]], [("k", k)], f"unisparse.pool %k by {FACTOR}"),
        **{
            f"pool_{x} t16 s4": _function(types, arguments, text) for x, (text, arguments, types) in pools(n, 16, 4).items()
        },
        **{name: estimate(n, *form) for name, form in ESTIMATES.items()},
        "score": _function([mass], pooled, f"unisparse.block_score %qc, %kc lengths [{n}, {n}] {block} {pooling} causal"),
        "select": _function(
            [*selection, f"tensor<1x{HEADS}xf32>"],
            [("mass", mass)],
            f"unisparse.block_select %mass lengths [{n}, {n}] {block} rule <top_p = 0.9> causal",
        ),
        "dense": _function([q], [("q", q), ("k", k), ("v", k)], f"unisparse.block_sparse_attention %q, %k, %v {block} causal"),
    }


def pools(n, representatives, spread, heads=(HEADS, KV_HEADS)):
    """{q or k: the op that pools %q or %k, its arguments and result types}."""
    query_heads, kv_heads = heads
    groups = DIM // spread if spread else 0
    rows = n // BLOCK * (BLOCK // FACTOR + representatives)
    q = [f"tensor<1x{query_heads}x{rows}x{DIM + groups}xbf16>"]
    text = f"unisparse.pool %q by {FACTOR}"
    if representatives:
        q.append(f"tensor<1x{query_heads}x{n // BLOCK}x{representatives}xi32>")
        text += f" representatives {representatives} of {BLOCK}"
    if spread:
        text += f" norms {spread} times {DIM ** -0.5 / 2}"
    k = [f"tensor<1x{kv_heads}x{n // FACTOR}x{DIM + groups}xbf16>"]
    spreads = f" spread {spread}" if spread else ""
    return {
        "q": (text, [("q", _tokens(query_heads, n))], q),
        "k": (f"unisparse.pool %k by {FACTOR}{spreads}", [("k", _tokens(kv_heads, n))], k),
    }


def estimate(n, representatives, spread, heads=(HEADS, KV_HEADS)):
    """MLIR of a whole estimate: %q and %k to counts, indices and density, by the measured policy's rule."""
    rows = n // BLOCK
    of = pools(n, representatives, spread, heads)
    mass = f"tensor<1x{heads[0]}x{rows}x{rows}xf32>"
    results = [f"tensor<1x{heads[0]}x{rows}xi32>", f"tensor<1x{heads[0]}x{rows}x{rows}xi32>", f"tensor<1x{heads[0]}xf32>"]
    options = "".join(f", {name} = {x}" for name, x in (("representatives", representatives), ("spread", spread)) if x)
    lines, pooled = [], {}
    for name, (text, arguments, types) in of.items():
        pooled[name] = [f"%{name}{i}" for i in range(len(types))]
        lines.append(f"{', '.join(pooled[name])} = {text} : ({arguments[0][1]}) -> ({', '.join(types)})")
    taken, types = [pooled["q"][0], pooled["k"][0]], [of["q"][2][0], of["k"][2][0]]
    chosen = f"rows({pooled['q'][1]}) " if representatives else ""
    lines.append(
        f"%mass = unisparse.block_score {', '.join(taken)} {chosen}lengths [{n}, {n}] block <{BLOCK}x{BLOCK}> "
        f"pooling <{FACTOR}x{FACTOR}{options}> causal : ({', '.join(types + of['q'][2][1:])}) -> {mass}"
    )
    lines.append(
        f"%r:3 = unisparse.block_select %mass lengths [{n}, {n}] block <{BLOCK}x{BLOCK}> rule <top_p = {_config.SHARE}, last = 1> causal "
        f": ({mass}) -> ({', '.join(results)})"
    )
    body = "\n  ".join(lines)
    arguments = ", ".join(f"%{name}: {kind}" for name, kind in (*of["q"][1], *of["k"][1]))
    listed = ", ".join(results)
    return f"func.func @main({arguments}) -> ({listed}) {{\n  {body}\n  return %r#0, %r#1, %r#2 : {listed}\n}}\n"


@dataclasses.dataclass(frozen=True)
class Dense(_config.Config):
    """Attention to every block, which has no selection at all: unisparse-compile's, of no function of the package."""

    def options(self):
        return [*super().options(), "--dense"]

    def file_name(self, suffix: str = ".usp"):
        return "dense-" + super().file_name(suffix)


# A bias of each head by how far a key is behind its query, of which there are fewer entries than distances.
TABLE_ENTRIES = 200


@dataclasses.dataclass(frozen=True)
class Table(_config.Config):
    """Dense attention with a table, one more input: a program that unisparse-compile takes as a file."""

    def text(self):
        def tensor(*sizes, kind=self.dtype):
            return f"tensor<{'x'.join(map(str, sizes))}x{kind}>"

        batch, h = "1" if self.packed else "?", self.heads
        inputs = [("q", tensor(batch, h, "?", self.head_dim)), ("k", tensor(batch, self.kv_heads, "?", self.head_dim))]
        inputs.append(("v", tensor(batch, self.kv_heads, "?", self.value_dim)))
        ends = [(f"cu_seqlens_{x}", tensor("?", kind="i32")) for x in "qk"] if self.packed else []
        table = ("table", tensor(h, TABLE_ENTRIES, kind="f32"))
        results = [("o", tensor(batch, h, "?", self.value_dim)), ("lse", tensor(batch, h, "?", kind="f32"))]
        named = ", ".join(f'%{name}: {kind} {{unisparse.name = "{name}"}}' for name, kind in (*inputs, *ends, table))
        given = ", ".join(f'{kind} {{unisparse.name = "{name}"}}' for name, kind in results)
        kinds = ", ".join(kind for _, kind in results)
        return f"""func.func @main({named}) -> ({given}) {{
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v{" cu_seqlens(%cu_seqlens_q, %cu_seqlens_k)" if ends else ""} tables(%table)
    block <{self.block[0]}x{self.block[1]}> {"causal " if self.causal else ""}return_lse modify {{
  ^bb0(%x: f32, %b: i32, %h: i32, %at: i32, %of: i32, %entries: {table[1]}):
    %far = arith.subi %at, %of : i32
    %head = arith.index_cast %h : i32 to index
    %distance = arith.index_cast %far : i32 to index
    %entry = tensor.extract %entries[%head, %distance] : {table[1]}
    %y = arith.addf %x, %entry : f32
    unisparse.yield %y : f32
  }} : ({", ".join(kind for _, kind in (*inputs, *ends, table))}) -> ({kinds})
  return %o, %lse : {kinds}
}}
"""

    def options(self):
        path = pathlib.Path(tempfile.gettempdir(), f"{self.digest()}.mlir")
        path.write_text(self.text())
        return [str(path)]

    def digest(self):
        return hashlib.sha256(self.text().encode()).hexdigest()[:16]

    def file_name(self, suffix: str = ".usp"):
        return "table-" + super().file_name(suffix)


def configuration(entry):
    """An entry of unisparse.prepare's list, or one with dense=True and perhaps table=True -> Config."""
    entry = dict(entry)
    kind = Dense if entry.pop("dense", False) else None
    kind = Table if entry.pop("table", False) else kind
    config = ahead.configuration(entry)
    return kind(**vars(config)) if kind else config


@dataclasses.dataclass(frozen=True)
class Attend:
    """A form of attend that is timed: the op with a selection from outside."""

    name: str
    dim: int = DIM
    causal: bool = True
    selections: int = HEADS  # KV_HEADS: the query heads of a KV head share one.
    lengths: Optional[Tuple[int, ...]] = None  # Those that it is timed at, where not all.

    @property
    def entry(self):
        shape = dict(heads=HEADS, kv_heads=KV_HEADS, head_dim=self.dim, dtype="bf16")
        return dict(**shape, selection_heads=self.selections, causal=self.causal, return_lse=True)

    @property
    def block_flops(self):
        return 4 * BLOCK * BLOCK * self.dim


ATTEND = Attend("attend")
ATTENDS = (
    ATTEND,
    Attend("attend d64", dim=64, lengths=(8192, 32768)),
    Attend("attend full", causal=False, lengths=(8192, 32768)),
    Attend("attend d64 full", dim=64, causal=False, lengths=(8192, 32768)),
    Attend("attend d256", dim=256, lengths=(32768,)),
    Attend("attend shared", selections=KV_HEADS, lengths=(32768, 131072)),
)

# Attend with modified logits, by name: options of block_sparse_attention beside ATTEND's.
SOFTCAP = 50.0
MODIFIED = {
    "none": {},
    "window 30000": dict(window=(30000, -1)),
    "window 8192": dict(window=(8192, -1)),
    "sinks": dict(sinks=True),
    "softcap": dict(softcap=SOFTCAP),
    "alibi": dict(score_mod="alibi"),
}


def modified(name):
    return {**ATTEND.entry, **MODIFIED[name]}


def alibi_slopes(heads):
    """Of a power of two: 2^(-8/n), 2^(-16/n), ...; of other numbers those of the power below, then every second one of twice it."""
    power = 1 << (heads.bit_length() - 1)
    first = [2.0 ** (-8 * (h + 1) / power) for h in range(power)]
    return first + [2.0 ** (-4 * (2 * h + 1) / power) for h in range(heads - power)]


# What unisparse.prepare takes: the whole, by the measured policy.
WHOLE = dict(heads=HEADS, kv_heads=KV_HEADS, head_dim=DIM, dtype="bf16", return_selection=True)

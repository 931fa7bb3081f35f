# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Programs that nobody wrote: those of tests with a few tokens changed, and those of a grammar."""

import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Conversion/UniSparseToUniTile/Inputs"))

import configurations

TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|[%@#!^]?[\w.$-]+|->|::|\s+|.', re.S)
INTEGER = re.compile(r"-?\d+$")

# What programs are made of, apart from names.
INTEGERS = [str(n) for n in (-1, 0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 32, 48, 63, 64, 65, 96, 100, 127, 128, 129, 192, 255, 256, 257, 512, 1000,
                             1024, 4096, 65536, 2**31 - 1, 2**31, 2**32, 2**62, 2**63 - 1, -(2**63), 2**64)]
FLOATS = ["0.0", "-0.0", "0.5", "1.0", "-1.0", "1.0e-38", "3.0e+38", "1.0e+300", "0x7F800000", "0x7FC00000"]
ELEMENTS = ["f16", "bf16", "f32", "f64", "i1", "i8", "i32", "i64", "index", "f8E4M3FN"]
WORDS = ["max", "sum", "none", "group", "all", "top_p", "top_k", "causal", "return_lse", "packed", "selection", "lengths", "cu_seqlens",
         "block", "pooling", "heads", "rule", "agg", "share", "scale", "rows", "keys", "stages", "cluster", "reference", "running",
         "overlap", "ping_pong", "passes", "true", "false", "?", "x", "to", "step", "iter_args", "memref", "tensor", "vector", "shared",
         "global", "workgroup", "zero"]
PUNCTUATION = list("()[]{}<>,:=+*") + ["->"]


def tokens_of(text):
    return TOKEN.findall(text)


def _instead(rng, token, others):
    """A token of the same kind, or any."""
    if rng.random() < 0.05:
        return rng.choice(others)
    if INTEGER.match(token):
        near = str(int(token) + rng.choice((-1, 1, int(token), -int(token))))
        return rng.choice(INTEGERS + [near] * 12)
    if re.match(r"-?\d+\.\d", token):
        return rng.choice(FLOATS)
    if token in ELEMENTS:
        return rng.choice(ELEMENTS)
    if match := re.match(r"([0-9?x]+x)(\w+)$", token):  # 1x2x3xf32
        dims = match[1].split("x")[:-1]
        at = rng.randrange(len(dims))
        dims[at:at + 1] = rng.choice(([], [rng.choice(INTEGERS[1:])], ["?"], [dims[at]] * 2, ["1", dims[at]]))
        element = rng.choice(ELEMENTS) if rng.random() < 0.2 else match[2]
        return "x".join(dims + [element])
    same = [o for o in others if o[0] == token[0] and not o.isspace()]
    return rng.choice(same or WORDS)


def _mutate_once(rng, tokens):
    places = [i for i, t in enumerate(tokens) if t and not t.isspace() and not t.startswith("//")]
    if not places:
        return
    others = [tokens[i] for i in places]
    # Numbers and types say more than brackets.
    telling = [i for i in places if tokens[i][0].isdigit() or tokens[i] in ELEMENTS or tokens[i] in WORDS]
    at = rng.choice(telling if telling and rng.random() < 0.85 else places)
    kind = rng.random()
    if kind < 0.8:
        tokens[at] = _instead(rng, tokens[at], others)
    elif kind < 0.84:
        tokens[at] = ""
    elif kind < 0.88:
        tokens[at] += " " + rng.choice(others + WORDS + PUNCTUATION)
    elif kind < 0.92:
        other = rng.choice(places)
        tokens[at], tokens[other] = tokens[other], tokens[at]
    else:
        _mutate_lines(rng, tokens)


def _mutate_lines(rng, tokens):
    lines = "".join(tokens).splitlines(keepends=True)
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.randrange(3)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(other, lines[at])
    else:
        lines[at], lines[other] = lines[other], lines[at]
    tokens[:] = tokens_of("".join(lines))


def mutate(rng, text):
    """`text` with one to four changes."""
    tokens = tokens_of(text)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 4))):
        _mutate_once(rng, tokens)
    # MLIR 22's own parser dies of it, mlir-opt's too.
    return re.sub(r"\barray(\s*)<(\s*)index\b", r"array\1<\2i64", "".join(tokens))


def generate(rng):
    """A program of the grammar: an attention, or attend alone, that is mostly valid."""
    pooling = [rng.choice((1, 2, 4, 8, 16, 32)) for _ in range(2)]
    block = [by * rng.randint(1, max(1, 256 // by)) for by in pooling]
    kv_heads = rng.choice((1, 2, 4))
    heads = kv_heads * rng.choice((1, 2, 3, 4))
    rule = rng.choice(("top_p = 0.9", "top_p", "top_k = 4", "all", "top_p = 0.5, min_blocks = 2, max_blocks = 9, dense_below = 512",
                       f"top_k = {rng.randint(0, 2**31)}", f"top_p = 0.7, sink = {rng.randint(0, 5)}, local = {rng.randint(0, 5)}"))
    return configurations.Config(
        name="main",
        dim=8 * rng.randint(1, 34),
        block="x".join(map(str, block)),
        pooling="x".join(map(str, pooling)),
        value_dim=rng.choice((0, 0, 8 * rng.randint(1, 34))),
        dtype=rng.choice(("f32", "f16", "bf16")),
        heads=heads,
        kv_heads=kv_heads,
        head_pool=rng.choice((1, 1, 1, 2)),
        rule=rule,
        agg=rng.choice(("max", "sum")),
        share=rng.choice(("none", "group")),
        causal=rng.random() < 0.5,
        packed=rng.random() < 0.3,
        lse=rng.random() < 0.5,
        scale=rng.choice((0.0, 0.0, 0.1, -0.125)),
        stage=rng.choice(("attention", "attention", "attend")),
    ).program()

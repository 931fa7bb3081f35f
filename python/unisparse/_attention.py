# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The two functions that people call: they check, name the configuration, and hand over to the door of the tensors.

A door is a module with element(x), expect(tensors) and run(config, tensors): _cuda or _numpy.
"""

import numpy

from . import _config, _cuda, _numpy, _torch
from ._errors import Status, unexpected


def attention(
    q,
    k,
    v,
    *,
    p=0.9,
    top_k=None,
    block=(128, 128),
    pooling=(8, 8, 1),
    agg="max",
    share=None,
    causal=True,
    scale=None,
    alpha=1.0,
    sink=1,
    local=1,
    min_blocks=0,
    max_blocks=None,
    dense_below=0,
    cu_seqlens=None,
    return_lse=False,
    return_selection=False,
):
    """Block-sparse attention that selects its own blocks: q [B, Hq, Lq, D], k [B, Hkv, Lk, D], v [B, Hkv, Lk, Dv] -> o.

    p            share of the attention's mass to select, one or one per head (L3, L5)
    top_k        so many key blocks a row instead (L4)
    block        (queries, keys) of a block
    pooling      (queries, keys) or (queries, keys, query heads) of a composite token
    agg          how composite rows make a block's mass: "max" or "sum" (S5)
    share        "group": the query heads of a KV head share a selection (S6)
    scale, alpha factor of all logits, D ** -0.5 unless given; further factor of the estimate's
    sink, local, min_blocks, max_blocks    guards of the selection (L2, L3)
    dense_below  sequences of at most so many keys are dense
    cu_seqlens   ends of packed sequences (then B = 1): one int32 array for q and k, or a pair

    Returns o [B, Hq, Lq, Dv]; with return_lse or return_selection a tuple: o, then lse [B, Hq, Lq] in float32, then
    counts [B, H, R] and indices [B, H, R, J] in int32, H being the number of distinct selections. In a packed batch row
    r of sequence s stands at cu_seqlens[s] // Bq + s + r of R, and spare rows have count 0.
    """
    tensors = {"q": q, "k": k, "v": v}
    door, dtype = _check_tensors(tensors)
    ends = _check_ends(door, cu_seqlens)
    config = _config.make(
        *_shape(tensors),
        dtype,
        bool(ends),
        block=block,
        causal=causal,
        scale=scale,
        return_lse=return_lse,
        return_selection=return_selection,
        p=p,
        top_k=top_k,
        pooling=pooling,
        agg=agg,
        share=share,
        alpha=alpha,
        sink=sink,
        local=local,
        min_blocks=min_blocks,
        max_blocks=max_blocks,
        dense_below=dense_below,
    )
    return _run(door, config, {**tensors, **ends})


def block_sparse_attention(q, k, v, counts, indices, *, block=(128, 128), causal=True, scale=None, cu_seqlens=None, return_lse=False):
    """Exact attention over key blocks that the caller selected (A1 to A4).

    Row r of head h attends to the blocks indices[b, h, r, : counts[b, h, r]], ascending. counts [B, H, R] and indices
    [B, H, R, J] are laid out as `attention` returns them, H being Hq or Hkv. Returns o, with return_lse (o, lse).
    """
    tensors = {"q": q, "k": k, "v": v}
    door, dtype = _check_tensors(tensors)
    selection = {"counts": counts, "indices": indices}
    door.expect({"q": q, **selection})
    _expect_integers(door, selection)
    for (name, x), rank in zip(selection.items(), (3, 4)):
        _expect_rank(name, x, rank)
    if counts.shape[1] not in (q.shape[1], k.shape[1]):
        raise unexpected(
            "counts",
            f"[A4] as many heads as q, {q.shape[1]}, or as k, {k.shape[1]} (repeat those that are shared)",
            counts.shape[1],
            Status.BAD_SHAPE,
        )
    if tuple(counts.shape) != tuple(indices.shape[:3]):
        raise unexpected(
            "indices", f"[A4] sizes that start with those of counts, {list(counts.shape)}", list(indices.shape), Status.BAD_SHAPE
        )
    ends = _check_ends(door, cu_seqlens)
    options = dict(block=block, causal=causal, scale=scale, return_lse=return_lse)
    config = _config.make(*_shape(tensors), dtype, bool(ends), selections=counts.shape[1], **options)
    return _run(door, config, {**tensors, **selection, **ends})


def _run(door, config, tensors):
    results = door.run(config, tensors)
    names = ["o"] + ["lse"] * config.return_lse + ["counts", "indices"] * config.return_selection
    return results["o"] if len(names) == 1 else tuple(results[name] for name in names)


def _shape(tensors):
    """Query heads, KV heads, head_dim and value_dim."""
    return tensors["q"].shape[1], tensors["k"].shape[1], tensors["q"].shape[3], tensors["v"].shape[3]


def _door(name, x):
    if isinstance(x, numpy.ndarray):
        return _numpy
    if _torch.torch_of(x) is not None:
        return _cuda
    hint = " (torch.from_dlpack makes one of it without a copy)" if hasattr(x, "__dlpack__") else ""
    raise unexpected(name, f"a torch tensor on CUDA or a NumPy array{hint}", type(x).__name__)


def _expect_rank(name, x, rank):
    if len(x.shape) != rank:
        raise unexpected(name, f"{rank} dimensions", f"{len(x.shape)}: {list(x.shape)}", Status.BAD_SHAPE)


def _expect_integers(door, named):
    for name, x in named.items():
        if door.element(x) != "i32":
            raise unexpected(name, "int32", x.dtype, Status.BAD_SHAPE)


def _check_tensors(tensors):
    """I1 to I4: what decides which program it is. Lengths are the program's to check. -> the door and the element type."""
    door = _door("q", tensors["q"])
    for name, x in tensors.items():
        if _door(name, x) is not door:
            raise unexpected(name, f"a {type(tensors['q']).__name__}, as q is", type(x).__name__)
        _expect_rank(name, x, 4)
    door.expect(tensors)
    q, k, v = tensors.values()
    kind = door.element(q)
    if kind not in ("f32", "f16", "bf16"):
        raise unexpected("q", "[I1] float32, float16 or bfloat16", q.dtype, Status.BAD_SHAPE)
    for name, x in (("k", k), ("v", v)):
        if x.dtype != q.dtype:
            raise unexpected(name, f"[I1] q's type {q.dtype}", x.dtype, Status.BAD_SHAPE)
    for name, index, what, wanted in (
        ("k", 0, "I2] q's batch of", q),
        ("k", 3, "I2] q's head_dim of", q),
        ("v", 0, "I2] q's batch of", q),
        ("v", 1, "I4] k's number of heads", k),
        ("v", 2, "I4] k's length", k),
    ):
        if tensors[name].shape[index] != wanted.shape[index]:
            raise unexpected(name, f"[{what} {wanted.shape[index]}", tensors[name].shape[index], Status.BAD_SHAPE)
    if not k.shape[1] or not q.shape[1] or q.shape[1] % k.shape[1]:
        raise unexpected("k", f"[I3] heads that divide the {q.shape[1]} of q", k.shape[1], Status.BAD_SHAPE)
    for name, x in tensors.items():
        if not x.shape[3]:
            raise unexpected(name, "a head_dim of at least 1", 0, Status.BAD_SHAPE)
    return door, kind


def _check_ends(door, cu_seqlens):
    """I8 as far as types tell: no value is looked at here. -> {} or the two tensors by name."""
    if cu_seqlens is None:
        return {}
    pair = tuple(cu_seqlens) if isinstance(cu_seqlens, (tuple, list)) else (cu_seqlens, cu_seqlens)
    if len(pair) != 2:
        raise unexpected("cu_seqlens", "[I8] one array or a pair (of queries, of keys)", f"{len(pair)} of them")
    ends = dict(zip(("cu_seqlens_q", "cu_seqlens_k"), pair))
    for name, x in ends.items():
        if _door(name, x) is not door:
            raise unexpected(name, "the kind of array that q is", type(x).__name__)
        _expect_rank(name, x, 1)
    door.expect(ends)
    _expect_integers(door, ends)
    return ends

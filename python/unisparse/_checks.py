# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What arguments have to be before any program is looked for: the backend of the tensors, their types and sizes.

A backend is a module with element(x) and expect(tensors): _cuda, _cpu or _numpy. The two last have what plans of host
memory ask for, too.
"""

from __future__ import annotations

from typing import Any, Dict, Mapping, Tuple

from . import _cpu, _cuda, _numpy, _torch
from ._config import TABLE_ELEMENTS, Config
from ._errors import Status, unexpected


def backend_of(name: str, x: Any) -> Any:
    if _numpy.is_array(x):
        return _numpy
    if _torch.torch_of(x) is not None:
        return _cpu if x.device.type == "cpu" != _torch.DEVICE_TYPE else _cuda
    hint = " (torch.from_dlpack makes one of it without a copy)" if hasattr(x, "__dlpack__") else ""
    raise unexpected(name, f"a torch tensor or a NumPy array{hint}", type(x).__name__)


def shape(tensors: Mapping[str, Any]) -> Tuple[int, int, int, int]:
    """Query heads, KV heads, head_dim and value_dim."""
    return tensors["q"].shape[1], tensors["k"].shape[1], tensors["q"].shape[3], tensors["v"].shape[3]


def _expect_rank(name: str, x: Any, rank: int) -> None:
    if len(x.shape) != rank:
        raise unexpected(name, f"{rank} dimensions", f"{len(x.shape)}: {list(x.shape)}", Status.BAD_SHAPE)


def _expect_integers(backend: Any, named: Mapping[str, Any]) -> None:
    for name, x in named.items():
        if backend.element(x) != "i32":
            raise unexpected(name, "int32", x.dtype, Status.BAD_SHAPE)


def check_tensors(tensors: Mapping[str, Any]) -> Tuple[Any, str]:
    """I1 to I4: what decides which program it is. Lengths are the program's to check. -> the backend and the element type."""
    backend = backend_of("q", tensors["q"])
    for name, x in tensors.items():
        # Whether it is where q is, q's backend says.
        if (backend_of(name, x) is _numpy) != (backend is _numpy):
            raise unexpected(name, f"a {type(tensors['q']).__name__}, as q is", type(x).__name__)
        _expect_rank(name, x, 4)
    backend.expect(tensors)
    q, k, v = tensors.values()
    kind = backend.element(q)
    if kind not in ("f32", "f16", "bf16"):
        raise unexpected("q", "[I1] float32, float16 or bfloat16", q.dtype, Status.BAD_SHAPE)
    for name, x in (("k", k), ("v", v)):
        if backend.element(x) != kind:
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
    return backend, str(kind)


def check_out(q: Any, v: Any, out: Any) -> Any:
    """Memory for o, of inputs that are right. -> out"""
    backend = backend_of("q", q)
    if (backend_of("out", out) is _numpy) != (backend is _numpy):
        raise unexpected("out", f"a {type(q).__name__}, as q is", type(out).__name__)
    wanted = (*q.shape[:3], v.shape[3])
    if tuple(out.shape) != wanted:
        raise unexpected("out", f"the sizes of o as [B, H, L, D], {list(wanted)}", list(out.shape), Status.BAD_SHAPE)
    backend.expect({"q": q, "out": out})
    if out.dtype != q.dtype:
        raise unexpected("out", f"q's type {q.dtype}", out.dtype, Status.BAD_SHAPE)
    if backend is _numpy and not out.flags.writeable:
        raise unexpected("out", "an array that may be written", "a read-only one")
    strides = out.strides if backend is _numpy else out.stride()
    reach = 1 if backend is not _numpy else out.itemsize
    # Without elements there is nothing to have memory, and NumPy's strides are 0.
    for stride, size in sorted((abs(stride), size) for stride, size in zip(strides, wanted) if size > 1 and 0 not in wanted):
        if stride < reach:
            raise unexpected("out", "memory of its own for every element", f"strides {list(strides)}", Status.OVERLAP)
        reach += stride * (size - 1)
    return out


def check_selection(backend: Any, q: Any, k: Any, counts: Any, indices: Any) -> Dict[str, Any]:
    """A4 as far as types and sizes tell. -> the two by name."""
    selection = {"counts": counts, "indices": indices}
    backend.expect({"q": q, **selection})
    _expect_integers(backend, selection)
    for (name, x), rank in zip(selection.items(), (3, 4)):
        _expect_rank(name, x, rank)
    if counts.shape[1] not in (q.shape[1], k.shape[1]):
        wanted = f"[A4] as many heads as q, {q.shape[1]}, or as k, {k.shape[1]} (repeat those that are shared)"
        raise unexpected("counts", wanted, counts.shape[1], Status.BAD_SHAPE)
    if tuple(counts.shape) != tuple(indices.shape[:3]):
        wanted = f"[A4] sizes that start with those of counts, {list(counts.shape)}"
        raise unexpected("indices", wanted, list(indices.shape), Status.BAD_SHAPE)
    return selection


def check_lengths(config: Config, named: Mapping[str, Any]) -> None:
    """I7 and A4 where lengths tell; those of packed sequences are values."""
    q, k = named["q"], named["k"]
    if (config.causal or config.window != (-1, -1)) and not config.packed and q.shape[2] > k.shape[2]:
        what = "causal" if config.causal else "a window"
        raise unexpected("q", f"[I7] no more queries than the {k.shape[2]} keys under {what}", q.shape[2], Status.BAD_SHAPE)
    if "counts" in named:
        batch, _, rows = named["counts"].shape
        if batch != q.shape[0]:
            raise unexpected("counts", f"[A4] q's batch of {q.shape[0]}", batch, Status.BAD_SHAPE)
        if not config.packed and rows != -(-q.shape[2] // config.block[0]):
            wanted = f"[A4] {-(-q.shape[2] // config.block[0])} rows, of {q.shape[2]} queries in blocks of {config.block[0]}"
            raise unexpected("counts", wanted, rows, Status.BAD_SHAPE)


def ends_of(cu_seqlens: Any) -> Tuple[Any, ...]:
    """What stands behind q, k and v in a call: nothing, or ends of queries and of keys."""
    if cu_seqlens is None:
        return ()
    pair = tuple(cu_seqlens) if isinstance(cu_seqlens, (tuple, list)) else (cu_seqlens, cu_seqlens)
    if len(pair) != 2:
        raise unexpected("cu_seqlens", "[I8] one array or a pair (of queries, of keys)", f"{len(pair)} of them")
    return pair


def check_ends(backend: Any, q: Any, pair: Tuple[Any, ...]) -> Dict[str, Any]:
    """I8 as far as types tell; the values of host memory are looked at before work starts. -> {} or the two by name."""
    ends = dict(zip(("cu_seqlens_q", "cu_seqlens_k"), pair))
    for name, x in ends.items():
        if (backend_of(name, x) is _numpy) != (backend is _numpy):
            raise unexpected(name, "the kind of array that q is", type(x).__name__)
        _expect_rank(name, x, 1)
    if ends:
        backend.expect({"q": q, **ends})
    _expect_integers(backend, ends)
    return ends


def check_sinks(backend: Any, q: Any, sinks: Any) -> Dict[str, Any]:
    """M3: one logit a query head. -> {} or them by the name that programs give them."""
    if sinks is None:
        return {}
    if (backend_of("sinks", sinks) is _numpy) != (backend is _numpy):
        raise unexpected("sinks", "the kind of array that q is", type(sinks).__name__)
    _expect_rank("sinks", sinks, 1)
    backend.expect({"q": q, "sinks": sinks})
    if backend.element(sinks) != "f32":
        raise unexpected("sinks", "[M3] float32", sinks.dtype, Status.BAD_SHAPE)
    if sinks.shape[0] != q.shape[1]:
        raise unexpected("sinks", f"[M3] one for each of the {q.shape[1]} query heads", sinks.shape[0], Status.BAD_SHAPE)
    return {"sink_logits": sinks}


def tables_of(score_tables: Any) -> Dict[str, Any]:
    """What stands behind the other tensors of a call: the tables that the text of score_mod reads, by their names (M5)."""
    if score_tables is None:
        return {}
    if not isinstance(score_tables, Mapping):
        raise unexpected("score_tables", "[M5] arrays by the names that score_mod has for them, {name: array}", type(score_tables).__name__)
    return dict(score_tables)


def check_tables(backend: Any, q: Any, tables: Mapping[str, Any]) -> Dict[str, str]:
    """M5 as far as types and sizes tell. -> the names, and what stands between the brackets of their types in the text."""
    types: Dict[str, str] = {}
    for name, x in tables.items():
        said = f"score_tables[{name!r}]"
        if (backend_of(said, x) is _numpy) != (backend is _numpy):
            raise unexpected(said, "the kind of array that q is", type(x).__name__)
        backend.expect({"q": q, said: x})
        element = backend.element(x)
        if element not in TABLE_ELEMENTS:
            raise unexpected(said, "[M5] float32, float16, bfloat16 or int32", x.dtype, Status.BAD_SHAPE)
        if not 1 <= len(x.shape) <= 4 or 0 in x.shape:
            raise unexpected(said, "[M5] 1 to 4 dimensions with entries", list(x.shape), Status.BAD_SHAPE)
        types[name] = "?x" * len(x.shape) + element
    return types

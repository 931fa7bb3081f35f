# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Calls like earlier ones in C: unisparse._native, where it was built and torch has DLPack's C exchange API (2.10). Elsewhere,
and for all that it does not know, the answer is None, and Python's own path serves: nothing means anything else without it."""

from __future__ import annotations

import ctypes
import importlib.machinery
import importlib.util
import itertools
import operator
import os
import pathlib
import threading
from typing import Any, Callable, Dict, Optional, Sequence, Tuple

from . import _runtime, _torch

FILE = "_native.abi3.so"
_FUNCTION: Any = getattr(ctypes, "_CFuncPtr")  # The type of a library's.
INTERFACE = 2  # Of module.c: an older build's speaks another one.

# (function, arguments, keywords or None)
Maker = Tuple[Callable[..., Any], Tuple[Any, ...], Optional[Dict[str, Any]]]


def _places() -> Sequence[pathlib.Path]:
    """Where it may be: what the environment names, or where the runtime may be."""
    named = os.environ.get("UNISPARSE_NATIVE")
    if named is not None:
        return [pathlib.Path(named)] if named else []
    runtime = os.environ.get("UNISPARSE_RT")
    folders = [pathlib.Path(runtime).parent] if runtime else []
    return [place for folder in (*folders, *_runtime.folders()) if (place := folder / FILE).exists()]


def _load() -> Any:
    for place in _places():
        try:
            loader = importlib.machinery.ExtensionFileLoader(f"{__package__}._native", str(place))
            spec = importlib.util.spec_from_file_location(loader.name, place, loader=loader)
            assert spec is not None
            module = importlib.util.module_from_spec(spec)
            loader.exec_module(module)
            if module.INTERFACE == INTERFACE:
                return module
        except ImportError:  # Of another interpreter, or machine.
            continue
    return None


native = _load()
# What tests and tools may put in the place of.
_OWN = _torch.allocate, _torch.stream_of
_connected: Dict[Any, bool] = {}
_lock = threading.Lock()


def unknown(*_: Any) -> Any:
    return None


class Calls:
    """A function's calls, or a program's. `again(*arguments)` gives what a call like an earlier one does, or None."""

    def __init__(self, leading: int, sets: int) -> None:
        self._native = None if native is None else native.calls(leading, sets)
        self.again: Callable[..., Any] = unknown if self._native is None else self._native.again

    def remember(self, planned: Any, tensors: Sequence[Any], out: Any, result: Any, options: Tuple[Any, ...]) -> None:
        """A call that has been made: with these tensors, all [B, H, L, D], into `out` where there is one."""
        if self._native is None or (out is not None and (result[0] if isinstance(result, tuple) else result) is not out):
            return
        launch = planned.launch
        # A program that was closed since has no address.
        if launch is not None and planned.loaded.handle and connected(planned.torch):
            self._native.remember(tuple(tensors), out, options, launch)


def connected(torch: Any) -> bool:
    """Whether C speaks to this torch, which nothing stands in the place of."""
    if native is None or torch is None or (_torch.allocate, _torch.stream_of) != _OWN:
        return False
    found = _connected.get(torch)
    if found is None:
        with _lock:
            found = _connected[torch] = _connect(torch)
    return found


def _connect(torch: Any) -> bool:
    if not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
        return False
    modes = getattr(torch._C, "_len_torch_dispatch_stack", None)
    return bool(native.connect(torch.Tensor, torch.nn.Parameter, torch.Tensor.is_neg, torch.is_grad_enabled, modes, _runtime.check))


def bound(plan: Any, frame: Any, workspace: Any, stream: Any, outputs: Any) -> Any:
    """A bound call: again() on this stream and others that also() was told of, as long as the current one is among them; or None."""
    if not connected(plan.torch) or not isinstance(plan.loaded.run, _FUNCTION) or (device := native.device(outputs[0] if outputs else workspace)) is None:
        return None
    if native.stream(*device) != stream:  # Of a device without streams, or of another's making.
        return None
    inputs, made = map(bytes, frame.arrays)
    return native.bound(plan.loaded.plans, plan.loaded.handle, inputs, made, workspace.data_ptr(), *device, stream, outputs)


def forget() -> None:
    if native is not None:
        native.forget()


def maker(torch: Any, device: Any, sizes: Sequence[int], dtype: Any) -> Maker:
    """Of a new tensor, by torch.compile's own allocation where that is of this device: it parses less."""
    sizes = tuple(sizes)
    short = getattr(getattr(getattr(torch._C, "_dynamo", None), "guards", None), f"_empty_strided_{device.type}", None)
    if short is None or device.type == "cuda" and device.index != torch.cuda.current_device():
        return torch.empty, (sizes,), dict(dtype=dtype, device=device)
    inner = itertools.accumulate((max(n, 1) for n in reversed(sizes[1:])), operator.mul, initial=1)
    return short, (sizes, tuple(inner)[::-1] if sizes else (), dtype), None


def launch(
    torch: Any, device: Any, loaded: Any, workspace: int, order: Sequence[int], outputs: Any, dtypes: Sequence[Any], pick: Sequence[int], o: int,
    host: Any = None, device_plans: Any = None,
) -> Optional[Tuple[Any, ...]]:  # fmt: skip
    """What plan.c launches. `outputs`: an array of Tensor without data; `pick`: which of them are results, `o` among them the
    one that a caller may have memory for. `host`: what is called in memory of the host; `device_plans`: on a device, the functions
    of the runtime's plans."""
    if native is None or not hasattr(torch, "_C") or not isinstance(loaded.run, _FUNCTION):  # A tool's, which looks on.
        return None
    shapes = [tuple(x.sizes[: x.rank]) for x in outputs]
    makers = tuple(maker(torch, device, *shape) for shape in zip(shapes, dtypes))
    turned = flat = None
    if len(shapes[o]) == 4:
        batch, heads, length, size = shapes[o]
        turned = maker(torch, device, (batch, length, heads, size), dtypes[o])
        flat = maker(torch, device, (length, heads, size), dtypes[o])
    return loaded.handle, workspace, tuple(order), bytes(outputs), makers, turned, flat, tuple(pick), o, host, device_plans

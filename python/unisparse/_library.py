# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""cpu.h in ctypes: programs for the CPU, opened and run in this process."""

from __future__ import annotations

import ctypes
import functools
import os
from typing import Any, Union

from . import _plan, _runtime
from ._errors import Error, Status
from ._runtime import Tensor, check, signatures

_POINTER, _INT, _TENSORS = ctypes.c_void_p, ctypes.c_int32, ctypes.POINTER(Tensor)

_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "cpu_check": (ctypes.c_int, []),
    "cpu_level": (ctypes.c_char_p, []),
    "cpu_open": (ctypes.c_int, [ctypes.c_char_p, ctypes.POINTER(_POINTER)]),
    "cpu_close": (None, [_POINTER]),
    "cpu_description": (_POINTER, [_POINTER]),
    "cpu_prepare": (ctypes.c_int, [_POINTER, _TENSORS, _INT, _TENSORS, _INT]),
    # Calls take addresses as numbers, which ctypes passes fastest.
    "cpu_check_values": (ctypes.c_int, [_POINTER]),
    "cpu_run": (ctypes.c_int, [_POINTER, _POINTER, _INT, _POINTER, _INT, _INT]),
}


class Values(ctypes.Structure):
    """unisparse_cpu_values."""

    _fields_ = [
        *((name, _POINTER) for name in ("cu_seqlens_q", "cu_seqlens_k", "counts", "indices")),
        *((name, ctypes.c_int64) for name in ("queries", "keys", "query_block", "key_block")),
    ]


@functools.lru_cache(maxsize=None)
def library() -> ctypes.CDLL:
    """The runtime, with what it has for CPUs."""
    return _runtime.typed(_runtime.library(), _FUNCTIONS, "a runtime for CPUs too")


def level() -> str:
    """What this CPU has, as "x86-64-v3"."""
    return str(library().unisparse_cpu_level().decode())


def expect_threads() -> None:
    """OpenMP's runtime, which programs call, is there."""
    check(library().unisparse_cpu_check())


class Library:
    """A program's file, opened for good: dropping the object closes nothing."""

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        self.path, self._lib, self._program = os.fspath(path), library(), _POINTER()
        check(self._lib.unisparse_cpu_open(os.fsencode(path), ctypes.byref(self._program)))
        description = _POINTER(self._lib.unisparse_cpu_description(self._program))
        self.inputs, self.outputs = (signatures(self._lib, description, kind) for kind in ("input", "output"))
        # On so many threads, with 0 on as many as OpenMP says. Other threads of Python's run meanwhile.
        self.run = self._lib.unisparse_cpu_run

    def prepare(self, inputs: ctypes.Array[Tensor]) -> ctypes.Array[Tensor]:
        """-> outputs, without data."""
        outputs = (Tensor * len(self.outputs))()
        check(self._lib.unisparse_cpu_prepare(self._program, inputs, len(inputs), outputs, len(outputs)))
        return outputs

    @property
    def handle(self) -> Any:
        """The program's address; None once it is closed, which the runtime refuses."""
        return self._program.value

    def close(self) -> None:
        """When nothing runs it any more. Its plans go with it."""
        _plan.forget(self)
        self._close()

    def _close(self) -> None:
        self._lib.unisparse_cpu_close(self._program)
        self._program = _POINTER()


def validate(path: Union[str, os.PathLike[str]]) -> None:
    """Reads and loads a whole file; an Error says what is wrong with it."""
    Library(path)._close()  # It has no plans; forget() would end those of all programs.

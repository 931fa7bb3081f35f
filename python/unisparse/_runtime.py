# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""unisparse.h in ctypes: the same names, structs and statuses, and failures as exceptions."""

from __future__ import annotations

import ctypes
import functools
import os
import pathlib
from typing import Any, Dict, List, Tuple, Union

from ._compiler import tool
from ._errors import Error, Status

MAX_RANK = 4
ELEMENTS = ("f32", "f16", "bf16", "i32")  # unisparse_element, in its order.


class Tensor(ctypes.Structure):
    """unisparse_tensor."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("element", ctypes.c_int),
        ("rank", ctypes.c_int32),
        ("sizes", ctypes.c_int64 * MAX_RANK),
        ("strides", ctypes.c_int64 * MAX_RANK),
    ]


class Signature(ctypes.Structure):
    """unisparse_signature."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("element", ctypes.c_int),
        ("rank", ctypes.c_int32),
        ("sizes", ctypes.c_int64 * MAX_RANK),
    ]


class Kernel(ctypes.Structure):
    """unisparse_kernel."""

    _fields_ = [("name", ctypes.c_char_p), ("schedule", ctypes.c_char_p)]


_POINTER, _INT, _TENSORS = ctypes.c_void_p, ctypes.c_int32, ctypes.POINTER(Tensor)

# Functions by result: a status, a string, a number, nothing. A launch takes addresses as numbers, which ctypes passes fastest.
_FUNCTIONS: dict[str, tuple[Any, list[Any]]] = {
    "artifact_open": (ctypes.c_int, [ctypes.c_char_p, ctypes.POINTER(_POINTER)]),
    "artifact_free": (None, [_POINTER]),
    "artifact_inputs": (_INT, [_POINTER]),
    "artifact_outputs": (_INT, [_POINTER]),
    "artifact_input": (ctypes.c_int, [_POINTER, _INT, ctypes.POINTER(Signature)]),
    "artifact_output": (ctypes.c_int, [_POINTER, _INT, ctypes.POINTER(Signature)]),
    "program_load": (ctypes.c_int, [_POINTER, _INT, ctypes.POINTER(_POINTER)]),
    "program_free": (None, [_POINTER]),
    "program_chip": (ctypes.c_char_p, [_POINTER]),
    "program_kernels": (_INT, [_POINTER]),
    "program_kernel": (ctypes.c_int, [_POINTER, _INT, ctypes.POINTER(Kernel)]),
    "program_prepare": (ctypes.c_int, [_POINTER, _TENSORS, _INT, _TENSORS, _INT, ctypes.POINTER(ctypes.c_size_t)]),
    # As torch's tensors say where they are.
    "program_launch_known": (ctypes.c_int, [_POINTER, _POINTER, _INT, _POINTER, _INT, _POINTER, ctypes.c_size_t, _POINTER]),
    # Called in C alone, see _again.py; inputs and outputs are arrays of addresses.
    "plan_make": (ctypes.c_int, [_POINTER, _POINTER, _INT, _POINTER, _INT, ctypes.POINTER(_POINTER)]),
    "plan_launch": (ctypes.c_int, [_POINTER, _POINTER, _POINTER, _POINTER, _POINTER]),
    "plan_free": (None, [_POINTER]),
    "last_message": (ctypes.c_char_p, []),
}


def folders() -> List[pathlib.Path]:
    """Where there may be what is built beside the package: in it, and in the build or the prefix that the compiler is of."""
    here = pathlib.Path(__file__).resolve().parent
    found = [here, here / "lib", here / "lib64"]
    if compiler := tool("unisparse-compile", "UNISPARSE_COMPILE"):
        prefix = pathlib.Path(compiler).resolve().parent.parent
        found += [prefix / "lib", prefix / "lib64"]
    return found


def _places() -> list[str]:
    """Where the library may be, best first: what the environment names, beside this package, in the build or the prefix that
    the compiler is of, the loader's own search."""
    name = "libunisparse-rt.so"
    if named := os.environ.get("UNISPARSE_RT"):
        return [named]
    beside = [str(p) for folder in folders() if (p := folder / name).exists()]
    return [*beside, name + ".1", name]  # The version of the C interface; a build folder's link.


def place(function: Any) -> int:
    """The address of a library's function."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


@functools.lru_cache(maxsize=None)
def library() -> ctypes.CDLL:
    """The runtime library, with typed functions."""
    failures = []
    for place in _places():
        try:
            lib = ctypes.CDLL(place)
            break
        except OSError as error:
            failures.append(str(error))
    else:
        raise Error(
            f"libunisparse-rt.so: expected the runtime in UNISPARSE_RT, beside the package or the compiler, or on the loader's path, got {'; '.join(failures)}",
            Status.BAD_FILE,
        )
    return typed(lib, _FUNCTIONS, "a runtime of UniSparse")


def typed(lib: ctypes.CDLL, functions: Dict[str, Tuple[Any, List[Any]]], expected: str) -> ctypes.CDLL:
    """The library, with result and argument types of these functions; a library without one of them is not what is expected."""
    for name, (result, arguments) in functions.items():
        try:
            function = getattr(lib, f"unisparse_{name}")
        except AttributeError:
            raise Error(f"{lib._name}: expected {expected}, got a library without unisparse_{name}", Status.BAD_FILE) from None
        function.restype, function.argtypes = result, arguments
    return lib


def check(status: int) -> None:
    """A failure as an exception; call it right behind what failed, on the same thread."""
    if status != Status.OK:
        raise Error(
            library().unisparse_last_message().decode(errors="replace"), Status(status) if status in Status._value2member_map_ else status
        )


def validate(path: Union[str, os.PathLike[str]]) -> None:
    """Reads a whole artifact as a program's loading does; an Error says what is wrong with it. Needs no GPU."""
    artifact = _POINTER()
    check(library().unisparse_artifact_open(os.fsencode(path), ctypes.byref(artifact)))
    library().unisparse_artifact_free(artifact)


def signatures(lib: ctypes.CDLL, artifact: Any, kind: str) -> List[Tuple[str, str, int]]:
    """[(name, element, rank)] of all inputs or outputs, as `kind` says."""
    result, signature = [], Signature()
    for index in range(getattr(lib, f"unisparse_artifact_{kind}s")(artifact)):
        check(getattr(lib, f"unisparse_artifact_{kind}")(artifact, index, ctypes.byref(signature)))
        result.append((signature.name.decode(), ELEMENTS[signature.element], signature.rank))
    return result


class Loaded:
    """An artifact on one device. It is freed by close() alone: whoever drops it knows neither whether its launches have run
    nor whether a CUDA graph holds them."""

    def __init__(self, path: Union[str, os.PathLike[str]], device: int) -> None:
        self._lib, self._artifact, self._program = library(), _POINTER(), _POINTER()
        try:
            check(self._lib.unisparse_artifact_open(os.fsencode(path), ctypes.byref(self._artifact)))
            self.inputs, self.outputs = (signatures(self._lib, self._artifact, kind) for kind in ("input", "output"))
            check(self._lib.unisparse_program_load(self._artifact, device, ctypes.byref(self._program)))
            self.chip: str = self._lib.unisparse_program_chip(self._program).decode()
            self.kernels = self._kernels()
        except BaseException:
            self.close()
            raise
        self.run = self._lib.unisparse_program_launch_known
        # The addresses of what makes, launches and frees the runtime's plans. A plan keeps the program loaded.
        self.plans = tuple(place(getattr(self._lib, f"unisparse_plan_{name}")) for name in ("make", "launch", "free"))

    @property
    def handle(self) -> Any:
        """The program's address; None once it is closed, which the runtime refuses."""
        return self._program.value

    def close(self) -> None:
        if self._program:
            self._lib.unisparse_program_free(self._program)
        if self._artifact:
            self._lib.unisparse_artifact_free(self._artifact)
        self._program, self._artifact = _POINTER(), _POINTER()

    def _kernels(self) -> List[Tuple[str, str]]:
        """[(name, schedule)] of all launches, in their order; the schedule is "" where the kernel has none."""
        result, kernel = [], Kernel()
        for index in range(self._lib.unisparse_program_kernels(self._program)):
            check(self._lib.unisparse_program_kernel(self._program, index, ctypes.byref(kernel)))
            result.append((kernel.name.decode(), kernel.schedule.decode()))
        return result

    def prepare(self, inputs: ctypes.Array[Tensor]) -> Tuple[ctypes.Array[Tensor], int]:
        """inputs: an array of Tensor -> an array of outputs without data, and the bytes of workspace."""
        outputs, workspace = (Tensor * len(self.outputs))(), ctypes.c_size_t()
        check(self._lib.unisparse_program_prepare(self._program, inputs, len(inputs), outputs, len(outputs), ctypes.byref(workspace)))
        return outputs, workspace.value

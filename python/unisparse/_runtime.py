# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""unisparse.h in ctypes: the same names, structs and statuses, and failures as exceptions."""

import ctypes
import functools
import os
import pathlib

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

# Functions by result: a status, a string, a number, nothing.
_FUNCTIONS = {
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
    "program_launch": (ctypes.c_int, [_POINTER, _TENSORS, _INT, _TENSORS, _INT, _POINTER, ctypes.c_size_t, _POINTER]),
    "last_message": (ctypes.c_char_p, []),
}


def _places():
    """Where the library may be, best first: what the environment names, beside this package, the loader's own search."""
    name = "libunisparse-rt.so"
    if named := os.environ.get("UNISPARSE_RT"):
        return [named]
    here = pathlib.Path(__file__).resolve().parent
    beside = [str(p) for folder in (here, here / "lib", here / "lib64") if (p := folder / name).exists()]
    return [*beside, name + ".1", name]  # The version of the C interface; a build folder's link.


@functools.lru_cache(maxsize=None)
def library():
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
            f"libunisparse-rt.so: expected the runtime in UNISPARSE_RT, beside the package or on the loader's path, got {'; '.join(failures)}",
            Status.BAD_FILE,
        )
    for name, (result, arguments) in _FUNCTIONS.items():
        function = getattr(lib, f"unisparse_{name}")
        function.restype, function.argtypes = result, arguments
    return lib


def check(status):
    """A failure as an exception; call it right behind what failed, on the same thread."""
    if status != Status.OK:
        raise Error(
            library().unisparse_last_message().decode(errors="replace"), Status(status) if status in Status._value2member_map_ else status
        )


class Loaded:
    """An artifact on one device. Freed with the object; whoever launches holds it."""

    def __init__(self, path, device):
        self._lib, self._artifact, self._program = library(), _POINTER(), _POINTER()
        check(self._lib.unisparse_artifact_open(os.fsencode(path), ctypes.byref(self._artifact)))
        self.inputs = self._signatures("input")
        self.outputs = self._signatures("output")
        check(self._lib.unisparse_program_load(self._artifact, device, ctypes.byref(self._program)))
        self.chip = self._lib.unisparse_program_chip(self._program).decode()
        self.kernels = self._kernels()

    def __del__(self):
        if getattr(self, "_program", None):
            self._lib.unisparse_program_free(self._program)
        if getattr(self, "_artifact", None):
            self._lib.unisparse_artifact_free(self._artifact)

    def _signatures(self, kind):
        """[(name, element, rank)] of all inputs or outputs."""
        result, signature = [], Signature()
        for index in range(getattr(self._lib, f"unisparse_artifact_{kind}s")(self._artifact)):
            check(getattr(self._lib, f"unisparse_artifact_{kind}")(self._artifact, index, ctypes.byref(signature)))
            result.append((signature.name.decode(), ELEMENTS[signature.element], signature.rank))
        return result

    def _kernels(self):
        """[(name, schedule)] of all launches, in their order; the schedule is "" where the kernel has none."""
        result, kernel = [], Kernel()
        for index in range(self._lib.unisparse_program_kernels(self._program)):
            check(self._lib.unisparse_program_kernel(self._program, index, ctypes.byref(kernel)))
            result.append((kernel.name.decode(), kernel.schedule.decode()))
        return result

    def prepare(self, inputs):
        """inputs: an array of Tensor -> an array of outputs without data, and the bytes of workspace."""
        outputs, workspace = (Tensor * len(self.outputs))(), ctypes.c_size_t()
        check(self._lib.unisparse_program_prepare(self._program, inputs, len(inputs), outputs, len(outputs), ctypes.byref(workspace)))
        return outputs, workspace.value

    def launch(self, inputs, outputs, workspace, size, stream):
        check(self._lib.unisparse_program_launch(self._program, inputs, len(inputs), outputs, len(outputs), workspace, size, stream))

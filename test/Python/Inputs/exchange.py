# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""DLPack's C exchange API (dlpack.h of version 1.3) of faketorch's tensors, as torch has it from 2.10 on."""

import ctypes
import types

import faketorch
from faketorch import torch

CODES = {"float64": (2, 64), "float32": (2, 32), "float16": (2, 16), "bfloat16": (4, 16), "int32": (0, 32), "int64": (0, 64), "uint8": (1, 8)}
TYPES = {"cpu": 1, "cuda": 2}
VOID, INT = ctypes.c_void_p, ctypes.c_int32


class DLTensor(ctypes.Structure):
    _fields_ = [
        ("data", VOID), ("device_type", INT), ("device_id", INT), ("ndim", INT),
        ("code", ctypes.c_uint8), ("bits", ctypes.c_uint8), ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)), ("strides", ctypes.POINTER(ctypes.c_int64)), ("byte_offset", ctypes.c_uint64),
    ]  # fmt: skip


class Managed(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("context", VOID), ("deleter", VOID), ("flags", ctypes.c_uint64), ("tensor", DLTensor),
    ]  # fmt: skip


class Api(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32), ("minor", ctypes.c_uint32), ("older", VOID),
        *((name, VOID) for name in ("allocate", "managed_of_object", "object_of_managed", "tensor_of_object", "current_stream")),
    ]  # fmt: skip


alive = {}  # Memory that allocate() gave: it goes back by its deleter.
kept = []  # What C has the addresses of.


def callback(*types):
    def kept_for_good(function):
        made = ctypes.CFUNCTYPE(*types)(function)
        kept.append(made)
        return ctypes.cast(made, VOID).value

    return kept_for_good


def fill(x, to):
    to.data, to.device_type, to.device_id, to.ndim = x.data_ptr(), TYPES[x.device.type], x.device.index or 0, len(x.shape)
    (to.code, to.bits), to.lanes, to.byte_offset = CODES[x.dtype.name], 1, 0
    x.sizes_of_c, x.strides_of_c = ((ctypes.c_int64 * len(x.shape))(*y) for y in (x.shape, x.stride()))
    to.shape, to.strides = (ctypes.cast(y, ctypes.POINTER(ctypes.c_int64)) for y in (x.sizes_of_c, x.strides_of_c))


@callback(ctypes.c_int, VOID, ctypes.POINTER(DLTensor))
def tensor_of_object(address, out):
    x = ctypes.cast(address, ctypes.py_object).value
    if x.layout != torch.strided:
        return -1
    fill(x, out[0])
    return 0


@callback(None, VOID)
def deleter(address):
    del alive[address]


@callback(ctypes.c_int, ctypes.POINTER(DLTensor), ctypes.POINTER(VOID), VOID, VOID)
def allocate(prototype, out, context, set_error):
    wanted = prototype[0]
    name = next(name for name, code in CODES.items() if code == (wanted.code, wanted.bits))
    device = faketorch.Device({2: "cuda", 1: "cpu"}[wanted.device_type], wanted.device_id)
    x = torch.empty(tuple(wanted.shape[: wanted.ndim]), dtype=getattr(torch, name), device=device)
    managed = Managed(1, 3, None, deleter, 0)
    fill(x, managed.tensor)
    alive[ctypes.addressof(managed)] = x, managed
    out[0] = ctypes.addressof(managed)
    return 0


@callback(ctypes.c_int, ctypes.c_int, INT, ctypes.POINTER(VOID))
def current_stream(device_type, device_id, out):
    out[0] = torch.cuda.current_stream(faketorch.Device("cuda", device_id)).cuda_stream
    return 0


def capsule(major=1):
    api = Api(major, 3, None, allocate, None, None, tensor_of_object, current_stream)
    name = ctypes.c_char_p(b"dlpack_exchange_api")
    kept.extend((api, name))
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [VOID, ctypes.c_char_p, VOID]
    return new(ctypes.addressof(api), name, None)


class Parameter(faketorch.Tensor):
    pass


def install():
    """What torch has beside, for whom speaks the API."""
    torch.modes = 0
    torch.Tensor.__dlpack_c_exchange_api__ = capsule()
    torch.nn = types.SimpleNamespace(Parameter=Parameter)
    torch._C = types.SimpleNamespace(_len_torch_dispatch_stack=lambda: torch.modes)

# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""As much of torch as the Python package touches: tensors on made-up CUDA devices, whose addresses nobody follows."""

import math
import sys
import threading
import types


class Dtype:
    def __init__(self, name, size):
        self.name, self.size = name, size

    def __str__(self):
        return f"torch.{self.name}"


class Device:
    def __init__(self, type, index=0):
        self.type, self.index = type, index

    def __eq__(self, other):
        return (self.type, self.index) == (other.type, other.index)

    def __hash__(self):
        return hash((self.type, self.index))

    def __str__(self):
        return f"{self.type}:{self.index}" if self.type == "cuda" else self.type


class Tensor:
    next_address, lock = 0x100000, threading.Lock()
    __torch_dispatch__ = object()

    def __init__(self, shape, dtype, device, strides=None, address=None, layout="torch.strided", negative=False):
        self.shape, self.dtype, self.device, self.requires_grad = tuple(shape), dtype, device, False
        self.layout, self.negative, self.recorded = layout, negative, []
        self.strides = strides or tuple(math.prod(shape[d + 1 :]) for d in range(len(shape)))
        with Tensor.lock:
            self.address = address or Tensor.next_address
            if address is None:
                Tensor.next_address += -(-math.prod(shape) * dtype.size // 512) * 512 + 512

    def dim(self):
        return len(self.shape)

    def stride(self, dimension=None):
        return self.strides if dimension is None else self.strides[dimension]

    def element_size(self):
        return self.dtype.size

    def is_contiguous(self):
        return self.strides == tuple(math.prod(self.shape[d + 1 :]) for d in range(len(self.shape)))

    def transpose(self, a, b):
        order = list(range(len(self.shape)))
        order[a], order[b] = order[b], order[a]
        shape, strides = ([x[d] for d in order] for x in (self.shape, self.strides))
        return Tensor(shape, self.dtype, self.device, tuple(strides), self.address)

    def __getitem__(self, index):
        assert index is None, index
        return Tensor((1, *self.shape), self.dtype, self.device, (self.shape[0] * self.strides[0], *self.strides), self.address)

    def copy_(self, other):
        torch.copied.append((self, other))

    def is_neg(self):
        return self.negative

    def is_conj(self):
        return False

    def record_stream(self, stream):
        self.recorded.append(stream.cuda_stream)

    def data_ptr(self):
        return self.address if math.prod(self.shape) else 0


class Stream:
    def __init__(self, device):
        self.cuda_stream = 0x7000 + torch.streams.get(device.index, device.index)


def empty(shape, *, dtype, device):
    torch.allocated.append(Tensor(shape, dtype, device))
    return torch.allocated[-1]


torch = types.ModuleType("torch")
for name, size in (("float64", 8), ("float32", 4), ("float16", 2), ("bfloat16", 2), ("int32", 4), ("int64", 8), ("uint8", 1)):
    setattr(torch, name, Dtype(name, size))
torch.Tensor, torch.empty, torch.allocated, torch.copied, torch.streams, torch.grad = Tensor, empty, [], [], {}, False
torch.strided = "torch.strided"
torch.is_grad_enabled = lambda: torch.grad
torch.cuda = types.SimpleNamespace(current_stream=Stream)
sys.modules["torch"] = torch

# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled programs on torch tensors, and the process's memory of them."""

import threading

from . import _artifacts, _torch
from ._errors import unexpected
from ._runtime import Loaded, Tensor


class Program:
    """An artifact file, called with torch CUDA tensors in the order of its inputs; gives the list of its outputs.

    It is loaded on a device when first called there. `inputs`, `outputs` and `chip` of `loaded(device)` describe it.
    """

    def __init__(self, path):
        self.path, self._devices, self._lock = path, {}, threading.Lock()

    def loaded(self, device=0):
        """What unisparse_program_load made, by CUDA device number."""
        found = self._devices.get(device)
        if found is None:
            with self._lock:
                found = self._devices.get(device)
                if found is None:
                    found = self._devices[device] = Loaded(self.path, device)
        return found

    def kernels(self, device=0):
        """[(name, schedule)] of what it launches, in order: "#unitile.schedule<...>" is the warp-specialised kernel,
        "#unitile.tiles<...>" a portable one, "" one that comes in one form only."""
        return self.loaded(device).kernels

    def __call__(self, *tensors):
        call = self.bind(*tensors)
        call()
        return call.outputs

    def bind(self, *tensors):
        """Checks once, allocates once: the result, called, launches on the current stream into its `outputs`, over and over."""
        return Call(self, tensors)


class Call:
    """A program with its tensors."""

    def __init__(self, program, tensors):
        if not tensors:
            raise unexpected("inputs", "at least one tensor", 0)
        names = [f"input {n}" for n in range(len(tensors))]
        self._torch, self._device = _torch.torch_of(tensors[0]), _torch.expect_cuda(dict(zip(names, tensors)))
        self._loaded = program.loaded(self._device.index)
        names = [name for name, _, _ in self._loaded.inputs] + names[len(self._loaded.inputs) :]
        self._tensors = tensors  # Keeps their memory.
        self._inputs = (Tensor * len(tensors))(*map(_torch.describe, names, tensors))
        self._outputs, self._size = self._loaded.prepare(self._inputs)
        self.outputs = _torch.allocate_outputs(self._torch, self._outputs, self._device)
        self._workspace = _torch.allocate(self._torch, (self._size,), self._torch.uint8, self._device)

    def __call__(self):
        stream = self._torch.cuda.current_stream(self._device).cuda_stream
        self._loaded.launch(self._inputs, self._outputs, self._workspace.data_ptr() or None, self._size, stream)
        return self.outputs


_programs, _programs_lock = {}, threading.Lock()


def program_for(config):
    """The program of a configuration. The first call with one finds or compiles its artifact; others wait for that."""
    program = _programs.get(config)
    if program is None:
        with _programs_lock:
            program = _programs.get(config)
            if program is None:
                program = _programs[config] = Program(_artifacts.find(config))
    return program

# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The door of torch's CUDA tensors: an artifact for the configuration, launched on the current stream."""

from . import _torch
from ._errors import Error, Status
from ._program import program_for

element = _torch.element
expect = _torch.expect_cuda


def run(config, tensors):
    expect(tensors)  # One device for all.
    program, device = program_for(config), tensors["q"].device
    loaded = program.loaded(device.index)
    wanted = [name for name, _, _ in loaded.inputs]
    if set(wanted) != set(tensors):
        raise Error(f"{program.path}: expected the inputs {', '.join(tensors)}, got {', '.join(wanted)}", Status.BAD_ARTIFACT)
    results = program(*(tensors[name] for name in wanted))
    return dict(zip((name for name, _, _ in loaded.outputs), results))

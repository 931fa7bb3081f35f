# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The door of torch's CPU tensors: the way of NumPy arrays, with torch's types."""

from __future__ import annotations

from typing import Any, Dict, Mapping

from . import _host, _torch
from ._config import Config
from ._safetensors import Host

element = _torch.element


def expect(named: Mapping[str, Any]) -> None:
    _torch.expect(named, "cpu")


def _to_host(x: Any) -> Host:
    kind, torch = str(element(x)), _torch.torch_of(x)
    bits = x.detach().view(torch.int16).numpy().view("uint16") if kind == "bf16" else x.detach().numpy()
    return Host(kind, bits)


def run(config: Config, tensors: Mapping[str, Any]) -> Dict[str, Any]:
    torch = _torch.torch_of(tensors["q"])
    results = _host.run(config, {name: _to_host(x) for name, x in tensors.items()})

    def back(x: Host) -> Any:
        return torch.from_numpy(x.data.view("int16")).view(torch.bfloat16) if x.kind == "bf16" else torch.from_numpy(x.data)

    return {name: back(x) for name, x in results.items()}

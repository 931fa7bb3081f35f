# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The attention of a torch module as linalg: `python attention.py > attention.mlir`, with torch and torch-mlir.

The text beside this file is what torch 2.15.0 and torch-mlir 20261001 wrote."""
import torch
from torch_mlir import fx


class Attention(torch.nn.Module):
    def forward(self, q, k, v):
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


if __name__ == "__main__":
    q, k, v = (torch.randn(1, heads, 2560, 128, dtype=torch.float16) for heads in (8, 2, 2))
    print(fx.export_and_import(Attention().eval(), q, k, v, output_type="linalg-on-tensors", func_name="attention"))

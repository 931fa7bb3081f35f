# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Training-free block-sparse attention for prefill: compiled kernels on torch's CUDA tensors, the CPU on host memory.

python/README.md says how programs are found, docs/SPEC.md what is computed.
"""

import sys as _sys

from ._attention import attention, block_sparse_attention
from ._errors import Error, Status
from ._program import Program
from ._sdpa import sdpa
from ._version import __version__ as __version__

__all__ = ["attention", "block_sparse_attention", "sdpa", "Error", "Program", "Status"]

if "torch" in _sys.modules:
    try:
        from . import ops as ops
    except Error:
        pass  # A torch without what operators need; importing unisparse.ops says so.

// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

!t = tensor<1x4x?x64xbf16>

func.func @attend(%q: !t, %k: !t, %v: !t) -> !t {
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128> : (!t, !t, !t) -> !t
  return %o : !t
}

func.func @computed(%q: !t, %k: !t, %v: !t) -> !t {
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128> : (!t, !t, !t) -> !t
  %twice = arith.addf %o, %o : !t
  return %twice : !t
}

// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Blocks, a rule and kernels of one's own for the attention of any program: a
// library for transform-preload-library. docs/Tuning.md walks through it.
module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%module: !transform.any_op {transform.readonly}) {
    // The policy, as attributes that unisparse-sparsify-attention reads.
    %attention = transform.structured.match ops{["unisparse.block_sparse_attention"]} in %module
      : (!transform.any_op) -> !transform.any_op
    %rule = transform.param.constant #unisparse.rule<top_p = 0.8, last = 1> -> !transform.any_param
    %block = transform.param.constant #unisparse.block<64x128> -> !transform.any_param
    transform.annotate %attention "unisparse.rule" = %rule : !transform.any_op, !transform.any_param
    transform.annotate %attention "unisparse.block" = %block : !transform.any_op, !transform.any_param

    // Attention that selects, and its four stages.
    %functions = transform.structured.match ops{["func.func"]} in %module : (!transform.any_op) -> !transform.any_op
    %sparse = transform.apply_registered_pass "unisparse-sparsify-attention" to %functions
      : (!transform.any_op) -> !transform.any_op
    %staged = transform.apply_registered_pass "unisparse-decompose-attention" to %sparse
      : (!transform.any_op) -> !transform.any_op

    // The kernels, as the attribute that unisparse-select-schedule leaves alone.
    %attend = transform.structured.match ops{["unisparse.block_sparse_attention"]} in %staged
      : (!transform.any_op) -> !transform.any_op
    %schedule = transform.param.constant #unitile.schedule<stages = 2, reference = running> -> !transform.any_param
    transform.annotate %attend "unitile.schedule" = %schedule : !transform.any_op, !transform.any_param
    %score = transform.structured.match ops{["unisparse.block_score"]} in %staged : (!transform.any_op) -> !transform.any_op
    %tiles = transform.param.constant #unitile.tiles<rows = 64, keys = 64> -> !transform.any_param
    transform.annotate %score "unitile.schedule" = %tiles : !transform.any_op, !transform.any_param
    transform.yield
  }
}

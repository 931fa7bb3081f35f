// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Folds and canonicalisations, each with what it must leave alone. Rewriting
// has to end: the limit stops a pattern that feeds itself.

// RUN: unisparse-opt %s --canonicalize="max-num-rewrites=100 test-convergence" -split-input-file | FileCheck %s

// A composite of one token and one head is the token (P1).
// CHECK-LABEL: func.func @pool_identity(
// CHECK-SAME:    %[[X:.*]]: tensor<1x8x512x64xf32>
// CHECK-NEXT:    return %[[X]]
func.func @pool_identity(%x: tensor<1x8x512x64xf32>) -> tensor<1x8x512x64xf32> {
  %0 = unisparse.pool %x by 1 : (tensor<1x8x512x64xf32>) -> tensor<1x8x512x64xf32>
  return %0 : tensor<1x8x512x64xf32>
}

// CHECK-LABEL: func.func @pool_heads_stays(
// CHECK:         unisparse.pool %{{.*}} by 1 heads 2
func.func @pool_heads_stays(%x: tensor<1x8x512x64xf32>) -> tensor<1x4x512x64xf32> {
  %0 = unisparse.pool %x by 1 heads 2 : (tensor<1x8x512x64xf32>) -> tensor<1x4x512x64xf32>
  return %0 : tensor<1x4x512x64xf32>
}

// Slots are not tokens.
// CHECK-LABEL: func.func @pool_packed_stays(
// CHECK:         unisparse.pool %{{.*}} cu_seqlens(%{{.*}}) by 1
func.func @pool_packed_stays(%x: tensor<1x8x512x64xf32>, %cu: tensor<3xi32>) -> tensor<1x8x514x64xf32> {
  %0 = unisparse.pool %x cu_seqlens(%cu) by 1 : (tensor<1x8x512x64xf32>, tensor<3xi32>) -> tensor<1x8x514x64xf32>
  return %0 : tensor<1x8x514x64xf32>
}

// CHECK-LABEL: func.func @unused_is_erased(
// CHECK-NEXT:    return
func.func @unused_is_erased(%x: tensor<1x8x512x64xf32>) {
  %0 = unisparse.pool %x by 8 : (tensor<1x8x512x64xf32>) -> tensor<1x8x64x64xf32>
  return
}

// -----

//===----------------------------------------------------------------------===//
// LSE
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @attend_drop_lse(
// CHECK:         %[[O:.*]] = unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} block <128x128> causal scale 5.000000e-01 {test.note} :
// CHECK-SAME:      -> tensor<1x8x512x64xf32>
// CHECK-NEXT:    return %[[O]]
func.func @attend_drop_lse(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>) -> tensor<1x8x512x64xf32> {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %k block <128x128> causal return_lse scale 0.5 {test.note}
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> (tensor<1x8x512x64xf32>, tensor<1x8x512xf32>)
  return %o : tensor<1x8x512x64xf32>
}

// CHECK-LABEL: func.func @attend_keep_lse(
// CHECK:         return_lse
func.func @attend_keep_lse(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>) -> tensor<1x8x512xf32> {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %k block <128x128> causal return_lse
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> (tensor<1x8x512x64xf32>, tensor<1x8x512xf32>)
  return %lse : tensor<1x8x512xf32>
}

// Results behind the LSE keep their place.
// CHECK-LABEL: func.func @attention_drop_lse(
// CHECK-SAME:    %[[P:[a-z0-9]+]]: tensor<2xf32>
// CHECK:         %[[O:.*]], %[[C:.*]], %[[I:.*]], %[[D:.*]] = unisparse.attention %{{.*}}, %{{.*}}, %{{.*}} top_p(%[[P]]) block <128x128> pooling <8x8> rule <top_p> agg sum share group causal scale 5.000000e-01 alpha 2.000000e+00 :
// CHECK-NEXT:    return %[[O]], %[[I]], %[[D]]
func.func @attention_drop_lse(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %p: tensor<2xf32>) -> (tensor<1x8x512x64xf32>, tensor<1x2x4x4xi32>, tensor<1x2xf32>) {
  %o, %lse, %c, %i, %d = unisparse.attention %q, %k, %k top_p(%p) block <128x128> pooling <8x8> rule <top_p> agg sum share group causal return_lse scale 0.5 alpha 2.0
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<2xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x512xf32>, tensor<1x2x4xi32>, tensor<1x2x4x4xi32>, tensor<1x2xf32>)
  return %o, %i, %d : tensor<1x8x512x64xf32>, tensor<1x2x4x4xi32>, tensor<1x2xf32>
}

// -----

//===----------------------------------------------------------------------===//
// Dense rules on unisparse.attention
//===----------------------------------------------------------------------===//

!q = tensor<1x8x512x64xf32>
!k = tensor<1x2x512x64xf32>
!c = tensor<1x8x4xi32>
!i = tensor<1x8x4x4xi32>
!d = tensor<1x8xf32>

// CHECK-LABEL: func.func @attention_whole_share(
// CHECK:         rule <all> causal
func.func @attention_whole_share(%q: !q, %k: !k) -> !c {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <top_p = 1.0, sink = 3> causal : (!q, !k, !k) -> (!q, !c, !i, !d)
  return %c : !c
}

// CHECK-LABEL: func.func @attention_all_with_options(
// CHECK:         rule <all> :
func.func @attention_all_with_options(%q: !q, %k: !k) -> !c {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <all, max_blocks = 2> : (!q, !k, !k) -> (!q, !c, !i, !d)
  return %c : !c
}

// CHECK-LABEL: func.func @attention_dense_below(
// CHECK:         rule <all> :
func.func @attention_dense_below(%q: !q, %k: !k) -> !c {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <top_k = 1, dense_below = 512> : (!q, !k, !k) -> (!q, !c, !i, !d)
  return %c : !c
}

// CHECK-LABEL: func.func @attention_not_below(
// CHECK:         rule <top_k = 1, dense_below = 511> :
func.func @attention_not_below(%q: !q, %k: !k) -> !c {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <top_k = 1, dense_below = 511> : (!q, !k, !k) -> (!q, !c, !i, !d)
  return %c : !c
}

// A cap leaves blocks out whatever p says (L3).
// CHECK-LABEL: func.func @attention_capped(
// CHECK:         rule <top_p = 1.0, max_blocks = 2> :
func.func @attention_capped(%q: !q, %k: !k) -> !c {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <top_p = 1.0, max_blocks = 2> : (!q, !k, !k) -> (!q, !c, !i, !d)
  return %c : !c
}

// CHECK-LABEL: func.func @attention_top_p_operand(
// CHECK:         top_p(%{{.*}}) block <128x128> pooling <8x8> rule <top_p, dense_below = 4096> :
func.func @attention_top_p_operand(%q: !q, %k: !k, %p: tensor<8xf32>) -> !c {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k top_p(%p) block <128x128> pooling <8x8> rule <top_p, dense_below = 4096> : (!q, !k, !k, tensor<8xf32>) -> (!q, !c, !i, !d)
  return %c : !c
}

// CHECK-LABEL: func.func @attention_length_unknown(
// CHECK:         rule <top_k = 1, dense_below = 4096> :
func.func @attention_length_unknown(%q: !q, %k: tensor<1x2x?x64xf32>) -> !c {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <top_k = 1, dense_below = 4096>
    : (!q, tensor<1x2x?x64xf32>, tensor<1x2x?x64xf32>) -> (!q, !c, tensor<1x8x4x?xi32>, !d)
  return %c : !c
}

// -----

//===----------------------------------------------------------------------===//
// Dense rules on unisparse.block_select: the mass is a shape
//===----------------------------------------------------------------------===//

!m = tensor<1x8x4x4xf32>
!c = tensor<1x8x4xi32>
!i = tensor<1x8x4x4xi32>
!d = tensor<1x8xf32>

// Nothing scores for a rule that looks at no score.
// CHECK-LABEL: func.func @select_needs_no_score(
// CHECK-NOT:     unisparse.block_score
// CHECK:         %[[E:.*]] = tensor.empty() : tensor<1x8x4x4xf32>
// CHECK-NEXT:    unisparse.block_select %[[E]] lengths [512, 512] block <128x128> rule <all> causal
func.func @select_needs_no_score(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) -> !c {
  %m = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8> causal : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> !m
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 1.0, sink = 2> causal : (!m) -> (!c, !i, !d)
  return %c : !c
}

// CHECK-LABEL: func.func @select_dense_below(
// CHECK:         %[[E:.*]] = tensor.empty() : tensor<1x8x4x4xf32>
// CHECK-NEXT:    unisparse.block_select %[[E]] lengths [512, 512] block <128x128> rule <all>
func.func @select_dense_below(%m: !m) -> !c {
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_k = 1, dense_below = 512> : (!m) -> (!c, !i, !d)
  return %c : !c
}

// CHECK-LABEL: func.func @select_sparse(
// CHECK-SAME:    %[[M:.*]]: tensor<1x8x4x4xf32>
// CHECK:         unisparse.block_select %[[M]] lengths [512, 512] block <128x128> rule <top_p = 1.0, max_blocks = 3, dense_below = 511>
func.func @select_sparse(%m: !m) -> !c {
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 1.0, max_blocks = 3, dense_below = 511> : (!m) -> (!c, !i, !d)
  return %c : !c
}

// The shares name the heads.
// CHECK-LABEL: func.func @select_top_p_operand(
// CHECK-SAME:    %[[M:[a-z0-9]+]]: tensor<1x8x4x4xf32>, %[[P:[a-z0-9]+]]: tensor<16xf32>
// CHECK:         unisparse.block_select %[[M]] top_p(%[[P]]) lengths [512, 512] block <128x128> rule <top_p, dense_below = 512>
func.func @select_top_p_operand(%m: !m, %p: tensor<16xf32>) -> tensor<1x16x4xi32> {
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [512, 512] block <128x128> rule <top_p, dense_below = 512>
    : (!m, tensor<16xf32>) -> (tensor<1x16x4xi32>, tensor<1x16x4x4xi32>, tensor<1x16xf32>)
  return %c : tensor<1x16x4xi32>
}

// CHECK-LABEL: func.func @select_dynamic(
// CHECK-SAME:    %[[M:[a-z0-9]+]]: tensor<1x8x?x4xf32>
// CHECK:         %[[R:.*]] = tensor.dim %[[M]], %c2
// CHECK:         %[[E:.*]] = tensor.empty(%[[R]]) : tensor<1x8x?x4xf32>
// CHECK:         unisparse.block_select %[[E]] lengths [%{{.*}}, 512] block <128x128> rule <all>
func.func @select_dynamic(%m: tensor<1x8x?x4xf32>, %lq: index) -> tensor<1x8x?xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [%lq, 512] block <128x128> rule <all> : (tensor<1x8x?x4xf32>, index) -> (tensor<1x8x?xi32>, tensor<1x8x?x4xi32>, !d)
  return %c : tensor<1x8x?xi32>
}

// Nor with a length that is not known.
// CHECK-LABEL: func.func @select_dynamic_needs_no_score(
// CHECK-NOT:     unisparse.block_score
// CHECK:         tensor.empty(%{{.*}}) : tensor<1x8x?x4xf32>
// CHECK-NOT:     unisparse.block_score
// CHECK:         unisparse.block_select
func.func @select_dynamic_needs_no_score(%q: tensor<1x8x?x64xf32>, %k: tensor<1x2x64x64xf32>, %lq: index) -> tensor<1x8x?xi32> {
  %m = unisparse.block_score %q, %k lengths [%lq, 512] block <128x128> pooling <8x8> : (tensor<1x8x?x64xf32>, tensor<1x2x64x64xf32>, index) -> tensor<1x8x?x4xf32>
  %c, %i, %d = unisparse.block_select %m lengths [%lq, 512] block <128x128> rule <all> : (tensor<1x8x?x4xf32>, index) -> (tensor<1x8x?xi32>, tensor<1x8x?x4xi32>, !d)
  return %c : tensor<1x8x?xi32>
}

// -----

//===----------------------------------------------------------------------===//
// A selection of every candidate is none
//===----------------------------------------------------------------------===//

!q = tensor<1x8x512x64xf32>
!k = tensor<1x2x512x64xf32>
!m = tensor<1x8x4x4xf32>
!c = tensor<1x8x4xi32>
!i = tensor<1x8x4x4xi32>
!d = tensor<1x8xf32>

// CHECK-LABEL: func.func @full_selection(
// CHECK-NOT:     unisparse.block_select
// CHECK:         unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} block <128x128> causal :
func.func @full_selection(%q: !q, %k: !k, %m: !m) -> !q {
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 1.0> causal : (!m) -> (!c, !i, !d)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> causal : (!q, !k, !k, !c, !i) -> !q
  return %o : !q
}

// CHECK-LABEL: func.func @partial_selection(
// CHECK:         selection(%{{.*}}, %{{.*}}) block <128x128> causal :
func.func @partial_selection(%q: !q, %k: !k, %m: !m) -> !q {
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_k = 4> causal : (!m) -> (!c, !i, !d)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> causal : (!q, !k, !k, !c, !i) -> !q
  return %o : !q
}

// All that causal rows see is not all.
// CHECK-LABEL: func.func @full_selection_other_causal(
// CHECK:         selection(%{{.*}}, %{{.*}}) block <128x128> :
func.func @full_selection_other_causal(%q: !q, %k: !k, %m: !m) -> !q {
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <all> causal : (!m) -> (!c, !i, !d)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> : (!q, !k, !k, !c, !i) -> !q
  return %o : !q
}

// Indices of another op are not this selection.
// CHECK-LABEL: func.func @full_counts_other_indices(
// CHECK:         selection(%{{.*}}, %{{.*}}) block <128x128> :
func.func @full_counts_other_indices(%q: !q, %k: !k, %m: !m, %other: !i) -> !q {
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <all> : (!m) -> (!c, !i, !d)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %other) block <128x128> : (!q, !k, !k, !c, !i) -> !q
  return %o : !q
}

// Blocks of another size, of which there happen to be as many.
// CHECK-LABEL: func.func @full_selection_other_block(
// CHECK:         selection(%{{.*}}, %{{.*}}) block <128x130> :
func.func @full_selection_other_block(%q: !q, %k: !k, %m: !m) -> !q {
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <all> : (!m) -> (!c, !i, !d)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x130> : (!q, !k, !k, !c, !i) -> !q
  return %o : !q
}

// Lengths of another attention have other diagonals: of 385 queries and 640
// keys, row 0 sees three blocks, of these 512 and 520 it sees two.
// CHECK-LABEL: func.func @full_selection_other_lengths(
// CHECK:         selection(%{{.*}}, %{{.*}}) block <128x128> causal :
func.func @full_selection_other_lengths(%q: tensor<1x8x385x64xf32>, %k: tensor<1x2x640x64xf32>, %m: tensor<1x8x4x5xf32>) -> tensor<1x8x385x64xf32> {
  %c, %i, %d = unisparse.block_select %m lengths [512, 520] block <128x128> rule <all> causal : (tensor<1x8x4x5xf32>) -> (!c, tensor<1x8x4x5xi32>, !d)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> causal
    : (tensor<1x8x385x64xf32>, tensor<1x2x640x64xf32>, tensor<1x2x640x64xf32>, !c, tensor<1x8x4x5xi32>) -> tensor<1x8x385x64xf32>
  return %o : tensor<1x8x385x64xf32>
}

// Sequences cut elsewhere have other candidates.
// CHECK-LABEL: func.func @full_selection_other_sequences(
// CHECK:         selection(%{{.*}}, %{{.*}}) cu_seqlens
func.func @full_selection_other_sequences(%q: !q, %k: !k, %m: tensor<1x8x6x4xf32>, %cu: tensor<3xi32>, %other: tensor<3xi32>) -> !q {
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] cu_seqlens(%other, %other) block <128x128> rule <all>
    : (tensor<1x8x6x4xf32>, tensor<3xi32>, tensor<3xi32>) -> (tensor<1x8x6xi32>, tensor<1x8x6x4xi32>, !d)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) cu_seqlens(%cu, %cu) block <128x128>
    : (!q, !k, !k, tensor<1x8x6xi32>, tensor<1x8x6x4xi32>, tensor<3xi32>, tensor<3xi32>) -> !q
  return %o : !q
}

// CHECK-LABEL: func.func @full_selection_packed(
// CHECK-NOT:     unisparse.block_select
// CHECK:         unisparse.block_sparse_attention %{{.*}}, %{{.*}}, %{{.*}} cu_seqlens(%{{.*}}, %{{.*}}) block <128x128> :
func.func @full_selection_packed(%q: !q, %k: !k, %m: tensor<1x8x6x4xf32>, %cu: tensor<3xi32>) -> !q {
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] cu_seqlens(%cu, %cu) block <128x128> rule <all>
    : (tensor<1x8x6x4xf32>, tensor<3xi32>, tensor<3xi32>) -> (tensor<1x8x6xi32>, tensor<1x8x6x4xi32>, !d)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) cu_seqlens(%cu, %cu) block <128x128>
    : (!q, !k, !k, tensor<1x8x6xi32>, tensor<1x8x6x4xi32>, tensor<3xi32>, tensor<3xi32>) -> !q
  return %o : !q
}

// -----

//===----------------------------------------------------------------------===//
// Lengths that became constants
//===----------------------------------------------------------------------===//

// CHECK-LABEL: func.func @score_static_lengths(
// CHECK:         %[[M:.*]] = unisparse.block_score %{{.*}}, %{{.*}} lengths [512, 500] block <128x128> pooling <8x8> :
// CHECK-SAME:      (tensor<1x8x?x64xf32>, tensor<1x2x?x64xf32>) -> tensor<1x8x4x4xf32>
// CHECK:         tensor.cast %[[M]] : tensor<1x8x4x4xf32> to tensor<1x8x4x?xf32>
func.func @score_static_lengths(%q: tensor<1x8x?x64xf32>, %k: tensor<1x2x?x64xf32>) -> tensor<1x8x4x?xf32> {
  %lk = arith.constant 500 : index
  %0 = unisparse.block_score %q, %k lengths [512, %lk] block <128x128> pooling <8x8> : (tensor<1x8x?x64xf32>, tensor<1x2x?x64xf32>, index) -> tensor<1x8x4x?xf32>
  return %0 : tensor<1x8x4x?xf32>
}

// One of two.
// CHECK-LABEL: func.func @score_one_static_length(
// CHECK-SAME:    %[[LQ:[a-z0-9]+]]: index
// CHECK:         unisparse.block_score %{{.*}}, %{{.*}} lengths [%[[LQ]], 500] block <128x128> pooling <8x8> :
// CHECK-SAME:      -> tensor<1x8x?x4xf32>
func.func @score_one_static_length(%q: tensor<1x8x?x64xf32>, %k: tensor<1x2x?x64xf32>, %lq: index) -> tensor<1x8x?x?xf32> {
  %lk = arith.constant 500 : index
  %0 = unisparse.block_score %q, %k lengths [%lq, %lk] block <128x128> pooling <8x8> : (tensor<1x8x?x64xf32>, tensor<1x2x?x64xf32>, index, index) -> tensor<1x8x?x?xf32>
  return %0 : tensor<1x8x?x?xf32>
}

// A negative constant is no length; the op keeps it to be refused where it runs.
// CHECK-LABEL: func.func @score_negative_length(
// CHECK:         lengths [512, %c-1]
func.func @score_negative_length(%q: tensor<1x8x?x64xf32>, %k: tensor<1x2x?x64xf32>) -> tensor<1x8x4x?xf32> {
  %lk = arith.constant -1 : index
  %0 = unisparse.block_score %q, %k lengths [512, %lk] block <128x128> pooling <8x8> : (tensor<1x8x?x64xf32>, tensor<1x2x?x64xf32>, index) -> tensor<1x8x4x?xf32>
  return %0 : tensor<1x8x4x?xf32>
}

// The shape of a selection is that of its mass.
// CHECK-LABEL: func.func @select_static_lengths(
// CHECK-SAME:    %[[M:.*]]: tensor<1x8x?x?xf32>
// CHECK:         %[[C:.*]], %{{.*}}, %{{.*}} = unisparse.block_select %[[M]] lengths [512, 512] block <128x128> rule <top_k = 2> :
// CHECK-NEXT:    return %[[C]] : tensor<1x8x?xi32>
func.func @select_static_lengths(%m: tensor<1x8x?x?xf32>) -> tensor<1x8x?xi32> {
  %l = arith.constant 512 : index
  %c, %i, %d = unisparse.block_select %m lengths [%l, %l] block <128x128> rule <top_k = 2> : (tensor<1x8x?x?xf32>, index, index) -> (tensor<1x8x?xi32>, tensor<1x8x?x?xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x?xi32>
}

// -----

// A constant that the op cannot have (I7) is code that does not run: the op is
// left as it was, and stays valid.
// CHECK-LABEL: func.func @select_impossible_length(
// CHECK:         unisparse.block_select %{{.*}} lengths [512, %{{.*}}] block <128x128> rule <top_k = 2> causal
func.func @select_impossible_length(%m: tensor<1x8x4x?xf32>) -> tensor<1x8x4xi32> {
  %l = arith.constant 256 : index
  %c, %i, %d = unisparse.block_select %m lengths [512, %l] block <128x128> rule <top_k = 2> causal : (tensor<1x8x4x?xf32>, index) -> (tensor<1x8x4xi32>, tensor<1x8x4x?xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x4xi32>
}

// -----

// A shape whose size turns out to be constant is rewritten by tensor's own
// patterns; the two must not chase each other.
// CHECK:       func.func @select_shape_becomes_static(
// CHECK:         unisparse.block_select %{{.*}} lengths [512, 512] block <128x128> rule <all>
func.func @select_shape_becomes_static() -> tensor<1x8x?xi32> {
  %c4 = arith.constant 4 : index
  %m = tensor.empty(%c4) : tensor<1x8x?x4xf32>
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <all> : (tensor<1x8x?x4xf32>) -> (tensor<1x8x?xi32>, tensor<1x8x?x4xi32>, tensor<1x8xf32>)
  return %c : tensor<1x8x?xi32>
}

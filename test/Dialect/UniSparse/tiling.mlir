// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Tiles of pool and block_sparse_attention are the op itself on slices.

// RUN: unisparse-opt %s --transform-interpreter -split-input-file -verify-diagnostics --canonicalize | FileCheck %s

// 128 composites in tiles of 32, four heads in twos: of heads 2 at a time, 4
// heads of x; of composites 32, 256 rows.
// CHECK-LABEL: func.func @pool(
// CHECK-SAME:    %[[X:.*]]: tensor<1x8x1024x64xf32>
// CHECK:         scf.for %[[H:[a-z0-9]+]] = %c0 to %c4 step %c2
// CHECK:           scf.for %[[A:[a-z0-9]+]] = %c0 to %c128 step %c32
// CHECK:             tensor.extract_slice %[[X]][0, %{{.*}}, %{{.*}}, 0] [1, 4, {{.*}}, 64] [1, 1, 1, 1]
// CHECK:             %[[T:.*]] = unisparse.pool %{{.*}} by 8 heads 2 :
// CHECK:             tensor.insert_slice %{{.*}} into %{{.*}}[0, %[[H]], %[[A]], 0] [1, 2, 32, 64]
func.func @pool(%x: tensor<1x8x1024x64xf32>) -> tensor<1x4x128x64xf32> {
  %0 = unisparse.pool %x by 8 heads 2 : (tensor<1x8x1024x64xf32>) -> tensor<1x4x128x64xf32>
  return %0 : tensor<1x4x128x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %pool = transform.structured.match ops{["unisparse.pool"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loops:2 = transform.structured.tile_using_for %pool tile_sizes [0, 2, 32] : (!transform.any_op) -> (!transform.any_op, !transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// 1003 rows make 126 composites, the last of three rows: tiles end at the rows
// that exist (P1, P3).
// CHECK-DAG:     #[[$ROWS:.*]] = affine_map<(d0, d1) -> ({{.*}}d1 * -8 + 1003{{.*}})>
// CHECK-LABEL: func.func @pool_ragged(
// CHECK-SAME:    %[[X:.*]]: tensor<1x8x1003x64xf32>
// CHECK:         scf.for %[[A:[a-z0-9]+]] = %c0 to %c126 step %c32
// CHECK:           %[[ROWS:.*]] = affine.min #[[$ROWS]](%{{.*}}, %[[A]])
// CHECK:           tensor.extract_slice %[[X]][0, 0, %{{.*}}, 0] [1, 8, %[[ROWS]], 64] [1, 1, 1, 1] : tensor<1x8x1003x64xf32> to tensor<1x8x?x64xf32>
// CHECK:           unisparse.pool %{{.*}} by 8 : (tensor<1x8x?x64xf32>) -> tensor<1x8x?x64xf32>
// CHECK:           tensor.insert_slice %{{.*}} into %{{.*}}[0, 0, %[[A]], 0]
func.func @pool_ragged(%x: tensor<1x8x1003x64xf32>) -> tensor<1x8x126x64xf32> {
  %0 = unisparse.pool %x by 8 : (tensor<1x8x1003x64xf32>) -> tensor<1x8x126x64xf32>
  return %0 : tensor<1x8x126x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %pool = transform.structured.match ops{["unisparse.pool"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %pool tile_sizes [0, 0, 32] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// Two KV heads with the four query heads of each: a thread takes one group.
// CHECK-LABEL: func.func @attend_groups(
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: tensor<2x8x512x64xf16>, %[[K:[a-z0-9]+]]: tensor<2x2x512x64xf16>, %[[V:[a-z0-9]+]]: tensor<2x2x512x32xf16>, %[[C:[a-z0-9]+]]: tensor<2x4x4xi32>, %[[I:[a-z0-9]+]]: tensor<2x4x4x4xi32>
// CHECK:         scf.forall (%[[B:.*]], %[[G:.*]]) in (2, 2) shared_outs(%[[OUT:.*]] = %{{.*}}, %[[LSE:.*]] = %{{.*}})
// CHECK-DAG:       %[[H:.*]] = affine.apply #{{.*}}(%[[G]])
// CHECK-DAG:       tensor.extract_slice %[[Q]][%[[B]], %[[H]], 0, 0] [1, 4, 512, 64]
// CHECK-DAG:       tensor.extract_slice %[[K]][%[[B]], %[[G]], 0, 0] [1, 1, 512, 64]
// CHECK-DAG:       tensor.extract_slice %[[V]][%[[B]], %[[G]], 0, 0] [1, 1, 512, 32]
// CHECK-DAG:       tensor.extract_slice %[[C]][%[[B]], %{{.*}}, 0] [1, 2, 4]
// CHECK-DAG:       tensor.extract_slice %[[I]][%[[B]], %{{.*}}, 0, 0] [1, 2, 4, 4]
// CHECK:           %[[TO:.*]], %[[TL:.*]] = unisparse.block_sparse_attention {{.*}} block <128x128> causal return_lse scale 5.000000e-01 :
// CHECK-SAME:        -> (tensor<1x4x512x32xf16>, tensor<1x4x512xf32>)
// CHECK-DAG:         tensor.parallel_insert_slice %[[TO]] into %[[OUT]][%[[B]], %{{.*}}, 0, 0] [1, 4, 512, 32]
// CHECK-DAG:         tensor.parallel_insert_slice %[[TL]] into %[[LSE]][%[[B]], %{{.*}}, 0] [1, 4, 512]
func.func @attend_groups(%q: tensor<2x8x512x64xf16>, %k: tensor<2x2x512x64xf16>, %v: tensor<2x2x512x32xf16>, %c: tensor<2x4x4xi32>, %i: tensor<2x4x4x4xi32>) -> (tensor<2x8x512x32xf16>, tensor<2x8x512xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <128x128> causal return_lse scale 0.5
    : (tensor<2x8x512x64xf16>, tensor<2x2x512x64xf16>, tensor<2x2x512x32xf16>, tensor<2x4x4xi32>, tensor<2x4x4x4xi32>) -> (tensor<2x8x512x32xf16>, tensor<2x8x512xf32>)
  return %o, %lse : tensor<2x8x512x32xf16>, tensor<2x8x512xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %attend = transform.structured.match ops{["unisparse.block_sparse_attention"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %forall = transform.structured.tile_using_forall %attend tile_sizes [1, 1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// Three KV heads in twos: the last tile has one. A packed batch keeps its ends.
// CHECK-LABEL: func.func @attend_uneven(
// CHECK-SAME:    %[[Q:[a-z0-9]+]]: tensor<1x6x512x64xf32>, %[[K:[a-z0-9]+]]: tensor<1x3x512x64xf32>, %[[CU:[a-z0-9]+]]: tensor<3xi32>
// CHECK:         scf.for %[[G:[a-z0-9]+]] = %c0 to %c3 step %c2
// CHECK:           tensor.extract_slice %[[Q]][0, %{{.*}}, 0, 0] [1, %{{.*}}, 512, 64]
// CHECK:           tensor.extract_slice %[[K]][0, %[[G]], 0, 0] [1, %{{.*}}, 512, 64]
// CHECK:           unisparse.block_sparse_attention {{.*}} cu_seqlens(%[[CU]], %[[CU]]) block <128x128> : (tensor<1x?x512x64xf32>, tensor<1x?x512x64xf32>, tensor<1x?x512x64xf32>, tensor<3xi32>, tensor<3xi32>) -> tensor<1x?x512x64xf32>
func.func @attend_uneven(%q: tensor<1x6x512x64xf32>, %k: tensor<1x3x512x64xf32>, %cu: tensor<3xi32>) -> tensor<1x6x512x64xf32> {
  %o = unisparse.block_sparse_attention %q, %k, %k cu_seqlens(%cu, %cu) block <128x128> : (tensor<1x6x512x64xf32>, tensor<1x3x512x64xf32>, tensor<1x3x512x64xf32>, tensor<3xi32>, tensor<3xi32>) -> tensor<1x6x512x64xf32>
  return %o : tensor<1x6x512x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %attend = transform.structured.match ops{["unisparse.block_sparse_attention"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %attend tile_sizes [0, 2] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// A pool fuses into the loop that uses its result.
// CHECK-LABEL: func.func @fuse_pool(
// CHECK:         scf.forall (%[[A:.*]]) in (4)
// CHECK:           unisparse.pool
// CHECK:           linalg.exp
func.func @fuse_pool(%x: tensor<1x8x1024x64xf32>, %out: tensor<1x8x128x64xf32>) -> tensor<1x8x128x64xf32> {
  %0 = unisparse.pool %x by 8 : (tensor<1x8x1024x64xf32>) -> tensor<1x8x128x64xf32>
  %1 = linalg.exp ins(%0 : tensor<1x8x128x64xf32>) outs(%out : tensor<1x8x128x64xf32>) -> tensor<1x8x128x64xf32>
  return %1 : tensor<1x8x128x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %pool = transform.structured.match ops{["unisparse.pool"]} in %root : (!transform.any_op) -> !transform.any_op
    %exp = transform.structured.match ops{["linalg.exp"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %forall = transform.structured.tile_using_forall %exp tile_sizes [0, 0, 32] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    %fused, %new = transform.structured.fuse_into_containing_op %pool into %forall : (!transform.any_op, !transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

func.func @pool_representatives(%x: tensor<1x8x1024x64xf32>) -> tensor<1x8x160x64xf32> {
  // expected-error@+3 {{'unisparse.pool' op cannot be tiled with representatives, whose composites come by query blocks}}
  // expected-error@+2 {{to tile operation}}
  // expected-error@+1 {{failed to generate tiling loops}}
  %0, %rows = unisparse.pool %x by 8 representatives 4 of 128 : (tensor<1x8x1024x64xf32>) -> (tensor<1x8x160x64xf32>, tensor<1x8x8x4xi32>)
  return %0 : tensor<1x8x160x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %pool = transform.structured.match ops{["unisparse.pool"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %pool tile_sizes [0, 0, 20] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// Columns of the spread go with their composites (P6).
// CHECK-LABEL: func.func @pool_spread(
// CHECK:         scf.for
// CHECK:           %[[POOLED:.*]] = unisparse.pool %{{.*}} by 8 spread 4 : (tensor<1x8x?x64xf32>) -> tensor<1x8x?x80xf32>
// CHECK:           %[[TILE:.*]] = tensor.cast %[[POOLED]] : tensor<1x8x?x80xf32> to tensor<1x8x32x80xf32>
// CHECK:           tensor.insert_slice %[[TILE]] into %{{.*}}[0, 0, %{{.*}}, 0] [1, 8, 32, 80]
func.func @pool_spread(%x: tensor<1x8x1024x64xf32>) -> tensor<1x8x128x80xf32> {
  %0 = unisparse.pool %x by 8 spread 4 : (tensor<1x8x1024x64xf32>) -> tensor<1x8x128x80xf32>
  return %0 : tensor<1x8x128x80xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %pool = transform.structured.match ops{["unisparse.pool"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %pool tile_sizes [0, 0, 32] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

func.func @pool_packed(%x: tensor<1x8x1024x64xf32>, %cu: tensor<3xi32>) -> tensor<1x8x130x64xf32> {
  // expected-error@+3 {{'unisparse.pool' op cannot be tiled over packed sequences, whose slots do not start at multiples of the pooling factor}}
  // expected-error@+2 {{to tile operation}}
  // expected-error@+1 {{failed to generate tiling loops}}
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x8x1024x64xf32>, tensor<3xi32>) -> tensor<1x8x130x64xf32>
  return %0 : tensor<1x8x130x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %pool = transform.structured.match ops{["unisparse.pool"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %pool tile_sizes [0, 0, 26] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// One selection for both KV heads cannot be cut between them.
func.func @attend_shared_selection(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %c: tensor<1x1x4xi32>, %i: tensor<1x1x4x4xi32>) -> tensor<1x8x512x64xf32> {
  // expected-error@+3 {{'unisparse.block_sparse_attention' op cannot be tiled by KV heads: expected static numbers of heads, each a multiple of k's}}
  // expected-error@+2 {{to tile operation}}
  // expected-error@+1 {{failed to generate tiling loops}}
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x1x4xi32>, tensor<1x1x4x4xi32>) -> tensor<1x8x512x64xf32>
  return %o : tensor<1x8x512x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %attend = transform.structured.match ops{["unisparse.block_sparse_attention"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %attend tile_sizes [0, 1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

func.func @attend_dynamic_heads(%q: tensor<1x8x512x64xf32>, %k: tensor<1x?x512x64xf32>) -> tensor<1x8x512x64xf32> {
  // expected-error@+3 {{cannot be tiled by KV heads: expected static numbers of heads, each a multiple of k's}}
  // expected-error@+2 {{to tile operation}}
  // expected-error@+1 {{failed to generate tiling loops}}
  %o = unisparse.block_sparse_attention %q, %k, %k block <128x128> : (tensor<1x8x512x64xf32>, tensor<1x?x512x64xf32>, tensor<1x?x512x64xf32>) -> tensor<1x8x512x64xf32>
  return %o : tensor<1x8x512x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %attend = transform.structured.match ops{["unisparse.block_sparse_attention"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %attend tile_sizes [0, 1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// Of keys that are none, a tile has none.
// CHECK-LABEL: func.func @no_keys(
// CHECK:         scf.for
// CHECK:           %[[K:.*]] = tensor.empty() : tensor<1x1x0x64xf32>
// CHECK:           %[[V:.*]] = tensor.empty() : tensor<1x1x0x64xf32>
// CHECK:           unisparse.block_sparse_attention %{{.*}}, %[[K]], %[[V]] block
func.func @no_keys(%q: tensor<2x4x10x64xf32>, %k: tensor<2x2x0x64xf32>) -> tensor<2x4x10x64xf32> {
  %o = unisparse.block_sparse_attention %q, %k, %k block <32x32> : (tensor<2x4x10x64xf32>, tensor<2x2x0x64xf32>, tensor<2x2x0x64xf32>) -> tensor<2x4x10x64xf32>
  return %o : tensor<2x4x10x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %attend = transform.structured.match ops{["unisparse.block_sparse_attention"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loops:2 = transform.structured.tile_using_for %attend tile_sizes [1, 1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

func.func @no_queries(%q: tensor<2x4x0x64xf32>, %k: tensor<2x2x10x64xf32>) -> tensor<2x4x0x64xf32> {
  // expected-error@+3 {{'unisparse.block_sparse_attention' op cannot be tiled: expected a result with elements, got 'tensor<2x4x0x64xf32>'}}
  // expected-error@+2 {{to tile operation}}
  // expected-error@+1 {{failed to generate tiling loops}}
  %o = unisparse.block_sparse_attention %q, %k, %k block <32x32> : (tensor<2x4x0x64xf32>, tensor<2x2x10x64xf32>, tensor<2x2x10x64xf32>) -> tensor<2x4x0x64xf32>
  return %o : tensor<2x4x0x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %attend = transform.structured.match ops{["unisparse.block_sparse_attention"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loops:2 = transform.structured.tile_using_for %attend tile_sizes [1, 1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

func.func @nothing_to_pool(%x: tensor<2x4x0x64xf32>) -> tensor<2x4x0x64xf32> {
  // expected-error@+3 {{'unisparse.pool' op cannot be tiled: expected a result with elements, got 'tensor<2x4x0x64xf32>'}}
  // expected-error@+2 {{to tile operation}}
  // expected-error@+1 {{failed to generate tiling loops}}
  %0 = unisparse.pool %x by 8 : (tensor<2x4x0x64xf32>) -> tensor<2x4x0x64xf32>
  return %0 : tensor<2x4x0x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %pool = transform.structured.match ops{["unisparse.pool"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loops:3 = transform.structured.tile_using_for %pool tile_sizes [1, 1, 4] : (!transform.any_op) -> (!transform.any_op, !transform.any_op, !transform.any_op, !transform.any_op)
    transform.yield
  }
}

// -----

// Each tile has the sinks of its query heads (M3), and what else modifies.
// CHECK-LABEL: func.func @attend_modified(
// CHECK-SAME:    %[[S:[a-z0-9]+]]: tensor<8xf32>
// CHECK:         scf.for %[[H:[a-z0-9]+]] =
// CHECK:           %[[SINKS:.*]] = tensor.extract_slice %[[S]][%{{.*}}] [4] [1] : tensor<8xf32> to tensor<4xf32>
// CHECK:           unisparse.block_sparse_attention {{.*}} sink_logits(%[[SINKS]]) block <128x128> causal softcap 5.000000e+01 window <left = 63> :
func.func @attend_modified(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %s: tensor<8xf32>) -> tensor<1x8x512x64xf32> {
  %o = unisparse.block_sparse_attention %q, %k, %k sink_logits(%s) block <128x128> causal softcap 50.0 window <left = 63>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<8xf32>) -> tensor<1x8x512x64xf32>
  return %o : tensor<1x8x512x64xf32>
}

module attributes {transform.with_named_sequence} {
  transform.named_sequence @__transform_main(%root: !transform.any_op {transform.readonly}) {
    %attend = transform.structured.match ops{["unisparse.block_sparse_attention"]} in %root : (!transform.any_op) -> !transform.any_op
    %tiled, %loop = transform.structured.tile_using_for %attend tile_sizes [0, 1] : (!transform.any_op) -> (!transform.any_op, !transform.any_op)
    transform.yield
  }
}

// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --convert-unisparse-to-loops --canonicalize --cse | FileCheck %s
// RUN: unisparse-opt %s --convert-unisparse-to-loops="strip=32" --canonicalize --cse | FileCheck %s --check-prefix=WIDE

// CHECK-DAG:     #[[$KM:.*]] = affine_map<(d0, d1, d2) -> (d2, d0)>
// CHECK-DAG:     #[[$KN:.*]] = affine_map<(d0, d1, d2) -> (d2, d1)>
// CHECK-DAG:     #[[$MN:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>

// Buffers of one query block: 8 strips of 16 queries, one block of 64
// keys and values, logits of that block and one strip, 8 strips of output. No
// buffer of 1000 x 1100, none of 128 x 1100.
// CHECK-LABEL: func.func @attend(
// CHECK-NOT:     x1100xf32
// CHECK:         %[[O:.*]] = memref.alloc() {{.*}} : memref<1x8x1000x32xf16>
// CHECK:         %[[LSE:.*]] = memref.alloc() {{.*}} : memref<1x8x1000xf32>
// CHECK:         scf.parallel (%[[H:.*]], %[[N:.*]]) = (%c0, %c0) to (%c8, %c8)
//
// Causal: the longest rows first.
// CHECK:           %[[R:.*]] = arith.subi %c7, %[[N]]
// CHECK:           %[[Q:.*]] = memref.alloc() {{.*}} : memref<8x64x16xf32>
// CHECK:           memref.alloc() {{.*}} : memref<64x80xf32>
// CHECK:           memref.alloc() {{.*}} : memref<64x48xf32>
// CHECK:           %[[S:.*]] = memref.alloc() {{.*}} : memref<64x16xf32>
// CHECK:           memref.alloc() {{.*}} : memref<8x32x16xf32>
// CHECK:           memref.alloc() {{.*}} : memref<8x16xf32>
// CHECK:           memref.alloc() {{.*}} : memref<8x16xf32>
// CHECK-NOT:       memref.alloc
//
// P3: rows that exist.
// CHECK:           %[[ROW:.*]] = arith.muli %[[R]], %c128
// CHECK:           %[[LEFT:.*]] = arith.subi %c1000, %[[ROW]]
// CHECK:           %[[ROWS:.*]] = arith.minsi %[[LEFT]], %c128
//
// Four query heads a KV head; its selection.
// CHECK:           %[[HKV:.*]] = arith.divui %[[H]], %c4
// CHECK:           %[[COUNT:.*]] = {{tensor.extract|memref.load}} %{{.*}}[%c0, %[[HKV]], %[[R]]]
// CHECK:           %[[C:.*]] = arith.index_cast %[[COUNT]]
// CHECK:           scf.for %[[B:.*]] = %c0 to %[[C]]
// CHECK:             %[[INDEX:.*]] = {{tensor.extract|memref.load}} %{{.*}}[%c0, %[[HKV]], %[[R]], %[[B]]]
// CHECK:             %[[J:.*]] = arith.index_cast %[[INDEX]]
// CHECK:             %[[KEY:.*]] = arith.muli %[[J]], %c64
// CHECK:             %[[KLEFT:.*]] = arith.subi %c1100, %[[KEY]]
// CHECK:             %[[KEYS:.*]] = arith.minsi %[[KLEFT]], %c64
//
// P3: keys that exist are read, the others are zero.
// CHECK:             scf.for %{{.*}} = %c0 to %[[KEYS]]
// CHECK:               vector.load {{.*}} vector<64xf16>
// CHECK:             scf.for %{{.*}} = %[[KEYS]] to %c64
// CHECK-NOT:           vector.load
// CHECK:               vector.store
//
// A1: a block is masked where it ends early or crosses the diagonal, delta = 100.
// CHECK:             %[[SHORT:.*]] = arith.cmpi slt, %[[KEYS]], %c64
// CHECK:             %[[FIRST:.*]] = arith.addi %[[ROW]], %c100
// CHECK:             %[[LAST:.*]] = arith.addi %[[KEY]], %c63
// CHECK:             %[[CROSSES:.*]] = arith.cmpi slt, %[[FIRST]], %[[LAST]]
// CHECK:             %[[MASK:.*]] = arith.ori %[[SHORT]], %[[CROSSES]]
// CHECK:             scf.for %[[STRIP:.*]] = %c0 to %c8
// CHECK:               linalg.matmul ins(%{{.*}} : memref<64x64xf32, strided<[80, 1]>>, memref<64x16xf32, {{.*}}) outs(%[[S]] : memref<64x16xf32>)
// CHECK-NOT:           0xFF800000
// CHECK:               scf.if %[[MASK]]
// CHECK:                 arith.select %{{.*}} : vector<16xi1>, vector<16xf32>
// CHECK:               math.exp
// CHECK:               linalg.matmul indexing_maps = [#[[$KM]], #[[$KN]], #[[$MN]]] ins(%{{.*}}, %[[S]] : memref<64x32xf32, strided<[48, 1]>>, memref<64x16xf32>) outs(%{{.*}} : memref<32x16xf32,
//
// A2: rows that exist are written; nothing seen is 0 and -inf. A5: what O holds
// then, which may be NaN, is no factor of the 0.
// CHECK:           scf.for %{{.*}} = %c0 to %[[ROWS]]
// CHECK:             %[[SUM:.*]] = memref.load
// CHECK:             %[[BLIND:.*]] = arith.cmpf oeq, %[[SUM]]
// CHECK:             %[[MEAN:.*]] = arith.mulf
// CHECK:             %[[X:.*]] = arith.select %[[BLIND]], %cst{{.*}}, %[[MEAN]] : f32
// CHECK:             arith.truncf %[[X]] : f32 to f16
// CHECK:             math.log %[[SUM]]
// CHECK:             arith.select %[[BLIND]]

// WIDE-LABEL:  func.func @attend(
// WIDE:          memref.alloc() {{.*}} : memref<4x64x32xf32>
// WIDE:          memref.alloc() {{.*}} : memref<64x32xf32>
// WIDE:          memref.alloc() {{.*}} : memref<4x32x32xf32>
// WIDE:          linalg.matmul ins({{.*}} outs(%{{.*}} : memref<64x32xf32>)
func.func @attend(%q: tensor<1x8x1000x64xf16>, %k: tensor<1x2x1100x64xf16>, %v: tensor<1x2x1100x32xf16>, %c: tensor<1x2x8xi32>, %i: tensor<1x2x8x18xi32>) -> (tensor<1x8x1000x32xf16>, tensor<1x8x1000xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <128x64> causal return_lse
    : (tensor<1x8x1000x64xf16>, tensor<1x2x1100x64xf16>, tensor<1x2x1100x32xf16>, tensor<1x2x8xi32>, tensor<1x2x8x18xi32>) -> (tensor<1x8x1000x32xf16>, tensor<1x8x1000xf32>)
  return %o, %lse : tensor<1x8x1000x32xf16>, tensor<1x8x1000xf32>
}

// No selection: all 18 blocks in a loop. Not causal: only an early end is
// masked. No lse: no logarithm.
// CHECK-LABEL: func.func @dense(
// CHECK:         scf.for %[[J:.*]] = %c0 to %c18
// CHECK:           %[[KEYS:.*]] = arith.minsi %{{.*}}, %c64
// CHECK:           %[[SHORT:.*]] = arith.cmpi slt, %[[KEYS]], %c64
// CHECK:           scf.if %[[SHORT]]
// CHECK-NOT:     math.log
// CHECK:         return
func.func @dense(%q: tensor<1x8x1000x64xf32>, %k: tensor<1x2x1100x64xf32>) -> tensor<1x8x1000x64xf32> {
  %o = unisparse.block_sparse_attention %q, %k, %k block <128x64>
    : (tensor<1x8x1000x64xf32>, tensor<1x2x1100x64xf32>, tensor<1x2x1100x64xf32>) -> tensor<1x8x1000x64xf32>
  return %o : tensor<1x8x1000x64xf32>
}

// Sizes that are no multiple of 8 are rounded up, so that contractions are
// whole; keys beyond the block are then always masked.
// CHECK-LABEL: func.func @odd_sizes(
// CHECK:         memref.alloc() {{.*}} : memref<1x24x16xf32>
// CHECK:         memref.alloc() {{.*}} : memref<16x40xf32>
// CHECK:         memref.alloc() {{.*}} : memref<16x24xf32>
// CHECK:         memref.alloc() {{.*}} : memref<16x16xf32>
// CHECK:         linalg.matmul ins(%{{.*}} : memref<16x24xf32, {{.*}}>, memref<24x16xf32, {{.*}}>) outs(%{{.*}} : memref<16x16xf32>)
// CHECK-NOT:     scf.if
// CHECK:         linalg.matmul
func.func @odd_sizes(%q: tensor<1x1x30x20xf32>, %k: tensor<1x1x30x20xf32>, %v: tensor<1x1x30x5xf32>) -> tensor<1x1x30x5xf32> {
  %o = unisparse.block_sparse_attention %q, %k, %v block <10x10>
    : (tensor<1x1x30x20xf32>, tensor<1x1x30x20xf32>, tensor<1x1x30x5xf32>) -> tensor<1x1x30x5xf32>
  return %o : tensor<1x1x30x5xf32>
}

// Batches and lengths are known when the program runs.
// CHECK-LABEL: func.func @dynamic(
// CHECK:         memref.alloc(%[[B:.*]], %[[L:.*]]) {{.*}} : memref<?x8x?x64xbf16>
// CHECK:         scf.parallel (%{{.*}}, %{{.*}}, %{{.*}}) = (%c0, %c0, %c0) to (%[[B]], %c8, %{{.*}})
func.func @dynamic(%q: tensor<?x8x?x64xbf16>, %k: tensor<?x2x?x64xbf16>) -> tensor<?x8x?x64xbf16> {
  %o = unisparse.block_sparse_attention %q, %k, %k block <128x64>
    : (tensor<?x8x?x64xbf16>, tensor<?x2x?x64xbf16>, tensor<?x2x?x64xbf16>) -> tensor<?x8x?x64xbf16>
  return %o : tensor<?x8x?x64xbf16>
}

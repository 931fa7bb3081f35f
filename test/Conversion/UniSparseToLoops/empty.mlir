// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Where nothing is there is nothing to compute: results are allocated, and rows
// that see nothing are 0 and -inf (A2).

// RUN: unisparse-opt %s --convert-unisparse-to-loops --canonicalize --split-input-file | FileCheck %s
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline --split-input-file -o /dev/null
// RUN: unisparse-opt %s --unisparse-to-gpu-pipeline=chip=sm_80 --split-input-file -o /dev/null
// RUN: unisparse-opt %s --unisparse-to-gpu-pipeline=chip=sm_90a --split-input-file -o /dev/null

// CHECK-LABEL: func.func @no_keys(
// CHECK-DAG:     %[[ZERO:.*]] = arith.constant 0.0{{.*}} : f16
// CHECK-DAG:     %[[NONE:.*]] = arith.constant 0xFF800000 : f32
// CHECK-DAG:     %[[O:.*]] = memref.alloc() {{.*}} : memref<1x4x10x64xf16>
// CHECK-DAG:     %[[LSE:.*]] = memref.alloc() {{.*}} : memref<1x4x10xf32>
// CHECK-NOT:     scf.
// CHECK-DAG:     linalg.fill ins(%[[ZERO]] : f16) outs(%[[O]]
// CHECK-DAG:     linalg.fill ins(%[[NONE]] : f32) outs(%[[LSE]]
// CHECK-NOT:     scf.
// CHECK:         return
func.func @no_keys(%q: tensor<1x4x10x64xf16>, %k: tensor<1x2x0x64xf16>) -> (tensor<1x4x10x64xf16>, tensor<1x4x10xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %k block <32x32> return_lse
    : (tensor<1x4x10x64xf16>, tensor<1x2x0x64xf16>, tensor<1x2x0x64xf16>) -> (tensor<1x4x10x64xf16>, tensor<1x4x10xf32>)
  return %o, %lse : tensor<1x4x10x64xf16>, tensor<1x4x10xf32>
}

// -----

// CHECK-LABEL: func.func @no_queries(
// CHECK-NOT:     scf.
// CHECK:         return
func.func @no_queries(%q: tensor<1x4x0x64xf16>, %k: tensor<1x2x10x64xf16>) -> tensor<1x4x0x64xf16> {
  %o = unisparse.block_sparse_attention %q, %k, %k block <32x32> causal
    : (tensor<1x4x0x64xf16>, tensor<1x2x10x64xf16>, tensor<1x2x10x64xf16>) -> tensor<1x4x0x64xf16>
  return %o : tensor<1x4x0x64xf16>
}

// -----

// CHECK-LABEL: func.func @no_batch(
// CHECK:         memref.alloc(%{{.*}}) {{.*}} : memref<0x4x?x64xf16>
// CHECK-NOT:     scf.
// CHECK:         return
func.func @no_batch(%q: tensor<0x4x?x64xf16>) -> tensor<0x4x?x64xf16> {
  %o = unisparse.block_sparse_attention %q, %q, %q block <32x32> causal
    : (tensor<0x4x?x64xf16>, tensor<0x4x?x64xf16>, tensor<0x4x?x64xf16>) -> tensor<0x4x?x64xf16>
  return %o : tensor<0x4x?x64xf16>
}

// -----

// The estimate too: nothing to pool, no mass; and of no candidates, all are selected.
// CHECK-LABEL: func.func @stages(
// CHECK-DAG:     %[[ONE:.*]] = arith.constant 1.0{{.*}} : f32
// CHECK-NOT:     scf.
// CHECK:         linalg.fill ins(%{{.*}} : i32) outs(%{{.*}} : memref<1x2x1xi32>)
// CHECK:         linalg.fill ins(%[[ONE]] : f32) outs(%{{.*}} : memref<1x2xf32>)
// CHECK-NOT:     scf.
// CHECK:         return
func.func @stages(%q: tensor<1x2x1x64xf16>, %k: tensor<1x2x0x64xf16>) -> (tensor<1x2x1xi32>, tensor<1x2x1x0xi32>, tensor<1x2xf32>) {
  %kc = unisparse.pool %k by 8 : (tensor<1x2x0x64xf16>) -> tensor<1x2x0x64xf16>
  %m = unisparse.block_score %q, %kc lengths [8, 0] block <64x64> pooling <8x8>
    : (tensor<1x2x1x64xf16>, tensor<1x2x0x64xf16>) -> tensor<1x2x1x0xf32>
  %c, %i, %d = unisparse.block_select %m lengths [8, 0] block <64x64> rule <top_p = 0.5>
    : (tensor<1x2x1x0xf32>) -> (tensor<1x2x1xi32>, tensor<1x2x1x0xi32>, tensor<1x2xf32>)
  return %c, %i, %d : tensor<1x2x1xi32>, tensor<1x2x1x0xi32>, tensor<1x2xf32>
}

// -----

// A packed batch whose sequences are all empty.
// CHECK-LABEL: func.func @packed(
// CHECK-NOT:     scf.parallel
// CHECK:         return
func.func @packed(%q: tensor<1x4x0x64xf16>, %k: tensor<1x2x0x64xf16>, %cu: tensor<3xi32>) -> (tensor<1x4x0x64xf16>, tensor<1x4x2xi32>) {
  %qc = unisparse.pool %q cu_seqlens(%cu) by 8 : (tensor<1x4x0x64xf16>, tensor<3xi32>) -> tensor<1x4x2x64xf16>
  %kc = unisparse.pool %k cu_seqlens(%cu) by 8 : (tensor<1x2x0x64xf16>, tensor<3xi32>) -> tensor<1x2x2x64xf16>
  %m = unisparse.block_score %qc, %kc lengths [0, 0] cu_seqlens(%cu, %cu) block <64x64> pooling <8x8> causal
    : (tensor<1x4x2x64xf16>, tensor<1x2x2x64xf16>, tensor<3xi32>, tensor<3xi32>) -> tensor<1x4x2x0xf32>
  %c, %i, %d = unisparse.block_select %m lengths [0, 0] cu_seqlens(%cu, %cu) block <64x64> rule <top_p = 0.5> causal
    : (tensor<1x4x2x0xf32>, tensor<3xi32>, tensor<3xi32>) -> (tensor<1x4x2xi32>, tensor<1x4x2x0xi32>, tensor<1x4xf32>)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) cu_seqlens(%cu, %cu) block <64x64> causal
    : (tensor<1x4x0x64xf16>, tensor<1x2x0x64xf16>, tensor<1x2x0x64xf16>, tensor<1x4x2xi32>, tensor<1x4x2x0xi32>, tensor<3xi32>, tensor<3xi32>) -> tensor<1x4x0x64xf16>
  return %o, %c : tensor<1x4x0x64xf16>, tensor<1x4x2xi32>
}

// -----

// CHECK-LABEL: func.func @whole(
func.func @whole(%q: tensor<0x4x16x64xf16>, %k: tensor<0x2x16x64xf16>) -> (tensor<0x4x16x64xf16>, tensor<0x4x1x1xi32>) {
  %qc = unisparse.pool %q by 8 : (tensor<0x4x16x64xf16>) -> tensor<0x4x2x64xf16>
  %kc = unisparse.pool %k by 8 : (tensor<0x2x16x64xf16>) -> tensor<0x2x2x64xf16>
  %m = unisparse.block_score %qc, %kc lengths [16, 16] block <64x64> pooling <8x8> causal
    : (tensor<0x4x2x64xf16>, tensor<0x2x2x64xf16>) -> tensor<0x4x1x1xf32>
  %c, %i, %d = unisparse.block_select %m lengths [16, 16] block <64x64> rule <top_p = 0.5> causal
    : (tensor<0x4x1x1xf32>) -> (tensor<0x4x1xi32>, tensor<0x4x1x1xi32>, tensor<0x4xf32>)
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <64x64> causal
    : (tensor<0x4x16x64xf16>, tensor<0x2x16x64xf16>, tensor<0x2x16x64xf16>, tensor<0x4x1xi32>, tensor<0x4x1x1xi32>) -> tensor<0x4x16x64xf16>
  return %o, %i : tensor<0x4x16x64xf16>, tensor<0x4x1x1xi32>
}

// -----

// A selection without columns, whose counts can only be 0.
// CHECK-LABEL: func.func @no_columns(
// CHECK-NOT:     scf.parallel
// CHECK:         return
func.func @no_columns(%q: tensor<1x4x16x64xf16>, %k: tensor<1x2x16x64xf16>, %c: tensor<1x4x1xi32>, %i: tensor<1x4x1x0xi32>) -> tensor<1x4x16x64xf16> {
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <64x64> causal
    : (tensor<1x4x16x64xf16>, tensor<1x2x16x64xf16>, tensor<1x2x16x64xf16>, tensor<1x4x1xi32>, tensor<1x4x1x0xi32>) -> tensor<1x4x16x64xf16>
  return %o : tensor<1x4x16x64xf16>
}

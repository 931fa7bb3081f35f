// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Attention on bf16 for a target that multiplies pairs of it: tiles stay bf16, and both products take pairs.
// RUN: unisparse-opt %s --convert-unisparse-to-loops="strip=32 bf16-pairs" --canonicalize | FileCheck %s
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline="vector-bits=512 bf16-dot" | FileCheck %s --check-prefix=LLVM
// RUN: unisparse-opt %s --unisparse-to-cpu-pipeline="vector-bits=512" | FileCheck %s --check-prefix=PLAIN

// Without scale: q is not rounded again. The scale is the logits'.
// CHECK-LABEL: func.func @attend
// CHECK-DAG:     %[[SCALE:.*]] = arith.constant dense<1.250000e-01> : vector<32xf32>
// CHECK-DAG:     memref.alloc() {{.*}} : memref<2x32x32x2xbf16>
// CHECK-DAG:     memref.alloc() {{.*}} : memref<48x96xbf16>
// CHECK-DAG:     memref.alloc() {{.*}} : memref<24x160xbf16>
// CHECK-DAG:     %[[P:.*]] = memref.alloc() {{.*}} : memref<24x64xbf16>
// CHECK:         vector.interleave
// CHECK:         linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : memref<48x32x2xbf16, {{.*}}>, memref<32x32x2xbf16, {{.*}}>)
// CHECK:         arith.mulf %{{.*}}, %[[SCALE]]
// CHECK:         arith.truncf %{{.*}} : vector<32xf32> to vector<32xbf16>
// CHECK:         vector.interleave {{.*}} : vector<32xbf16> -> vector<64xbf16>
// CHECK:         linalg.generic {{.*}} ins(%{{.*}}, %{{.*}} : memref<24x64x2xbf16, {{.*}}>, memref<24x32x2xbf16>)
// CHECK-NOT:     linalg.matmul

// LLVM:      llvm.call_intrinsic "llvm.x86.avx512bf16.dpbf16ps.512"
// PLAIN-NOT: bf16ps
func.func @attend(%q: tensor<1x4x64x64xbf16>, %k: tensor<1x2x96x64xbf16>, %v: tensor<1x2x96x64xbf16>) -> tensor<1x4x64x64xbf16> {
  %o = unisparse.block_sparse_attention %q, %k, %v block <64x48>
    : (tensor<1x4x64x64xbf16>, tensor<1x2x96x64xbf16>, tensor<1x2x96x64xbf16>) -> tensor<1x4x64x64xbf16>
  return %o : tensor<1x4x64x64xbf16>
}

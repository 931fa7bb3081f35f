// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --convert-unisparse-to-loops --canonicalize --cse | FileCheck %s

// Chunks of 32 composites over all heads run in parallel; a composite's rows
// end where the sequence does (P1, P3) and are summed in f32 (P2) over both
// heads (P4), 64 columns at a time.
// CHECK-LABEL: func.func @pool(
// CHECK:         %[[X:.*]] = bufferization.to_buffer %{{.*}} read_only : tensor<1x8x1001x72xf16> to memref<1x8x1001x72xf16>
// CHECK:         %[[Y:.*]] = memref.alloc() {{.*}} : memref<1x4x126x72xf16>
// CHECK:         scf.parallel (%[[H:.*]], %[[CHUNK:.*]]) = (%c0, %c0) to (%c4, %c4)
// CHECK:           %[[FROM:.*]] = arith.muli %[[CHUNK]], %c32
// CHECK:           %[[NEXT:.*]] = arith.addi %[[FROM]], %c32
// CHECK:           %[[TO:.*]] = arith.minsi %[[NEXT]], %c126
// CHECK:           scf.for %[[A:.*]] = %[[FROM]] to %[[TO]]
// CHECK:             %[[ROW:.*]] = arith.muli %[[A]], %c8
// CHECK:             %[[END:.*]] = arith.addi %[[ROW]], %c8
// CHECK:             %[[LAST:.*]] = arith.minsi %[[END]], %c1001
// CHECK:             %[[ROWS:.*]] = arith.subi %[[LAST]], %[[ROW]]
// CHECK:             %[[N:.*]] = arith.muli %[[ROWS]], %c2
// CHECK:             %[[HEAD:.*]] = arith.muli %[[H]], %c2
// CHECK:             %[[HEADS:.*]] = arith.addi %[[HEAD]], %c2
// CHECK:             scf.for %[[HX:.*]] = %[[HEAD]] to %[[HEADS]]
// CHECK:               scf.for %[[T:.*]] = %[[ROW]] to %[[LAST]]
// CHECK:                 %[[V:.*]] = vector.load %[[X]][%c0, %[[HX]], %[[T]], %c0] : {{.*}}, vector<64xf16>
// CHECK:                 arith.extf %[[V]] : vector<64xf16> to vector<64xf32>
// CHECK:                 arith.addf %{{.*}} : vector<64xf32>
// CHECK:             arith.divf %{{.*}} : vector<64xf32>
// CHECK:             arith.truncf %{{.*}} : vector<64xf32> to vector<64xf16>
// CHECK:             vector.store %{{.*}}, %[[Y]][%c0, %[[H]], %[[A]], %c0]
// CHECK:                 vector.load %[[X]][%c0, %{{.*}}, %{{.*}}, %c64] : {{.*}}, vector<8xf16>
// CHECK:             vector.store %{{.*}}, %[[Y]][%c0, %[[H]], %[[A]], %c64] : {{.*}}, vector<8xf16>
// CHECK:         bufferization.to_tensor %[[Y]] restrict
func.func @pool(%x: tensor<1x8x1001x72xf16>) -> tensor<1x4x126x72xf16> {
  %0 = unisparse.pool %x by 8 heads 2 : (tensor<1x8x1001x72xf16>) -> tensor<1x4x126x72xf16>
  return %0 : tensor<1x4x126x72xf16>
}

// f32 is neither widened nor rounded.
// CHECK-LABEL: func.func @pool_f32(
// CHECK-NOT:     arith.extf
// CHECK-NOT:     arith.truncf
// CHECK:         return
func.func @pool_f32(%x: tensor<1x8x1024x64xf32>) -> tensor<1x8x128x64xf32> {
  %0 = unisparse.pool %x by 8 : (tensor<1x8x1024x64xf32>) -> tensor<1x8x128x64xf32>
  return %0 : tensor<1x8x128x64xf32>
}

// CHECK-LABEL: func.func @pool_dynamic(
// CHECK:         %[[L:.*]] = tensor.dim %{{.*}}, %c2
// CHECK:         %[[A:.*]] = arith.ceildivui %[[L]], %c8
// CHECK:         %[[B:.*]] = tensor.dim %{{.*}}, %c0
// CHECK:         memref.alloc(%[[B]], %[[A]]) {{.*}} : memref<?x8x?x64xf32>
// CHECK:         scf.parallel (%{{.*}}, %{{.*}}, %{{.*}}) = (%c0, %c0, %c0) to (%[[B]], %c8, %{{.*}})
func.func @pool_dynamic(%x: tensor<?x8x?x64xf32>) -> tensor<?x8x?x64xf32> {
  %0 = unisparse.pool %x by 8 : (tensor<?x8x?x64xf32>) -> tensor<?x8x?x64xf32>
  return %0 : tensor<?x8x?x64xf32>
}

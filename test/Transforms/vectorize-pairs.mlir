// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --pass-pipeline="builtin.module(func.func(unisparse-vectorize-pairs{register-rows=2}))" | FileCheck %s
// RUN: not unisparse-opt %s --pass-pipeline="builtin.module(func.func(unisparse-vectorize-pairs{register-rows=3}))" 2>&1 | FileCheck %s --check-prefix=ROWS

// ROWS: unisparse-vectorize-pairs: expected register-rows of 1, 2, 4 or 8, got 3

#mkp = affine_map<(m, n, k, p) -> (m, k, p)>
#kmp = affine_map<(m, n, k, p) -> (k, m, p)>
#knp = affine_map<(m, n, k, p) -> (k, n, p)>
#mn = affine_map<(m, n, k, p) -> (m, n)>
#kinds = ["parallel", "parallel", "reduction", "reduction"]

// Two rows of two vectors each stay in registers for 16 pairs: a row of B is loaded once, a pair of A broadcast.
// CHECK-LABEL: func.func @pairs(
// CHECK-SAME:    %[[A:[a-z0-9]+]]: memref<8x32x2xbf16, strided<[96, 2, 1]>>, %[[B:[a-z0-9]+]]: memref<32x32x2xbf16>, %[[C:[a-z0-9]+]]: memref<8x32xf32>
// CHECK-DAG:     %[[PAIRS:.*]] = memref.collapse_shape %[[A]] {{\[}}[0], [1, 2]] : memref<8x32x2xbf16, strided<[96, 2, 1]>> into memref<8x64xbf16, strided<[96, 1]>>
// CHECK-DAG:     %[[COLUMNS:.*]] = memref.collapse_shape %[[B]] {{\[}}[0], [1, 2]] : memref<32x32x2xbf16> into memref<32x64xbf16>
// CHECK-NOT:     linalg.generic
// CHECK:         scf.for %[[M:.*]] = %c0 to %c8 step %c2
// CHECK:           scf.for %[[PART:.*]] = %{{.*}} to %c32{{.*}} step %c16
// CHECK:             %[[SUMS:.*]]:4 = scf.for %[[K:.*]] = %[[PART]]
// CHECK:               %[[FIRST:.*]] = vector.load %[[COLUMNS]][%[[K]], %c0{{.*}}] : memref<32x64xbf16>, vector<32xbf16>
// CHECK:               %[[SECOND:.*]] = vector.load %[[COLUMNS]][%[[K]], %c32{{.*}}] : memref<32x64xbf16>, vector<32xbf16>
// CHECK:               %[[AT:.*]] = arith.muli %[[K]], %c2
// CHECK:               %[[PAIR:.*]] = vector.load %[[PAIRS]][%[[M]], %[[AT]]] : {{.*}}, vector<2xbf16>
// CHECK:               %[[BITS:.*]] = vector.bitcast %[[PAIR]] : vector<2xbf16> to vector<1xi32>
// CHECK:               %[[WORD:.*]] = vector.extract %[[BITS]][0]
// CHECK:               %[[WORDS:.*]] = vector.broadcast %[[WORD]] : i32 to vector<16xi32>
// CHECK:               %[[ALL:.*]] = vector.bitcast %[[WORDS]] : vector<16xi32> to vector<32xbf16>
// CHECK:               x86vector.avx512.dot %{{.*}}, %[[ALL]], %[[FIRST]] : vector<32xbf16> -> vector<16xf32>
// CHECK:               x86vector.avx512.dot %{{.*}}, %[[ALL]], %[[SECOND]]
// CHECK-COUNT-2:       x86vector.avx512.dot
// CHECK-NOT:           x86vector.avx512.dot
// CHECK:               scf.yield
// CHECK-COUNT-4:     vector.store %{{.*}}, %[[C]]
func.func @pairs(%a: memref<8x32x2xbf16, strided<[96, 2, 1]>>, %b: memref<32x32x2xbf16>, %c: memref<8x32xf32>) {
  linalg.generic {indexing_maps = [#mkp, #knp, #mn], iterator_types = #kinds}
      ins(%a, %b : memref<8x32x2xbf16, strided<[96, 2, 1]>>, memref<32x32x2xbf16>) outs(%c : memref<8x32xf32>) {
  ^bb0(%x: bf16, %y: bf16, %z: f32):
    %0 = arith.extf %x : bf16 to f32
    %1 = arith.extf %y : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %z, %2 : f32
    linalg.yield %3 : f32
  }
  return
}

// A read transposed: pairs of a column. The rest of k is a loop of its own.
// CHECK-LABEL: func.func @transposed(
// CHECK:         %[[PAIRS:.*]] = memref.collapse_shape %{{.*}} : memref<20x8x2xbf16> into memref<20x16xbf16>
// CHECK:         vector.load %[[PAIRS]][%{{.*}}, %{{.*}}] : memref<20x16xbf16>, vector<2xbf16>
// CHECK:         scf.for %{{.*}} = %c16{{.*}} to %c20
// CHECK:         x86vector.avx512.dot
func.func @transposed(%a: memref<20x8x2xbf16>, %b: memref<20x16x2xbf16>, %c: memref<8x16xf32>) {
  linalg.generic {indexing_maps = [#kmp, #knp, #mn], iterator_types = #kinds}
      ins(%a, %b : memref<20x8x2xbf16>, memref<20x16x2xbf16>) outs(%c : memref<8x16xf32>) {
  ^bb0(%x: bf16, %y: bf16, %z: f32):
    %0 = arith.extf %x : bf16 to f32
    %1 = arith.extf %y : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %z, %2 : f32
    linalg.yield %3 : f32
  }
  return
}

// Other types, triples, other arithmetic and rows of no whole vectors are left alone.
// CHECK-LABEL: func.func @left(
// CHECK-COUNT-4: linalg.generic
// CHECK-NOT:     x86vector
func.func @left(%a: memref<8x4x2xf16>, %b: memref<4x16x2xf16>, %c: memref<8x16xf32>, %d: memref<8x4x3xbf16>,
                %e: memref<4x16x3xbf16>, %f: memref<8x4x2xbf16>, %g: memref<4x16x2xbf16>, %h: memref<4x8x2xbf16>, %i: memref<8x8xf32>) {
  linalg.generic {indexing_maps = [#mkp, #knp, #mn], iterator_types = #kinds}
      ins(%a, %b : memref<8x4x2xf16>, memref<4x16x2xf16>) outs(%c : memref<8x16xf32>) {
  ^bb0(%x: f16, %y: f16, %z: f32):
    %0 = arith.extf %x : f16 to f32
    %1 = arith.extf %y : f16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %z, %2 : f32
    linalg.yield %3 : f32
  }
  linalg.generic {indexing_maps = [#mkp, #knp, #mn], iterator_types = #kinds}
      ins(%d, %e : memref<8x4x3xbf16>, memref<4x16x3xbf16>) outs(%c : memref<8x16xf32>) {
  ^bb0(%x: bf16, %y: bf16, %z: f32):
    %0 = arith.extf %x : bf16 to f32
    %1 = arith.extf %y : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %z, %2 : f32
    linalg.yield %3 : f32
  }
  linalg.generic {indexing_maps = [#mkp, #knp, #mn], iterator_types = #kinds}
      ins(%f, %g : memref<8x4x2xbf16>, memref<4x16x2xbf16>) outs(%c : memref<8x16xf32>) {
  ^bb0(%x: bf16, %y: bf16, %z: f32):
    %0 = arith.extf %x : bf16 to f32
    %1 = arith.extf %y : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.subf %z, %2 : f32
    linalg.yield %3 : f32
  }
  linalg.generic {indexing_maps = [#mkp, #knp, #mn], iterator_types = #kinds}
      ins(%f, %h : memref<8x4x2xbf16>, memref<4x8x2xbf16>) outs(%i : memref<8x8xf32>) {
  ^bb0(%x: bf16, %y: bf16, %z: f32):
    %0 = arith.extf %x : bf16 to f32
    %1 = arith.extf %y : bf16 to f32
    %2 = arith.mulf %0, %1 : f32
    %3 = arith.addf %z, %2 : f32
    linalg.yield %3 : f32
  }
  return
}

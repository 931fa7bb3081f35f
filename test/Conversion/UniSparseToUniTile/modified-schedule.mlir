// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// What modified attention walks, and how its kernel is scheduled.

// RUN: unisparse-opt %s --convert-unisparse-to-unitile --canonicalize --cse --mlir-use-nameloc-as-prefix -split-input-file | FileCheck %s
// RUN: unisparse-opt %s --unisparse-select-schedule=chip=sm_90a -split-input-file | FileCheck %s --check-prefix=SCHEDULE

!q = tensor<1x2x4096x128xbf16>
!counts = tensor<1x2x32xi32>
!indices = tensor<1x2x32x32xi32>

// Selected blocks that end before the window (M2), a row's first, are left out:
// how many is searched for, from the first on.
// CHECK-LABEL: gpu.func @attend(
// CHECK:         %[[COUNT:.*]] = memref.load %counts[
// CHECK:         %[[SKIPPED:.*]]:3 = scf.while (%{{.*}} = %c0_i32, %{{.*}} = %[[COUNT]], %{{.*}} = %c0_i32)
// CHECK:           memref.load %indices[
// CHECK:         %[[LEFT:.*]] = arith.subi %[[COUNT]], %[[SKIPPED]]#0 : i32
// CHECK:         unitile.walk to %[[LEFT]] from
// CHECK:           arith.addi %{{.*}}, %[[SKIPPED]]#0 : i32
// CHECK:           memref.load %indices[
func.func @window_of_selected(%q: !q, %c: !counts, %i: !indices) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q selection(%c, %i) block <128x128> causal window <left = 300> : (!q, !q, !q, !counts, !indices) -> !q
  return %o : !q
}

// -----

!q = tensor<1x2x512x64xbf16>

// Warpgroups of more than 64 columns take turns, whatever is done to a logit between the products.
// SCHEDULE-LABEL: func.func @plain
// SCHEDULE-NOT:     ping_pong
func.func @plain(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> window <left = 300> : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x2x512x128xbf16>

// SCHEDULE-LABEL: func.func @capped
// SCHEDULE:         unitile.schedule = #unitile.schedule<{{.*}}, ping_pong = true>
func.func @capped(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> softcap 30.0 : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x2x512x128xbf16>

// A cap bounds logits, to 2^72 of them here: their exponentials are of a reference that lets the largest be 2^44 and the
// smallest 2^-102. The exponent of a row's sum joins it in the end.
// CHECK-LABEL: func.func @capped(
// CHECK-LABEL: gpu.func @attend(
// CHECK:         unitile.walk
// CHECK:           unitile.softmax settled 28.134{{.*}} %{{.*}} scale 5.000000e+01 from
// CHECK:         } finish {
// CHECK:           arith.bitcast
// CHECK:           %[[SUM:.*]] = unitile.map
// CHECK:           unitile.inverse
// CHECK-LABEL: func.func @cap_of_50
func.func @cap_of_50(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> softcap 50.0 : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x2x512x128xbf16>

// A larger one leaves too little for the smallest; f16 has no such range.
// CHECK-LABEL: gpu.func @attend(
// CHECK:           unitile.softmax %{{.*}} scale 6.000000e+01 from
// CHECK-LABEL: func.func @cap_of_60
func.func @cap_of_60(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> softcap 60.0 : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x2x512x128xf16>

// CHECK-LABEL: gpu.func @attend(
// CHECK:           unitile.softmax %{{.*}} scale 3.000000e+01 from
// CHECK-LABEL: func.func @halves
func.func @halves(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> softcap 30.0 : (!q, !q, !q) -> !q
  return %o : !q
}

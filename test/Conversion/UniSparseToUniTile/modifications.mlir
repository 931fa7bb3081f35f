// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Modified attention (M1 to M6) as pages, and what becomes of its tanh.

// RUN: unisparse-opt %s --unisparse-decompose-attention --convert-unisparse-to-unitile --canonicalize --cse --mlir-use-nameloc-as-prefix -split-input-file | FileCheck %s
// RUN: unisparse-opt %s --unisparse-to-gpu-pipeline='chip=sm_80 format=isa' -split-input-file | FileCheck %s --check-prefixes=PTX,SM80
// RUN: unisparse-opt %s --unisparse-to-gpu-pipeline='chip=sm_90a format=isa' -split-input-file | FileCheck %s --check-prefixes=PTX,SM90

!q = tensor<1x8x1000x64xbf16>
!k = tensor<1x2x1000x64xbf16>

// Each in its region: the cap behind the product, the cap itself left to the
// softmax's scale; the window in the mask; the sink in the finish.
// CHECK-LABEL: gpu.func @attend(
// CHECK-SAME:    %sinks: memref<8xf32>
// CHECK-DAG:     %[[INNER:.*]] = arith.constant 0.00416666688 : f32
// CHECK:         unitile.walk
// CHECK:         } score {
// CHECK:           %[[S:.*]] = unitile.dot
// CHECK-NEXT:      %[[C:.*]] = unitile.map ins(%[[S]]
// CHECK:             %[[X:.*]] = arith.mulf %{{.*}}, %[[INNER]] : f32
// CHECK-NEXT:        math.tanh %[[X]] fastmath<afn> : f32
// CHECK:           unitile.yield %[[C]]
// CHECK:         } mask {
// CHECK:           unitile.mask %{{.*}} keys %{{.*}} to %{{.*}} from %{{.*}} diagonal %{{.*}} :
// CHECK:         } update {
// CHECK:           unitile.softmax settled 0.000000e+00 %{{.*}} scale 3.000000e+01 from
// CHECK:         } finish {
// CHECK:           memref.load %sinks[%{{.*}}] : memref<8xf32>
// CHECK:           %[[TOP:.*]] = unitile.map {{.*}} -> !unitile.rows
// CHECK:             arith.maxnumf
// CHECK:             math.exp2
// CHECK:           %[[SUM:.*]] = unitile.map {{.*}} -> !unitile.rows
// CHECK:             math.fma
// CHECK:           unitile.inverse %[[SUM]]
// CHECK:           unitile.lse %[[TOP]], %[[SUM]]

// PTX:        gpu.binary @unisparse_kernels
// PTX-SAME:   .entry attend(
// SM80-SAME:  mma.sync
// SM90-SAME:  wgmma
// PTX-SAME:   tanh.approx.f32
func.func @modified(%q: !q, %k: !k, %s: tensor<8xf32>) -> (!q, tensor<1x8x1000xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %k sink_logits(%s) block <128x128> causal return_lse softcap 30.0 window <left = 300>
    : (!q, !k, !k, tensor<8xf32>) -> (!q, tensor<1x8x1000xf32>)
  return %o, %lse : !q, tensor<1x8x1000xf32>
}

// -----

!q = tensor<1x2x512x64xf32>

// f32 has a tanh of f32 (M4).
// CHECK-LABEL: gpu.func @attend(
// CHECK:         math.tanh %{{.*}} : f32
// PTX:        gpu.binary @unisparse_kernels
// PTX-NOT:    tanh
// PTX-SAME:   .entry attend(
// PTX-NOT:    tanh
// PTX-SAME:   div.rn.f32
// PTX-NOT:    tanh
// PTX:        func.func @exact
func.func @exact(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> softcap 30.0 : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x2x1024x64xbf16>

// The estimate: cap and window in score, the window in select; a walk over the
// tiles that a query tile sees.
// CHECK-LABEL: gpu.func @score(
// CHECK:         unitile.walk
// CHECK:           math.tanh
// CHECK:           unitile.mask
// CHECK:           unitile.softmax_sums %{{.*}} scale 2.000000e+01 from
// CHECK-LABEL: gpu.func @select(
// CHECK:         scf.parallel
// PTX:        gpu.binary @unisparse_kernels
// PTX-SAME:   .entry score(
// PTX-SAME:   tanh.approx.f32
// PTX-SAME:   .entry select(
func.func @estimate(%q: !q) -> !q {
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <64x64> pooling <8x8> rule <top_p = 0.5> softcap 20.0 window <left = 200, right = 30>
    : (!q, !q, !q) -> (!q, tensor<1x2x16xi32>, tensor<1x2x16x16xi32>, tensor<1x2xf32>)
  return %o : !q
}

// -----

!q = tensor<1x2x512x64xbf16>

// CHECK-LABEL: func.func @estimate(
// A modification stands in front of the mask, on logits; each of its ops has a
// lowering that needs no library.
// CHECK-LABEL: gpu.func @attend(
// CHECK-SAME:    %table: memref<2x64xf32>
// CHECK:         } score {
// CHECK:           %[[S:.*]] = unitile.dot
// CHECK-NEXT:      unitile.map ins(%[[S]]
// CHECK-NEXT:      ^bb0(%[[E:.*]]: f32):
// CHECK-NEXT:        arith.mulf %[[E]], %{{.*}} : f32
// CHECK:         } mask {
// CHECK-NEXT:    ^bb0(%[[SCORES:.*]]: !unitile.fragment<{{.*}}>, %[[KEY:.*]]: i32, %{{.*}}: i32):
// CHECK:           %[[M:.*]] = unitile.map indices ins(%[[SCORES]]
// CHECK:             memref.load %table[
// CHECK:             math.tanh
// CHECK:           unitile.mask %[[M]] keys %[[KEY]]
// CHECK:         } update {
// CHECK:           unitile.softmax %{{.*}} scale 1.000000e+00 from
// PTX:        gpu.binary @unisparse_kernels
// PTX-NOT:    call.uni
// PTX-SAME:   .entry attend(
// PTX-NOT:    call.uni
// PTX-SAME:   ex2.approx
// PTX-NOT:    call.uni
// PTX:        func.func @modify
func.func @modify(%q: !q, %t: tensor<2x64xf32>) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q tables(%t) block <64x64> causal modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %k: i32, %table: tensor<2x64xf32>):
    %head = arith.index_cast %h : i32 to index
    %place = arith.index_cast %k : i32 to index
    %bias = tensor.extract %table[%head, %place] : tensor<2x64xf32>
    %0 = math.absf %x : f32
    %1 = math.ceil %0 : f32
    %2 = math.copysign %1, %bias : f32
    %3 = math.exp %2 : f32
    %4 = math.exp2 %3 : f32
    %5 = math.floor %4 : f32
    %6 = math.fma %5, %x, %bias : f32
    %7 = math.log %6 : f32
    %8 = math.log2 %7 : f32
    %9 = math.rsqrt %8 : f32
    %10 = math.roundeven %9 : f32
    %11 = math.sqrt %10 : f32
    %12 = math.tanh %11 : f32
    %13 = math.trunc %12 : f32
    %d = arith.subi %i, %k : i32
    %e = math.absi %d : i32
    %f = arith.sitofp %e : i32 to f32
    %y = arith.addf %13, %f : f32
    unisparse.yield %y : f32
  } : (!q, !q, !q, tensor<2x64xf32>) -> !q
  return %o : !q
}

// -----

!q = tensor<1x2x512x64xbf16>

// CHECK-LABEL: func.func @modify(
// What adds to a logit, or chooses, leaves the scale to the softmax: a bias is
// divided by it, in the factor without positions where there is one. Positions do
// not wrap, and a product and its sum may be one instruction.
// CHECK-LABEL: gpu.func @attend(
// CHECK-DAG:     %[[INVERSE:.*]] = arith.constant 8.000000e+00 : f32
// CHECK-DAG:     %[[NONE:.*]] = arith.constant 0xFF800000 : f32
// CHECK:         } score {
// CHECK:           %[[S:.*]] = unitile.dot
// CHECK-NEXT:      unitile.yield %[[S]]
// CHECK:         } mask {
// CHECK:           unitile.map indices
// CHECK-NEXT:      ^bb0(%[[I:.*]]: i32, %[[J:.*]]: i32, %[[E:.*]]: f32):
// CHECK-NEXT:        %[[QUERY:.*]] = arith.addi %{{.*}}, %[[I]] overflow<nsw> : i32
// CHECK-NEXT:        %[[KEY:.*]] = arith.addi %{{.*}}, %[[J]] overflow<nsw> : i32
// CHECK-NEXT:        %[[HEAD:.*]] = arith.sitofp %{{.*}} : i32 to f32
// CHECK-NEXT:        %[[SLOPE:.*]] = math.exp2 %[[HEAD]] : f32
// CHECK-NEXT:        %[[FAR:.*]] = arith.subi %[[KEY]], %[[QUERY]] overflow<nsw> : i32
// CHECK-NEXT:        %[[DISTANCE:.*]] = arith.sitofp %[[FAR]] : i32 to f32
// CHECK-NEXT:        %[[NEAR:.*]] = arith.cmpi slt, %[[FAR]], %{{.*}} : i32
// CHECK-NEXT:        %[[SCALED:.*]] = arith.mulf %[[SLOPE]], %[[INVERSE]] fastmath<contract> : f32
// CHECK-NEXT:        %[[BIAS:.*]] = arith.mulf %[[DISTANCE]], %[[SCALED]] fastmath<contract> : f32
// CHECK-NEXT:        %[[SUM:.*]] = arith.addf %[[E]], %[[BIAS]] fastmath<contract> : f32
// CHECK-NEXT:        %[[Y:.*]] = arith.select %[[NEAR]], %[[SUM]], %[[NONE]] : f32
// CHECK-NEXT:        unitile.yield %[[Y]]
// CHECK:           unitile.softmax %{{.*}} scale 1.250000e-01 from
// PTX:        gpu.binary @unisparse_kernels
// PTX-SAME:   .entry attend(
// PTX-SAME:   fma.rn.f32
// PTX:        func.func @bias
func.func @bias(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> causal modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %k: i32):
    %far = arith.constant 300 : i32
    %none = arith.constant 0xFF800000 : f32
    %head = arith.sitofp %h : i32 to f32
    %slope = math.exp2 %head : f32
    %d = arith.subi %k, %i : i32
    %distance = arith.sitofp %d : i32 to f32
    %bias = arith.mulf %distance, %slope : f32
    %sum = arith.addf %x, %bias : f32
    %near = arith.cmpi slt, %d, %far : i32
    %y = arith.select %near, %sum, %none : f32
    unisparse.yield %y : f32
  } : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x2x512x64xbf16>

// So does a soft cap: its own factor is the unit then. Constants and tables are
// divided where they stand.
// CHECK-LABEL: func.func @bias(
// CHECK-LABEL: gpu.func @attend(
// CHECK:         } score {
// CHECK:             %[[T:.*]] = math.tanh
// CHECK-NEXT:        unitile.yield %[[T]]
// CHECK:         } mask {
// CHECK:             %[[ENTRY:.*]] = memref.load %table[
// CHECK:             %[[SCALED:.*]] = arith.mulf %[[ENTRY]], %{{.*}} fastmath<contract> : f32
// CHECK-NEXT:        %[[SUM:.*]] = arith.subf %{{.*}}, %[[SCALED]]
// CHECK-NEXT:        %[[TOP:.*]] = arith.maxnumf %[[SUM]], %{{.*}} : f32
// CHECK-NEXT:        %[[HALF:.*]] = arith.mulf %[[TOP]], %{{.*}} fastmath<contract> : f32
// CHECK:           unitile.softmax %{{.*}} scale 2.000000e+01 from
// PTX:        func.func @capped_bias
func.func @capped_bias(%q: !q, %t: tensor<512xf32>) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q tables(%t) block <64x64> softcap 20.0 modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %k: i32, %table: tensor<512xf32>):
    %least = arith.constant -10.0 : f32
    %half = arith.constant 0.5 : f32
    %at = arith.index_cast %k : i32 to index
    %bias = tensor.extract %table[%at] : tensor<512xf32>
    %sum = arith.subf %x, %bias : f32
    %top = arith.maxnumf %sum, %least : f32
    %y = arith.mulf %top, %half : f32
    unisparse.yield %y : f32
  } : (!q, !q, !q, tensor<512xf32>) -> !q
  return %o : !q
}

// -----

!q = tensor<1x2x512x64xf32>

// Nothing is rounded otherwise where operands are f32.
// CHECK-LABEL: func.func @capped_bias(
// CHECK-LABEL: gpu.func @attend(
// CHECK:         } score {
// CHECK:             arith.mulf %{{.*}}, %{{.*}} : f32
// CHECK:         } mask {
// CHECK:             %[[BIAS:.*]] = arith.mulf %{{.*}}, %{{.*}} : f32
// CHECK-NEXT:        arith.addf %{{.*}}, %[[BIAS]] : f32
// CHECK:           unitile.softmax %{{.*}} scale 1.000000e+00 from
// PTX:        func.func @exact_bias
func.func @exact_bias(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> causal modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %k: i32):
    %slope = arith.constant 0.3 : f32
    %place = arith.sitofp %k : i32 to f32
    %bias = arith.mulf %place, %slope : f32
    %y = arith.addf %x, %bias : f32
    unisparse.yield %y : f32
  } : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x2x512x64xbf16>

// The estimate too, where it is asked (M6): at the middles of composites, 8 b + 3
// but of the last.
// CHECK-LABEL: func.func @exact_bias(
// CHECK-LABEL: gpu.func @score(
// CHECK-SAME:    %table: memref<512xf32>
// CHECK:         } score {
// CHECK:           %[[S:.*]] = unitile.dot
// CHECK-NEXT:      unitile.yield %[[S]]
// CHECK:         } mask {
// CHECK:           %[[M:.*]] = unitile.map indices
// CHECK-NEXT:      ^bb0(%[[I:.*]]: i32, %[[J:.*]]: i32, %[[E:.*]]: f32):
// CHECK:             memref.load %table[
// CHECK:             arith.addf %[[E]], %{{.*}} fastmath<contract> : f32
// CHECK:           unitile.mask %[[M]] keys
// CHECK:         } update {
// CHECK:           unitile.softmax_sums %{{.*}} scale 1.250000e-01 from
// CHECK-LABEL: gpu.func @attend(
// CHECK:             memref.load %table[
// PTX:        gpu.binary @unisparse_kernels
// PTX-SAME:   .entry score(
// PTX:        func.func @estimate_with_region
func.func @estimate_with_region(%q: !q, %t: tensor<512xf32>) -> !q {
  %o, %c, %i, %d = unisparse.attention %q, %q, %q tables(%t) block <64x64> pooling <8x8> rule <top_p = 0.5> causal estimate_with_region modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %k: i32, %table: tensor<512xf32>):
    %distance = arith.subi %i, %k : i32
    %at = arith.index_cast %distance : i32 to index
    %bias = tensor.extract %table[%at] : tensor<512xf32>
    %y = arith.addf %x, %bias : f32
    unisparse.yield %y : f32
  } : (!q, !q, !q, tensor<512xf32>) -> (!q, tensor<1x2x8xi32>, tensor<1x2x8x8xi32>, tensor<1x2xf32>)
  return %o : !q
}

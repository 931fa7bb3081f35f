// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
// One case a constraint, named after the op and the label of docs/SPEC.md.

// RUN: unisparse-opt %s -split-input-file -verify-diagnostics

func.func @pool_p1(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{[P1] expected by >= 1, got 0}}
  %0 = unisparse.pool %x by 0 : (tensor<1x8x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @pool_p4(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op [P4] expected heads to divide the 8 heads of x, got 3}}
  %0 = unisparse.pool %x by 8 heads 3 : (tensor<1x8x512x64xf32>) -> tensor<1x2x64x64xf32>
  return
}

// -----

func.func @pool_p4_positive(%x: tensor<1x?x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{[P4] expected heads >= 1, got 0}}
  %0 = unisparse.pool %x by 8 heads 0 : (tensor<1x?x512x64xf32>) -> tensor<1x8x64x64xf32>
  return
}

// -----

func.func @pool_i8_empty(%x: tensor<1x8x512x64xf32>, %cu: tensor<0xi32>) {
  // expected-error@+1 {{[I8] expected at least one entry in cu_seqlens, got 0}}
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x8x512x64xf32>, tensor<0xi32>) -> tensor<1x8x63x64xf32>
  return
}

// -----

func.func @pool_i8_batch(%x: tensor<2x8x512x64xf32>, %cu: tensor<3xi32>) {
  // expected-error@+1 {{[I8] expected a packed batch with batch 1, got 2}}
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<2x8x512x64xf32>, tensor<3xi32>) -> tensor<2x8x66x64xf32>
  return
}

// -----

func.func @pool_wrong_type(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %0 = unisparse.pool %x by 8 : (tensor<1x8x512x64xf32>) -> tensor<1x8x65x64xf32>
  return
}

// -----

func.func @pool_wrong_element_type(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %0 = unisparse.pool %x by 8 : (tensor<1x8x512x64xf32>) -> tensor<1x8x64x64xf16>
  return
}

// -----

// What is known of the shape is in the type.
func.func @pool_less_static_type(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %0 = unisparse.pool %x by 8 : (tensor<1x8x512x64xf32>) -> tensor<1x8x?x64xf32>
  return
}

// -----

// Slots of a packed batch: floor(512 / 8) + 2.
func.func @pool_packed_wrong_type(%x: tensor<1x8x512x64xf32>, %cu: tensor<3xi32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x8x512x64xf32>, tensor<3xi32>) -> tensor<1x8x64x64xf32>
  return
}

// -----

// Sizes of types are inferred as they would be without an end: no more than an
// int64_t holds, never negative.
func.func @pool_slots_beyond_sizes(%x: tensor<1x1x9223372036854775807x64xf32>, %cu: tensor<3xi32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{inferred type(s) 'tensor<1x1x9223372036854775807x64xf32>' are incompatible with return type(s) of operation 'tensor<1x1x2x64xf32>'}}
  %0 = unisparse.pool %x cu_seqlens(%cu) by 1 : (tensor<1x1x9223372036854775807x64xf32>, tensor<3xi32>) -> tensor<1x1x2x64xf32>
  return
}

// -----

func.func @pool_composites_beyond_sizes(%x: tensor<1x1x9223372036854775807x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{inferred type(s) 'tensor<1x1x9223372036854775807x64xf32>', 'tensor<1x1x2305843009213693952x4xi32>' are incompatible}}
  %0, %rows = unisparse.pool %x by 1 representatives 4 of 4 : (tensor<1x1x9223372036854775807x64xf32>) -> (tensor<1x1x2x64xf32>, tensor<1x1x1x1xi32>)
  return
}

// -----

func.func @pool_columns_beyond_sizes(%x: tensor<1x1x8x9223372036854775807xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{inferred type(s) 'tensor<1x1x1x9223372036854775807xf32>' are incompatible}}
  %0 = unisparse.pool %x by 8 spread 1 : (tensor<1x1x8x9223372036854775807xf32>) -> tensor<1x1x1x4xf32>
  return
}

// -----

// Fewer than one slot: refused by I8, not a type of -1.
func.func @pool_i8_empty_short(%x: tensor<1x1x0x64xf32>, %cu: tensor<0xi32>) {
  // expected-error@+1 {{[I8] expected at least one entry in cu_seqlens, got 0}}
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x1x0x64xf32>, tensor<0xi32>) -> tensor<1x1x0x64xf32>
  return
}

// -----

func.func @attention_i8_empty(%q: tensor<1x8x0x64xf32>, %p: tensor<8xf32>, %cu: tensor<0xi32>) {
  // expected-error@+1 {{[I8] expected at least one entry in cu_seqlens_q, got 0}}
  %o, %c, %i, %d = unisparse.attention %q, %q, %q top_p(%p) cu_seqlens(%cu, %cu) block <128x128> pooling <8x8> rule <top_p>
    : (tensor<1x8x0x64xf32>, tensor<1x8x0x64xf32>, tensor<1x8x0x64xf32>, tensor<8xf32>, tensor<0xi32>, tensor<0xi32>)
    -> (tensor<1x8x0x64xf32>, tensor<1x8x0xi32>, tensor<1x8x0x0xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @pool_rank(%x: tensor<1x8x512xf32>) {
  // expected-error@+1 {{operand #0 must be 4D tensor of}}
  %0 = unisparse.pool %x by 8 : (tensor<1x8x512xf32>) -> tensor<1x8x64xf32>
  return
}

// -----

func.func @pool_i1_element(%x: tensor<1x8x512x64xf64>) {
  // expected-error@+1 {{operand #0 must be 4D tensor of}}
  %0 = unisparse.pool %x by 8 : (tensor<1x8x512x64xf64>) -> tensor<1x8x64x64xf64>
  return
}

// -----

func.func @pool_i8_element(%x: tensor<1x8x512x64xf32>, %cu: tensor<3xi64>) {
  // expected-error@+1 {{operand #1 must be 1D tensor of 32-bit signless integer values}}
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x8x512x64xf32>, tensor<3xi64>) -> tensor<1x8x66x64xf32>
  return
}

// -----

func.func @pool_without_by(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{requires attribute 'by'}}
  %0 = "unisparse.pool"(%x) : (tensor<1x8x512x64xf32>) -> tensor<1x8x64x64xf32>
  return
}

// -----

func.func @block_score_i1(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf16>) {
  // expected-error@+1 {{'unisparse.block_score' op [I1] expected k with q's element type 'f32', got 'f16'}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf16>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_i2_batch(%q: tensor<1x8x64x64xf32>, %k: tensor<2x2x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [I2] expected k with q's batch 1, got 2}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<2x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_i2_head_dim(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x32xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [I2] expected k with q's head_dim 64, got 32}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x32xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_i3(%q: tensor<1x8x64x64xf32>, %k: tensor<1x3x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [I3] expected the heads of k to divide the 8 heads of q, got 3}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<1x3x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_i3_no_heads(%q: tensor<1x8x64x64xf32>, %k: tensor<1x0x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [I3] expected the heads of k to divide the 8 heads of q, got 0}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<1x0x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_i5_query(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [I5] expected the query pooling factor to divide the query block 128, got 12}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <12x8>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_i5_key(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [I5] expected the key pooling factor to divide the key block 128, got 24}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x24>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_i7(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x32x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [I7] expected Lq <= Lk under causal, got Lq = 512 and Lk = 256; drop causal or pass the earlier keys}}
  %0 = unisparse.block_score %q, %k lengths [512, 256] block <128x128> pooling <8x8> causal
    : (tensor<1x8x64x64xf32>, tensor<1x2x32x64xf32>) -> tensor<1x8x4x2xf32>
  return
}

// -----

func.func @block_score_i8_batch(%q: tensor<2x8x66x64xf32>, %k: tensor<2x2x66x64xf32>, %cq: tensor<3xi32>, %ck: tensor<3xi32>) {
  // expected-error@+1 {{'unisparse.block_score' op [I8] expected a packed batch with batch 1, got 2}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] cu_seqlens(%cq, %ck) block <128x128> pooling <8x8>
    : (tensor<2x8x66x64xf32>, tensor<2x2x66x64xf32>, tensor<3xi32>, tensor<3xi32>) -> tensor<2x8x6x4xf32>
  return
}

// -----

func.func @block_score_i8_empty(%q: tensor<1x8x63x64xf32>, %k: tensor<1x2x63x64xf32>, %cq: tensor<0xi32>, %ck: tensor<0xi32>) {
  // expected-error@+1 {{'unisparse.block_score' op [I8] expected at least one entry in cu_seqlens_q, got 0}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] cu_seqlens(%cq, %ck) block <128x128> pooling <8x8>
    : (tensor<1x8x63x64xf32>, tensor<1x2x63x64xf32>, tensor<0xi32>, tensor<0xi32>) -> tensor<1x8x3x4xf32>
  return
}

// -----

func.func @block_score_i8_sizes(%q: tensor<1x8x66x64xf32>, %k: tensor<1x2x67x64xf32>, %cq: tensor<3xi32>, %ck: tensor<4xi32>) {
  // expected-error@+1 {{'unisparse.block_score' op [I8] expected cu_seqlens_k with as many entries as cu_seqlens_q, 3, got 4}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] cu_seqlens(%cq, %ck) block <128x128> pooling <8x8>
    : (tensor<1x8x66x64xf32>, tensor<1x2x67x64xf32>, tensor<3xi32>, tensor<4xi32>) -> tensor<1x8x6x4xf32>
  return
}

// -----

func.func @block_score_i8_alone(%q: tensor<1x8x66x64xf32>, %k: tensor<1x2x66x64xf32>, %cu: tensor<3xi32>) {
  // expected-error@+1 {{'unisparse.block_score' op [I8] expected both cu_seqlens or none, got cu_seqlens_q alone}}
  %0 = "unisparse.block_score"(%q, %k, %cu) <{alpha = 1.0, block = #unisparse.block<128x128>, pooling = #unisparse.pooling<8x8>, operandSegmentSizes = array<i32: 1, 1, 0, 1, 0, 0, 0>, static_lengths = array<i64: 512, 512>}>
    : (tensor<1x8x66x64xf32>, tensor<1x2x66x64xf32>, tensor<3xi32>) -> tensor<1x8x6x4xf32>
  return
}

// -----

func.func @block_score_s1_scale(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [S1] expected a finite scale, got INF}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8> scale 0x7FF0000000000000
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_s1_alpha(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [S1] expected a finite alpha, got nan}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8> alpha 0x7FF8000000000000
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_s4_query(%q: tensor<1x8x63x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [S4] expected the composites of q to number 64, got 63}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x63x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_s4_key(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x65x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [S4] expected the composites of k to number 64, got 65}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<1x2x65x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

// Slots of a packed batch: floor(512 / 8) + 2.
func.func @block_score_s4_packed(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>, %cq: tensor<3xi32>, %ck: tensor<3xi32>) {
  // expected-error@+1 {{'unisparse.block_score' op [S4] expected the composites of q to number 66, got 64}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] cu_seqlens(%cq, %ck) block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>, tensor<3xi32>, tensor<3xi32>) -> tensor<1x8x6x4xf32>
  return
}

// -----

func.func @block_score_lengths_negative(%q: tensor<1x8x0x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op expected lengths >= 0, got -1}}
  %0 = unisparse.block_score %q, %k lengths [-1, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x0x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x0x4xf32>
  return
}

// -----

func.func @block_score_lengths_one(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{expected lengths [Lq, Lk], got 1 values}}
  %0 = unisparse.block_score %q, %k lengths [512] block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_lengths_three(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{expected lengths [Lq, Lk], got 3 values}}
  %0 = unisparse.block_score %q, %k lengths [512, 512, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

// A length that is neither in the attribute nor an operand.
func.func @block_score_lengths_missing(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op expected 1 dynamic lengths, got 0}}
  %0 = "unisparse.block_score"(%q, %k) <{alpha = 1.0, block = #unisparse.block<128x128>, pooling = #unisparse.pooling<8x8>, operandSegmentSizes = array<i32: 1, 1, 0, 0, 0, 0, 0>, static_lengths = array<i64: 512, -9223372036854775808>}>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x?xf32>
  return
}

// -----

func.func @block_score_wrong_type(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x5xf32>
  return
}

// -----

// share group: masses of the KV heads.
func.func @block_score_wrong_type_share(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8> share group
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_mass_element(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{result #0 must be 4D tensor of 32-bit float values}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf16>
  return
}

// -----

func.func @block_select_i7(%m: tensor<1x8x4x2xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op [I7] expected Lq <= Lk under causal, got Lq = 512 and Lk = 256; drop causal or pass the earlier keys}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 256] block <128x128> rule <top_p = 0.5> causal
    : (tensor<1x8x4x2xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x2xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_i8_batch(%m: tensor<2x8x6x4xf32>, %cq: tensor<3xi32>, %ck: tensor<3xi32>) {
  // expected-error@+1 {{'unisparse.block_select' op [I8] expected a packed batch with batch 1, got 2}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] cu_seqlens(%cq, %ck) block <128x128> rule <top_p = 0.5>
    : (tensor<2x8x6x4xf32>, tensor<3xi32>, tensor<3xi32>) -> (tensor<2x8x6xi32>, tensor<2x8x6x4xi32>, tensor<2x8xf32>)
  return
}

// -----

func.func @block_select_i8_empty(%m: tensor<1x8x3x4xf32>, %cq: tensor<0xi32>, %ck: tensor<0xi32>) {
  // expected-error@+1 {{'unisparse.block_select' op [I8] expected at least one entry in cu_seqlens_q, got 0}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] cu_seqlens(%cq, %ck) block <128x128> rule <top_p = 0.5>
    : (tensor<1x8x3x4xf32>, tensor<0xi32>, tensor<0xi32>) -> (tensor<1x8x3xi32>, tensor<1x8x3x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_i8_sizes(%m: tensor<1x8x6x4xf32>, %cq: tensor<3xi32>, %ck: tensor<2xi32>) {
  // expected-error@+1 {{'unisparse.block_select' op [I8] expected cu_seqlens_k with as many entries as cu_seqlens_q, 3, got 2}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] cu_seqlens(%cq, %ck) block <128x128> rule <top_p = 0.5>
    : (tensor<1x8x6x4xf32>, tensor<3xi32>, tensor<2xi32>) -> (tensor<1x8x6xi32>, tensor<1x8x6x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_i8_alone(%m: tensor<1x8x6x4xf32>, %cu: tensor<3xi32>) {
  // expected-error@+1 {{'unisparse.block_select' op [I8] expected both cu_seqlens or none, got cu_seqlens_k alone}}
  %c, %i, %d = "unisparse.block_select"(%m, %cu) <{block = #unisparse.block<128x128>, rule = #unisparse.rule<all>, operandSegmentSizes = array<i32: 1, 0, 0, 0, 1>, static_lengths = array<i64: 512, 512>}>
    : (tensor<1x8x6x4xf32>, tensor<3xi32>) -> (tensor<1x8x6xi32>, tensor<1x8x6x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l2_sink(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{[L2] expected sink >= 0, got -1}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 0.5, sink = -1>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l2_local(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{[L2] expected local >= 0, got -1}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 0.5, local = -1>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l3_p(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{[L3] expected top_p in [0, 1], got 1.1}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 1.1>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l3_min_blocks(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{[L3] expected min_blocks >= 0, got -1}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 0.5, min_blocks = -1>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l3_max_blocks(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{[L3] expected max_blocks >= 0, got -1}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 0.5, max_blocks = -1>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l4(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{[L4] expected top_k >= 1, got 0}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_k = 0>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l5_missing(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op [L5] expected a top_p operand or a value in rule <top_p>, got neither}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l5_both(%m: tensor<1x8x4x4xf32>, %p: tensor<8xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op [L5] expected rule <top_p> beside the operand top_p, got a rule that needs no operand}}
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [512, 512] block <128x128> rule <top_p = 0.5>
    : (tensor<1x8x4x4xf32>, tensor<8xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l5_rule(%m: tensor<1x8x4x4xf32>, %p: tensor<8xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op [L5] expected rule <top_p> beside the operand top_p, got a rule that needs no operand}}
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [512, 512] block <128x128> rule <top_k = 2>
    : (tensor<1x8x4x4xf32>, tensor<8xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l5_heads(%m: tensor<1x8x4x4xf32>, %p: tensor<3xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op [L5] expected the heads of top_p and of mass to divide one another, got 3 and 8}}
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [512, 512] block <128x128> rule <top_p>
    : (tensor<1x8x4x4xf32>, tensor<3xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l6_rows(%m: tensor<1x8x4x5xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op [L6] expected mass with query blocks 5, got 4}}
  %c, %i, %d = unisparse.block_select %m lengths [513, 640] block <128x128> rule <top_p = 0.5>
    : (tensor<1x8x4x5xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x5xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_l6_keys(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op [L6] expected mass with key blocks 5, got 4}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 513] block <128x128> rule <top_p = 0.5>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

// Slots of a packed batch: floor(512 / 128) + 2.
func.func @block_select_l6_packed(%m: tensor<1x8x4x4xf32>, %cq: tensor<3xi32>, %ck: tensor<3xi32>) {
  // expected-error@+1 {{'unisparse.block_select' op [L6] expected mass with query blocks 6, got 4}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] cu_seqlens(%cq, %ck) block <128x128> rule <top_p = 0.5>
    : (tensor<1x8x4x4xf32>, tensor<3xi32>, tensor<3xi32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_lengths_negative(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op expected lengths >= 0, got -512}}
  %c, %i, %d = unisparse.block_select %m lengths [512, -512] block <128x128> rule <top_p = 0.5>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_lengths_one(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{expected lengths [Lq, Lk], got 1 values}}
  %c, %i, %d = unisparse.block_select %m lengths [512] block <128x128> rule <top_p = 0.5>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_lengths_three(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+1 {{expected lengths [Lq, Lk], got 3 values}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512, 512] block <128x128> rule <top_p = 0.5>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

// A length that is neither in the attribute nor an operand.
func.func @block_select_lengths_missing(%m: tensor<1x8x?x4xf32>) {
  // expected-error@+1 {{'unisparse.block_select' op expected 1 dynamic lengths, got 0}}
  %c, %i, %d = "unisparse.block_select"(%m) <{block = #unisparse.block<128x128>, rule = #unisparse.rule<all>, operandSegmentSizes = array<i32: 1, 0, 0, 0, 0>, static_lengths = array<i64: -9223372036854775808, 512>}>
    : (tensor<1x8x?x4xf32>) -> (tensor<1x8x?xi32>, tensor<1x8x?x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_wrong_type(%m: tensor<1x8x4x4xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 0.5>
    : (tensor<1x8x4x4xf32>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x4xf32>)
  return
}

// -----

// A selection for each of the shares, which are more.
func.func @block_select_wrong_type_l5(%m: tensor<1x2x4x4xf32>, %p: tensor<8xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [512, 512] block <128x128> rule <top_p>
    : (tensor<1x2x4x4xf32>, tensor<8xf32>) -> (tensor<1x2x4xi32>, tensor<1x2x4x4xi32>, tensor<1x2xf32>)
  return
}

// -----

func.func @block_select_mass_element(%m: tensor<1x8x4x4xf16>) {
  // expected-error@+1 {{operand #0 must be 4D tensor of 32-bit float values}}
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <128x128> rule <top_p = 0.5>
    : (tensor<1x8x4x4xf16>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_select_top_p_element(%m: tensor<1x8x4x4xf32>, %p: tensor<8xf16>) {
  // expected-error@+1 {{operand #1 must be 1D tensor of 32-bit float values}}
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [512, 512] block <128x128> rule <top_p>
    : (tensor<1x8x4x4xf32>, tensor<8xf16>) -> (tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @block_sparse_attention_i1_k(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xbf16>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I1] expected k with q's element type 'f32', got 'bf16'}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xbf16>, tensor<1x2x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i1_v(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf16>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I1] expected v with q's element type 'f32', got 'f16'}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf16>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i2_k_batch(%q: tensor<1x8x512x64xf32>, %k: tensor<3x2x512x64xf32>, %v: tensor<3x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I2] expected k with q's batch 1, got 3}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<3x2x512x64xf32>, tensor<3x2x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i2_k_head_dim(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x128xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I2] expected k with q's head_dim 64, got 128}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x128xf32>, tensor<1x2x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i2_v_batch(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<2x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I2] expected v with q's batch 1, got 2}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<2x2x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i3(%q: tensor<1x8x512x64xf32>, %k: tensor<1x16x512x64xf32>, %v: tensor<1x16x512x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I3] expected the heads of k to divide the 8 heads of q, got 16}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x16x512x64xf32>, tensor<1x16x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i4_heads(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x4x512x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I4] expected v with k's number of heads 2, got 4}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x4x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i4_length(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x511x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I4] expected v with k's length 512, got 511}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x511x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i7(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x511x64xf32>, %v: tensor<1x2x511x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I7] expected Lq <= Lk under causal, got Lq = 512 and Lk = 511; drop causal or pass the earlier keys}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128> causal
    : (tensor<1x8x512x64xf32>, tensor<1x2x511x64xf32>, tensor<1x2x511x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i8_batch(%q: tensor<2x8x512x64xf32>, %k: tensor<2x2x512x64xf32>, %v: tensor<2x2x512x64xf32>, %cq: tensor<3xi32>, %ck: tensor<3xi32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I8] expected a packed batch with batch 1, got 2}}
  %o = unisparse.block_sparse_attention %q, %k, %v cu_seqlens(%cq, %ck) block <128x128>
    : (tensor<2x8x512x64xf32>, tensor<2x2x512x64xf32>, tensor<2x2x512x64xf32>, tensor<3xi32>, tensor<3xi32>) -> tensor<2x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i8_empty(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %cq: tensor<0xi32>, %ck: tensor<0xi32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I8] expected at least one entry in cu_seqlens_q, got 0}}
  %o = unisparse.block_sparse_attention %q, %k, %v cu_seqlens(%cq, %ck) block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<0xi32>, tensor<0xi32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i8_sizes(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %cq: tensor<3xi32>, %ck: tensor<5xi32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I8] expected cu_seqlens_k with as many entries as cu_seqlens_q, 3, got 5}}
  %o = unisparse.block_sparse_attention %q, %k, %v cu_seqlens(%cq, %ck) block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<3xi32>, tensor<5xi32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_i8_alone(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %cu: tensor<3xi32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [I8] expected both cu_seqlens or none, got cu_seqlens_q alone}}
  %o = "unisparse.block_sparse_attention"(%q, %k, %k, %cu) <{block = #unisparse.block<128x128>, operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 1, 0, 0, 0>}>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<3xi32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_a1(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [A1] expected a finite scale, got nan}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128> scale 0x7FF8000000000000
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_a4_alone(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %c: tensor<1x8x4xi32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [A4] expected counts and indices or neither, got one of them}}
  %o = "unisparse.block_sparse_attention"(%q, %k, %k, %c) <{block = #unisparse.block<128x128>, operandSegmentSizes = array<i32: 1, 1, 1, 1, 0, 0, 0, 0, 0>}>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x8x4xi32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_a4_shapes(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %c: tensor<1x8x4xi32>, %i: tensor<1x4x4x4xi32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [A4] expected indices that start with the shape of counts, got 'tensor<1x4x4x4xi32>' beside 'tensor<1x8x4xi32>'}}
  %o = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x8x4xi32>, tensor<1x4x4x4xi32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_a4_batch(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %c: tensor<2x8x4xi32>, %i: tensor<2x8x4x4xi32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [A4] expected a selection with q's batch 1, got 2}}
  %o = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<2x8x4xi32>, tensor<2x8x4x4xi32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_a4_heads(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %c: tensor<1x3x4xi32>, %i: tensor<1x3x4x4xi32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [A4] expected the heads of the selection to divide the 8 heads of q, got 3}}
  %o = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x3x4xi32>, tensor<1x3x4x4xi32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_a4_rows(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %c: tensor<1x8x3xi32>, %i: tensor<1x8x3x4xi32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [A4] expected a selection with query blocks 4, got 3}}
  %o = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x8x3xi32>, tensor<1x8x3x4xi32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

// Slots of a packed batch: floor(512 / 128) + 2.
func.func @block_sparse_attention_a4_packed(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %c: tensor<1x8x4xi32>, %i: tensor<1x8x4x4xi32>, %cq: tensor<3xi32>, %ck: tensor<3xi32>) {
  // expected-error@+1 {{'unisparse.block_sparse_attention' op [A4] expected a selection with query blocks 6, got 4}}
  %o = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) cu_seqlens(%cq, %ck) block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<3xi32>, tensor<3xi32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @block_sparse_attention_a4_element(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %c: tensor<1x8x4xi64>, %i: tensor<1x8x4x4xi32>) {
  // expected-error@+1 {{operand #3 must be 3D tensor of 32-bit signless integer values}}
  %o = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x8x4xi64>, tensor<1x8x4x4xi32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

// o has the columns of v.
func.func @block_sparse_attention_wrong_type(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x32xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x32xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

// return_lse: a second result.
func.func @block_sparse_attention_wrong_type_lse(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %o = unisparse.block_sparse_attention %q, %k, %v block <128x128> return_lse
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>) -> tensor<1x8x512x64xf32>
  return
}

// -----

func.func @attention_i1_k(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xbf16>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I1] expected k with q's element type 'f32', got 'bf16'}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xbf16>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i1_v(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf16>) {
  // expected-error@+1 {{'unisparse.attention' op [I1] expected v with q's element type 'f32', got 'f16'}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf16>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i2_k_batch(%q: tensor<1x8x512x64xf32>, %k: tensor<3x2x512x64xf32>, %v: tensor<3x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I2] expected k with q's batch 1, got 3}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<3x2x512x64xf32>, tensor<3x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i2_k_head_dim(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x128xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I2] expected k with q's head_dim 64, got 128}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x128xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i2_v_batch(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<2x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I2] expected v with q's batch 1, got 2}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<2x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i3(%q: tensor<1x8x512x64xf32>, %k: tensor<1x3x512x64xf32>, %v: tensor<1x3x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I3] expected the heads of k to divide the 8 heads of q, got 3}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x3x512x64xf32>, tensor<1x3x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i4_heads(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x4x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I4] expected v with k's number of heads 2, got 4}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x4x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i4_length(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x511x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I4] expected v with k's length 512, got 511}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x511x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i5_query(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I5] expected the query pooling factor to divide the query block 128, got 3}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <3x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i5_key(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I5] expected the key pooling factor to divide the key block 64, got 128}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x64> pooling <8x128> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x8xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i5_block(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{[I5] expected positive block sizes, got 0x128}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <0x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_p1(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{[P1] expected positive pooling factors, got 8x0}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x0> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i6_heads(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I6] expected pooled heads to divide the 8 heads of q, got 3}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8, heads = 3> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x2x4xi32>, tensor<1x2x4x4xi32>, tensor<1x2xf32>)
  return
}

// -----

func.func @attention_i6_group(%q: tensor<1x12x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I6] expected pooled heads to divide or be a multiple of the 6 query heads of a KV head, got 4}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8, heads = 4> rule <top_p = 0.5>
    : (tensor<1x12x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x12x512x64xf32>, tensor<1x3x4xi32>, tensor<1x3x4x4xi32>, tensor<1x3xf32>)
  return
}

// -----

func.func @attention_i7(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x511x64xf32>, %v: tensor<1x2x511x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I7] expected Lq <= Lk under causal, got Lq = 512 and Lk = 511; drop causal or pass the earlier keys}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5> causal
    : (tensor<1x8x512x64xf32>, tensor<1x2x511x64xf32>, tensor<1x2x511x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i8_batch(%q: tensor<2x8x512x64xf32>, %k: tensor<2x2x512x64xf32>, %v: tensor<2x2x512x64xf32>, %cq: tensor<3xi32>, %ck: tensor<3xi32>) {
  // expected-error@+1 {{'unisparse.attention' op [I8] expected a packed batch with batch 1, got 2}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v cu_seqlens(%cq, %ck) block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<2x8x512x64xf32>, tensor<2x2x512x64xf32>, tensor<2x2x512x64xf32>, tensor<3xi32>, tensor<3xi32>)
      -> (tensor<2x8x512x64xf32>, tensor<2x8x6xi32>, tensor<2x8x6x4xi32>, tensor<2x8xf32>)
  return
}

// -----

func.func @attention_i8_empty(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %cq: tensor<0xi32>, %ck: tensor<0xi32>) {
  // expected-error@+1 {{'unisparse.attention' op [I8] expected at least one entry in cu_seqlens_q, got 0}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v cu_seqlens(%cq, %ck) block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<0xi32>, tensor<0xi32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x3xi32>, tensor<1x8x3x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i8_sizes(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %cq: tensor<3xi32>, %ck: tensor<5xi32>) {
  // expected-error@+1 {{'unisparse.attention' op [I8] expected cu_seqlens_k with as many entries as cu_seqlens_q, 3, got 5}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v cu_seqlens(%cq, %ck) block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<3xi32>, tensor<5xi32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x6xi32>, tensor<1x8x6x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_i8_alone(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %cu: tensor<3xi32>) {
  // expected-error@+1 {{'unisparse.attention' op [I8] expected both cu_seqlens or none, got cu_seqlens_k alone}}
  %o, %c, %i, %d = "unisparse.attention"(%q, %k, %k, %cu) <{alpha = 1.0, block = #unisparse.block<128x128>, pooling = #unisparse.pooling<8x8>, rule = #unisparse.rule<all>, operandSegmentSizes = array<i32: 1, 1, 1, 0, 0, 1, 0, 0>}>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<3xi32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_s1_scale(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [S1] expected a finite scale, got INF}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5> scale 0x7FF0000000000000
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_s1_alpha(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [S1] expected a finite alpha, got -INF}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5> alpha 0xFFF0000000000000
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_l5_missing(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [L5] expected a top_p operand or a value in rule <top_p>, got neither}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_l5_both(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %p: tensor<8xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [L5] expected rule <top_p> beside the operand top_p, got a rule that needs no operand}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v top_p(%p) block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<8xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_l5_rule(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %p: tensor<8xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [L5] expected rule <top_p> beside the operand top_p, got a rule that needs no operand}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v top_p(%p) block <128x128> pooling <8x8> rule <all>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<8xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_l5_query_heads(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %p: tensor<2xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [L5] expected top_p of one value a query head, 8, got 2}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v top_p(%p) block <128x128> pooling <8x8> rule <top_p>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<2xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_l5_kv_heads(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>, %p: tensor<8xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [L5] expected top_p of one value a KV head, 2, got 8}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v top_p(%p) block <128x128> pooling <8x8> rule <top_p> share group
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>, tensor<8xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_wrong_type(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x5xi32>, tensor<1x8x5x4xi32>, tensor<1x8xf32>)
  return
}

// -----

// share group: selections of the KV heads.
func.func @attention_wrong_type_share(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8> rule <top_p = 0.5> share group
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

// heads = 2: selections of the composite heads.
func.func @attention_wrong_type_p4(%q: tensor<1x8x512x64xf32>, %k: tensor<1x2x512x64xf32>, %v: tensor<1x2x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{are incompatible with return type(s) of operation}}
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <128x128> pooling <8x8, heads = 2> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

// A length above dense_below leaves blocks out: something is pooled.
func.func @attention_i5_dense_below(%q: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [I5] expected the query pooling factor to divide the query block 100, got 8}}
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <100x100> pooling <8x8> rule <top_p = 0.5, dense_below = 511>
    : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x6xi32>, tensor<1x8x6x6xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @pool_p5_block(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{[P5] expected representatives of a block that is a multiple of the factor 8, got 100}}
  %0, %1 = unisparse.pool %x by 8 representatives 16 of 100 : (tensor<1x8x512x64xf32>) -> (tensor<1x8x128x64xf32>, tensor<1x8x4x16xi32>)
  return
}

// -----

func.func @pool_p5_negative(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{[P5] expected representatives >= 0, got -1}}
  %0, %1 = unisparse.pool %x by 8 representatives -1 of 128 : (tensor<1x8x512x64xf32>) -> (tensor<1x8x128x64xf32>, tensor<1x8x4x16xi32>)
  return
}

// -----

func.func @pool_p5_most(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op [P5] expected at most the 128 rows of a block as representatives, got 129}}
  %0, %1 = unisparse.pool %x by 8 representatives 129 of 128 : (tensor<1x8x512x64xf32>) -> (tensor<1x8x580x64xf32>, tensor<1x8x4x129xi32>)
  return
}

// -----

func.func @pool_p6_spread(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op [P6] expected spread to divide the 64 columns of x, got 5}}
  %0 = unisparse.pool %x by 8 spread 5 : (tensor<1x8x512x64xf32>) -> tensor<1x8x64x76xf32>
  return
}

// -----

func.func @pool_p6_norms(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op [P6] expected norms to divide the 64 columns of x, got 5}}
  %0 = unisparse.pool %x by 8 norms 5 times 1.0 : (tensor<1x8x512x64xf32>) -> tensor<1x8x64x76xf32>
  return
}

// -----

func.func @pool_p6_negative(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+2 {{failed to infer returned types}}
  // expected-error@+1 {{[P6] expected spread >= 0, got -2}}
  %0 = unisparse.pool %x by 8 spread -2 : (tensor<1x8x512x64xf32>) -> tensor<1x8x64x76xf32>
  return
}

// -----

func.func @pool_p6_both(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op [P6] expected spread or norms, got both}}
  %0 = unisparse.pool %x by 8 spread 4 norms 4 times 1.0 : (tensor<1x8x512x64xf32>) -> tensor<1x8x64x80xf32>
  return
}

// -----

func.func @pool_p6_factor(%x: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{'unisparse.pool' op [P6] expected a finite factor, got INF}}
  %0 = unisparse.pool %x by 8 norms 4 times 0x7FF0000000000000 : (tensor<1x8x512x64xf32>) -> tensor<1x8x64x80xf32>
  return
}

// -----

func.func @block_score_p5_no_rows(%q: tensor<1x8x128x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [P5] expected the operand rows beside representatives and only there, got no rows}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8, representatives = 16>
    : (tensor<1x8x128x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_p5_rows_alone(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>, %r: tensor<1x8x4x16xi32>) {
  // expected-error@+1 {{'unisparse.block_score' op [P5] expected the operand rows beside representatives and only there, got no representatives}}
  %0 = unisparse.block_score %q, %k rows(%r) lengths [512, 512] block <128x128> pooling <8x8>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>, tensor<1x8x4x16xi32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_p5_agg(%q: tensor<1x8x128x64xf32>, %k: tensor<1x2x64x64xf32>, %r: tensor<1x8x4x16xi32>) {
  // expected-error@+1 {{'unisparse.block_score' op [P5] expected agg max beside representatives, got sum}}
  %0 = unisparse.block_score %q, %k rows(%r) lengths [512, 512] block <128x128> pooling <8x8, representatives = 16> agg sum
    : (tensor<1x8x128x64xf32>, tensor<1x2x64x64xf32>, tensor<1x8x4x16xi32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_p5_rows_heads(%q: tensor<1x8x128x64xf32>, %k: tensor<1x2x64x64xf32>, %r: tensor<1x2x4x16xi32>) {
  // expected-error@+1 {{'unisparse.block_score' op [P5] expected rows with q's number of heads 8, got 2}}
  %0 = unisparse.block_score %q, %k rows(%r) lengths [512, 512] block <128x128> pooling <8x8, representatives = 16>
    : (tensor<1x8x128x64xf32>, tensor<1x2x64x64xf32>, tensor<1x2x4x16xi32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_p5_rows_blocks(%q: tensor<1x8x128x64xf32>, %k: tensor<1x2x64x64xf32>, %r: tensor<1x8x5x16xi32>) {
  // expected-error@+1 {{'unisparse.block_score' op [P5] expected rows of query blocks 4, got 5}}
  %0 = unisparse.block_score %q, %k rows(%r) lengths [512, 512] block <128x128> pooling <8x8, representatives = 16>
    : (tensor<1x8x128x64xf32>, tensor<1x2x64x64xf32>, tensor<1x8x5x16xi32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_p5_rows_count(%q: tensor<1x8x128x64xf32>, %k: tensor<1x2x64x64xf32>, %r: tensor<1x8x4x8xi32>) {
  // expected-error@+1 {{'unisparse.block_score' op [P5] expected rows with representatives 16, got 8}}
  %0 = unisparse.block_score %q, %k rows(%r) lengths [512, 512] block <128x128> pooling <8x8, representatives = 16>
    : (tensor<1x8x128x64xf32>, tensor<1x2x64x64xf32>, tensor<1x8x4x8xi32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_s4_representatives(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>, %r: tensor<1x8x4x16xi32>) {
  // expected-error@+1 {{'unisparse.block_score' op [S4] expected the composites of q to number 128, got 64}}
  %0 = unisparse.block_score %q, %k rows(%r) lengths [512, 512] block <128x128> pooling <8x8, representatives = 16>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>, tensor<1x8x4x16xi32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @block_score_p6(%q: tensor<1x8x64x64xf32>, %k: tensor<1x2x64x64xf32>) {
  // expected-error@+1 {{'unisparse.block_score' op [P6] expected composites of D + D / 4 columns, got 64}}
  %0 = unisparse.block_score %q, %k lengths [512, 512] block <128x128> pooling <8x8, spread = 4>
    : (tensor<1x8x64x64xf32>, tensor<1x2x64x64xf32>) -> tensor<1x8x4x4xf32>
  return
}

// -----

func.func @attention_p5_agg(%q: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [P5] expected agg max beside representatives, got sum}}
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <128x128> pooling <8x8, representatives = 16> rule <top_p = 0.5> agg sum
    : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @attention_p6(%q: tensor<1x8x512x64xf32>) {
  // expected-error@+1 {{'unisparse.attention' op [P6] expected spread to divide the 64 columns of q, got 5}}
  %o, %c, %i, %d = unisparse.attention %q, %q, %q block <128x128> pooling <8x8, spread = 5> rule <top_p = 0.5>
    : (tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>, tensor<1x8x512x64xf32>)
      -> (tensor<1x8x512x64xf32>, tensor<1x8x4xi32>, tensor<1x8x4x4xi32>, tensor<1x8xf32>)
  return
}

// -----

func.func @check_of_nothing(%i: i1) {
  // expected-error@+1 {{expected a label and two names of a check, got "I7", "" and "k"}}
  cf.assert %i, "I7" {unisparse.check = #unisparse.check<"I7", "" equal "k">}
  return
}

// -----

func.func @check_of_another_kind(%i: i1) {
  // expected-error@+1 {{expected unisparse.check to be a #unisparse.check of a cf.assert, got "I7"}}
  cf.assert %i, "I7" {unisparse.check = "I7"}
  return
}

// -----

func.func @check_elsewhere(%i: i1) {
  // expected-error@+1 {{expected unisparse.check to be a #unisparse.check of a cf.assert, got #unisparse.check<"I7", "q" at_most "k">}}
  return {unisparse.check = #unisparse.check<"I7", "q" at_most "k">}
}

// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// Attributes by themselves: what is read, what is printed, what is refused.

// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --verify-roundtrip | FileCheck %s

// CHECK-LABEL: func.func private @block
// CHECK-SAME:    a = #unisparse.block<128x64>
func.func private @block() attributes {a = #unisparse.block<128x64>}

// `heads` is printed where it is not 1.
// CHECK-LABEL: func.func private @pooling
// CHECK-SAME:    a = #unisparse.pooling<8x4>, b = #unisparse.pooling<8x4, heads = 2>, c = #unisparse.pooling<1x1>
func.func private @pooling() attributes {
  a = #unisparse.pooling<8x4, heads = 1>, b = #unisparse.pooling<8x4, heads = 2>, c = #unisparse.pooling<1x1>}

// P5, P6
// CHECK-LABEL: func.func private @pooling_estimate
// CHECK-SAME:    a = #unisparse.pooling<8x8, heads = 2, representatives = 16, spread = 4>, b = #unisparse.pooling<8x8, spread = 1>, c = #unisparse.pooling<8x8>
func.func private @pooling_estimate() attributes {
  a = #unisparse.pooling<8x8, spread = 4, representatives = 16, heads = 2>, b = #unisparse.pooling<8x8, spread = 1>,
  c = #unisparse.pooling<8x8, representatives = 0, spread = 0>}

// CHECK-LABEL: func.func private @rule_kinds
// CHECK-SAME:    a = #unisparse.rule<top_p>, b = #unisparse.rule<top_p = 0.25>, c = #unisparse.rule<top_k = 32>, d = #unisparse.rule<all>
func.func private @rule_kinds() attributes {
  a = #unisparse.rule<top_p>, b = #unisparse.rule<top_p = 0.25>,
  c = #unisparse.rule<top_k = 32>, d = #unisparse.rule<all>}

// A share is printed as short as it reads back to the same number, and always
// with a point.
// CHECK-LABEL: func.func private @rule_shares
// CHECK-SAME:    a = #unisparse.rule<top_p = 0.9>, b = #unisparse.rule<top_p = 1.0>, c = #unisparse.rule<top_p = 0.0>
// CHECK-SAME:    d = #unisparse.rule<top_p = 0.30000000000000004>, e = #unisparse.rule<top_p = 1.0E-20>
func.func private @rule_shares() attributes {
  a = #unisparse.rule<top_p = 0.9>, b = #unisparse.rule<top_p = 1>, c = #unisparse.rule<top_p = 0>,
  d = #unisparse.rule<top_p = 0.30000000000000004>, e = #unisparse.rule<top_p = 1.0e-20>}

// CHECK-LABEL: func.func private @rule_options
// CHECK-SAME:    a = #unisparse.rule<all>
// CHECK-SAME:    b = #unisparse.rule<top_p, sink = 0, local = 0, min_blocks = 3, max_blocks = 0, dense_below = 7>
func.func private @rule_options() attributes {
  a = #unisparse.rule<all, dense_below = 0, min_blocks = 0, local = 1, sink = 1>,
  b = #unisparse.rule<top_p, dense_below = 7, max_blocks = 0, min_blocks = 3, local = 0, sink = 0>}

// L8-L10
// CHECK-LABEL: func.func private @rule_others
// CHECK-SAME:    a = #unisparse.rule<threshold = 0.1, sink = 2, local = 4, last = 8>, b = #unisparse.rule<random = 0.25>
// CHECK-SAME:    c = #unisparse.rule<random = 1.0, max_blocks = 3, seed = 4294967295>, d = #unisparse.rule<top_p = 0.7, last = 1>
func.func private @rule_others() attributes {
  a = #unisparse.rule<threshold = 0.1, sink = 2, last = 8, local = 4>, b = #unisparse.rule<random = 0.25, seed = 0>,
  c = #unisparse.rule<random = 1, seed = 4294967295, max_blocks = 3>, d = #unisparse.rule<top_p = 0.7, last = 1>}

// CHECK-LABEL: func.func private @enums
// CHECK-SAME:    a = #unisparse<agg max>, b = #unisparse<agg sum>, c = #unisparse<share none>, d = #unisparse<share group>
func.func private @enums() attributes {
  a = #unisparse<agg max>, b = #unisparse<agg sum>, c = #unisparse<share none>, d = #unisparse<share group>}

// -----

// expected-error@+1 {{[I5] expected positive block sizes, got 0x128}}
func.func private @block_i5_query() attributes {a = #unisparse.block<0x128>}

// -----

// expected-error@+1 {{[I5] expected positive block sizes, got 128x0}}
func.func private @block_i5_key() attributes {a = #unisparse.block<128x0>}

// -----

// expected-error@+1 {{expected two sizes like 128x128, got 1}}
func.func private @block_one_size() attributes {a = #unisparse.block<128>}

// -----

// expected-error@+1 {{expected two sizes like 128x128, got 3}}
func.func private @block_three_sizes() attributes {a = #unisparse.block<128x128x2>}

// -----

// expected-error@+1 {{expected static shape}}
func.func private @block_dynamic() attributes {a = #unisparse.block<128x?>}

// -----

// expected-error@+1 {{[P1] expected positive pooling factors, got 0x8}}
func.func private @pooling_p1_query() attributes {a = #unisparse.pooling<0x8>}

// -----

// expected-error@+1 {{[P1] expected positive pooling factors, got 8x0}}
func.func private @pooling_p1_key() attributes {a = #unisparse.pooling<8x0>}

// -----

// expected-error@+1 {{[P4] expected a positive number of pooled heads, got -1}}
func.func private @pooling_p4() attributes {a = #unisparse.pooling<8x8, heads = -1>}

// -----

// expected-error@+1 {{expected heads, representatives or spread, got head}}
func.func private @pooling_unknown_option() attributes {a = #unisparse.pooling<8x8, head = 2>}

// -----

// expected-error@+1 {{[L3] expected top_p in [0, 1], got 1.5}}
func.func private @rule_l3_above() attributes {a = #unisparse.rule<top_p = 1.5>}

// -----

// expected-error@+1 {{[L3] expected top_p in [0, 1], got 2.000000e+02}}
func.func private @rule_l3_unsigned() attributes {a = #unisparse.rule<top_p = 200 : ui8>}

// -----

// expected-error@+1 {{[L3] expected top_p in [0, 1], got -1.0}}
func.func private @rule_l3_below() attributes {a = #unisparse.rule<top_p = -1>}

// -----

// expected-error@+1 {{[L3] expected top_p in [0, 1], got -5.0}}
func.func private @rule_l3_below_fraction() attributes {a = #unisparse.rule<top_p = -0.5>}

// -----

// expected-error@+1 {{expected a number, got "much"}}
func.func private @rule_share_text() attributes {a = #unisparse.rule<top_p = "much">}

// -----

// expected-error@+1 {{expected a number, got true}}
func.func private @rule_share_bool() attributes {a = #unisparse.rule<top_p = true>}

// -----

// expected-error@+1 {{[L4] expected top_k >= 1, got 0}}
func.func private @rule_l4() attributes {a = #unisparse.rule<top_k = 0>}

// -----

// expected-error@+1 {{[L2] expected sink >= 0, got -1}}
func.func private @rule_l2_sink() attributes {a = #unisparse.rule<all, sink = -1>}

// -----

// expected-error@+1 {{[L2] expected local >= 0, got -2}}
func.func private @rule_l2_local() attributes {a = #unisparse.rule<all, local = -2>}

// -----

// expected-error@+1 {{[L3] expected min_blocks >= 0, got -1}}
func.func private @rule_l3_min_blocks() attributes {a = #unisparse.rule<top_p, min_blocks = -1>}

// -----

// expected-error@+1 {{[L3] expected max_blocks >= 0, got -1}}
func.func private @rule_l3_max_blocks() attributes {a = #unisparse.rule<top_p, max_blocks = -1>}

// -----

// expected-error@+1 {{[L3] expected dense_below >= 0, got -1}}
func.func private @rule_dense_below() attributes {a = #unisparse.rule<all, dense_below = -1>}

// -----

// expected-error@+1 {{expected top_p, top_k, all, threshold or random, got best}}
func.func private @rule_kind() attributes {a = #unisparse.rule<best>}

// -----

// expected-error@+1 {{expected '='}}
func.func private @rule_top_k_without_number() attributes {a = #unisparse.rule<top_k>}

// -----

// expected-error@+1 {{expected sink, local, last, min_blocks, max_blocks, dense_below, seed or relax, got sinks}}
func.func private @rule_unknown_option() attributes {a = #unisparse.rule<all, sinks = 2>}

// -----

// expected-error@+1 {{option sink given twice}}
func.func private @rule_option_twice() attributes {a = #unisparse.rule<all, sink = 2, sink = 3>}

// -----

// expected-error@+2 {{to be one of: max, sum}}
// expected-error@+1 {{failed to parse}}
func.func private @agg_unknown() attributes {a = #unisparse<agg mean>}

// -----

// expected-error@+2 {{to be one of: none, group}}
// expected-error@+1 {{failed to parse}}
func.func private @share_unknown() attributes {a = #unisparse<share all>}

// -----

// expected-error@+1 {{unknown attribute `blocks` in dialect `unisparse`}}
func.func private @unknown_attribute() attributes {a = #unisparse.blocks<128x128>}

// -----

// expected-error@+1 {{[P5] expected representatives >= 0, got -1}}
func.func private @pooling_p5() attributes {a = #unisparse.pooling<8x8, representatives = -1>}

// -----

// expected-error@+1 {{[P6] expected spread >= 0, got -1}}
func.func private @pooling_p6() attributes {a = #unisparse.pooling<8x8, spread = -1>}

// -----

// expected-error@+1 {{[L8] expected last >= 0, got -1}}
func.func private @rule_l8() attributes {a = #unisparse.rule<all, last = -1>}

// -----

// expected-error@+1 {{[L9] expected threshold in [0, 1], got 1.5}}
func.func private @rule_l9() attributes {a = #unisparse.rule<threshold = 1.5>}

// -----

// expected-error@+1 {{[L9] expected threshold in [0, 1], got nan}}
func.func private @rule_l9_nan() attributes {a = #unisparse.rule<threshold = 0x7FF8000000000000 : f64>}

// -----

// expected-error@+1 {{[L9] expected no min_blocks beside threshold, got 2}}
func.func private @rule_l9_min() attributes {a = #unisparse.rule<threshold = 0.5, min_blocks = 2>}

// -----

// expected-error@+1 {{[L9] expected no max_blocks beside threshold, got 2}}
func.func private @rule_l9_max() attributes {a = #unisparse.rule<threshold = 0.5, max_blocks = 2>}

// -----

// expected-error@+1 {{expected '='}}
func.func private @rule_l9_bare() attributes {a = #unisparse.rule<threshold>}

// -----

// expected-error@+1 {{[L10] expected random in [0, 1], got -5}}
func.func private @rule_l10() attributes {a = #unisparse.rule<random = -0.5>}

// -----

// expected-error@+1 {{[L10] expected no min_blocks beside random, got 2}}
func.func private @rule_l10_min() attributes {a = #unisparse.rule<random = 0.5, min_blocks = 2>}

// -----

// expected-error@+1 {{[L10] expected seed in [0, 4294967295], got 4294967296}}
func.func private @rule_l10_seed() attributes {a = #unisparse.rule<random = 0.5, seed = 4294967296>}

// -----

// expected-error@+1 {{[L10] expected seed beside random only, got 1}}
func.func private @rule_l10_other() attributes {a = #unisparse.rule<top_k = 2, seed = 1>}

// -----

// expected-error@+1 {{[L11] expected relax beside top_p only, got}}
func.func private @rule_l11_other() attributes {a = #unisparse.rule<top_k = 2, relax = 0.5>}

// -----

// expected-error@+1 {{[L11] expected relax in [0, 1000], got -}}
func.func private @rule_l11_below() attributes {a = #unisparse.rule<top_p = 0.5, relax = -0.5>}

// -----

// expected-error@+1 {{[L11] expected relax in [0, 1000], got nan}}
func.func private @rule_l11_nan() attributes {a = #unisparse.rule<top_p = 0.5, relax = 0x7FF8000000000000 : f64>}

// -----

// expected-error@+1 {{option relax given twice}}
func.func private @rule_l11_twice() attributes {a = #unisparse.rule<top_p = 0.5, relax = 0.5, relax = 1>}

// -----

// expected-error@+1 {{expected a number, got "much"}}
func.func private @rule_l11_text() attributes {a = #unisparse.rule<top_p = 0.5, relax = "much">}

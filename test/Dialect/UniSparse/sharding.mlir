// RUN: unisparse-opt %s --pass-pipeline='builtin.module(func.func(sharding-propagation))' | FileCheck %s
// RUN: unisparse-opt %s --pass-pipeline='builtin.module(func.func(sharding-propagation,shard-partition,canonicalize))' | FileCheck %s --check-prefix=PART

shard.grid @grid(shape = 2x4)
!q = tensor<4x8x512x64xf16>
!k = tensor<4x4x512x64xf16>

// Batch and heads: query heads go with the KV heads of their groups, through all
// of the op.
// CHECK-LABEL: func.func @whole(
// CHECK:         %[[S:.*]] = shard.sharding @grid split_axes = {{\[\[}}0], [1]]
// CHECK:         shard.shard %arg0 to %[[S]] annotate_for_users
// CHECK:         %[[T:.*]] = shard.sharding @grid split_axes = {{\[\[}}0], [1]]
// CHECK:         shard.shard %arg1 to %[[T]] annotate_for_users
// CHECK:         unisparse.attention
// PART-LABEL: func.func @whole(
// PART-SAME:    tensor<2x2x512x64xf16>, %{{.*}}: tensor<2x1x512x64xf16>, %{{.*}}: tensor<2x1x512x64xf16>) -> (tensor<2x2x512x64xf16>, tensor<2x2xf32>)
// PART:         unisparse.attention {{.*}} -> (tensor<2x2x512x64xf16>, tensor<2x2x8xi32>, tensor<2x2x8x8xi32>, tensor<2x2xf32>)
func.func @whole(%q: !q, %k: !k, %v: !k) -> (!q, tensor<4x8xf32>) {
  %o, %c, %i, %d = unisparse.attention %q, %k, %v block <64x64> pooling <8x8> rule <top_p = 0.9> causal
    : (!q, !k, !k) -> (!q, tensor<4x8x8xi32>, tensor<4x8x8x8xi32>, tensor<4x8xf32>)
  %s = shard.sharding @grid split_axes = [[0], [1]] : !shard.sharding
  %r = shard.shard %o to %s : !q
  return %r, %d : !q, tensor<4x8xf32>
}

// And back through the four stages.
// PART-LABEL: func.func @stages(
// PART-SAME:    tensor<4x2x512x64xf16>, %{{.*}}: tensor<4x1x512x64xf16>, %{{.*}}: tensor<4x1x512x64xf16>) -> tensor<4x2x512x64xf16>
// PART:         unisparse.pool {{.*}} -> tensor<4x2x64x64xf16>
// PART:         unisparse.pool {{.*}} -> tensor<4x1x64x64xf16>
// PART:         unisparse.block_score {{.*}} -> tensor<4x2x8x8xf32>
// PART:         unisparse.block_select {{.*}} -> (tensor<4x2x8xi32>, tensor<4x2x8x8xi32>, tensor<4x2xf32>)
// PART:         unisparse.block_sparse_attention
// PART-NOT:     shard.
// PART:         return
func.func @stages(%q: !q, %k: !k, %v: !k) -> !q {
  %qc = unisparse.pool %q by 8 : (!q) -> tensor<4x8x64x64xf16>
  %kc = unisparse.pool %k by 8 : (!k) -> tensor<4x4x64x64xf16>
  %m = unisparse.block_score %qc, %kc lengths [512, 512] block <64x64> pooling <8x8> causal
    : (tensor<4x8x64x64xf16>, tensor<4x4x64x64xf16>) -> tensor<4x8x8x8xf32>
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <64x64> rule <top_p = 0.9> causal
    : (tensor<4x8x8x8xf32>) -> (tensor<4x8x8xi32>, tensor<4x8x8x8xi32>, tensor<4x8xf32>)
  %o = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <64x64> causal
    : (!q, !k, !k, tensor<4x8x8xi32>, tensor<4x8x8x8xi32>) -> !q
  %s = shard.sharding @grid split_axes = [[], [1]] : !shard.sharding
  %r = shard.shard %o to %s : !q
  return %r : !q
}

// Rows of queries, with their rows of a selection, where no query has a place
// among the keys.
// PART-LABEL: func.func @rows(
// PART-SAME:    tensor<4x8x128x64xf16>, %{{.*}}: tensor<4x4x512x64xf16>, %{{.*}}: tensor<4x4x512x64xf16>, %{{.*}}: tensor<4x8x2xi32>, %{{.*}}: tensor<4x8x2x8xi32>)
// PART:         unisparse.block_sparse_attention {{.*}} -> (tensor<4x8x128x64xf16>, tensor<4x8x128xf32>)
func.func @rows(%q: !q, %k: !k, %v: !k, %c: tensor<4x8x8xi32>, %i: tensor<4x8x8x8xi32>) -> (!q, tensor<4x8x512xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %v selection(%c, %i) block <64x64> return_lse
    : (!q, !k, !k, tensor<4x8x8xi32>, tensor<4x8x8x8xi32>) -> (!q, tensor<4x8x512xf32>)
  %s = shard.sharding @grid split_axes = [[], [], [1]] : !shard.sharding
  %r = shard.shard %o to %s : !q
  return %r, %lse : !q, tensor<4x8x512xf32>
}

// Causal queries count from the end of all of them: computed whole, and cut
// behind.
// PART-LABEL: func.func @causal_rows(
// PART-SAME:    tensor<4x8x512x64xf16>
// PART:         unisparse.block_sparse_attention {{.*}} -> tensor<4x8x512x64xf16>
// PART:         shard.all_slice
func.func @causal_rows(%q: !q, %k: !k, %v: !k) -> !q {
  %o = unisparse.block_sparse_attention %q, %k, %v block <64x64> causal : (!q, !k, !k) -> !q
  %s = shard.sharding @grid split_axes = [[], [], [1]] : !shard.sharding
  %r = shard.shard %o to %s : !q
  return %r : !q
}

// Six query blocks do not go into four parts.
// PART-LABEL: func.func @cut_blocks(
// PART-SAME:    tensor<4x8x384x64xf16>
// PART:         shard.all_slice
func.func @cut_blocks(%q: tensor<4x8x384x64xf16>, %k: !k, %c: tensor<4x8x6xi32>, %i: tensor<4x8x6x8xi32>) -> tensor<4x8x384x64xf16> {
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <64x64>
    : (tensor<4x8x384x64xf16>, !k, !k, tensor<4x8x6xi32>, tensor<4x8x6x8xi32>) -> tensor<4x8x384x64xf16>
  %s = shard.sharding @grid split_axes = [[], [], [1]] : !shard.sharding
  %r = shard.shard %o to %s : tensor<4x8x384x64xf16>
  return %r : tensor<4x8x384x64xf16>
}

// Composites of whole parts of a sequence, and what is said of keys: all of them
// are wanted everywhere, so that they are gathered.
// PART-LABEL: func.func @pool(
// PART-SAME:    tensor<4x4x128x64xf16>) -> tensor<4x4x16x64xf16>
func.func @pool(%x: !k) -> tensor<4x4x64x64xf16> {
  %0 = unisparse.pool %x by 8 : (!k) -> tensor<4x4x64x64xf16>
  %s = shard.sharding @grid split_axes = [[], [], [1]] : !shard.sharding
  %r = shard.shard %0 to %s : tensor<4x4x64x64xf16>
  return %r : tensor<4x4x64x64xf16>
}
// PART-LABEL: func.func @keys(
// PART-SAME:    tensor<4x8x512x64xf16>, %{{.*}}: tensor<4x4x128x64xf16>
// PART:         shard.all_gather {{.*}} gather_axis = 2
// PART:         unisparse.block_sparse_attention
func.func @keys(%q: !q, %k: !k) -> !q {
  %s = shard.sharding @grid split_axes = [[], [], [1]] : !shard.sharding
  %x = shard.shard %k to %s : !k
  %o = unisparse.block_sparse_attention %q, %x, %x block <64x64> : (!q, !k, !k) -> !q
  return %o : !q
}

// More parts than KV heads, and numbers that are drawn for a head of a batch
// (L10): whole.
// PART-LABEL: func.func @random(
// PART-SAME:    tensor<4x8x8x8xf32>) -> tensor<2x8x8xi32>
// PART:         shard.all_slice
func.func @random(%m: tensor<4x8x8x8xf32>) -> tensor<4x8x8xi32> {
  %c, %i, %d = unisparse.block_select %m lengths [512, 512] block <64x64> rule <random = 0.25> causal
    : (tensor<4x8x8x8xf32>) -> (tensor<4x8x8xi32>, tensor<4x8x8x8xi32>, tensor<4x8xf32>)
  %s = shard.sharding @grid split_axes = [[0]] : !shard.sharding
  %r = shard.shard %c to %s : tensor<4x8x8xi32>
  return %r : tensor<4x8x8xi32>
}
// PART-LABEL: func.func @two_heads(
// PART-SAME:    tensor<4x8x512x64xf16>, %{{.*}}: tensor<4x2x512x64xf16>
// PART:         shard.all_slice
func.func @two_heads(%q: !q, %k: tensor<4x2x512x64xf16>) -> !q {
  %o = unisparse.block_sparse_attention %q, %k, %k block <64x64> : (!q, tensor<4x2x512x64xf16>, tensor<4x2x512x64xf16>) -> !q
  %s = shard.sharding @grid split_axes = [[], [1]] : !shard.sharding
  %r = shard.shard %o to %s : !q
  return %r : !q
}

// A device has the sinks of its query heads (M3).
// PART-LABEL: func.func @sinks(
// PART-SAME:    tensor<4x2x512x64xf16>, %{{.*}}: tensor<4x1x512x64xf16>, %{{.*}}: tensor<2xf32>) -> tensor<4x2x512x64xf16>
// PART:         unisparse.block_sparse_attention {{.*}} sink_logits({{.*}}) block <64x64> causal window <left = 63>
// PART-NOT:     shard.
// PART:         return
func.func @sinks(%q: !q, %k: !k, %s: tensor<8xf32>) -> !q {
  %o = unisparse.block_sparse_attention %q, %k, %k sink_logits(%s) block <64x64> causal window <left = 63>
    : (!q, !k, !k, tensor<8xf32>) -> !q
  %sharding = shard.sharding @grid split_axes = [[], [1]] : !shard.sharding
  %r = shard.shard %o to %sharding : !q
  return %r : !q
}

// A modification knows a head by its number (M5, M6): whole.
// PART-LABEL: func.func @modified_score(
// PART-SAME:    tensor<4x8x64x64xf16>, %{{.*}}: tensor<4x4x64x64xf16>) -> tensor<4x2x8x8xf32>
// PART:         unisparse.block_score {{.*}} modify {
// PART:         shard.all_slice
func.func @modified_score(%q: tensor<4x8x64x64xf16>, %k: tensor<4x4x64x64xf16>) -> tensor<4x8x8x8xf32> {
  %m = unisparse.block_score %q, %k lengths [512, 512] block <64x64> pooling <8x8> modify {
  ^bb0(%x: f32, %b: i32, %h: i32, %i: i32, %t: i32):
    %head = arith.sitofp %h : i32 to f32
    %y = arith.addf %x, %head : f32
    unisparse.yield %y : f32
  } : (tensor<4x8x64x64xf16>, tensor<4x4x64x64xf16>) -> tensor<4x8x8x8xf32>
  %sharding = shard.sharding @grid split_axes = [[], [1]] : !shard.sharding
  %r = shard.shard %m to %sharding : tensor<4x8x8x8xf32>
  return %r : tensor<4x8x8x8xf32>
}

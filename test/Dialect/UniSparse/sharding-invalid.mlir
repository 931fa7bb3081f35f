// RUN: unisparse-opt %s -verify-diagnostics --pass-pipeline='builtin.module(func.func(shard-partition))'

// Annotations that sharding-propagation would not have made.
shard.grid @grid(shape = 2x4)
!q = tensor<4x8x512x64xf16>
func.func @causal_rows(%q: !q) -> !q {
  %s = shard.sharding @grid split_axes = [[], [], [1]] : !shard.sharding
  %a = shard.shard %q to %s : !q
  %b = shard.shard %a to %s annotate_for_users : !q
  // expected-error@+1 {{expected dim 2 of 'tensor<4x8x512x64xf16>' to be whole on every device, got it split along @grid}}
  %o = unisparse.block_sparse_attention %b, %b, %b block <64x64> causal : (!q, !q, !q) -> !q
  %c = shard.shard %o to %s : !q
  %d = shard.shard %c to %s annotate_for_users : !q
  return %d : !q
}

func.func @window_rows(%q: !q) -> !q {
  %s = shard.sharding @grid split_axes = [[], [], [1]] : !shard.sharding
  %a = shard.shard %q to %s : !q
  %b = shard.shard %a to %s annotate_for_users : !q
  // expected-error@+1 {{expected dim 2 of 'tensor<4x8x512x64xf16>' to be whole on every device, got it split along @grid}}
  %o = unisparse.block_sparse_attention %b, %b, %b block <64x64> window <left = 63> : (!q, !q, !q) -> !q
  %c = shard.shard %o to %s : !q
  %d = shard.shard %c to %s annotate_for_users : !q
  return %d : !q
}

// RUN: not unisparse-opt %s --transform-preload-library=transform-library-paths=%src_root/examples/transform/tune.mlir \
// RUN:   --transform-interpreter 2>&1 | FileCheck %s

// What does not fit the tensors is the op's to say.
// CHECK: 'unisparse.attention' op [I5] expected the query pooling factor to divide the query block 64, got 48
!q = tensor<1x8x4096x128xf16>
func.func @pooling(%q: !q) -> !q attributes {unisparse.pooling = #unisparse.pooling<48x8>} {
  %0 = unisparse.block_sparse_attention %q, %q, %q block <128x128> causal : (!q, !q, !q) -> !q
  return %0 : !q
}

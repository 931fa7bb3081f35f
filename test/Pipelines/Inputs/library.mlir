!q = tensor<?x4x?x16xf32>
!k = tensor<?x2x?x16xf32>
func.func @attention(
    %q: !q {bufferization.writable = false, bufferization.buffer_layout = strided<[?, ?, ?, 1]>},
    %k: !k {bufferization.writable = false, bufferization.buffer_layout = strided<[?, ?, ?, 1]>},
    %v: !k {bufferization.writable = false, bufferization.buffer_layout = strided<[?, ?, ?, 1]>}) -> !q {
  %o = func.call @inner(%q, %k, %v) : (!q, !k, !k) -> !q
  return %o : !q
}
func.func private @inner(%q: !q, %k: !k, %v: !k) -> !q {
  %o = unisparse.block_sparse_attention %q, %k, %v block <32x32> causal : (!q, !k, !k) -> !q
  return %o : !q
}

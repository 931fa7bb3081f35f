module {
  gpu.module @kernels {
    gpu.func @product(%arg0: !llvm.ptr {unitile.tensor_map}, %arg1: !llvm.ptr<1>, %arg2: i32, %arg3: i64, %arg4: bf16) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
      %0 = unitile.alloc : !unitile.shared<64x16xbf16, 2>
      %1 = unitile.barriers arrivals 1 : !unitile.barriers<2>
      unitile.barrier
      unitile.tensor_copy %arg0[%arg2, %arg2] to %0[%arg2] on %1[%arg2] : !unitile.shared<64x16xbf16, 2>, !unitile.barriers<2>
      %2 = unitile.fill %arg4 : bf16 -> !unitile.fragment<64x16xbf16>
      unitile.await %1[%arg2] parity %arg2 : !unitile.barriers<2>
      unitile.mma_fence
      %3 = unitile.mma_start %2, %0[%arg2] : !unitile.fragment<64x16xbf16>, !unitile.shared<64x16xbf16, 2> -> !unitile.pending<64x64xf32>
      %4 = unitile.mma_wait 0, %3 reading %2 : !unitile.pending<64x64xf32>, !unitile.fragment<64x16xbf16>
      unitile.store %4 to %arg1 row %arg2 limit %arg2 stride %arg3 : !unitile.fragment<64x64xf32>
      gpu.return
    }
  }
}

module {
  gpu.module @kernels {
    gpu.func @products(%arg0: i32, %arg1: bf16, %arg2: f32, %arg3: i1) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
      %0 = unitile.alloc : !unitile.shared<64x64xbf16>
      %1 = unitile.fill %arg1 : bf16 -> !unitile.fragment<64x64xbf16>
      %2 = unitile.fill %arg2 : f32 -> !unitile.fragment<64x64xf32>
      %3 = unitile.mma %1, %0[%arg0], %2 : !unitile.fragment<64x64xbf16>, !unitile.shared<64x64xbf16>, !unitile.fragment<64x64xf32>
      %4 = unitile.mma %1, %0[%arg0], %3 by_rows : !unitile.fragment<64x64xbf16>, !unitile.shared<64x64xbf16>, !unitile.fragment<64x64xf32>
      %5 = unitile.mma_start %1, %0[%arg0], %4 when %arg3 by_rows : !unitile.fragment<64x64xbf16>, !unitile.shared<64x64xbf16>, !unitile.fragment<64x64xf32> -> !unitile.pending<64x64xf32>
      %6 = unitile.mma_wait 0, %5 reading %1 : !unitile.pending<64x64xf32>, !unitile.fragment<64x64xbf16>
      gpu.return
    }
  }
}

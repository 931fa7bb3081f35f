module {
  gpu.module @kernels {
    gpu.func @steps(%arg0: f32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
      %0 = unitile.fill %arg0 : f32 -> !unitile.fragment<64x64xf32>
      %1 = unitile.fill %arg0 : f32 -> !unitile.fragment<64x8xf32>
      %2 = unitile.reference %0 scale 1.250000e-01 : !unitile.fragment<64x64xf32> -> !unitile.rows<64xf32>
      %probabilities, %reference, %sum, %output = unitile.softmax %0 scale 1.250000e-01 from %2, %1, %0 : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>, !unitile.fragment<64x8xf32>, !unitile.fragment<64x64xf32> -> !unitile.fragment<64x64xbf16>
      %probabilities_0, %reference_1, %sum_2, %output_3 = unitile.softmax speculative %0 scale 2.500000e-01 from %reference, %sum, %output : !unitile.fragment<64x64xf32>, !unitile.rows<64xf32>, !unitile.fragment<64x8xf32>, !unitile.fragment<64x64xf32> -> !unitile.fragment<64x64xbf16>
      gpu.return
    }
  }
}

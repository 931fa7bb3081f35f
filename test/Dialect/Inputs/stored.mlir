module {
  func.func @stages(%arg0: tensor<1x4x512x64xf16>, %arg1: tensor<1x2x512x64xf16>, %arg2: tensor<1x2x512x64xf16>, %arg3: tensor<4xf32>) -> (tensor<1x4x512x64xf16>, tensor<1x4x512xf32>) {
    %composites = unisparse.pool %arg0 by 8 heads 2 : (tensor<1x4x512x64xf16>) -> tensor<1x2x64x64xf16>
    %composites_0 = unisparse.pool %arg1 by 4 : (tensor<1x2x512x64xf16>) -> tensor<1x2x128x64xf16>
    %mass = unisparse.block_score %composites, %composites_0 lengths [512, 512] block <128x64> pooling <8x4, heads = 2> agg sum causal scale 2.500000e-01 : (tensor<1x2x64x64xf16>, tensor<1x2x128x64xf16>) -> tensor<1x2x4x8xf32>
    %counts, %indices, %density = unisparse.block_select %mass top_p(%arg3) lengths [512, 512] block <128x64> rule <top_p, sink = 2, max_blocks = 5> causal : (tensor<1x2x4x8xf32>, tensor<4xf32>) -> (tensor<1x4x4xi32>, tensor<1x4x4x8xi32>, tensor<1x4xf32>)
    %o, %lse = unisparse.block_sparse_attention %arg0, %arg1, %arg2 selection(%counts, %indices) block <128x64> causal return_lse : (tensor<1x4x512x64xf16>, tensor<1x2x512x64xf16>, tensor<1x2x512x64xf16>, tensor<1x4x4xi32>, tensor<1x4x4x8xi32>) -> (tensor<1x4x512x64xf16>, tensor<1x4x512xf32>)
    return %o, %lse : tensor<1x4x512x64xf16>, tensor<1x4x512xf32>
  }
  func.func @packed(%arg0: tensor<1x4x?x64xbf16>, %arg1: tensor<1x2x?x64xbf16>, %arg2: tensor<1x2x?x64xbf16>, %arg3: tensor<4xi32>) -> tensor<1x4x?x64xbf16> {
    %o, %counts, %indices, %density = unisparse.attention %arg0, %arg1, %arg2 cu_seqlens(%arg3, %arg3) block <64x64> pooling <8x8> rule <top_k = 3, local = 2> share group causal {unitile.schedule = #unitile.tiles<rows = 64, keys = 64>} : (tensor<1x4x?x64xbf16>, tensor<1x2x?x64xbf16>, tensor<1x2x?x64xbf16>, tensor<4xi32>, tensor<4xi32>) -> (tensor<1x4x?x64xbf16>, tensor<1x2x?xi32>, tensor<1x2x?x?xi32>, tensor<1x2xf32>)
    return %o : tensor<1x4x?x64xbf16>
  }
}


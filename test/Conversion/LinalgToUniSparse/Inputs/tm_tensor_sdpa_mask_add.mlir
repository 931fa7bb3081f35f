#map = affine_map<(d0, d1, d2, d3) -> (d0, 0, d2, d3)>
#map1 = affine_map<(d0, d1, d2, d3) -> (d0, d1, d2, d3)>
module {
  func.func @sdpa_mask_add(%arg0: tensor<2x8x40x64xf32>, %arg1: tensor<2x8x40x64xf32>, %arg2: tensor<2x8x40x64xf32>, %arg3: tensor<2x1x40x40xf32>) -> tensor<2x8x40x64xf32> {
    %cst = arith.constant 0.000000e+00 : f32
    %0 = tensor.empty() : tensor<2x8x40x40xf32>
    %1 = linalg.generic {indexing_maps = [#map, #map1], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%arg3 : tensor<2x1x40x40xf32>) outs(%0 : tensor<2x8x40x40xf32>) {
    ^bb0(%in: f32, %out: f32):
      linalg.yield %in : f32
    } -> tensor<2x8x40x40xf32>
    %collapsed = tensor.collapse_shape %arg0 [[0, 1], [2], [3]] : tensor<2x8x40x64xf32> into tensor<16x40x64xf32>
    %collapsed_0 = tensor.collapse_shape %arg1 [[0, 1], [2], [3]] : tensor<2x8x40x64xf32> into tensor<16x40x64xf32>
    %collapsed_1 = tensor.collapse_shape %arg2 [[0, 1], [2], [3]] : tensor<2x8x40x64xf32> into tensor<16x40x64xf32>
    %collapsed_2 = tensor.collapse_shape %1 [[0, 1], [2], [3]] : tensor<2x8x40x40xf32> into tensor<16x40x40xf32>
    %2 = tensor.empty() : tensor<16x40x64xf32>
    %3 = linalg.fill ins(%cst : f32) outs(%2 : tensor<16x40x64xf32>) -> tensor<16x40x64xf32>
    %4 = "tm_tensor.attention"(%collapsed, %collapsed_0, %collapsed_1, %collapsed_2, %3) <{operandSegmentSizes = array<i32: 4, 1>}> : (tensor<16x40x64xf32>, tensor<16x40x64xf32>, tensor<16x40x64xf32>, tensor<16x40x40xf32>, tensor<16x40x64xf32>) -> tensor<16x40x64xf32>
    %expanded = tensor.expand_shape %4 [[0, 1], [2], [3]] output_shape [2, 8, 40, 64] : tensor<16x40x64xf32> into tensor<2x8x40x64xf32>
    return %expanded : tensor<2x8x40x64xf32>
  }
}


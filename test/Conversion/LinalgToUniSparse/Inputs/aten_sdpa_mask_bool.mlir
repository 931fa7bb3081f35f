module {
  func.func @sdpa_mask_bool(%arg0: !torch.vtensor<[2,8,40,64],f32>, %arg1: !torch.vtensor<[2,8,40,64],f32>, %arg2: !torch.vtensor<[2,8,40,64],f32>, %arg3: !torch.vtensor<[2,1,40,40],i1>) -> !torch.vtensor<[2,8,40,64],f32> {
    %float0.000000e00 = "torch.constant.float"() <{value = 0.000000e+00 : f64}> : () -> !torch.float
    %false = "torch.constant.bool"() <{value = false}> : () -> !torch.bool
    %none = "torch.constant.none"() : () -> !torch.none
    %0 = "torch.aten.scaled_dot_product_attention"(%arg0, %arg1, %arg2, %arg3, %float0.000000e00, %false, %none, %false) : (!torch.vtensor<[2,8,40,64],f32>, !torch.vtensor<[2,8,40,64],f32>, !torch.vtensor<[2,8,40,64],f32>, !torch.vtensor<[2,1,40,40],i1>, !torch.float, !torch.bool, !torch.none, !torch.bool) -> !torch.vtensor<[2,8,40,64],f32>
    return %0 : !torch.vtensor<[2,8,40,64],f32>
  }
}


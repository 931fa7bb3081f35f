module {
  func.func @sdpa_causal_gqa(%arg0: !torch.vtensor<[2,8,40,64],f32>, %arg1: !torch.vtensor<[2,2,40,64],f32>, %arg2: !torch.vtensor<[2,2,40,64],f32>) -> !torch.vtensor<[2,8,40,64],f32> {
    %none = "torch.constant.none"() : () -> !torch.none
    %float0.000000e00 = "torch.constant.float"() <{value = 0.000000e+00 : f64}> : () -> !torch.float
    %true = "torch.constant.bool"() <{value = true}> : () -> !torch.bool
    %0 = "torch.aten.scaled_dot_product_attention"(%arg0, %arg1, %arg2, %none, %float0.000000e00, %true, %none, %true) : (!torch.vtensor<[2,8,40,64],f32>, !torch.vtensor<[2,2,40,64],f32>, !torch.vtensor<[2,2,40,64],f32>, !torch.none, !torch.float, !torch.bool, !torch.none, !torch.bool) -> !torch.vtensor<[2,8,40,64],f32>
    return %0 : !torch.vtensor<[2,8,40,64],f32>
  }
}


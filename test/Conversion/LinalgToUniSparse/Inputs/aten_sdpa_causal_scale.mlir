module {
  func.func @sdpa_causal_scale(%arg0: !torch.vtensor<[2,8,40,64],f32>, %arg1: !torch.vtensor<[2,8,40,64],f32>, %arg2: !torch.vtensor<[2,8,40,64],f32>) -> !torch.vtensor<[2,8,40,64],f32> {
    %none = "torch.constant.none"() : () -> !torch.none
    %float0.000000e00 = "torch.constant.float"() <{value = 0.000000e+00 : f64}> : () -> !torch.float
    %true = "torch.constant.bool"() <{value = true}> : () -> !torch.bool
    %float2.500000e-01 = "torch.constant.float"() <{value = 2.500000e-01 : f64}> : () -> !torch.float
    %false = "torch.constant.bool"() <{value = false}> : () -> !torch.bool
    %0 = "torch.aten.scaled_dot_product_attention"(%arg0, %arg1, %arg2, %none, %float0.000000e00, %true, %float2.500000e-01, %false) : (!torch.vtensor<[2,8,40,64],f32>, !torch.vtensor<[2,8,40,64],f32>, !torch.vtensor<[2,8,40,64],f32>, !torch.none, !torch.float, !torch.bool, !torch.float, !torch.bool) -> !torch.vtensor<[2,8,40,64],f32>
    return %0 : !torch.vtensor<[2,8,40,64],f32>
  }
}


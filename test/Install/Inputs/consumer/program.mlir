func.func @main(%q: tensor<1x4x256x64xf16>, %k: tensor<1x2x256x64xf16>, %v: tensor<1x2x256x64xf16>) -> tensor<1x4x256x64xf16> {
  %o = house.attend %q, %k, %v rule <top_k = 2>
    : (tensor<1x4x256x64xf16>, tensor<1x2x256x64xf16>, tensor<1x2x256x64xf16>) -> tensor<1x4x256x64xf16>
  return %o : tensor<1x4x256x64xf16>
}

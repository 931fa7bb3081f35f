// A layer as frameworks write it: [B, L, H * D] in and out, heads inside. Reshapes of buffers are the same memory, what they
// promise of lengths is checked, and a result may be one.
// RUN: unisparse-compile %s --chip=sm_90a -o %t.usp && unisparse-compile --show=%t.usp | FileCheck %s
// RUN: unisparse-compile %s --target=cpu -o %t.so && unisparse-compile --show=%t.so | FileCheck %s --check-prefix=LIBRARY

// CHECK:      input   x: bf16 [2, x.size(1), 512], contiguous
// CHECK-NEXT: input   y: bf16 [2, y.size(1), 256], contiguous
// CHECK-NEXT: output  output 0: bf16 [2, x.size(1), 512], contiguous
// CHECK:      check   tensor.expand_shape: y.size(1) == its parts; y.size(1) == x.size(1)
// CHECK:      launch linalg on
// CHECK:        address  x
// CHECK:      launch linalg_0 on
// CHECK:        address  y
// CHECK:      launch attend on
// CHECK:      launch linalg_1 on
// CHECK:        address  output 0

// LIBRARY:      input   x: bf16 [2, x.size(1), 512], contiguous
// LIBRARY:      output  output 0: bf16 [2, x.size(1), 512], contiguous
func.func @layer(%x: tensor<2x?x512xbf16> {unisparse.name = "x"}, %y: tensor<2x?x256xbf16> {unisparse.name = "y"}) -> tensor<2x?x512xbf16> {
  %c1 = arith.constant 1 : index
  %l = tensor.dim %x, %c1 : tensor<2x?x512xbf16>
  %q0 = tensor.expand_shape %x [[0], [1], [2, 3]] output_shape [2, %l, 8, 64] : tensor<2x?x512xbf16> into tensor<2x?x8x64xbf16>
  %k0 = tensor.expand_shape %y [[0], [1], [2, 3]] output_shape [2, %l, 4, 64] : tensor<2x?x256xbf16> into tensor<2x?x4x64xbf16>
  %qe = tensor.empty(%l) : tensor<2x8x?x64xbf16>
  %q = linalg.transpose ins(%q0 : tensor<2x?x8x64xbf16>) outs(%qe : tensor<2x8x?x64xbf16>) permutation = [0, 2, 1, 3]
  %ke = tensor.empty(%l) : tensor<2x4x?x64xbf16>
  %k = linalg.transpose ins(%k0 : tensor<2x?x4x64xbf16>) outs(%ke : tensor<2x4x?x64xbf16>) permutation = [0, 2, 1, 3]
  %o, %counts, %indices, %density = unisparse.attention %q, %k, %k block <128x128> pooling <8x8> rule <top_p = 0.8> causal
    : (tensor<2x8x?x64xbf16>, tensor<2x4x?x64xbf16>, tensor<2x4x?x64xbf16>)
    -> (tensor<2x8x?x64xbf16>, tensor<2x8x?xi32>, tensor<2x8x?x?xi32>, tensor<2x8xf32>)
  %oe = tensor.empty(%l) : tensor<2x?x8x64xbf16>
  %t = linalg.transpose ins(%o : tensor<2x8x?x64xbf16>) outs(%oe : tensor<2x?x8x64xbf16>) permutation = [0, 2, 1, 3]
  %r = tensor.collapse_shape %t [[0], [1], [2, 3]] : tensor<2x?x8x64xbf16> into tensor<2x?x512xbf16>
  return %r : tensor<2x?x512xbf16>
}

// RUN: unisparse-opt %s --unisparse-check-reshapes | FileCheck %s
// RUN: unisparse-opt %s --unisparse-check-reshapes --canonicalize --cse --canonicalize | FileCheck %s --check-prefix=LATER

// Every dim with a dynamic part, the dims in one check each.
// CHECK-LABEL: func.func @heads(
// CHECK-SAME:    %[[X:.*]]: tensor<?x?xbf16>, %[[L:.*]]: index, %[[H:.*]]: index)
// CHECK:         %[[D0:.*]] = tensor.dim %[[X]], %c0
// CHECK:         %[[SAME:.*]] = arith.cmpi eq, %[[D0]], %[[L]] : index
// CHECK:         cf.assert %[[SAME]], "reshape: size(0) of what is expanded == its parts" {unisparse.check = #unisparse.check<"reshape", "size(0) of what is expanded" equal "its parts">}
// CHECK:         %[[ALL:.*]] = arith.muli %[[H]], %c64
// CHECK:         %[[D1:.*]] = tensor.dim %[[X]], %c1
// CHECK:         %[[PARTS:.*]] = arith.cmpi eq, %[[D1]], %[[ALL]] : index
// CHECK:         cf.assert %[[PARTS]], "reshape: size(1) of what is expanded == its parts"
// CHECK:         tensor.expand_shape
func.func @heads(%x: tensor<?x?xbf16>, %l: index, %h: index) -> tensor<?x?x64xbf16> {
  %0 = tensor.expand_shape %x [[0], [1, 2]] output_shape [%l, %h, 64] : tensor<?x?xbf16> into tensor<?x?x64xbf16>
  return %0 : tensor<?x?x64xbf16>
}

// A size that is the tensor's own needs none, once it is one value; a static one is the verifier's.
// LATER-LABEL: func.func @own(
// LATER-NOT:     cf.assert
// LATER:         return
func.func @own(%x: tensor<?x512xbf16>) -> tensor<?x8x64xbf16> {
  %c0 = arith.constant 0 : index
  %l = tensor.dim %x, %c0 : tensor<?x512xbf16>
  %0 = tensor.expand_shape %x [[0], [1, 2]] output_shape [%l, 8, 64] : tensor<?x512xbf16> into tensor<?x8x64xbf16>
  return %0 : tensor<?x8x64xbf16>
}

// A dynamic dim with static parts.
// CHECK-LABEL: func.func @claimed(
// CHECK:         %[[D:.*]] = tensor.dim
// CHECK:         %[[IS:.*]] = arith.cmpi eq, %[[D]], %c512{{.*}} : index
// CHECK:         cf.assert %[[IS]]
func.func @claimed(%x: tensor<?xbf16>) -> tensor<?x64xbf16> {
  %c8 = arith.constant 8 : index
  %0 = tensor.expand_shape %x [[0, 1]] output_shape [%c8, 64] : tensor<?xbf16> into tensor<?x64xbf16>
  return %0 : tensor<?x64xbf16>
}

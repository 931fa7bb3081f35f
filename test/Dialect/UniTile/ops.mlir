// RUN: unisparse-opt %s --verify-roundtrip | FileCheck %s

// CHECK-LABEL: func.func @tiles(
// CHECK:         unitile.alloc : !unitile.shared<128x64xbf16, 2>
// CHECK:         unitile.alloc offset 2048 : !unitile.shared<8x16xf16>
// CHECK:         unitile.copy_async %{{.*}} row %{{.*}} limit %{{.*}} stride %{{.*}} to %{{.*}}[%{{.*}}] : !unitile.shared<128x64xbf16, 2>
// CHECK-NEXT:    unitile.commit
// CHECK-NEXT:    unitile.wait 1
// CHECK-NEXT:    unitile.barrier
func.func @tiles(%p: !llvm.ptr<1>, %row: i32, %stride: i64) {
  %k = unitile.alloc : !unitile.shared<128x64xbf16, 2>
  %x = unitile.alloc offset 2048 : !unitile.shared<8x16xf16, 1>
  unitile.copy_async %p row %row limit %row stride %stride to %k[%row] : !unitile.shared<128x64xbf16, 2>
  unitile.commit
  unitile.wait 1
  unitile.barrier
  return
}

// CHECK-LABEL: func.func @fragments(
// CHECK:         unitile.mma %{{.*}}, %{{.*}}[%{{.*}}], %{{.*}} : !unitile.fragment<64x64xbf16>, !unitile.shared<128x64xbf16, 2>, !unitile.fragment<64x128xf32>
// CHECK:         unitile.reduce max %{{.*}}, %{{.*}} : !unitile.fragment<64x128xf32>, !unitile.rows<64xf32>
// CHECK:         unitile.map indices ins(%{{.*}}, %{{.*}} : !unitile.fragment<64x128xf32>, !unitile.rows<64xf32>) -> !unitile.fragment<64x128xbf16> {
// CHECK-NEXT:    ^bb0(%{{.*}}: i32, %{{.*}}: i32, %{{.*}}: f32, %{{.*}}: f32):
// CHECK:         unitile.mma %{{.*}}, %{{.*}}[%{{.*}}], %{{.*}} by_rows :
// CHECK:         unitile.store %{{.*}} to %{{.*}} row %{{.*}} limit %{{.*}} stride %{{.*}} : !unitile.fragment<64x64xf32>
func.func @fragments(%q: !unitile.fragment<64x64xbf16>, %k: !unitile.shared<128x64xbf16, 2>, %v: !unitile.shared<128x64xbf16>,
                     %stage: i32, %o: !llvm.ptr<1>, %stride: i64) {
  %zero = arith.constant 0.0 : f32
  %s0 = unitile.fill %zero : f32 -> !unitile.fragment<64x128xf32>
  %m0 = unitile.fill %zero : f32 -> !unitile.rows<64xf32>
  %o0 = unitile.fill %zero : f32 -> !unitile.fragment<64x64xf32>
  %s = unitile.mma %q, %k[%stage], %s0 : !unitile.fragment<64x64xbf16>, !unitile.shared<128x64xbf16, 2>, !unitile.fragment<64x128xf32>
  %m = unitile.reduce max %s, %m0 : !unitile.fragment<64x128xf32>, !unitile.rows<64xf32>
  %p = unitile.map indices ins(%s, %m : !unitile.fragment<64x128xf32>, !unitile.rows<64xf32>) -> !unitile.fragment<64x128xbf16> {
  ^bb0(%r: i32, %c: i32, %x: f32, %top: f32):
    %d = arith.subf %x, %top : f32
    %t = arith.truncf %d : f32 to bf16
    unitile.yield %t : bf16
  }
  %on = unitile.mma %p, %v[%stage], %o0 by_rows : !unitile.fragment<64x128xbf16>, !unitile.shared<128x64xbf16>, !unitile.fragment<64x64xf32>
  unitile.store %on to %o row %stage limit %stage stride %stride : !unitile.fragment<64x64xf32>
  return
}

// f32 operands: P is the accumulator's own type.
// CHECK-LABEL: func.func @f32(
// CHECK:         unitile.load %{{.*}}[%{{.*}}] : !unitile.shared<64x32xf32> -> !unitile.fragment<64x32xf32>
// CHECK:         unitile.mma %{{.*}}, %{{.*}}[%{{.*}}], %{{.*}} : !unitile.fragment<64x32xf32>, !unitile.shared<24x32xf32, 2>, !unitile.fragment<64x24xf32>
// CHECK:         unitile.mma %{{.*}}, %{{.*}}[%{{.*}}], %{{.*}} by_rows : !unitile.fragment<64x24xf32>, !unitile.shared<24x32xf32, 2>, !unitile.fragment<64x32xf32>
func.func @f32(%q: !unitile.shared<64x32xf32>, %k: !unitile.shared<24x32xf32, 2>, %stage: i32) -> !unitile.fragment<64x32xf32> {
  %zero = arith.constant 0.0 : f32
  %a = unitile.load %q[%stage] : !unitile.shared<64x32xf32> -> !unitile.fragment<64x32xf32>
  %s0 = unitile.fill %zero : f32 -> !unitile.fragment<64x24xf32>
  %s = unitile.mma %a, %k[%stage], %s0 : !unitile.fragment<64x32xf32>, !unitile.shared<24x32xf32, 2>, !unitile.fragment<64x24xf32>
  %o = unitile.mma %s, %k[%stage], %a by_rows : !unitile.fragment<64x24xf32>, !unitile.shared<24x32xf32, 2>, !unitile.fragment<64x32xf32>
  return %o : !unitile.fragment<64x32xf32>
}

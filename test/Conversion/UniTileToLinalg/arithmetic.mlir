// RUN: unisparse-opt %s --convert-unitile-to-linalg | FileCheck %s

// CHECK-DAG: #[[$ELEMENT:.*]] = affine_map<(d0, d1) -> (d0, d1)>
// CHECK-DAG: #[[$ROW:.*]] = affine_map<(d0, d1) -> (d0)>
// CHECK-DAG: #[[$A:.*]] = affine_map<(d0, d1, d2) -> (d0, d2)>
// CHECK-DAG: #[[$BT:.*]] = affine_map<(d0, d1, d2) -> (d1, d2)>
// CHECK-DAG: #[[$C:.*]] = affine_map<(d0, d1, d2) -> (d0, d1)>

// CHECK-LABEL: func.func @fill(
// CHECK-SAME:    %[[X:.*]]: bf16) -> tensor<32x16xbf16>
// CHECK:         %[[E:.*]] = tensor.empty() : tensor<32x16xbf16>
// CHECK:         linalg.fill ins(%[[X]] : bf16) outs(%[[E]] : tensor<32x16xbf16>)
func.func @fill(%x: bf16) -> !unitile.fragment<32x16xbf16> {
  %0 = unitile.fill %x : bf16 -> !unitile.fragment<32x16xbf16>
  return %0 : !unitile.fragment<32x16xbf16>
}

// Rows stand beside every column; i32 indices; values from around the body.
// CHECK-LABEL: func.func @map(
// CHECK-SAME:    %[[S:.*]]: tensor<32x16xf32>, %[[M:.*]]: tensor<32xf32>, %[[K:.*]]: i32) -> tensor<32x16xf16>
// CHECK:         linalg.generic {indexing_maps = [#[[$ELEMENT]], #[[$ROW]], #[[$ELEMENT]]], iterator_types = ["parallel", "parallel"]}
// CHECK-SAME:      ins(%[[S]], %[[M]] : tensor<32x16xf32>, tensor<32xf32>) outs(%{{.*}} : tensor<32x16xf16>)
// CHECK:         ^bb0(%[[X:.*]]: f32, %[[Y:.*]]: f32, %{{.*}}: f16):
// CHECK:           %[[I0:.*]] = linalg.index 0 : index
// CHECK:           %[[R:.*]] = arith.index_cast %[[I0]] : index to i32
// CHECK:           %[[I1:.*]] = linalg.index 1 : index
// CHECK:           %[[C:.*]] = arith.index_cast %[[I1]] : index to i32
// CHECK:           %[[RC:.*]] = arith.addi %[[R]], %[[C]] : i32
// CHECK:           arith.cmpi slt, %[[RC]], %[[K]] : i32
// CHECK:           linalg.yield %{{.*}} : f16
func.func @map(%s: !unitile.fragment<32x16xf32>, %m: !unitile.rows<32xf32>, %k: i32) -> !unitile.fragment<32x16xf16> {
  %0 = unitile.map indices ins(%s, %m : !unitile.fragment<32x16xf32>, !unitile.rows<32xf32>) -> !unitile.fragment<32x16xf16> {
  ^bb0(%r: i32, %c: i32, %x: f32, %y: f32):
    %rc = arith.addi %r, %c : i32
    %below = arith.cmpi slt, %rc, %k : i32
    %z = arith.select %below, %x, %y : f32
    %t = arith.truncf %z : f32 to f16
    unitile.yield %t : f16
  }
  return %0 : !unitile.fragment<32x16xf16>
}

// CHECK-LABEL: func.func @map_rows(
// CHECK:         linalg.generic {{.*}} iterator_types = ["parallel"]
// CHECK:           linalg.index 0
// CHECK-NOT:       linalg.index 1
func.func @map_rows(%m: !unitile.rows<32xf32>) -> !unitile.rows<32xf32> {
  %0 = unitile.map indices ins(%m : !unitile.rows<32xf32>) -> !unitile.rows<32xf32> {
  ^bb0(%r: i32, %x: f32):
    %f = arith.sitofp %r : i32 to f32
    %y = arith.addf %x, %f : f32
    unitile.yield %y : f32
  }
  return %0 : !unitile.rows<32xf32>
}

// NaN loses against a number, as on GPUs.
// CHECK-LABEL: func.func @reduce(
// CHECK-SAME:    %[[S:.*]]: tensor<32x16xf32>, %[[M:.*]]: tensor<32xf32>)
// CHECK:         linalg.reduce ins(%[[S]] : tensor<32x16xf32>) outs(%[[M]] : tensor<32xf32>) dimensions = [1]
// CHECK:           arith.maxnumf
func.func @reduce(%s: !unitile.fragment<32x16xf32>, %m: !unitile.rows<32xf32>) -> !unitile.rows<32xf32> {
  %0 = unitile.reduce max %s, %m : !unitile.fragment<32x16xf32>, !unitile.rows<32xf32>
  return %0 : !unitile.rows<32xf32>
}

// CHECK-LABEL: func.func @fold(
// CHECK-SAME:    %[[S:.*]]: tensor<32x24xf32>) -> tensor<32x8xf32>
// CHECK:         %[[EIGHTS:.*]] = tensor.expand_shape %[[S]] {{\[\[}}0], [1, 2]] output_shape [32, 3, 8]
// CHECK:         %[[NONE:.*]] = arith.constant 0.000000e+00 : f32
// CHECK:         %[[INIT:.*]] = linalg.fill ins(%[[NONE]]
// CHECK:         linalg.reduce ins(%[[EIGHTS]] : tensor<32x3x8xf32>) outs(%[[INIT]] : tensor<32x8xf32>) dimensions = [1]
// CHECK:           arith.addf
func.func @fold(%s: !unitile.fragment<32x24xf32>) -> !unitile.fragment<32x8xf32> {
  %0 = unitile.fold add %s : !unitile.fragment<32x24xf32> -> !unitile.fragment<32x8xf32>
  return %0 : !unitile.fragment<32x8xf32>
}

// CHECK-LABEL: func.func @fold_max(
// CHECK:         %[[NONE:.*]] = arith.constant 0xFF800000 : f32
// CHECK:         linalg.fill ins(%[[NONE]]
// CHECK:         linalg.reduce
// CHECK:           arith.maxnumf
func.func @fold_max(%s: !unitile.fragment<32x24xf32>) -> !unitile.fragment<32x8xf32> {
  %0 = unitile.fold max %s : !unitile.fragment<32x24xf32> -> !unitile.fragment<32x8xf32>
  return %0 : !unitile.fragment<32x8xf32>
}

// NaN is below nothing.
// CHECK-LABEL: func.func @all_below(
// CHECK:         %[[ALL:.*]] = linalg.generic {{.*}} iterator_types = ["reduction", "reduction"]
// CHECK:           arith.cmpf olt
// CHECK:           arith.andi
// CHECK:         tensor.extract %[[ALL]][] : tensor<i1>
func.func @all_below(%s: !unitile.fragment<32x8xf32>, %bound: f32) -> i1 {
  %0 = unitile.all_below %s, %bound : !unitile.fragment<32x8xf32>
  return %0 : i1
}

// a b^T, from zero.
// CHECK-LABEL: func.func @scores(
// CHECK-SAME:    %[[Q:.*]]: tensor<32x64xbf16>, %[[K:.*]]: tensor<16x64xbf16>) -> tensor<32x16xf32>
// CHECK:         %[[ZERO:.*]] = linalg.fill
// CHECK:         linalg.matmul indexing_maps = [#[[$A]], #[[$BT]], #[[$C]]] ins(%[[Q]], %[[K]] : tensor<32x64xbf16>, tensor<16x64xbf16>) outs(%[[ZERO]] : tensor<32x16xf32>)
func.func @scores(%q: !unitile.tile<32x64xbf16>, %k: !unitile.tile<16x64xbf16>) -> !unitile.fragment<32x16xf32> {
  %0 = unitile.dot %q, %k : !unitile.tile<32x64xbf16>, !unitile.tile<16x64xbf16> -> !unitile.fragment<32x16xf32>
  return %0 : !unitile.fragment<32x16xf32>
}

// acc + a b.
// CHECK-LABEL: func.func @output(
// CHECK-SAME:    %[[P:.*]]: tensor<32x16xf32>, %[[V:.*]]: tensor<16x64xf32>, %[[O:.*]]: tensor<32x64xf32>)
// CHECK-NOT:     linalg.fill
// CHECK:         linalg.matmul ins(%[[P]], %[[V]] : tensor<32x16xf32>, tensor<16x64xf32>) outs(%[[O]] : tensor<32x64xf32>)
func.func @output(%p: !unitile.fragment<32x16xf32>, %v: !unitile.tile<16x64xf32>, %o: !unitile.fragment<32x64xf32>) -> !unitile.fragment<32x64xf32> {
  %0 = unitile.dot %p, %v, %o by_rows : !unitile.fragment<32x16xf32>, !unitile.tile<16x64xf32>, !unitile.fragment<32x64xf32> -> !unitile.fragment<32x64xf32>
  return %0 : !unitile.fragment<32x64xf32>
}

// Across control flow; what a loop carries stays where it is.
// CHECK-LABEL: func.func @loop(
// CHECK:         scf.for {{.*}} iter_args(%[[OLD:.*]] = %{{.*}}) -> (tensor<32xf32>)
// CHECK:           %[[NEW:.*]] = scf.if %{{.*}} -> (tensor<32xf32>)
// CHECK:           %[[NEXT:.*]] = bufferization.materialize_in_destination %[[NEW]] in %[[OLD]] : (tensor<32xf32>, tensor<32xf32>) -> tensor<32xf32>
// CHECK:           scf.yield %[[NEXT]]
func.func @loop(%n: i32, %m: !unitile.rows<32xf32>, %s: !unitile.fragment<32x16xf32>, %c: i1) -> !unitile.rows<32xf32> {
  %c0 = arith.constant 0 : i32
  %c1 = arith.constant 1 : i32
  %0 = scf.for %i = %c0 to %n step %c1 iter_args(%x = %m) -> (!unitile.rows<32xf32>) : i32 {
    %y = scf.if %c -> (!unitile.rows<32xf32>) {
      %z = unitile.reduce add %s, %x : !unitile.fragment<32x16xf32>, !unitile.rows<32xf32>
      scf.yield %z : !unitile.rows<32xf32>
    } else {
      scf.yield %x : !unitile.rows<32xf32>
    }
    scf.yield %y : !unitile.rows<32xf32>
  }
  return %0 : !unitile.rows<32xf32>
}

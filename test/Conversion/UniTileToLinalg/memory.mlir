// RUN: unisparse-opt %s --convert-unitile-to-linalg | FileCheck %s

// Rows below the limit are read, no other [P3], and the matrix's own columns.
// CHECK-LABEL: func.func @fetch(
// CHECK-SAME:    %[[K:.*]]: memref<?x2x?x24xf32, strided<[?, ?, ?, 1], offset: ?>>, %[[B:.*]]: i32, %[[H:.*]]: i32, %[[ROW:.*]]: i32, %[[END:.*]]: i32) -> tensor<16x32xf32>
// CHECK-DAG:     %[[FIRST:.*]] = arith.index_cast %[[ROW]] : i32 to index
// CHECK-DAG:     %[[BATCH:.*]] = arith.index_cast %[[B]] : i32 to index
// CHECK-DAG:     %[[HEAD:.*]] = arith.index_cast %[[H]] : i32 to index
// CHECK-DAG:     %[[BELOW:.*]] = arith.subi %[[END]], %[[ROW]] : i32
// CHECK-DAG:     %[[C16:.*]] = arith.constant 16 : i32
// CHECK:         %[[ROWS:.*]] = arith.minsi %[[BELOW]], %[[C16]] : i32
// CHECK:         %[[N:.*]] = arith.index_cast %[[ROWS]] : i32 to index
// CHECK:         %[[ZEROS:.*]] = linalg.fill
// CHECK:         %[[C24:.*]] = arith.constant 24 : index
// CHECK:         scf.for %[[R:.*]] = %{{.*}} to %[[N]] step %{{.*}} iter_args(%{{.*}} = %[[ZEROS]]) -> (tensor<16x32xf32>) {
// CHECK:           %[[AT:.*]] = arith.addi %[[FIRST]], %[[R]] : index
// CHECK:           scf.for %[[C:.*]] = %{{.*}} to %[[C24]] step %{{.*}} iter_args(%[[T:.*]] = %{{.*}}) -> (tensor<16x32xf32>) {
// CHECK:             %[[X:.*]] = memref.load %[[K]][%[[BATCH]], %[[HEAD]], %[[AT]], %[[C]]]
// CHECK:             tensor.insert %[[X]] into %[[T]][%[[R]], %[[C]]] : tensor<16x32xf32>
func.func @fetch(%k: memref<?x2x?x24xf32, strided<[?, ?, ?, 1], offset: ?>>, %b: i32, %h: i32, %row: i32, %end: i32) -> !unitile.tile<16x32xf32> {
  %t = unitile.fetch %k[%b, %h] rows %row to %end : memref<?x2x?x24xf32, strided<[?, ?, ?, 1], offset: ?>> -> !unitile.tile<16x32xf32>
  return %t : !unitile.tile<16x32xf32>
}

// CHECK-LABEL: func.func @put(
// CHECK-SAME:    %[[X:.*]]: tensor<16x32xf16>, %[[O:.*]]: memref<?x2x?x24xf16>
// CHECK:         scf.for %[[R:.*]] = %{{.*}} to %{{.*}} step
// CHECK:           %[[AT:.*]] = arith.addi %{{.*}}, %[[R]] : index
// CHECK:           scf.for %[[C:.*]] = %{{.*}} to %{{.*}} step
// CHECK:             %[[E:.*]] = tensor.extract %[[X]][%[[R]], %[[C]]] : tensor<16x32xf16>
// CHECK:             memref.store %[[E]], %[[O]][%{{.*}}, %{{.*}}, %[[AT]], %[[C]]] : memref<?x2x?x24xf16>
func.func @put(%x: !unitile.fragment<16x32xf16>, %o: memref<?x2x?x24xf16>, %b: i32, %h: i32, %row: i32, %end: i32) {
  unitile.put %x to %o[%b, %h] rows %row to %end : !unitile.fragment<16x32xf16>, memref<?x2x?x24xf16>
  return
}

// CHECK-LABEL: func.func @put_rows(
// CHECK-SAME:    %[[X:.*]]: tensor<16xf32>, %[[O:.*]]: memref<?x2x?xf32>
// CHECK:         scf.for %[[R:.*]] = %{{.*}} to %{{.*}} step
// CHECK:           %[[AT:.*]] = arith.addi %{{.*}}, %[[R]] : index
// CHECK:           %[[E:.*]] = tensor.extract %[[X]][%[[R]]] : tensor<16xf32>
// CHECK:           memref.store %[[E]], %[[O]][%{{.*}}, %{{.*}}, %[[AT]]] : memref<?x2x?xf32>
func.func @put_rows(%x: !unitile.rows<16xf32>, %o: memref<?x2x?xf32>, %b: i32, %h: i32, %row: i32, %end: i32) {
  unitile.put %x to %o[%b, %h] rows %row to %end : !unitile.rows<16xf32>, memref<?x2x?xf32>
  return
}

// By bisection: the last sequence whose first slot is at or before the slot.
// CHECK-LABEL: func.func @locate(
// CHECK-SAME:    %[[SLOT:.*]]: i32, %[[Q:.*]]: memref<?xi32>, %[[K:.*]]: memref<?xi32>, %[[N:.*]]: i32)
// CHECK:         %[[FOUND:.*]]:2 = scf.while
// CHECK:           scf.condition
// CHECK:           memref.load %[[Q]]
// CHECK:           arith.cmpi slt, %[[SLOT]]
// CHECK:         %[[AT:.*]] = arith.index_cast %[[FOUND]]#0 : i32 to index
// CHECK:         memref.load %[[Q]][%[[AT]]]
// CHECK:         memref.load %[[K]]
func.func @locate(%slot: i32, %q: memref<?xi32>, %k: memref<?xi32>, %n: i32) -> (i32, i32, i32, i32, i32) {
  %0:5 = unitile.locate %slot by 32 in %q, %k of %n : memref<?xi32>, memref<?xi32>
  return %0#0, %0#1, %0#2, %0#3, %0#4 : i32, i32, i32, i32, i32
}

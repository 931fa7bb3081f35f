// RUN: unisparse-opt %s -split-input-file --linalg-generalize-named-ops --convert-linalg-to-unitile --canonicalize --cse | FileCheck %s

#rows = affine_map<(i, j) -> (i)>
#all = affine_map<(i, j) -> (i, j)>

// An element a thread; a sum is a loop in it, from the constant that the result
// was filled with.
// CHECK-LABEL: gpu.module @unisparse_kernels
// CHECK:         gpu.func @linalg(%[[X:.*]]: memref<20x40xf32>, %[[OUT:.*]]: memref<20xf32>, %[[N:.*]]: i32)
// CHECK-SAME:        unitile.schedule = #unitile.threads<lanes = 256>
// CHECK:           scf.parallel
// CHECK:             %[[HERE:.*]] = arith.cmpi slt, %{{.*}}, %[[N]] : i32
// CHECK:             scf.if %[[HERE]]
// CHECK:               %[[SUM:.*]] = scf.for {{.*}} iter_args(%{{.*}} = %{{.*}}) -> (f32)
// CHECK:                 memref.load %[[X]]
// CHECK:               memref.store %[[SUM]], %[[OUT]]
// CHECK-NOT:     gpu.func
// CHECK-LABEL: func.func @sums(
// CHECK:         %[[BUFFER:.*]] = gpu.alloc () : memref<20xf32>
// CHECK-NOT:     linalg
// CHECK:         gpu.launch_func @unisparse_kernels::@linalg blocks in (%c1, %c1, %c1)
// CHECK-SAME:      args(%{{.*}} : memref<20x40xf32>, %[[BUFFER]] : memref<20xf32>, %c20_i32 : i32)
func.func @sums(%x: tensor<20x40xf32>) -> tensor<20xf32> {
  %zero = arith.constant 0.0 : f32
  %e = tensor.empty() : tensor<20xf32>
  %none = linalg.fill ins(%zero : f32) outs(%e : tensor<20xf32>) -> tensor<20xf32>
  %r = linalg.generic {indexing_maps = [#all, #rows], iterator_types = ["parallel", "reduction"]}
      ins(%x : tensor<20x40xf32>) outs(%none : tensor<20xf32>) {
  ^bb0(%a: f32, %s: f32):
    %t = arith.addf %s, %a : f32
    linalg.yield %t : f32
  } -> tensor<20xf32>
  return %r : tensor<20xf32>
}

// -----

// Sizes that nobody knows are arguments, and as many elements as 32 bits count.
// CHECK:         gpu.func @linalg(%{{.*}}: i32, %{{.*}}: i32, %{{.*}}: memref<?x?xf32>, %{{.*}}: memref<?x?xf32>, %{{.*}}: i32)
// CHECK-LABEL: func.func @dynamic(
// CHECK:         cf.assert %{{.*}}, "size: elements of one result <= 2147483647"
// CHECK:         arith.ceildivui %{{.*}}, %c256
#all = affine_map<(i, j) -> (i, j)>
func.func @dynamic(%x: tensor<?x?xf32>) -> tensor<?x?xf32> {
  %r = linalg.exp ins(%x : tensor<?x?xf32>) outs(%x : tensor<?x?xf32>) -> tensor<?x?xf32>
  return %r : tensor<?x?xf32>
}

// -----

// Functions of math are polynomials in f32, of f16 too.
// CHECK:         gpu.func @linalg(
// CHECK-NOT:     math.exp
// CHECK:         math.fma {{.*}} : f32
// CHECK-NOT:     math.exp
// CHECK:       func.func @narrow
func.func @narrow(%x: tensor<64xf16>) -> tensor<64xf16> {
  %r = linalg.exp ins(%x : tensor<64xf16>) outs(%x : tensor<64xf16>) -> tensor<64xf16>
  return %r : tensor<64xf16>
}

// -----

// A table that a kernel reads is code of another one; so is a constant of one
// number. Others stay, and so does what the host reads, for who can.
// CHECK:         gpu.func @linalg(
// CHECK:         gpu.func @constant(
// CHECK-COUNT-2:   arith.select
// CHECK-NOT:       arith.select
// CHECK:         gpu.func @constant_0(
// CHECK-NOT:       arith.select
// CHECK-LABEL: func.func @constants(
// CHECK-DAG:     arith.constant dense<7> : tensor<1000xi32>
// CHECK-DAG:     arith.constant dense_resource<large>
// CHECK:         gpu.launch_func @unisparse_kernels::@constant
#i = affine_map<(i) -> (i)>
func.func @constants() -> (tensor<3xf32>, tensor<1000xi32>, tensor<300xf32>) {
  %0 = arith.constant dense<[1.0, 2.0, 3.0]> : tensor<3xf32>
  %1 = arith.constant dense<4.0> : tensor<3xf32>
  %2 = arith.constant dense<7> : tensor<1000xi32>
  %3 = arith.constant dense_resource<large> : tensor<300xf32>
  %e = tensor.empty() : tensor<3xf32>
  %r = linalg.generic {indexing_maps = [#i, #i, #i], iterator_types = ["parallel"]}
      ins(%0, %1 : tensor<3xf32>, tensor<3xf32>) outs(%e : tensor<3xf32>) {
  ^bb0(%x: f32, %y: f32, %u: f32):
    %s = arith.addf %x, %y : f32
    linalg.yield %s : f32
  } -> tensor<3xf32>
  return %r, %2, %3 : tensor<3xf32>, tensor<1000xi32>, tensor<300xf32>
}

// -----

// What the body takes from around it: numbers, and tensors that it reads where it
// likes, of an argument with the strides that a stage reads it with.
// CHECK:         gpu.func @linalg(%{{.*}}: memref<1x4x64x64xf16, strided<[?, ?, ?, 1], offset: ?>>, %{{.*}}: memref<1x4x64x64xf16>, %{{.*}}: memref<1x4x64x64xf16, strided<[?, ?, ?, 1], offset: ?>>, %[[F:.*]]: f16, %{{.*}}: i32)
// CHECK:           arith.mulf %{{.*}}, %[[F]] : f16
// CHECK-LABEL: func.func @around(
// CHECK-SAME:    bufferization.buffer_layout = strided<[?, ?, ?, 1], offset: ?>
#all = affine_map<(b, h, i, d) -> (b, h, i, d)>
!t = tensor<1x4x64x64xf16>
func.func @around(%x: !t {bufferization.buffer_layout = strided<[?, ?, ?, 1], offset: ?>}, %factor: f16) -> !t {
  %e = tensor.empty() : !t
  %r = linalg.generic {indexing_maps = [#all, #all], iterator_types = ["parallel", "parallel", "parallel", "parallel"]} ins(%x : !t) outs(%e : !t) {
  ^bb0(%a: f16, %u: f16):
    %c0 = arith.constant 0 : index
    %d = linalg.index 3 : index
    %b = tensor.extract %x[%c0, %c0, %c0, %d] : !t
    %s = arith.addf %a, %b : f16
    %y = arith.mulf %s, %factor : f16
    linalg.yield %y : f16
  } -> !t
  return %r : !t
}

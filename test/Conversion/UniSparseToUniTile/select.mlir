// RUN: unisparse-opt %s -split-input-file --convert-unisparse-to-unitile --canonicalize --cse | FileCheck %s

!c = tensor<1x8x32xi32>
!i = tensor<1x8x32x32xi32>

// A warp a row. 31 bits of the smallest mass that is taken, each by a count and
// a sum over the warp; then the number of ties.
// CHECK-LABEL: gpu.func @select(
// CHECK-SAME:    known_block_size = array<i32: 128, 1, 1>
// CHECK-NOT:     unitile.
// CHECK-NOT:     nvvm.barrier
// CHECK-DAG:     %[[BITS:.*]] = arith.constant 31 : i32
// CHECK-DAG:     %[[ALL:.*]] = arith.constant -1 : i32
// A mass that is NaN or below zero counts as none.
// CHECK:         arith.maxnumf
// CHECK-COUNT-10: nvvm.shfl.sync bfly
// CHECK:         scf.for %{{.*}} = %{{.*}} to %[[BITS]]
// CHECK:           scf.for
// CHECK:             arith.bitcast %{{.*}} : f32 to i32
// CHECK:             arith.cmpi uge
// CHECK-COUNT-10:  nvvm.shfl.sync bfly
// A target that is no number (0 * infinity) is met.
// CHECK:           arith.cmpf uge
// Indices come out ascending (L6): the first ties, and each lane's place, are
// counted in ballots.
// CHECK:         nvvm.vote.sync ballot %[[ALL]]
// CHECK:         llvm.intr.ctpop
// CHECK:         %[[MASK:.*]] = nvvm.vote.sync ballot %[[ALL]]
// CHECK:         scf.if
// CHECK:           llvm.store %{{.*}} : i32, !llvm.ptr<1>
// Zeros behind the count; one lane writes the count.
// CHECK:         scf.for
// CHECK-NEXT:      llvm.getelementptr
// CHECK-NEXT:      llvm.store
// CHECK:         scf.if
// CHECK:           llvm.store
// CHECK:         gpu.return

// Density is only computed for who reads it.
// CHECK-NOT:   gpu.func @density
// CHECK-LABEL: func.func @top_p(
// CHECK:         gpu.launch_func @unisparse_kernels::@select blocks in (%c8, %c8, %c1)
// CHECK-NOT:     gpu.launch_func
func.func @top_p(%m: tensor<1x8x32x32xf32>) -> (!c, !i) {
  %c, %i, %d = unisparse.block_select %m lengths [4096, 4096] block <128x128> rule <top_p = 0.9> causal
    : (tensor<1x8x32x32xf32>) -> (!c, !i, tensor<1x8xf32>)
  return %c, %i : !c, !i
}

// -----

// A count needs no mass to reach.
// CHECK-LABEL: gpu.func @select(
// CHECK-NOT:     arith.cmpf oge
// CHECK:         arith.cmpi uge
// CHECK-NOT:     arith.cmpf oge
// CHECK:         gpu.return
// CHECK-LABEL: gpu.func @density(
// CHECK-SAME:    known_block_size = array<i32: 32, 1, 1>
// CHECK:         llvm.store %{{.*}} : f32, !llvm.ptr<1>
// CHECK-LABEL: func.func @top_k(
// CHECK:         gpu.launch_func @unisparse_kernels::@select
// CHECK:         gpu.launch_func @unisparse_kernels::@density blocks in (%c1, %c8, %c1)
func.func @top_k(%m: tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>) {
  %c, %i, %d = unisparse.block_select %m lengths [4096, 4096] block <128x128> rule <top_k = 8>
    : (tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
  return %c, %i, %d : tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>
}

// -----

// Everything is taken: no mass is read, nothing is searched.
// CHECK-LABEL: gpu.func @select(
// CHECK-NOT:     llvm.load
// CHECK-NOT:     nvvm.shfl
// CHECK:         nvvm.vote.sync ballot
// CHECK:         gpu.return
func.func @all(%m: tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>) {
  %c, %i, %d = unisparse.block_select %m lengths [4096, 4096] block <128x128> rule <all> causal
    : (tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
  return %c, %i : tensor<1x8x32xi32>, tensor<1x8x32x32xi32>
}

// -----

// A share for each of 8 heads over masses of 2 (L5): head h reads mass h / 4 and
// share h. A packed batch looks for its sequence.
// CHECK-LABEL: gpu.func @select(
// CHECK-SAME:    %[[M:[a-z0-9]*]]: !llvm.ptr<1>, %[[P:[a-z0-9]*]]: !llvm.ptr<1>, %{{[a-z0-9]*}}: i32, %{{[a-z0-9]*}}: i32, %[[CU:[a-z0-9]*]]: !llvm.ptr<1>
// CHECK-DAG:     %[[FOUR:.*]] = arith.constant 4 : i32
// CHECK:         %[[Y:.*]] = gpu.block_id y
// CHECK:         %[[H:.*]] = arith.index_cast %[[Y]]
// CHECK:         scf.while
// CHECK:           llvm.getelementptr %[[CU]]
// CHECK:         arith.divui %[[H]], %[[FOUR]]
// CHECK:         %[[SHARE:.*]] = llvm.getelementptr %[[P]][%[[H]]]
// CHECK:         llvm.load %[[SHARE]] : !llvm.ptr<1> -> f32
func.func @shares(%m: tensor<1x2x7x5xf32>, %p: tensor<8xf32>, %cu: tensor<4xi32>) -> (tensor<1x8x7xi32>, tensor<1x8x7x5xi32>) {
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [300, 300] cu_seqlens(%cu, %cu) block <64x64> rule <top_p> causal
    : (tensor<1x2x7x5xf32>, tensor<8xf32>, tensor<4xi32>, tensor<4xi32>) -> (tensor<1x8x7xi32>, tensor<1x8x7x5xi32>, tensor<1x8xf32>)
  return %c, %i : tensor<1x8x7xi32>, tensor<1x8x7x5xi32>
}

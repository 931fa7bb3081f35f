// RUN: unisparse-opt %s -split-input-file --convert-unisparse-to-unitile --canonicalize --cse | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --convert-unisparse-to-unitile --canonicalize --cse --unitile-distribute-threads --canonicalize --cse \
// RUN:   | FileCheck %s --check-prefix=THREADS

!c = tensor<1x8x32xi32>
!i = tensor<1x8x32x32xi32>

// A point of the grid selects for one row. 31 bits of the smallest mass that is
// taken, each by a count and a sum over the candidates; then the number of ties.
// CHECK-LABEL: gpu.func @select(
// CHECK-SAME:    %[[MASS:.*]]: memref<1x8x32x32xf32>, %[[COUNTS:.*]]: memref<1x8x32xi32>, %[[INDICES:.*]]: memref<1x8x32x32xi32>,
// CHECK-SAME:    unitile.schedule = #unitile.threads<lanes = 32, items = 4>
// CHECK-NOT:     gpu.thread_id
// CHECK-DAG:     %[[BITS:.*]] = arith.constant 31 : i32
// The forced, then all.
// CHECK:         scf.parallel {{.*}} -> (i32, f32)
// CHECK:           memref.load %[[MASS]]
// A mass that is NaN or below zero counts as none.
// CHECK:           arith.maxnumf
// CHECK:         scf.parallel {{.*}} -> (i32, f32)
// CHECK:         scf.for %{{.*}} = %{{.*}} to %[[BITS]]
// CHECK:           scf.parallel {{.*}} -> (i32, f32)
// CHECK:             arith.bitcast %{{.*}} : f32 to i32
// CHECK:             arith.cmpi uge
// A target that is no number (0 * infinity) is met.
// CHECK:           arith.cmpf uge
// Indices come out ascending (L6): the first ties, each at its rank.
// CHECK:         %[[COUNT:.*]] = scf.parallel {{.*}} -> i32
// CHECK:           %[[TIE:.*]] = unitile.rank
// CHECK:           arith.cmpi slt, %[[TIE]], %{{.*}} : i32
// CHECK:           %[[PLACE:.*]] = unitile.rank %[[TAKEN:.*]]
// CHECK:           scf.if %[[TAKEN]] {
// CHECK:             %[[AT:.*]] = arith.index_cast %[[PLACE]]
// CHECK:             memref.store %{{.*}}, %[[INDICES]][%{{.*}}, %{{.*}}, %{{.*}}, %[[AT]]]
// Zeros behind the count.
// CHECK:         scf.parallel
// CHECK-NEXT:      memref.store %c0_i32, %[[INDICES]]
// CHECK:         memref.store %{{.*}}, %[[COUNTS]]
// CHECK-NEXT:    gpu.return

// A warp a row.
// THREADS-LABEL: gpu.func @select(
// THREADS-SAME:    known_block_size = array<i32: 128, 1, 1>
// THREADS:         scf.for %{{.*}} to %c31_i32
// THREADS:           scf.for
// THREADS:             llvm.load %{{.*}} : !llvm.ptr<1> -> f32
// THREADS:           gpu.subgroup_reduce add
// THREADS-COUNT-5:   gpu.shuffle xor %{{.*}} : f32
// THREADS-NOT:       gpu.shuffle
// THREADS:           arith.cmpf uge
// THREADS-COUNT-2: unitile.ballot

// Density is only computed for who reads it.
// CHECK-NOT:   gpu.func @density
// CHECK-LABEL: func.func @top_p(
// CHECK:         gpu.launch_func @unisparse_kernels::@select blocks in (%c32, %c8, %c1)
// CHECK-NOT:     gpu.launch_func
// THREADS-LABEL: func.func @top_p(
// THREADS:         gpu.launch_func @unisparse_kernels::@select blocks in (%c8, %c8, %c1) threads in (%c128, %c1, %c1)
func.func @top_p(%m: tensor<1x8x32x32xf32>) -> (!c, !i) {
  %c, %i, %d = unisparse.block_select %m lengths [4096, 4096] block <128x128> rule <top_p = 0.9> causal
    : (tensor<1x8x32x32xf32>) -> (!c, !i, tensor<1x8xf32>)
  return %c, %i : !c, !i
}

// -----

// A count needs no mass to reach, and sums none.
// CHECK-LABEL: gpu.func @select(
// CHECK-NOT:     arith.cmpf oge
// CHECK-NOT:     arith.addf
// CHECK:         arith.cmpi uge
// CHECK-NOT:     arith.cmpf oge
// CHECK-NOT:     arith.addf
// CHECK:         gpu.return
// Counts in 64 bits, over the rows of a head.
// CHECK-LABEL: gpu.func @density(
// CHECK-SAME:    %[[COUNTS:.*]]: memref<1x8x32xi32>, %[[DENSITY:.*]]: memref<1x8xf32>, %{{.*}}: i32, %{{.*}}: i32, %{{.*}}: i32) kernel attributes {unitile.schedule = #unitile.threads<lanes = 32>}
// CHECK:         %[[SUMS:.*]]:2 = scf.parallel {{.*}} -> (i64, i64)
// CHECK:           memref.load %[[COUNTS]]
// CHECK:         arith.sitofp %[[SUMS]]#0 : i64 to f32
// CHECK:         memref.store %{{.*}}, %[[DENSITY]]
// CHECK-LABEL: func.func @top_k(
// CHECK:         gpu.launch_func @unisparse_kernels::@select
// CHECK:         gpu.launch_func @unisparse_kernels::@density blocks in (%c1, %c8, %c1)

// THREADS-LABEL: gpu.func @density(
// THREADS-SAME:    known_block_size = array<i32: 32, 1, 1>
// THREADS-COUNT-20: gpu.shuffle xor %{{.*}} : i32
// THREADS:          llvm.store %{{.*}} : f32, !llvm.ptr<1>
func.func @top_k(%m: tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>) {
  %c, %i, %d = unisparse.block_select %m lengths [4096, 4096] block <128x128> rule <top_k = 8>
    : (tensor<1x8x32x32xf32>) -> (tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>)
  return %c, %i, %d : tensor<1x8x32xi32>, tensor<1x8x32x32xi32>, tensor<1x8xf32>
}

// -----

// Everything is taken: no mass is read, nothing is searched or ranked.
// CHECK-LABEL: gpu.func @select(
// CHECK-NOT:     memref.load
// CHECK-NOT:     unitile.rank
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
// CHECK-SAME:    %[[M:[a-z0-9]*]]: memref<1x2x7x5xf32>, %[[P:[a-z0-9]*]]: memref<8xf32>, %{{.*}}: memref<1x8x7xi32>, %{{.*}}: memref<1x8x7x5xi32>, %{{[a-z0-9]*}}: i32, %{{[a-z0-9]*}}: i32, %[[CU:[a-z0-9]*]]: memref<4xi32>
// CHECK-DAG:     %[[FOUR:.*]] = arith.constant 4 : i32
// CHECK:         %[[Y:.*]] = gpu.block_id y
// CHECK:         %[[H:.*]] = arith.index_cast %[[Y]]
// CHECK:         unitile.locate %{{.*}} by 64 in %[[CU]], %[[CU]]
// CHECK:         %[[OF:.*]] = arith.divui %[[H]], %[[FOUR]]
// CHECK:         %[[SHARE:.*]] = memref.load %[[P]][%[[Y]]]
// CHECK:         %[[MH:.*]] = arith.index_cast %[[OF]] : i32 to index
// CHECK:         memref.load %[[M]][%{{.*}}, %[[MH]], %{{.*}}, %{{.*}}]
func.func @shares(%m: tensor<1x2x7x5xf32>, %p: tensor<8xf32>, %cu: tensor<4xi32>) -> (tensor<1x8x7xi32>, tensor<1x8x7x5xi32>) {
  %c, %i, %d = unisparse.block_select %m top_p(%p) lengths [300, 300] cu_seqlens(%cu, %cu) block <64x64> rule <top_p> causal
    : (tensor<1x2x7x5xf32>, tensor<8xf32>, tensor<4xi32>, tensor<4xi32>) -> (tensor<1x8x7xi32>, tensor<1x8x7x5xi32>, tensor<1x8xf32>)
  return %c, %i : tensor<1x8x7xi32>, tensor<1x8x7x5xi32>
}

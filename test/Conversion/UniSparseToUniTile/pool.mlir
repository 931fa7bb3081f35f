// RUN: unisparse-opt %s -split-input-file --convert-unisparse-to-unitile --canonicalize --cse | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --convert-unisparse-to-unitile --canonicalize --cse --unitile-unroll-bounded-loops --unitile-distribute-threads \
// RUN:   --canonicalize --cse | FileCheck %s --check-prefix=THREADS

// A point of the grid makes a composite, in pieces of 16 bytes that know nothing
// of each other.
// CHECK-LABEL: gpu.func @pool(
// CHECK-SAME:    %[[X:.*]]: memref<?x4x?x64xbf16, strided<[?, ?, ?, 1], offset: ?>>, %[[OUT:.*]]: memref<?x4x?x64xbf16>, %[[LENGTH:.*]]: i32)
// CHECK-SAME:    unitile.schedule = #unitile.threads<lanes = 8, items = 32, ctas = 4>
// CHECK-NOT:     gpu.thread_id
// CHECK-DAG:     %[[EIGHT:.*]] = arith.constant 8 : i32
// CHECK-DAG:     %[[C8:.*]] = arith.constant 8 : index
// CHECK:         %[[SLOT:.*]] = gpu.block_id x
// CHECK:         %[[HEAD:.*]] = gpu.block_id y
// CHECK:         %[[BATCH:.*]] = gpu.block_id z
// CHECK:         %[[LEFT:.*]] = arith.subi %[[LENGTH]], %[[FIRST:.*]] : i32
// CHECK:         %[[ROWS:.*]] = arith.minsi %[[LEFT]], %[[EIGHT]] : i32
// CHECK:         scf.parallel (%{{.*}}) = (%{{.*}}) to (%[[C8]])
// Sums run in f32 over the rows that exist (P1, P3).
// CHECK:           %[[SUM:.*]] = scf.for %{{.*}} = %{{.*}} to %[[ROWS]] {{.*}} -> (vector<8xf32>)
// CHECK:             vector.load %[[X]][%[[BATCH]], %[[HEAD]], %{{.*}}, %{{.*}}] : {{.*}}, vector<8xbf16>
// CHECK:             arith.extf
// CHECK:             arith.addf
// The mean over them, rounded once (P2).
// CHECK:           %[[COUNT:.*]] = arith.sitofp %[[ROWS]] : i32 to f32
// CHECK:           vector.broadcast %[[COUNT]]
// CHECK:           arith.divf %[[SUM]], %{{.*}} : vector<8xf32>
// CHECK:           arith.truncf %{{.*}} : vector<8xf32> to vector<8xbf16>
// CHECK:           vector.store %{{.*}}, %[[OUT]][%[[BATCH]], %[[HEAD]], %[[SLOT]], %{{.*}}]

// A thread makes a piece, a CTA 32 composites. The loads of 8 rows are side by
// side; a last composite with fewer rows takes a loop.
// THREADS-LABEL: gpu.func @pool(
// THREADS-SAME:    known_block_size = array<i32: 256, 1, 1>, nvvm.minctasm = 4 : i32
// THREADS:         scf.if %{{.*}} -> (vector<8xf32>) {
// THREADS-COUNT-8:   llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<8xbf16>
// THREADS-NOT:       llvm.load
// THREADS:         } else {
// THREADS:           scf.for
// THREADS-COUNT-1:     llvm.load
// THREADS-NOT:         llvm.load
// THREADS:         llvm.store %{{.*}} {alignment = 16 : i64} : vector<8xbf16>

// CHECK-LABEL: func.func @rows(
// CHECK-SAME:    bufferization.buffer_layout = strided<[?, ?, ?, 1], offset: ?>
// CHECK-DAG:     %[[BY:.*]] = arith.constant 8 : index
// CHECK-DAG:     %[[HEADS:.*]] = arith.constant 4 : index
// CHECK-DAG:     %[[BATCH:.*]] = tensor.dim %arg0, %c0
// CHECK-DAG:     %[[LENGTH:.*]] = tensor.dim %arg0, %c2
// CHECK:         %[[SLOTS:.*]] = arith.ceildivui %[[LENGTH]], %[[BY]]
// CHECK:         gpu.alloc (%[[BATCH]], %[[SLOTS]]) : memref<?x4x?x64xbf16>
// CHECK:         gpu.launch_func @unisparse_kernels::@pool blocks in (%[[SLOTS]], %[[HEADS]], %[[BATCH]])
// THREADS-LABEL: func.func @rows(
// THREADS:         %[[SLOTS:.*]] = arith.ceildivui
// THREADS:         %[[CTAS:.*]] = arith.ceildivui %[[SLOTS]], %c32
// THREADS:         gpu.launch_func @unisparse_kernels::@pool blocks in (%[[CTAS]], %{{.*}}, %{{.*}}) threads in (%c256, %c1, %c1)
func.func @rows(%x: tensor<?x4x?x64xbf16>) -> tensor<?x4x?x64xbf16> {
  %0 = unisparse.pool %x by 8 : (tensor<?x4x?x64xbf16>) -> tensor<?x4x?x64xbf16>
  return %0 : tensor<?x4x?x64xbf16>
}

// -----

// The mean is over the rows of both heads (P4).
// CHECK-LABEL: gpu.func @pool(
// CHECK-DAG:     %[[TWO:.*]] = arith.constant 2 : i32
// CHECK:         %[[ROWS:.*]] = arith.minsi
// CHECK-COUNT-2: scf.for %{{.*}} to %[[ROWS]] {{.*}} -> (vector<8xf32>)
// CHECK:         %[[COUNT:.*]] = arith.muli %[[ROWS]], %[[TWO]] : i32
// CHECK-NEXT:    arith.sitofp %[[COUNT]]

// More rows than are to be in flight: 8 at a time, then the rest.
// THREADS-LABEL: gpu.func @pool(
// THREADS:         scf.if %{{.*}} -> (vector<8xf32>) {
// THREADS:           scf.for
// THREADS-COUNT-8:     llvm.load
// THREADS:           scf.for
// THREADS:             llvm.load
// THREADS:         } else {
func.func @heads(%x: tensor<1x4x200x64xf16>) -> tensor<1x2x10x64xf16> {
  %0 = unisparse.pool %x by 20 heads 2 : (tensor<1x4x200x64xf16>) -> tensor<1x2x10x64xf16>
  return %0 : tensor<1x2x10x64xf16>
}

// -----

// A packed batch finds its sequence, and writes nothing to slots that hold no
// composite. f32 needs no rounding; 4 floats a piece.
// CHECK-LABEL: gpu.func @pool(
// CHECK-SAME:    %[[X:.*]]: memref<1x4x300x64xf32, {{.*}}>, %{{.*}}: memref<1x4x40x64xf32>, %{{.*}}: i32, %[[CU:.*]]: memref<4xi32>, %{{.*}}: i32)
// CHECK-SAME:    #unitile.threads<lanes = 16, items = 16, ctas = 4>
// CHECK:         unitile.locate %{{.*}} by 8 in %[[CU]], %[[CU]]
// CHECK:         scf.if
// CHECK:           scf.parallel
// CHECK:             vector.load %[[X]]{{.*}} vector<4xf32>
// CHECK-NOT:     arith.truncf
// CHECK:         gpu.return
// floor(300 / 8) + 3 slots.
// CHECK-LABEL: func.func @packed(
// CHECK:         gpu.alloc () : memref<1x4x40x64xf32>
func.func @packed(%x: tensor<1x4x300x64xf32>, %cu: tensor<4xi32>) -> tensor<1x4x40x64xf32> {
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x4x300x64xf32>, tensor<4xi32>) -> tensor<1x4x40x64xf32>
  return %0 : tensor<1x4x40x64xf32>
}

// RUN: unisparse-opt %s -split-input-file --convert-unisparse-to-unitile --canonicalize --cse | FileCheck %s

// A thread makes 16 bytes of a composite. The loads of 8 rows are in flight
// before the first is summed; a last composite with fewer rows takes a loop.
// CHECK-LABEL: gpu.func @pool(
// CHECK-SAME:    known_block_size = array<i32: 256, 1, 1>, nvvm.minctasm = 4 : i32
// CHECK-DAG:     %[[EIGHT:.*]] = arith.constant 8 : i32
// CHECK:         %[[ROWS:.*]] = arith.subi %[[END:.*]], %[[FIRST:.*]] : i32
// CHECK:         %[[WHOLE:.*]] = arith.cmpi eq, %[[ROWS]], %[[EIGHT]] : i32
// CHECK:         %[[SUM:.*]] = scf.if %[[WHOLE]] -> (vector<8xf32>) {
// CHECK-COUNT-8:   llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<8xbf16>
// CHECK-NOT:       llvm.load
// CHECK-COUNT-8:   arith.addf %{{.*}} : vector<8xf32>
// CHECK:         } else {
// CHECK:           scf.for %{{.*}} = %[[FIRST]] to %[[END]]
// CHECK-COUNT-1:     llvm.load
// CHECK-NOT:         llvm.load
// The mean over the rows that exist (P1), rounded once (P2).
// CHECK:         %[[COUNT:.*]] = arith.sitofp %[[ROWS]] : i32 to f32
// CHECK:         vector.broadcast %[[COUNT]]
// CHECK:         arith.divf %[[SUM]], %{{.*}} : vector<8xf32>
// CHECK:         arith.truncf %{{.*}} : vector<8xf32> to vector<8xbf16>
// CHECK:         llvm.store %{{.*}} {alignment = 16 : i64} : vector<8xbf16>

// 8 threads a composite, 32 composites a block.
// CHECK-LABEL: func.func @rows(
// CHECK-SAME:    bufferization.buffer_layout = strided<[?, ?, ?, 1], offset: ?>
// CHECK-DAG:     %[[BY:.*]] = arith.constant 8 : index
// CHECK-DAG:     %[[PER:.*]] = arith.constant 32 : index
// CHECK-DAG:     %[[HEADS:.*]] = arith.constant 4 : index
// CHECK:         %[[LENGTH:.*]] = tensor.dim %arg0, %{{.*}}
// CHECK:         %[[SLOTS:.*]] = arith.ceildivui %[[LENGTH]], %[[BY]]
// CHECK:         %[[BATCH:.*]] = tensor.dim %arg0, %{{.*}}
// CHECK:         gpu.alloc (%[[BATCH]], %[[SLOTS]]) : memref<?x4x?x64xbf16>
// CHECK:         %[[BLOCKS:.*]] = arith.ceildivui %[[SLOTS]], %[[PER]]
// CHECK:         gpu.launch_func @unisparse_kernels::@pool blocks in (%[[BLOCKS]], %[[HEADS]], %[[BATCH]])
func.func @rows(%x: tensor<?x4x?x64xbf16>) -> tensor<?x4x?x64xbf16> {
  %0 = unisparse.pool %x by 8 : (tensor<?x4x?x64xbf16>) -> tensor<?x4x?x64xbf16>
  return %0 : tensor<?x4x?x64xbf16>
}

// -----

// More rows than may be in flight: 8 at a time, then the rest, for each of the
// two heads (P4); the mean is over both.
// CHECK-LABEL: gpu.func @pool(
// CHECK-DAG:     %[[TWO:.*]] = arith.constant 2 : i32
// CHECK-COUNT-2: scf.if %{{.*}} -> (vector<8xf32>) {
// CHECK:         %[[COUNT:.*]] = arith.muli %{{.*}}, %[[TWO]] : i32
// CHECK-NEXT:    arith.sitofp %[[COUNT]]
func.func @heads(%x: tensor<1x4x200x64xf16>) -> tensor<1x2x10x64xf16> {
  %0 = unisparse.pool %x by 20 heads 2 : (tensor<1x4x200x64xf16>) -> tensor<1x2x10x64xf16>
  return %0 : tensor<1x2x10x64xf16>
}

// -----

// A packed batch finds its sequence by bisection, and writes nothing to slots
// that hold no composite. f32 needs no rounding; 4 floats a thread.
// CHECK-LABEL: gpu.func @pool(
// CHECK:         scf.while
// CHECK:         scf.if
// CHECK:           llvm.load %{{.*}} {alignment = 16 : i64} : !llvm.ptr<1> -> vector<4xf32>
// CHECK-NOT:     arith.truncf
// CHECK:         gpu.return
// floor(300 / 8) + 3 slots.
// CHECK-LABEL: func.func @packed(
// CHECK:         gpu.alloc () : memref<1x4x40x64xf32>
func.func @packed(%x: tensor<1x4x300x64xf32>, %cu: tensor<4xi32>) -> tensor<1x4x40x64xf32> {
  %0 = unisparse.pool %x cu_seqlens(%cu) by 8 : (tensor<1x4x300x64xf32>, tensor<4xi32>) -> tensor<1x4x40x64xf32>
  return %0 : tensor<1x4x40x64xf32>
}

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

// CHECK-LABEL: func.func @copies(
// CHECK:         unitile.copy_async %{{.*}} row %{{.*}} limit %{{.*}} stride %{{.*}} width 72 to %{{.*}}[%{{.*}}] : !unitile.shared<32x80xbf16>
// CHECK:         unitile.copy_async %{{.*}} row %{{.*}} limit %{{.*}} stride %{{.*}} take 10 of 16 to
// CHECK:         unitile.copy_async %{{.*}} row %{{.*}} limit %{{.*}} stride %{{.*}} width 64 take 12 of 16 to
// CHECK:         unitile.store %{{.*}} to %{{.*}} row %{{.*}} limit %{{.*}} stride %{{.*}} width 72 : !unitile.fragment<32x80xf32>
func.func @copies(%p: !llvm.ptr<1>, %row: i32, %stride: i64, %x: !unitile.fragment<32x80xf32>) {
  %k = unitile.alloc : !unitile.shared<32x80xbf16>
  unitile.copy_async %p row %row limit %row stride %stride width 72 to %k[%row] : !unitile.shared<32x80xbf16>
  unitile.copy_async %p row %row limit %row stride %stride take 10 of 16 to %k[%row] : !unitile.shared<32x80xbf16>
  unitile.copy_async %p row %row limit %row stride %stride width 64 take 12 of 16 to %k[%row] : !unitile.shared<32x80xbf16>
  unitile.store %x to %p row %row limit %row stride %stride width 72 : !unitile.fragment<32x80xf32>
  return
}

// CHECK-LABEL: func.func @composites(
// CHECK:         unitile.worker of %{{.*}} : memref<?x?x64x8xf32>
// CHECK:         unitile.fetch %{{.*}} rows %{{.*}} to %{{.*}} take 10 of 16 : memref<1x4x?x72xf16> -> !unitile.tile<64x80xf16>
// CHECK:         unitile.mask %{{.*}} keys %{{.*}} to %{{.*}} diagonal %{{.*}} by %{{.*}} last %{{.*}} : !unitile.fragment<64x128xf32>
// CHECK:         unitile.softmax_sums %{{.*}} columns 16 scale 1.250000e-01 from %{{.*}}, %{{.*}} : !unitile.fragment<64x128xf32>, !unitile.rows<64xf32>, !unitile.rows<64xf32> -> !unitile.fragment<64x8xf32>
// CHECK:         unitile.softmax_sums speculative
// CHECK:         unitile.softmax settled 2.800000e+01 %{{.*}} scale 5.000000e+01 from
// CHECK:         unitile.sum_groups %{{.*}} columns 64 : !unitile.fragment<64x128xf32> -> !unitile.fragment<64x8xf32>
// CHECK:         unitile.put %{{.*}} : !unitile.fragment<64x8xf32>, memref<?x?x64x8xf32>
// CHECK:         unitile.barrier consumers
func.func @composites(%x: !unitile.fragment<64x128xf32>, %m: !unitile.rows<64xf32>, %l: !unitile.fragment<64x8xf32>,
                      %i: i32, %f: f32, %sums: memref<?x?x64x8xf32>, %q: memref<1x4x?x72xf16>) {
  %w = unitile.worker of %sums : memref<?x?x64x8xf32>
  %t = unitile.fetch %q[%i, %i] rows %i to %i take 10 of 16 : memref<1x4x?x72xf16> -> !unitile.tile<64x80xf16>
  %y = unitile.mask %x keys %i to %i diagonal %i by %m last %f : !unitile.fragment<64x128xf32>
  %0:3 = unitile.softmax_sums %y columns 16 scale 0.125 from %m, %m
    : !unitile.fragment<64x128xf32>, !unitile.rows<64xf32>, !unitile.rows<64xf32> -> !unitile.fragment<64x8xf32>
  %1:3 = unitile.softmax_sums speculative %y columns 16 scale 0.125 from %m, %l
    : !unitile.fragment<64x128xf32>, !unitile.rows<64xf32>, !unitile.fragment<64x8xf32> -> !unitile.fragment<64x8xf32>
  %p:4 = unitile.softmax settled 28.0 %y scale 50.0 from %m, %l, %x
    : !unitile.fragment<64x128xf32>, !unitile.rows<64xf32>, !unitile.fragment<64x8xf32>, !unitile.fragment<64x128xf32> -> !unitile.fragment<64x128xbf16>
  %2 = unitile.sum_groups %y columns 64 : !unitile.fragment<64x128xf32> -> !unitile.fragment<64x8xf32>
  unitile.put %0#0 to %sums[%w, %i] rows %i to %i : !unitile.fragment<64x8xf32>, memref<?x?x64x8xf32>
  unitile.barrier consumers
  return
}

// CHECK-LABEL: func.func @schedule(
// CHECK-SAME:    attributes {unitile.schedule = #unitile.tiles<rows = 128, keys = 64>}
func.func @schedule() attributes {unitile.schedule = #unitile.tiles<rows = 128, keys = 64>} {
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

// CHECK-LABEL: func.func @copy_engine(
// CHECK:         unitile.barriers offset 64 arrivals 8 : !unitile.barriers<3>
// CHECK:         unitile.words 4 : <3>
// CHECK:         unitile.tensor_copy %{{.*}}[%{{.*}}, %{{.*}}] to %{{.*}}[%{{.*}}] on %{{.*}}[%{{.*}}] : !unitile.shared<128x64xbf16, 3>, !unitile.barriers<3>
// CHECK:         unitile.await %{{.*}}[%{{.*}}] parity %{{.*}} : !unitile.barriers<3>
// CHECK:         unitile.test %{{.*}}[%{{.*}}] parity %{{.*}} : !unitile.barriers<3>
// CHECK:         unitile.arrive %{{.*}}[%{{.*}}] : !unitile.barriers<3>
// CHECK:         unitile.arrive by_thread %{{.*}}[%{{.*}}] : !unitile.barriers<3>
// CHECK:         unitile.tensor_store %{{.*}}[%{{.*}}] to %{{.*}}[%{{.*}}, %{{.*}}] : !unitile.shared<128x64xbf16, 3>
// CHECK-NEXT:    unitile.tensor_store %{{.*}}[%{{.*}}] columns 48 to %{{.*}}
// CHECK-NEXT:    unitile.tensor_store_wait{{$}}
// CHECK-NEXT:    unitile.tensor_store_wait written
func.func @copy_engine(%map: !llvm.ptr, %i: i32) {
  %b = unitile.barriers offset 64 arrivals 8 : !unitile.barriers<3>
  %w = unitile.words 4 : !llvm.ptr<3>
  %k = unitile.alloc : !unitile.shared<128x64xbf16, 3>
  unitile.barrier
  unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] : !unitile.shared<128x64xbf16, 3>, !unitile.barriers<3>
  unitile.await %b[%i] parity %i : !unitile.barriers<3>
  %t = unitile.test %b[%i] parity %i : !unitile.barriers<3>
  unitile.arrive %b[%i] : !unitile.barriers<3>
  unitile.arrive by_thread %b[%i] : !unitile.barriers<3>
  unitile.tensor_store %k[%i] to %map[%i, %i] : !unitile.shared<128x64xbf16, 3>
  unitile.tensor_store %k[%i] columns 48 to %map[%i, %i] : !unitile.shared<128x64xbf16, 3>
  unitile.tensor_store_wait
  unitile.tensor_store_wait written
  return
}

// What reaches the other blocks of a cluster.
// CHECK-LABEL: gpu.func @cluster(
// CHECK:         unitile.barrier cluster
// CHECK:         unitile.tensor_copy %{{.*}}[%{{.*}}, %{{.*}}] to %{{.*}}[%{{.*}}] on %{{.*}}[%{{.*}}] ctas 3 : !unitile.shared<128x64xbf16, 3>, !unitile.barriers<3>
// CHECK-NEXT:    unitile.tensor_copy after_writes %{{.*}}[%{{.*}}, %{{.*}}] to %{{.*}}[%{{.*}}] on %{{.*}}[%{{.*}}] ctas 2 : !unitile.shared<128x64xbf16, 3>, !unitile.barriers<3>
// CHECK-NEXT:    unitile.await cluster %{{.*}}[%{{.*}}] parity %{{.*}} : !unitile.barriers<3>
// CHECK-NEXT:    unitile.arrive %{{.*}}[%{{.*}}] of 0 : !unitile.barriers<3>
// CHECK-NEXT:    unitile.arrive by_thread %{{.*}}[%{{.*}}] of 1 : !unitile.barriers<3>
// CHECK-NEXT:    unitile.barrier cluster
gpu.module @clusters {
  gpu.func @cluster(%map: !llvm.ptr, %i: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>, known_cluster_size = array<i32: 2, 1, 1>} {
    %k = unitile.alloc : !unitile.shared<128x64xbf16, 3>
    %b = unitile.barriers arrivals 8 : !unitile.barriers<3>
    unitile.barrier cluster
    unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] ctas 3 : !unitile.shared<128x64xbf16, 3>, !unitile.barriers<3>
    unitile.tensor_copy after_writes %map[%i, %i] to %k[%i] on %b[%i] ctas 2 : !unitile.shared<128x64xbf16, 3>, !unitile.barriers<3>
    unitile.await cluster %b[%i] parity %i : !unitile.barriers<3>
    unitile.arrive %b[%i] of 0 : !unitile.barriers<3>
    unitile.arrive by_thread %b[%i] of 1 : !unitile.barriers<3>
    unitile.barrier cluster
    gpu.return
  }
}

// A page's threads; what is the default is left out.
// CHECK-LABEL: func.func @threads(
// CHECK-SAME:    attributes {unitile.schedule = #unitile.threads<lanes = 8, items = 32>}
// CHECK:         unitile.rank %{{.*}}
// CHECK:         unitile.ballot %{{.*}}
func.func @threads(%yes: i1) -> (i32, i32) attributes {unitile.schedule = #unitile.threads<lanes = 8, items = 32, ctas = 0>} {
  %rank = unitile.rank %yes
  %lanes = unitile.ballot %yes
  return %rank, %lanes : i32, i32
}

// CHECK-LABEL: func.func @in_flight(
// CHECK:         unitile.mma_fence
// CHECK:         %[[S:.*]] = unitile.mma_start %{{.*}}, %{{.*}}[%{{.*}}] : !unitile.fragment<128x64xbf16>, !unitile.shared<128x64xbf16, 3> -> !unitile.pending<128x128xf32>
// CHECK:         unitile.mma_wait 0, %[[S]] reading %{{.*}} : !unitile.pending<128x128xf32>, !unitile.fragment<128x64xbf16>
// CHECK:         %[[O:.*]] = unitile.mma_start %{{.*}}, %{{.*}}[%{{.*}}], %{{.*}} when %{{.*}} by_rows : !unitile.fragment<128x128xbf16>, !unitile.shared<128x64xbf16, 3>, !unitile.fragment<128x64xf32> -> !unitile.pending<128x64xf32>
// CHECK:         unitile.mma_wait 0, %[[O]] : !unitile.pending<128x64xf32>
// CHECK:         unitile.fold max %{{.*}} : !unitile.fragment<128x128xf32> -> !unitile.fragment<128x8xf32>
// CHECK:         unitile.all_below %{{.*}}, %{{.*}} : !unitile.fragment<128x8xf32>
func.func @in_flight(%q: !unitile.fragment<128x64xbf16>, %p: !unitile.fragment<128x128xbf16>, %k: !unitile.shared<128x64xbf16, 3>,
                     %o: !unitile.fragment<128x64xf32>, %i: i32, %c: i1, %bound: f32) -> (!unitile.fragment<128x64xf32>, i1) {
  unitile.mma_fence
  %s = unitile.mma_start %q, %k[%i] : !unitile.fragment<128x64xbf16>, !unitile.shared<128x64xbf16, 3> -> !unitile.pending<128x128xf32>
  %sr = unitile.mma_wait 0, %s reading %q : !unitile.pending<128x128xf32>, !unitile.fragment<128x64xbf16>
  %on = unitile.mma_start %p, %k[%i], %o when %c by_rows : !unitile.fragment<128x128xbf16>, !unitile.shared<128x64xbf16, 3>, !unitile.fragment<128x64xf32> -> !unitile.pending<128x64xf32>
  %or = unitile.mma_wait 0, %on : !unitile.pending<128x64xf32>
  %f = unitile.fold max %sr : !unitile.fragment<128x128xf32> -> !unitile.fragment<128x8xf32>
  %b = unitile.all_below %f, %bound : !unitile.fragment<128x8xf32>
  return %or, %b : !unitile.fragment<128x64xf32>, i1
}

// CHECK-LABEL: func.func @laid_out(
// CHECK:         unitile.mma %{{.*}}, %{{.*}}[%{{.*}}], %{{.*}} atom(#unitile.mma_sync) : !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, !unitile.shared<64x64xbf16>, !unitile.fragment<64x64xf32, #unitile.mma_fragment>
// CHECK:         unitile.mma_start %{{.*}}, %{{.*}}[%{{.*}}], %{{.*}} when %{{.*}} by_rows atom(#unitile.wgmma) : !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, !unitile.shared<64x64xbf16>, !unitile.fragment<64x64xf32, #unitile.mma_fragment> -> !unitile.pending<64x64xf32, #unitile.mma_fragment>
// CHECK:         unitile.mma_wait 0, %{{.*}} : !unitile.pending<64x64xf32, #unitile.mma_fragment>
// CHECK:         unitile.mma %{{.*}} by_rows atom(#unitile.mma_3xtf32) :
// CHECK:         unitile.fill %{{.*}} : f32 -> !unitile.rows<64xf32, #unitile.row_fragment>
func.func @laid_out(%a: !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, %k: !unitile.shared<64x64xbf16>, %v: !unitile.shared<64x64xf32>,
                    %o: !unitile.fragment<64x64xf32, #unitile.mma_fragment>, %i: i32, %c: i1, %x: f32) -> !unitile.rows<64xf32, #unitile.row_fragment> {
  %s = unitile.mma %a, %k[%i], %o atom(#unitile.mma_sync) : !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, !unitile.shared<64x64xbf16>, !unitile.fragment<64x64xf32, #unitile.mma_fragment>
  %t = unitile.mma_start %a, %k[%i], %s when %c by_rows atom(#unitile.wgmma) : !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, !unitile.shared<64x64xbf16>, !unitile.fragment<64x64xf32, #unitile.mma_fragment> -> !unitile.pending<64x64xf32, #unitile.mma_fragment>
  %r = unitile.mma_wait 0, %t : !unitile.pending<64x64xf32, #unitile.mma_fragment>
  %f = unitile.mma %r, %v[%i], %o by_rows atom(#unitile.mma_3xtf32) : !unitile.fragment<64x64xf32, #unitile.mma_fragment>, !unitile.shared<64x64xf32>, !unitile.fragment<64x64xf32, #unitile.mma_fragment>
  %m = unitile.fill %x : f32 -> !unitile.rows<64xf32, #unitile.row_fragment>
  return %m : !unitile.rows<64xf32, #unitile.row_fragment>
}

// CHECK-LABEL: gpu.func @roles(
// CHECK:         unitile.partitions registers<40, 232> producer {
// CHECK:         } consumers {
// CHECK-NEXT:      unitile.take_turn first
// CHECK-NEXT:      unitile.take_turn
// CHECK-NEXT:      unitile.pass_turn
// A schedule as a person reads it: what is the default is left out.
// CHECK:       func.func private @scheduled() attributes {unitile.schedule = #unitile.schedule<stages = 2, cluster = 1, reference = running>}
gpu.module @m {
  gpu.func @roles(%map: !llvm.ptr {unitile.tensor_map}) kernel attributes {known_block_size = array<i32: 384, 1, 1>} {
    unitile.partitions registers<40, 232> producer {
      %c0 = arith.constant 0 : i32
    } consumers {
      unitile.take_turn first
      unitile.take_turn
      unitile.pass_turn
    }
    gpu.return
  }
}
func.func private @scheduled() attributes {unitile.schedule = #unitile.schedule<stages = 2, cluster = 1, reference = running, overlap = true>}

// Every field, in any order; the names of before version 4 are read, too.
// CHECK:       func.func private @all_of_it() attributes {unitile.schedule = #unitile.schedule<stages = 2, keys = 64, ctas = 2, cluster = 1, producer_registers = 40, consumer_registers = 216, reference = running, overlap = false, ping_pong = true>}
func.func private @all_of_it() attributes {unitile.schedule = #unitile.schedule<turns = true, consumer_registers = 216, producer_registers = 40, overlap = false, reference = running, cluster = 1, blocks = 2, keys = 64, stages = 2>}

// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-allocate-shared{limit=232448},unitile-assign-layouts,convert-unitile-to-nvvm))' -split-input-file | FileCheck %s
// RUN: unisparse-opt %s --pass-pipeline='builtin.module(unitile-to-nvvm-pipeline{chip=sm_90a})' -split-input-file | FileCheck %s --check-prefix=PTX

// The atoms of sm_90a, one by one.

gpu.module @roles {
  // One thread of the first warpgroup produces; fragments are the others'.
  // CHECK-LABEL: gpu.func @roles
  // CHECK:         %[[TID:.*]] = nvvm.read.ptx.sreg.tid.x
  // CHECK:         %[[FIRST:.*]] = arith.cmpi slt, %[[TID]], %c128_i32
  // CHECK:         scf.if %[[FIRST]] {
  // CHECK-NEXT:      nvvm.setmaxregister decrease 40
  // CHECK:           %[[ONE:.*]] = arith.cmpi slt, %[[TID]], %c1_i32
  // CHECK:           scf.if %[[ONE]] {
  // CHECK:         } else {
  // CHECK-NEXT:      nvvm.setmaxregister increase 232
  // 64 x 16 elements for 128 threads.
  // CHECK:           vector.broadcast %{{.*}} : f32 to vector<8xf32>
  // The number among the consumers' threads, read anew.
  // CHECK:           llvm.inline_asm has_side_effects asm_dialect = att "mov.u32 $0, %tid.x;"
  gpu.func @roles(%x: f32, %o: !llvm.ptr<1>, %n: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>, nvvm.minctasm = 1 : i32} {
    unitile.partitions registers<40, 232> producer {
      %c0 = arith.constant 0 : i32
      llvm.store %c0, %o : i32, !llvm.ptr<1>
    } consumers {
      %0 = unitile.fill %x : f32 -> !unitile.fragment<64x16xf32>
      unitile.store %0 to %o row %n limit %n stride %stride : !unitile.fragment<64x16xf32>
    }
    gpu.return
  }
}
// PTX-LABEL: .entry roles
// PTX-DAG:     setmaxnreg.dec.sync.aligned.u32 {{.*}}40;
// PTX-DAG:     setmaxnreg.inc.sync.aligned.u32 {{.*}}232;

// -----

gpu.module @barriers {
  // CHECK-LABEL: gpu.func @barriers
  // CHECK:         scf.if
  // CHECK-COUNT-2:   nvvm.mbarrier.init
  // CHECK-NEXT:      nvvm.fence.mbarrier.init
  // CHECK:         }
  // CHECK-NEXT:    nvvm.barrier0
  // CHECK:         llvm.inline_asm {{.*}}mbarrier.try_wait.parity.shared::cta.b64 done, [$0], $1;{{.*}}@!done bra again
  // CHECK:         llvm.inline_asm {{.*}}mbarrier.test_wait.parity
  // One arrival a warp, without a branch.
  // CHECK-NOT:     scf.if
  // CHECK:         llvm.inline_asm {{.*}}elect.sync _|first{{.*}}@first mbarrier.arrive
  // CHECK:         llvm.inline_asm {{.*}}"mbarrier.arrive.shared::cta.b64 _, [$0];"
  gpu.func @barriers(%i: i32, %parity: i32, %o: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %b = unitile.barriers arrivals 4 : !unitile.barriers<2>
    unitile.barrier
    unitile.await %b[%i] parity %parity : !unitile.barriers<2>
    %t = unitile.test %b[%i] parity %parity : !unitile.barriers<2>
    llvm.store %t, %o : i1, !llvm.ptr<1>
    unitile.arrive %b[%i] : !unitile.barriers<2>
    unitile.arrive by_thread %b[%i] : !unitile.barriers<2>
    gpu.return
  }
}
// PTX-LABEL: .entry barriers
// PTX-COUNT-2: mbarrier.init.shared
// PTX:         fence.mbarrier_init.release.cluster

// -----

gpu.module @copies {
  // A box of 64 columns at a time, 128 rows of 128 bytes apart: 96 columns are
  // two, and all bytes of both are announced. Behind column and row come as many
  // coordinates as the map has dimensions.
  // CHECK-LABEL: gpu.func @copies
  // CHECK-SAME:    unitile.tensor_maps = array<i32: 0>
  // CHECK:         %[[BYTES:.*]] = arith.constant 32768 : i32
  // CHECK:         llvm.inline_asm {{.*}}"mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;", {{.*}}, %[[BYTES]]
  // CHECK-COUNT-2: llvm.inline_asm {{.*}}cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [$0], [$2, {$3, $4, $5, $6}], [$1];{{.*}}, "r,r,l,r,r,r,r,~{memory}"
  // CHECK-COUNT-6: nvvm.stmatrix
  // CHECK-NOT:     nvvm.stmatrix
  // CHECK:         llvm.inline_asm {{.*}}"fence.proxy.async.shared::cta;"
  // CHECK:         nvvm.barrier id = %{{.*}} number_of_threads = %{{.*}}
  // CHECK:         scf.if
  // CHECK-COUNT-2:   llvm.inline_asm {{.*}}cp.async.bulk.tensor.3d.global.shared::cta.bulk_group [$0, {$2, $3, $4}], [$1];
  // CHECK:           nvvm.cp.async.bulk.commit.group
  // CHECK:         llvm.inline_asm {{.*}}"cp.async.bulk.wait_group.read 0;"
  // CHECK:         llvm.inline_asm {{.*}}"cp.async.bulk.wait_group 0;"
  gpu.func @copies(%map: !llvm.ptr {unitile.tensor_map}, %x: bf16, %i: i32) kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %t = unitile.alloc : !unitile.shared<128x96xbf16, 2>
    %b = unitile.barriers arrivals 1 : !unitile.barriers<2>
    unitile.tensor_copy %map[%i, %i, %i] to %t[%i] on %b[%i] : !unitile.shared<128x96xbf16, 2>, !unitile.barriers<2>
    %f = unitile.fill %x : bf16 -> !unitile.fragment<128x96xbf16>
    unitile.write %f to %t[%i] : !unitile.fragment<128x96xbf16>, !unitile.shared<128x96xbf16, 2>
    unitile.tensor_store %t[%i] to %map[%i, %i] : !unitile.shared<128x96xbf16, 2>
    unitile.tensor_store_wait
    unitile.tensor_store_wait written
    gpu.return
  }
}
// A map is 128 bytes among the parameters, read where they are.
// PTX-LABEL: .entry copies
// PTX-SAME:    .param .align 64 .b8 copies_param_0[128]
// PTX-SAME:    cvta.param.u64

// -----

gpu.module @tile_products {
  // A tile as a: its descriptor stands in a's place, the warpgroup's 64 rows of
  // 128 bytes further on, and does not transpose. Panels of 128 rows lie 16384
  // bytes apart.
  // CHECK-LABEL: gpu.func @tile_products
  // CHECK:         %[[GROUP:.*]] = nvvm.shfl.sync idx
  // CHECK:         %[[ROWS:.*]] = arith.constant 8192 : i32
  // CHECK:         arith.muli %[[GROUP]], %[[ROWS]]
  // CHECK:         add.u32 low, $32, 0;
  // CHECK-SAME:      mov.b64 own, {low, high};
  // CHECK-SAME:      add.u32 low, $33, 0;
  // CHECK-SAME:      mov.b64 tile, {low, high};
  // CHECK-SAME:      wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {$0, $1,
  // CHECK-SAME:      $31}, own, tile, add, 1, 1, 0, 0;
  // CHECK-SAME:      add.u32 low, $32, 1024;
  // CHECK-SAME:      add.u32 low, $33, 512;
  // Of 80 columns and 64 rows, the write and the send leave the rest alone.
  // CHECK-COUNT-3: nvvm.stmatrix
  // CHECK-NOT:     nvvm.stmatrix
  // CHECK:         llvm.inline_asm {{.*}}cp.async.bulk.tensor.3d.global
  // CHECK-NOT:     cp.async.bulk.tensor
  // CHECK:         nvvm.cp.async.bulk.commit.group
  gpu.func @tile_products(%map: !llvm.ptr {unitile.tensor_map}, %o: !llvm.ptr<1>, %i: i32, %x: bf16, %stride: i64)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %q = unitile.alloc : !unitile.shared<128x80xbf16>
    %k = unitile.alloc : !unitile.shared<64x80xbf16, 2>
    %b = unitile.barriers arrivals 2 : !unitile.barriers<2>
    unitile.tensor_copy %map[%i, %i] to %q[%i] on %b[%i] : !unitile.shared<128x80xbf16>, !unitile.barriers<2>
    unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] : !unitile.shared<64x80xbf16, 2>, !unitile.barriers<2>
    unitile.await %b[%i] parity %i : !unitile.barriers<2>
    unitile.mma_fence
    %s = unitile.mma_start %q, %k[%i] : !unitile.shared<128x80xbf16>, !unitile.shared<64x80xbf16, 2> -> !unitile.pending<128x64xf32>
    %r = unitile.mma_wait 0, %s : !unitile.pending<128x64xf32>
    %w = unitile.fill %x : bf16 -> !unitile.fragment<128x48xbf16>
    unitile.write %w to %q[%i] : !unitile.fragment<128x48xbf16>, !unitile.shared<128x80xbf16>
    unitile.tensor_store %q[%i] columns 48 to %map[%i, %i] : !unitile.shared<128x80xbf16>
    unitile.tensor_store_wait written
    unitile.store %r to %o row %i limit %i stride %stride : !unitile.fragment<128x64xf32>
    gpu.return
  }
}
// PTX-LABEL: .entry tile_products

// -----

gpu.module @clusters {
  // All threads of both blocks meet, whether or not their warps are together.
  // CHECK-LABEL: gpu.func @clusters
  // CHECK:         nvvm.cluster.arrive{{$}}
  // CHECK-NEXT:    nvvm.cluster.wait{{$}}
  // The bytes are announced to each block; then one copy for both.
  // CHECK:         %[[BYTES:.*]] = arith.constant 16384 : i32
  // CHECK:         llvm.inline_asm {{.*}}"mapa.shared::cluster.u32 $0, $1, $2;", "=r,r,r" %[[BARRIER:.*]], %c0_i32{{.*}} :
  // CHECK:         llvm.inline_asm {{.*}}"mbarrier.arrive.expect_tx.shared::cluster.b64 _, [$0], $1;", {{.*}}, %[[BYTES]]
  // CHECK:         llvm.inline_asm {{.*}}"mapa.shared::cluster.u32 $0, $1, $2;", "=r,r,r" %[[BARRIER]], %c1_i32{{.*}} :
  // CHECK:         llvm.inline_asm {{.*}}"mbarrier.arrive.expect_tx.shared::cluster.b64 _, [$0], $1;", {{.*}}, %[[BYTES]]
  // CHECK:         llvm.inline_asm {{.*}}mov.b16 blocks, 3;\0Acp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.multicast::cluster [$0], [$2, {$3, $4, $5}], [$1], blocks;
  // Behind writes, for one block: a fence, where those of tiles have none.
  // CHECK-COUNT-1: mapa
  // CHECK:         llvm.inline_asm {{.*}}"mbarrier.arrive.expect_tx.release.cluster.shared::cluster.b64 _, [$0], $1;"
  // CHECK-NOT:     mapa
  // CHECK:         llvm.inline_asm {{.*}}mov.b16 blocks, 2;\0A{{.*}}.multicast::cluster
  // CHECK:         llvm.inline_asm {{.*}}mbarrier.try_wait.parity.acquire.cluster.shared::cta.b64 done, [$0], $1;
  // CHECK:         llvm.inline_asm {{.*}}elect.sync _|first{{.*}}@first mbarrier.arrive.shared::cluster.b64 _, [$0];
  // CHECK:         llvm.inline_asm {{.*}}"mbarrier.arrive.release.cluster.shared::cluster.b64 _, [$0];"
  // CHECK:         nvvm.cluster.arrive
  // CHECK-NEXT:    nvvm.cluster.wait
  gpu.func @clusters(%map: !llvm.ptr {unitile.tensor_map}, %i: i32)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>, known_cluster_size = array<i32: 2, 1, 1>} {
    %t = unitile.alloc : !unitile.shared<128x64xbf16, 2>
    %b = unitile.barriers arrivals 1 : !unitile.barriers<2>
    unitile.barrier cluster
    unitile.tensor_copy %map[%i, %i] to %t[%i] on %b[%i] ctas 3 : !unitile.shared<128x64xbf16, 2>, !unitile.barriers<2>
    unitile.tensor_copy after_writes %map[%i, %i] to %t[%i] on %b[%i] ctas 2 : !unitile.shared<128x64xbf16, 2>, !unitile.barriers<2>
    unitile.await cluster %b[%i] parity %i : !unitile.barriers<2>
    unitile.arrive %b[%i] of 0 : !unitile.barriers<2>
    unitile.arrive by_thread %b[%i] of 1 : !unitile.barriers<2>
    unitile.barrier cluster
    gpu.return
  }
}
// PTX-LABEL: .entry clusters
// PTX:         .reqnctapercluster 2, 1, 1
// PTX:         barrier.cluster.arrive;
// PTX:         barrier.cluster.wait;
// PTX:         .multicast::cluster

// -----

gpu.module @products {
  // S = Q K^T: columns of K in steps of 16, 32 bytes apart in a panel of 64.
  // CHECK-LABEL: gpu.func @products
  // CHECK:         nvvm.wgmma.fence.aligned
  // CHECK:         %[[LEADING:.*]] = arith.constant 65536 : i32
  // CHECK:         arith.ori %{{.*}}, %[[LEADING]]
  // CHECK:         llvm.inline_asm {{.*}}mov.b32 high, 1073741888;
  // CHECK-SAME:      setp.ne.b32 add, 0, 0;
  // CHECK-SAME:      add.u32 low, $36, 0;{{.*}}wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {$0, $1,{{.*}}, $31}, {$32, $33, $34, $35}, tile, add, 1, 1, 0;
  // CHECK-SAME:      wgmma.commit_group
  // CHECK:         llvm.inline_asm {{.*}}"wgmma.wait_group.sync.aligned 0;"
  // O += P V: rows of V in steps of 16, 2048 bytes apart; its panels are 64 rows.
  // CHECK:         %[[PANEL:.*]] = arith.constant 33554432 : i32
  // CHECK:         arith.ori %{{.*}}, %[[PANEL]]
  // CHECK:         llvm.inline_asm {{.*}}setp.ne.b32 add, $25, 0;
  // CHECK-SAME:      add.u32 low, $24, 128;{{.*}}wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {{.*}}, {$12, $13, $14, $15}, tile, add, 1, 1, 1;
  gpu.func @products(%map: !llvm.ptr {unitile.tensor_map}, %o: !llvm.ptr<1>, %i: i32, %c: i1, %x: bf16, %z: f32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %k = unitile.alloc : !unitile.shared<64x16xbf16, 2>
    %b = unitile.barriers arrivals 1 : !unitile.barriers<2>
    unitile.tensor_copy %map[%i, %i] to %k[%i] on %b[%i] : !unitile.shared<64x16xbf16, 2>, !unitile.barriers<2>
    unitile.await %b[%i] parity %i : !unitile.barriers<2>
    %a = unitile.fill %x : bf16 -> !unitile.fragment<64x16xbf16>
    %p = unitile.fill %x : bf16 -> !unitile.fragment<64x64xbf16>
    %o0 = unitile.fill %z : f32 -> !unitile.fragment<64x16xf32>
    unitile.mma_fence
    %s = unitile.mma_start %a, %k[%i] : !unitile.fragment<64x16xbf16>, !unitile.shared<64x16xbf16, 2> -> !unitile.pending<64x64xf32>
    %r = unitile.mma_wait 0, %s reading %a : !unitile.pending<64x64xf32>, !unitile.fragment<64x16xbf16>
    unitile.store %r to %o row %i limit %i stride %stride : !unitile.fragment<64x64xf32>
    %on = unitile.mma_start %p, %k[%i], %o0 when %c by_rows : !unitile.fragment<64x64xbf16>, !unitile.shared<64x16xbf16, 2>, !unitile.fragment<64x16xf32> -> !unitile.pending<64x16xf32>
    %or = unitile.mma_wait 0, %on : !unitile.pending<64x16xf32>
    unitile.store %or to %o row %i limit %i stride %stride : !unitile.fragment<64x16xf32>
    gpu.return
  }
}
// PTX-LABEL: .entry products
// PTX:         wgmma.fence.sync.aligned
// PTX:         wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16
// PTX:         wgmma.commit_group.sync.aligned

// -----

gpu.module @votes {
  // Columns 8 apart share a thread: 28 of its 32 elements are added to the others.
  // CHECK-LABEL: gpu.func @votes
  // CHECK-COUNT-28: arith.addf
  // CHECK-NOT:      arith.addf
  // CHECK-COUNT-4:  arith.cmpf olt
  // CHECK:          nvvm.vote.sync all
  gpu.func @votes(%x: f32, %bound: f32, %o: !llvm.ptr<1>) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %a = unitile.fill %x : f32 -> !unitile.fragment<64x64xf32>
    %f = unitile.fold add %a : !unitile.fragment<64x64xf32> -> !unitile.fragment<64x8xf32>
    %t = unitile.all_below %f, %bound : !unitile.fragment<64x8xf32>
    llvm.store %t, %o : i1, !llvm.ptr<1>
    gpu.return
  }
}
// PTX-LABEL: .entry votes

// -----

gpu.module @turns {
  // CHECK-LABEL: gpu.func @turns
  // CHECK:         scf.if
  // CHECK:           llvm.inline_asm {{.*}}"bar.arrive $0, 256;"
  // CHECK:         llvm.inline_asm {{.*}}"bar.sync $0, 256;"
  // CHECK:         llvm.inline_asm {{.*}}"bar.arrive $0, 256;"
  gpu.func @turns() kernel attributes {known_block_size = array<i32: 384, 1, 1>} {
    unitile.partitions producer {
      %c0 = arith.constant 0 : i32
    } consumers {
      unitile.take_turn first
      unitile.take_turn
      unitile.pass_turn
    }
    gpu.return
  }
}
// PTX-LABEL: .entry turns

// -----

gpu.module @clears {
  // Whole rows of both panels, then the fence that the tensor cores need.
  // CHECK-LABEL: gpu.func @clears
  // CHECK:         scf.for %{{.*}} = %{{.*}} to %c64_i32
  // CHECK-COUNT-16:  llvm.store %{{.*}} {alignment = 16 : i64} : vector<4xi32>, !llvm.ptr<3>
  // CHECK:         llvm.inline_asm {{.*}}"fence.proxy.async.shared::cta;"
  gpu.func @clears(%row: i32) kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %t = unitile.alloc : !unitile.shared<64x128xbf16, 2>
    unitile.clear %t[%row] from %row : !unitile.shared<64x128xbf16, 2>
    gpu.return
  }
}
// PTX-LABEL: .entry clears

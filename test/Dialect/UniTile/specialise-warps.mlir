// RUN: unisparse-opt %s -split-input-file --pass-pipeline='builtin.module(unisparse-select-schedule{chip=sm_90a},convert-unisparse-to-unitile,unitile-pipeline,unitile-specialise-warps,gpu.module(unitile-decompose-softmax),canonicalize,cse,canonicalize)' | FileCheck %s
// RUN: unisparse-opt %s -split-input-file --pass-pipeline='builtin.module(unisparse-select-schedule{chip=sm_90a},convert-unisparse-to-unitile,unitile-pipeline,unitile-specialise-warps,gpu.module(unitile-decompose-softmax,unitile-verify-tile-contract,unitile-allocate-shared{limit=232448}))' | FileCheck %s --check-prefix=SHARED

!q = tensor<1x8x1000x128xbf16>
!k = tensor<1x2x1000x128xbf16>
!c = tensor<1x4x8xi32>
!i = tensor<1x4x8x8xi32>

// The page's regions in two partitions. The maps are arguments; the schedule stands on the kernel, every number decided.
// CHECK-LABEL: gpu.func @attend(
// CHECK-SAME:    %[[QM:[a-z0-9]+]]: !llvm.ptr {unitile.tensor_map}, %[[KM:[a-z0-9]*]]: !llvm.ptr {unitile.tensor_map}, %[[VM:[a-z0-9]*]]: !llvm.ptr {unitile.tensor_map}, %[[OM:[a-z0-9]*]]: !llvm.ptr {unitile.tensor_map}
// CHECK-SAME:    known_block_size = array<i32: 384, 1, 1>
// CHECK-SAME:    nvvm.minctasm = 1 : i32
// CHECK-SAME:    unitile.schedule = #unitile.schedule<stages = 3, keys = 128, ctas = 1, cluster = 1, producer_registers = 40, consumer_registers = 232>
// CHECK:         %[[Q:.*]] = unitile.alloc : !unitile.shared<128x128xbf16>
// CHECK-NEXT:    %[[K:.*]] = unitile.alloc : !unitile.shared<128x128xbf16, 3>
// CHECK-NEXT:    %[[V:.*]] = unitile.alloc : !unitile.shared<128x128xbf16, 3>
// CHECK-NEXT:    %[[FULLK:.*]] = unitile.barriers arrivals 1 : !unitile.barriers<3>
// CHECK-NEXT:    %[[FULLV:.*]] = unitile.barriers arrivals 1 : !unitile.barriers<3>
// A buffer is empty when each of the 8 warps has said so.
// CHECK-NEXT:    %[[EMPTYK:.*]] = unitile.barriers arrivals 8 : !unitile.barriers<3>
// CHECK-NEXT:    %[[EMPTYV:.*]] = unitile.barriers arrivals 8 : !unitile.barriers<3>
// CHECK:         unitile.barrier
// CHECK:         unitile.partitions registers<40, 232> producer {
// CHECK:           scf.while
// CHECK:             llvm.atomicrmw add
// A row of a head of a batch entry.
// CHECK:             unitile.tensor_copy %[[QM]][%{{.*}}, %{{.*}}, %{{.*}}] to %[[Q]]
// CHECK:             scf.for
// CHECK:               unitile.await %[[EMPTYK]]
// CHECK:               unitile.tensor_copy %[[KM]][%{{.*}}, %{{.*}}, %{{.*}}] to %[[K]][%[[S:.*]]] on %[[FULLK]][%[[S]]]
// CHECK:               unitile.await %[[EMPTYV]]
// CHECK:               unitile.tensor_copy %[[VM]][%{{.*}}, %{{.*}}, %{{.*}}] to %[[V]]
// CHECK:         } consumers {
// The stream's first block has scores alone.
// CHECK:           %[[Q0:.*]] = unitile.load %[[Q]]
// CHECK:           unitile.mma_start %[[Q0]], %[[K]]
// CHECK-NOT:       unitile.mma_start
// CHECK:           scf.while
// Blocks with keys to hide, then the plain ones: scores and the latest output
// in flight together, the exponentials behind the first wait, the check of
// their sums instead of a maximum.
// CHECK:             scf.for
// CHECK:               unitile.map indices
// CHECK:             scf.for
// CHECK:               unitile.mma_fence
// CHECK-NEXT:          %[[SS:.*]] = unitile.mma_start %{{.*}}, %[[K]][%{{.*}}] : !unitile.fragment<128x128xbf16>, !unitile.shared<128x128xbf16, 3> -> !unitile.pending<128x128xf32>
// CHECK-NEXT:          %[[OS:.*]] = unitile.mma_start %[[P:.*]], %[[V]][%{{.*}}], %{{.*}} when %{{.*}} by_rows
// CHECK-NEXT:          %[[SR:.*]] = unitile.mma_wait 1, %[[SS]]
// CHECK-NEXT:          unitile.arrive %[[EMPTYK]]
// CHECK-NOT:           unitile.map indices
// CHECK:               unitile.test %[[FULLK]]
// CHECK-NEXT:          unitile.test %[[FULLV]]
// CHECK:               unitile.mma_wait 0, %[[OS]] reading %[[P]]
// CHECK-NEXT:          unitile.arrive %[[EMPTYV]]
// CHECK-NEXT:          unitile.map ins(%[[SR]]
// CHECK:               unitile.fold add
// CHECK:               unitile.all_below
// CHECK:               scf.if
// CHECK:                 unitile.fold max
// The boundary: the next row's Q, its first scores beside the row's last
// output, which leaves through Q's buffer.
// CHECK:           } do {
// CHECK:             unitile.load %[[Q]]
// CHECK:             unitile.mma_start
// CHECK:             unitile.mma_wait 0
// A row that saw nothing is 0, chosen: its O may be NaN (A2, A5).
// CHECK:               %[[MEAN:.*]] = arith.mulf %{{.*}}, %[[INVERSE:.*]] : f32
// CHECK:               %[[BLIND:.*]] = arith.cmpf oeq, %[[INVERSE]], %cst{{.*}} : f32
// CHECK:               %[[X:.*]] = arith.select %[[BLIND]], %cst{{.*}}, %[[MEAN]] : f32
// CHECK:               arith.truncf %[[X]] : f32 to
// CHECK:             unitile.write %{{.*}} to %[[Q]]
// CHECK:             unitile.tensor_store %[[Q]][%{{.*}}] to %[[OM]][%{{.*}}, %{{.*}}, %{{.*}}]
// CHECK:             unitile.tensor_store_wait
// CHECK:           unitile.mma_start %{{.*}}, %[[V]]
// CHECK:           unitile.tensor_store_wait written

// CHECK-LABEL: func.func @selected(
// CHECK-NOT:     unisparse.
// CHECK:         %[[BYTES:.*]] = arith.constant 229508 : i32
// [head_dim, length, heads, batch], with the caller's strides, in bytes; o is
// contiguous, and leaves 64 rows at a time.
// CHECK:         %[[MPS:.*]] = unitile.multiprocessors
// CHECK:         %[[CTAS:.*]] = arith.minui %[[MPS]], %c64 : index
// CHECK:         %{{.*}}, %{{.*}}, %{{.*}}:4, %[[QS:.*]]:4 = memref.extract_strided_metadata
// CHECK:         %[[ROW:.*]] = arith.muli %[[QS]]#2, %c2
// CHECK:         %[[HEAD:.*]] = arith.muli %[[QS]]#1, %c2
// CHECK:         %[[BATCH:.*]] = arith.muli %[[QS]]#0, %c2
// CHECK:         unitile.tensor_map %{{.*}} sizes[%c128, %c1000, %c8, %c1] strides[%[[ROW]], %[[HEAD]], %[[BATCH]]] box [64, 128, 1, 1] : bf16
// (K and V are one tensor here.)
// CHECK:         unitile.tensor_map %{{.*}} sizes[%c128, %c1000, %c2, %c1] strides[%{{.*}}, %{{.*}}, %{{.*}}] box [64, 128, 1, 1] : bf16
// CHECK:         unitile.tensor_map %{{.*}} sizes[%c128, %c1000, %c8, %c1] strides[%c256, %c256000, %c2048000] box [64, 64, 1, 1] : bf16
// The counter of rows is cleared before the launch, which has no more CTAs than
// there are rows and than the device runs at once.
// CHECK:         gpu.memset
// CHECK:         gpu.launch_func @unisparse_kernels::@attend blocks in (%[[CTAS]], %c1, %c1) threads in (%c384, %c1, %c1) dynamic_shared_memory_size %[[BYTES]]
// CHECK-SAME:    {unitile.schedule = #unitile.schedule<stages = 3, keys = 128,

// The launch asks for what the allocation takes.
// SHARED: gpu.func @attend({{.*}} unitile.shared_bytes = 229508 : i64
func.func @selected(%q: !q, %k: !k, %c: !c, %i: !i) -> (!q, tensor<1x8x1000xf32>) {
  %o, %lse = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> causal return_lse
    {unitile.schedule = #unitile.schedule<cluster = 1>} : (!q, !k, !k, !c, !i) -> (!q, tensor<1x8x1000xf32>)
  return %o, %lse : !q, tensor<1x8x1000xf32>
}

// -----

!q = tensor<1x8x1000x128xbf16>

// A schedule that was asked for: the largest score so far, no check of sums,
// all products done before the exponentials.
// CHECK-LABEL: gpu.func @attend(
// CHECK-SAME:    unitile.schedule = #unitile.schedule<stages = 2, keys = 128, ctas = 1, cluster = 1, producer_registers = 40, consumer_registers = 232, reference = running, overlap = false, ping_pong = true>
// CHECK:         unitile.alloc : !unitile.shared<128x128xbf16, 2>
// CHECK:         } consumers {
// CHECK:           unitile.take_turn first
// CHECK:           scf.while
// CHECK:             scf.for
// CHECK:             scf.for
// CHECK:               unitile.take_turn
// CHECK-NEXT:          unitile.mma_fence
// CHECK-NEXT:          unitile.mma_start
// CHECK-NEXT:          unitile.mma_start
// CHECK-NEXT:          unitile.pass_turn
// CHECK-NEXT:          unitile.mma_wait 0
// CHECK:               unitile.reduce max
// CHECK-NOT:           unitile.all_below
// CHECK:           } do {
func.func @asked(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> causal
    {unitile.schedule = #unitile.schedule<stages = 2, reference = running, overlap = false, ping_pong = true>}
    : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x4096x64xf16>

// 64 query rows are one warpgroup: two blocks share a multiprocessor, where
// another number of registers is at hand.
// CHECK-LABEL: gpu.func @attend(
// CHECK-SAME:    known_block_size = array<i32: 256, 1, 1>
// CHECK-SAME:    nvvm.minctasm = 2 : i32
// CHECK-SAME:    unitile.schedule = #unitile.schedule<stages = 3, keys = 64, ctas = 2, cluster = 1, producer_registers = 40, consumer_registers = 216>
// CHECK:         %[[MPS:.*]] = unitile.multiprocessors
// CHECK:         %[[MOST:.*]] = arith.muli %[[MPS]], %c2 : index
// CHECK:         %[[CTAS:.*]] = arith.minui %[[MOST]], %c{{[0-9]+}} : index
// CHECK:         gpu.launch_func {{.*}} blocks in (%[[CTAS]], %c1, %c1) threads in (%c256, %c1, %c1)
func.func @one_warpgroup(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <64x64> : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
!k = tensor<1x2x1000x128xbf16>
!c = tensor<1x4x8xi32>
!i = tensor<1x4x8x8xi32>

// Two heads share each selection: two CTAs share every K and V.
// CHECK-LABEL: gpu.func @attend(
// CHECK-SAME:    %[[QM:[a-z0-9]+]]: !llvm.ptr {unitile.tensor_map}, %[[KM:[a-z0-9]*]]: !llvm.ptr {unitile.tensor_map}, %[[VM:[a-z0-9]*]]: !llvm.ptr {unitile.tensor_map}
// CHECK-SAME:    known_cluster_size = array<i32: 2, 1, 1>
// CHECK-SAME:    unitile.schedule = #unitile.schedule<stages = 3, keys = 128, ctas = 1, cluster = 2, producer_registers = 40, consumer_registers = 232, ping_pong = true>
// CHECK:         %[[Q:.*]] = unitile.alloc : !unitile.shared<128x128xbf16>
// CHECK:         %[[FULLK:.*]] = unitile.barriers arrivals 1 : !unitile.barriers<3>
// CHECK-NEXT:    %[[FULLV:.*]] = unitile.barriers arrivals 1 : !unitile.barriers<3>
// A buffer of K or V is empty when all warps of both blocks have said so, at the
// first one; Q's when the block's own have, and the other block has passed it on.
// CHECK-NEXT:    %[[EMPTYK:.*]] = unitile.barriers arrivals 16 : !unitile.barriers<3>
// CHECK-NEXT:    %[[EMPTYV:.*]] = unitile.barriers arrivals 16 : !unitile.barriers<3>
// CHECK-NEXT:    %[[FULLQ:.*]] = unitile.barriers arrivals 1 : !unitile.barriers<1>
// CHECK-NEXT:    %[[EMPTYQ:.*]] = unitile.barriers arrivals 256 : !unitile.barriers<1>
// CHECK-NEXT:    %[[OTHERQ:.*]] = unitile.barriers arrivals 1 : !unitile.barriers<1>
// CHECK-NEXT:    %[[WORDS:.*]] = unitile.words 5
// CHECK-NEXT:    unitile.barrier cluster
// CHECK-NEXT:    unitile.partitions registers<40, 232> producer {
// CHECK:           %[[RANK:.*]] = gpu.cluster_block_id x
// CHECK:           scf.if
// CHECK:             scf.while
// A row's words and Q go to each block, with the next head for the other.
// CHECK:               unitile.await %[[EMPTYQ]]
// CHECK-NEXT:          unitile.await cluster %[[OTHERQ]]
// CHECK:               llvm.store %[[HEAD:.*]], %{{.*}} : i32, !llvm.ptr<3>
// CHECK:               unitile.tensor_copy %[[QM]][{{.*}}] to %[[Q]][{{.*}}] on %[[FULLQ]][%{{[^]]*}}] :
// CHECK:               nvvm.mapa %[[WORDS]], %{{.*}} : !llvm.ptr<3> -> !llvm.ptr<7>
// CHECK-COUNT-5:       llvm.store %{{.*}}, %{{.*}} : i32, !llvm.ptr<7>
// CHECK:               unitile.tensor_copy after_writes %[[QM]][{{.*}}] to %[[Q]][{{.*}}] on %[[FULLQ]][%{{.*}}] ctas 2
// CHECK:               unitile.tensor_copy %[[KM]][{{.*}}] to %{{.*}} on %[[FULLK]][%{{.*}}] ctas 3
// CHECK:               unitile.tensor_copy %[[VM]][{{.*}}] to %{{.*}} on %[[FULLV]][%{{.*}}] ctas 3
// No row is left: each block is told.
// CHECK:             llvm.store %{{.*}}, %{{.*}} : i32, !llvm.ptr<3>
// CHECK-NEXT:        unitile.arrive by_thread %[[FULLQ]][%{{.*}}] :
// CHECK:             llvm.store %{{.*}}, %{{.*}} : i32, !llvm.ptr<7>
// CHECK-NEXT:        unitile.arrive by_thread %[[FULLQ]][%{{.*}}] of 1
// CHECK:           } else {
// CHECK:             scf.while
// CHECK:               unitile.await cluster %[[FULLQ]]
// CHECK:             } do {
// CHECK:               unitile.await %[[EMPTYQ]]
// CHECK-NEXT:          unitile.arrive by_thread %[[OTHERQ]][%{{.*}}] of 0
// CHECK:         } consumers {
// CHECK:           unitile.await cluster %[[FULLQ]]
// CHECK:           unitile.await %[[FULLK]]
// CHECK:           unitile.arrive %[[EMPTYK]][%{{.*}}] of 0
// CHECK:           scf.while
// CHECK:               unitile.mma_wait 1
// CHECK-NEXT:          unitile.arrive %[[EMPTYK]][%{{.*}}] of 0
// CHECK:               unitile.mma_wait 0
// CHECK-NEXT:          unitile.arrive %[[EMPTYV]][%{{.*}}] of 0
// CHECK:           unitile.tensor_store_wait written
// CHECK:         unitile.barrier cluster
// CHECK-NEXT:    gpu.return
// As many CTAs as alone: heads are whole pairs.
// CHECK-LABEL: func.func @pairs(
// CHECK:         %[[CTAS:.*]] = arith.minui %{{.*}}, %c64 : index
// CHECK:         gpu.launch_func @unisparse_kernels::@attend blocks in (%[[CTAS]], %c1, %c1)
func.func @pairs(%q: !q, %k: !k, %c: !c, %i: !i) -> !q {
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> causal : (!q, !k, !k, !c, !i) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>
!k = tensor<1x2x1000x128xbf16>
!c = tensor<1x8x8xi32>
!i = tensor<1x8x8x8xi32>

// Heads that select for themselves walk alone.
// CHECK-LABEL: gpu.func @attend(
// CHECK-NOT:     known_cluster_size
// CHECK-SAME:    cluster = 1
func.func @each_its_own(%q: !q, %k: !k, %c: !c, %i: !i) -> !q {
  %o = unisparse.block_sparse_attention %q, %k, %k selection(%c, %i) block <128x128> causal : (!q, !k, !k, !c, !i) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x64xf16>

// Q of 256 columns has no place in registers beside O: products read its tile.
// Its buffer takes O too, of fewer columns, and is handed back at a row's end;
// the last V of a row is brought before the next row's Q is waited for. Half a
// key block has room.
// CHECK-LABEL: gpu.func @attend(
// CHECK-SAME:    unitile.schedule = #unitile.schedule<stages = 2, keys = 64, ctas = 1, cluster = 1, producer_registers = 56, consumer_registers = 224>
// CHECK:         %[[Q:.*]] = unitile.alloc : !unitile.shared<128x256xbf16>
// CHECK-NEXT:    %[[K:.*]] = unitile.alloc : !unitile.shared<64x256xbf16, 2>
// CHECK-NEXT:    %[[V:.*]] = unitile.alloc : !unitile.shared<64x192xbf16, 2>
// CHECK:           scf.while
// CHECK:             unitile.tensor_copy {{.*}} to %[[V]]
// CHECK:             unitile.tensor_copy {{.*}} to %[[K]]
// CHECK:             unitile.tensor_copy {{.*}} to %[[Q]]
// CHECK:         } consumers {
// CHECK:           scf.while
// CHECK:           } do {
// CHECK-NOT:         unitile.load
// CHECK:             unitile.mma_start %[[Q]], %[[K]]
// CHECK:             scf.for
// CHECK:             unitile.write %{{.*}} to %[[Q]]
// CHECK:             unitile.tensor_store %[[Q]][%{{.*}}] columns 192 to
// CHECK:             unitile.tensor_store_wait
// CHECK:             unitile.arrive by_thread
// CHECK-NEXT:        scf.yield
func.func @wide(%q: tensor<1x8x1000x256xbf16>, %v: tensor<1x8x1000x192xbf16>) -> tensor<1x8x1000x192xbf16> {
  %o = unisparse.block_sparse_attention %q, %q, %v block <128x128> : (tensor<1x8x1000x256xbf16>, tensor<1x8x1000x256xbf16>, tensor<1x8x1000x192xbf16>) -> tensor<1x8x1000x192xbf16>
  return %o : tensor<1x8x1000x192xbf16>
}

// -----

!q = tensor<1x8x1000x64xf16>

// A packed batch: the producer finds a slot's sequence, V's rows behind the
// sequence's end are cleared, O's there are not sent.
// CHECK-LABEL: gpu.func @attend(
// CHECK:         unitile.partitions
// CHECK:           scf.while
// CHECK:             scf.while
// CHECK:             unitile.clear
// CHECK:         } consumers {
// CHECK:           scf.if
// CHECK:             unitile.tensor_store
// CHECK:           } else {
// CHECK:             unitile.store %{{.*}} : !unitile.fragment<64x64xf16>
// CHECK-LABEL: func.func @packed(
// 1000 / 64 slots and one for each of 2 sequences.
// CHECK:         gpu.launch_func
// CHECK-SAME:      %c2_i32 : i32, %c17_i32 : i32
func.func @packed(%q: !q, %cu: tensor<3xi32>) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q cu_seqlens(%cu, %cu) block <64x64> : (!q, !q, !q, tensor<3xi32>, tensor<3xi32>) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x64xf16>

// What has no such kernel keeps the portable one.
// CHECK-LABEL: gpu.func @attend(
// CHECK-NOT:     unitile.partitions
// CHECK:         unitile.copy_async
func.func @portable(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <32x64> : (!q, !q, !q) -> !q
  return %o : !q
}

// -----

!q = tensor<1x8x1000x128xbf16>

// Exponentials of a settled reference stand beside the output that is still running, and are rounded when it has arrived:
// no register that a product will read is written beside another one.
// CHECK-LABEL: gpu.func @attend(
// CHECK:         } consumers {
// CHECK-NOT:       unitile.all_below
// CHECK:           scf.for
// CHECK:             scf.for
// CHECK:               %[[S:.*]] = unitile.mma_start %{{.*}} : !unitile.fragment<128x128xbf16>, !unitile.shared<128x128xbf16, 3> -> !unitile.pending<128x128xf32>
// CHECK-NEXT:          %[[O:.*]] = unitile.mma_start %[[P:[a-z0-9#]+]], %{{.*}} when
// CHECK:               unitile.mma_wait 1, %[[S]]
// CHECK:               math.tanh
// CHECK:               %[[E:.*]] = unitile.map
// CHECK:                 math.exp2
// CHECK:               unitile.fold add %[[E]]
// CHECK-NOT:           arith.truncf
// CHECK:               unitile.mma_wait 0, %[[O]] reading %[[P]]
// CHECK:               unitile.map ins(%[[E]] : !unitile.fragment<128x128xf32>) -> !unitile.fragment<128x128xbf16>
// CHECK-NOT:       unitile.all_below
// CHECK:         gpu.return
func.func @capped(%q: !q) -> !q {
  %o = unisparse.block_sparse_attention %q, %q, %q block <128x128> causal softcap 50.0 : (!q, !q, !q) -> !q
  return %o : !q
}

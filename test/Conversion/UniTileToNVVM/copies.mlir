// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-allocate-shared,unitile-assign-layouts,convert-unitile-to-nvvm,canonicalize,cse))' | FileCheck %s

gpu.module @m {
  // 64 rows of 8 pieces for 128 threads: 16 rows at a time. Where a row does not
  // exist, 0 bytes are read and the tile gets zeros. The thread's pieces are 16
  // rows apart: one address in the tile and constants.
  // CHECK-LABEL: gpu.func @whole
  // CHECK-SAME:    %[[SOURCE:[a-z0-9]*]]: !llvm.ptr<1>, %[[ROW:[a-z0-9]*]]: i32, %[[LIMIT:[a-z0-9]*]]: i32, %[[STRIDE:[a-z0-9]*]]: i64
  // CHECK-DAG:     %[[NONE:.*]] = arith.constant 0 : i32
  // CHECK-DAG:     %[[ALL:.*]] = arith.constant 16 : i32
  // CHECK-DAG:     %[[STEP:.*]] = arith.constant 16 : i64
  // CHECK-NOT:     scf.if
  // CHECK:         %[[EXISTS:.*]] = arith.cmpi slt, %{{.*}}, %[[LIMIT]]
  // CHECK-NEXT:    %[[BYTES:.*]] = arith.select %[[EXISTS]], %[[ALL]], %[[NONE]]
  // CHECK-NEXT:    nvvm.cp.async.shared.global %[[FIRST:.*]], %[[FROM:.*]], 16, cache = cg, %[[BYTES]]
  // CHECK-NEXT:    %[[SECOND:.*]] = llvm.getelementptr %[[FIRST]][2048] : (!llvm.ptr<3>) -> !llvm.ptr<3>, i8
  // CHECK-NEXT:    %[[FAR:.*]] = arith.muli %[[STRIDE]], %[[STEP]]
  // CHECK-NEXT:    %[[NEXT:.*]] = llvm.getelementptr %[[FROM]][%[[FAR]]]
  // CHECK:         nvvm.cp.async.shared.global %[[SECOND]], %[[NEXT]], 16
  // CHECK-COUNT-2: nvvm.cp.async.shared.global
  // CHECK-NOT:     nvvm.cp.async.shared.global
  // CHECK:         nvvm.cp.async.commit.group
  gpu.func @whole(%source: !llvm.ptr<1>, %row: i32, %limit: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %zero = arith.constant 0 : i32
    %k = unitile.alloc : !unitile.shared<64x64xbf16>
    unitile.copy_async %source row %row limit %limit stride %stride to %k[%zero] : !unitile.shared<64x64xbf16>
    unitile.commit
    gpu.return
  }

  // 72 of 80 columns: the first 64 are there for every row, of the 2 pieces
  // behind them only the first.
  // CHECK-LABEL: gpu.func @width
  // CHECK-SAME:    i32, %[[LIMIT:[a-z0-9]*]]: i32
  // CHECK-DAG:     %[[NINE:.*]] = arith.constant 9 : i32
  // CHECK-COUNT-2: nvvm.cp.async.shared.global
  // CHECK:         %[[EXISTS:.*]] = arith.cmpi slt, %{{.*}}, %[[LIMIT]]
  // CHECK:         %[[THERE:.*]] = arith.cmpi slt, %{{.*}}, %[[NINE]]
  // CHECK-NEXT:    %[[BOTH:.*]] = arith.andi %[[EXISTS]], %[[THERE]]
  // CHECK-NEXT:    arith.select %[[BOTH]]
  // CHECK:         nvvm.cp.async.shared.global
  // CHECK-NOT:     nvvm.cp.async.shared.global
  // CHECK:         gpu.return
  gpu.func @width(%source: !llvm.ptr<1>, %row: i32, %limit: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %zero = arith.constant 0 : i32
    %k = unitile.alloc : !unitile.shared<32x80xbf16>
    unitile.copy_async %source row %row limit %limit stride %stride width 72 to %k[%zero] : !unitile.shared<32x80xbf16>
    gpu.return
  }

  // 6 pieces of a row are 4 for 32 rows of threads and 2 for 64: 24 rows are
  // there.
  // CHECK-LABEL: gpu.func @uneven
  // CHECK-DAG:     %[[TWO:.*]] = arith.constant 2 : i32
  // CHECK-DAG:     %[[FOUR:.*]] = arith.constant 4 : i32
  // CHECK-DAG:     %[[ROWS:.*]] = arith.constant 24 : i32
  // CHECK:         %[[R4:.*]] = arith.divui %{{.*}}, %[[FOUR]]
  // CHECK:         %[[HERE4:.*]] = arith.cmpi slt, %[[R4]], %[[ROWS]]
  // CHECK-NEXT:    scf.if %[[HERE4]] {
  // CHECK:           nvvm.cp.async.shared.global
  // CHECK:         %[[R2:.*]] = arith.divui %{{.*}}, %[[TWO]]
  // CHECK:         %[[HERE2:.*]] = arith.cmpi slt, %[[R2]], %[[ROWS]]
  // CHECK-NEXT:    scf.if %[[HERE2]] {
  // CHECK:           nvvm.cp.async.shared.global
  // CHECK-NOT:     nvvm.cp.async.shared.global
  // CHECK:         gpu.return
  gpu.func @uneven(%source: !llvm.ptr<1>, %row: i32, %limit: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %zero = arith.constant 0 : i32
    %k = unitile.alloc : !unitile.shared<24x48xbf16>
    unitile.copy_async %source row %row limit %limit stride %stride to %k[%zero] : !unitile.shared<24x48xbf16>
    gpu.return
  }

  // Row r of the tile takes row r / 16 * 10 + r % 16 of the source, if r % 16 is
  // below 10.
  // CHECK-LABEL: gpu.func @take
  // CHECK-SAME:    %{{.*}}: !llvm.ptr<1>, %[[FIRST:[a-z0-9]*]]: i32, %[[LIMIT:[a-z0-9]*]]: i32
  // CHECK-DAG:     %[[TAKE:.*]] = arith.constant 10 : i32
  // CHECK-DAG:     %[[OF:.*]] = arith.constant 16 : i32
  // CHECK:         %[[BLOCK:.*]] = arith.divui %[[R:.*]], %[[OF]]
  // CHECK:         %[[SKIPPED:.*]] = arith.muli %[[BLOCK]], %[[TAKE]]
  // CHECK:         %[[WITHIN:.*]] = arith.remui %[[R]], %[[OF]]
  // CHECK:         %[[FROM:.*]] = arith.addi %[[SKIPPED]], %[[WITHIN]]
  // CHECK:         %[[ROW:.*]] = arith.addi %[[FIRST]], %[[FROM]]
  // CHECK:         arith.extsi %[[ROW]]
  // CHECK-DAG:     %[[EXISTS:.*]] = arith.cmpi slt, %[[ROW]], %[[LIMIT]]
  // CHECK-DAG:     %[[TAKEN:.*]] = arith.cmpi slt, %[[WITHIN]], %[[TAKE]]
  // CHECK:         %[[BOTH:.*]] = arith.andi %[[EXISTS]], %[[TAKEN]]
  // CHECK-NEXT:    arith.select %[[BOTH]]
  // CHECK:         nvvm.cp.async.shared.global
  gpu.func @take(%source: !llvm.ptr<1>, %row: i32, %limit: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %zero = arith.constant 0 : i32
    %k = unitile.alloc : !unitile.shared<32x64xbf16>
    unitile.copy_async %source row %row limit %limit stride %stride take 10 of 16 to %k[%zero] : !unitile.shared<32x64xbf16>
    gpu.return
  }

  // Of a fragment's 16 columns 10 are stored: a thread's first pair, and of the
  // second those of the quad's first thread.
  // CHECK-LABEL: gpu.func @store
  // CHECK-DAG:     %[[TEN:.*]] = arith.constant 10 : i32
  // CHECK:         scf.if
  // CHECK:           llvm.store %{{.*}} : vector<2xf32>, !llvm.ptr<1>
  // CHECK:           %[[INSIDE:.*]] = arith.cmpi slt, %{{.*}}, %[[TEN]]
  // CHECK:           scf.if %[[INSIDE]] {
  // CHECK:             llvm.store %{{.*}} : vector<2xf32>, !llvm.ptr<1>
  gpu.func @store(%x: f32, %o: !llvm.ptr<1>, %row: i32, %limit: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    %a = unitile.fill %x : f32 -> !unitile.fragment<16x16xf32>
    unitile.store %a to %o row %row limit %limit stride %stride width 10 : !unitile.fragment<16x16xf32>
    gpu.return
  }

  // Columns behind the width's eight are not looked at.
  // CHECK-LABEL: gpu.func @store_eight
  // CHECK-COUNT-2: llvm.store
  // CHECK-NOT:     llvm.store
  // CHECK:         gpu.return
  gpu.func @store_eight(%x: f32, %o: !llvm.ptr<1>, %row: i32, %limit: i32, %stride: i64)
      kernel attributes {known_block_size = array<i32: 32, 1, 1>} {
    %a = unitile.fill %x : f32 -> !unitile.fragment<16x16xf32>
    unitile.store %a to %o row %row limit %limit stride %stride width 8 : !unitile.fragment<16x16xf32>
    gpu.return
  }
}

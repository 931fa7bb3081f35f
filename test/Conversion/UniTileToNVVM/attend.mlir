// RUN: unisparse-opt %s --verify-roundtrip -o /dev/null
// RUN: unisparse-opt %s --pass-pipeline='builtin.module(unitile-to-nvvm-pipeline{chip=sm_80 format=llvm})' | FileCheck %s --check-prefix=LLVM
// RUN: unisparse-opt %s --pass-pipeline='builtin.module(unitile-to-nvvm-pipeline{chip=sm_80})' | FileCheck %s --check-prefix=PTX
// RUN: not unisparse-opt %s --pass-pipeline='builtin.module(unitile-to-nvvm-pipeline{chip=sm_70})' 2>&1 | FileCheck %s --check-prefix=CHIP

// Block-sparse attention as a page of tile code: bf16, head_dim 128, 128 x 128
// blocks, causal, on contiguous [B, H, L, D]. A CTA of 8 warps attends one
// query block; K and V have one stage each, loaded while the other is
// multiplied.

// The launch must ask for this much shared memory: Q, K and V.
// LLVM-NOT: unitile.
// LLVM:     llvm.func @attend
// LLVM-DAG: nvvm.cp.async.shared.global
// LLVM-DAG: nvvm.ldmatrix
// LLVM-DAG: nvvm.mma.sync

// PTX: .target sm_80
// PTX: .entry attend
// PTX: .maxntid 256
// PTX-DAG: cp.async.cg.shared.global
// PTX-DAG: ldmatrix.sync.aligned.m8n8.x4.shared.b16
// PTX-DAG: mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32
// PTX-DAG: ex2.approx.ftz.f32
// PTX-DAG: ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16
// No call of libdevice.
// PTX-NOT: __nv_

// CHIP: expected a chip among sm_80, {{.*}}, got 'sm_70'

module attributes {gpu.container_module} {
gpu.module @kernels {
  gpu.func @attend(%q: !llvm.ptr<1>, %k: !llvm.ptr<1>, %v: !llvm.ptr<1>, %o: !llvm.ptr<1>, %lse: !llvm.ptr<1>,
                   %counts: !llvm.ptr<1>, %indices: !llvm.ptr<1>, %lq: i32, %lk: i32, %hq: i32, %group: i32,
                   %rows: i32, %blocks: i32, %scale: f32)
      kernel attributes {known_block_size = array<i32: 256, 1, 1>} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c127 = arith.constant 127 : i32
    %c128 = arith.constant 128 : i32
    %zero = arith.constant 0.0 : f32
    %one = arith.constant 1.0 : f32
    %lowest = arith.constant -3.40282347E+38 : f32
    %neginf = arith.constant 0xFF800000 : f32
    %ln2 = arith.constant 0.693147180559945 : f32
    %stride = arith.constant 128 : i64
    %unit = arith.constant 1 : i64
    // longest rows first
    %rx = gpu.block_id x
    %rxi = arith.index_cast %rx : index to i32
    %rm1 = arith.subi %rows, %c1 : i32
    %r = arith.subi %rm1, %rxi : i32
    %hx = gpu.block_id y
    %h = arith.index_cast %hx : index to i32
    %bx = gpu.block_id z
    %b = arith.index_cast %bx : index to i32
    %bh0 = arith.muli %b, %hq : i32
    %bh = arith.addi %bh0, %h : i32
    %bkv = arith.divui %bh, %group : i32
    %bh64 = arith.extsi %bh : i32 to i64
    %bkv64 = arith.extsi %bkv : i32 to i64
    %lq64 = arith.extsi %lq : i32 to i64
    %lk64 = arith.extsi %lk : i32 to i64
    %qr = arith.muli %bh64, %lq64 : i64
    %kr = arith.muli %bkv64, %lk64 : i64
    %qe = arith.muli %qr, %stride : i64
    %ke = arith.muli %kr, %stride : i64
    %qh = llvm.getelementptr %q[%qe] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, bf16
    %oh = llvm.getelementptr %o[%qe] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, bf16
    %lh = llvm.getelementptr %lse[%qr] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, f32
    %kh = llvm.getelementptr %k[%ke] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, bf16
    %vh = llvm.getelementptr %v[%ke] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, bf16
    %row0 = arith.muli %r, %c128 : i32
    %rows64 = arith.extsi %rows : i32 to i64
    %blocks64 = arith.extsi %blocks : i32 to i64
    %r64 = arith.extsi %r : i32 to i64
    %cr0 = arith.muli %bh64, %rows64 : i64
    %cr = arith.addi %cr0, %r64 : i64
    %ir = arith.muli %cr, %blocks64 : i64
    %cp = llvm.getelementptr %counts[%cr] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, i32
    %count = llvm.load %cp : !llvm.ptr<1> -> i32
    %ip = llvm.getelementptr %indices[%ir] : (!llvm.ptr<1>, i64) -> !llvm.ptr<1>, i32
    %delta = arith.subi %lk, %lq : i32
    %q0d = arith.addi %row0, %delta : i32

    %qs = unitile.alloc : !unitile.shared<128x128xbf16>
    %ks = unitile.alloc : !unitile.shared<128x128xbf16>
    %vs = unitile.alloc : !unitile.shared<128x128xbf16>
    unitile.copy_async %qh row %row0 limit %lq stride %stride to %qs[%c0] : !unitile.shared<128x128xbf16>
    %j0 = llvm.load %ip : !llvm.ptr<1> -> i32
    %k0 = arith.muli %j0, %c128 : i32
    unitile.copy_async %kh row %k0 limit %lk stride %stride to %ks[%c0] : !unitile.shared<128x128xbf16>
    unitile.commit
    unitile.wait 0
    unitile.barrier
    %qf = unitile.load %qs[%c0] : !unitile.shared<128x128xbf16> -> !unitile.fragment<128x128xbf16>
    %o0 = unitile.fill %zero : f32 -> !unitile.fragment<128x128xf32>
    %m0 = unitile.fill %lowest : f32 -> !unitile.rows<128xf32>
    %l0 = unitile.fill %zero : f32 -> !unitile.rows<128xf32>
    %of, %mf, %lf, %jf = scf.for %n = %c0 to %count step %c1 iter_args(%oa = %o0, %ma = %m0, %la = %l0, %j = %j0)
        -> (!unitile.fragment<128x128xf32>, !unitile.rows<128xf32>, !unitile.rows<128xf32>, i32) : i32 {
      %key0 = arith.muli %j, %c128 : i32
      unitile.copy_async %vh row %key0 limit %lk stride %stride to %vs[%c0] : !unitile.shared<128x128xbf16>
      unitile.commit
      unitile.wait 1
      unitile.barrier
      %sz = unitile.fill %zero : f32 -> !unitile.fragment<128x128xf32>
      %s = unitile.mma %qf, %ks[%c0], %sz : !unitile.fragment<128x128xbf16>, !unitile.shared<128x128xbf16>, !unitile.fragment<128x128xf32>
      unitile.barrier
      %n1 = arith.addi %n, %c1 : i32
      %cm1 = arith.subi %count, %c1 : i32
      %nn = arith.minsi %n1, %cm1 : i32
      %ipn = llvm.getelementptr %ip[%nn] : (!llvm.ptr<1>, i32) -> !llvm.ptr<1>, i32
      %jn = llvm.load %ipn : !llvm.ptr<1> -> i32
      %keyn = arith.muli %jn, %c128 : i32
      unitile.copy_async %kh row %keyn limit %lk stride %stride to %ks[%c0] : !unitile.shared<128x128xbf16>
      unitile.commit
      // keys past the diagonal or the end are masked, where the block has any
      %lastkey = arith.addi %key0, %c127 : i32
      %diag = arith.cmpi sgt, %lastkey, %q0d : i32
      %tail = arith.cmpi sge, %lastkey, %lk : i32
      %masked = arith.ori %diag, %tail : i1
      %sm = scf.if %masked -> (!unitile.fragment<128x128xf32>) {
        %x = unitile.map indices ins(%s : !unitile.fragment<128x128xf32>) -> !unitile.fragment<128x128xf32> {
        ^bb0(%i: i32, %c: i32, %e: f32):
          %key = arith.addi %key0, %c : i32
          %pos = arith.addi %q0d, %i : i32
          %a = arith.cmpi sle, %key, %pos : i32
          %bb = arith.cmpi slt, %key, %lk : i32
          %ok = arith.andi %a, %bb : i1
          %y = arith.select %ok, %e, %neginf : f32
          unitile.yield %y : f32
        }
        scf.yield %x : !unitile.fragment<128x128xf32>
      } else {
        scf.yield %s : !unitile.fragment<128x128xf32>
      }
      %m = unitile.reduce max %sm, %ma : !unitile.fragment<128x128xf32>, !unitile.rows<128xf32>
      %ms = unitile.map ins(%m : !unitile.rows<128xf32>) -> !unitile.rows<128xf32> {
      ^bb0(%x: f32):
        %y = arith.mulf %x, %scale : f32
        unitile.yield %y : f32
      }
      %shrink = unitile.map ins(%ma, %ms : !unitile.rows<128xf32>, !unitile.rows<128xf32>) -> !unitile.rows<128xf32> {
      ^bb0(%old: f32, %new: f32):
        %a = arith.mulf %old, %scale : f32
        %d = arith.subf %a, %new : f32
        %e = math.exp2 %d : f32
        unitile.yield %e : f32
      }
      %p = unitile.map ins(%sm, %ms : !unitile.fragment<128x128xf32>, !unitile.rows<128xf32>) -> !unitile.fragment<128x128xf32> {
      ^bb0(%x: f32, %top: f32):
        %nt = arith.negf %top : f32
        %d = math.fma %x, %scale, %nt : f32
        %e = math.exp2 %d : f32
        unitile.yield %e : f32
      }
      %ls = unitile.map ins(%la, %shrink : !unitile.rows<128xf32>, !unitile.rows<128xf32>) -> !unitile.rows<128xf32> {
      ^bb0(%x: f32, %y: f32):
        %z = arith.mulf %x, %y : f32
        unitile.yield %z : f32
      }
      %l = unitile.reduce add %p, %ls : !unitile.fragment<128x128xf32>, !unitile.rows<128xf32>
      %os = unitile.map ins(%oa, %shrink : !unitile.fragment<128x128xf32>, !unitile.rows<128xf32>) -> !unitile.fragment<128x128xf32> {
      ^bb0(%x: f32, %y: f32):
        %z = arith.mulf %x, %y : f32
        unitile.yield %z : f32
      }
      %pb = unitile.map ins(%p : !unitile.fragment<128x128xf32>) -> !unitile.fragment<128x128xbf16> {
      ^bb0(%x: f32):
        %y = arith.truncf %x : f32 to bf16
        unitile.yield %y : bf16
      }
      unitile.wait 1
      unitile.barrier
      %on = unitile.mma %pb, %vs[%c0], %os by_rows : !unitile.fragment<128x128xbf16>, !unitile.shared<128x128xbf16>, !unitile.fragment<128x128xf32>
      unitile.barrier
      scf.yield %on, %m, %l, %jn : !unitile.fragment<128x128xf32>, !unitile.rows<128xf32>, !unitile.rows<128xf32>, i32
    }
    unitile.wait 0
    %ob = unitile.map ins(%of, %lf : !unitile.fragment<128x128xf32>, !unitile.rows<128xf32>) -> !unitile.fragment<128x128xbf16> {
    ^bb0(%x: f32, %sum: f32):
      %blind = arith.cmpf oeq, %sum, %zero : f32
      %den = arith.select %blind, %one, %sum : f32
      %y = arith.divf %x, %den : f32
      %z = arith.truncf %y : f32 to bf16
      unitile.yield %z : bf16
    }
    unitile.store %ob to %oh row %row0 limit %lq stride %stride : !unitile.fragment<128x128xbf16>
    %lv = unitile.map ins(%mf, %lf : !unitile.rows<128xf32>, !unitile.rows<128xf32>) -> !unitile.rows<128xf32> {
    ^bb0(%m: f32, %sum: f32):
      %a = arith.mulf %m, %scale : f32
      %lg = math.log2 %sum : f32
      %t = arith.addf %a, %lg : f32
      %n = arith.mulf %t, %ln2 : f32
      %blind = arith.cmpf oeq, %sum, %zero : f32
      %y = arith.select %blind, %neginf, %n : f32
      unitile.yield %y : f32
    }
    unitile.store %lv to %lh row %row0 limit %lq stride %unit : !unitile.rows<128xf32>
    gpu.return
  }
}
}

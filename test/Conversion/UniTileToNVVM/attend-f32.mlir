// RUN: unisparse-opt %s --verify-roundtrip -o /dev/null
// RUN: unisparse-opt %s --pass-pipeline='builtin.module(unitile-to-nvvm-pipeline{chip=sm_80})' | FileCheck %s

// Dense attention in f32 as a page of tile code: head_dim 64, 64 x 64 blocks,
// one head, o alone. One block of 4 warps attends 64 queries.

// CHECK:     .target sm_80
// CHECK:     .entry attend
// CHECK-DAG: cp.async.cg.shared.global
// CHECK-DAG: cvt.rna.tf32.f32
// CHECK-DAG: mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32
// CHECK-NOT: ldmatrix
// CHECK-NOT: __nv_

!tile = !unitile.shared<64x64xf32>
!frag = !unitile.fragment<64x64xf32>
!rows = !unitile.rows<64xf32>

module attributes {gpu.container_module} {
gpu.module @kernels {
  gpu.func @attend(%q: !llvm.ptr<1>, %k: !llvm.ptr<1>, %v: !llvm.ptr<1>, %o: !llvm.ptr<1>, %lq: i32, %lk: i32,
                   %blocks: i32, %scale: f32)
      kernel attributes {known_block_size = array<i32: 128, 1, 1>} {
    %c0 = arith.constant 0 : i32
    %c1 = arith.constant 1 : i32
    %c64 = arith.constant 64 : i32
    %zero = arith.constant 0.0 : f32
    %lowest = arith.constant -3.40282347E+38 : f32
    %neginf = arith.constant 0xFF800000 : f32
    %stride = arith.constant 64 : i64
    %rx = gpu.block_id x
    %r = arith.index_cast %rx : index to i32
    %row0 = arith.muli %r, %c64 : i32
    %qs = unitile.alloc : !tile
    %ks = unitile.alloc : !tile
    %vs = unitile.alloc : !tile
    unitile.copy_async %q row %row0 limit %lq stride %stride to %qs[%c0] : !tile
    unitile.copy_async %k row %c0 limit %lk stride %stride to %ks[%c0] : !tile
    unitile.commit
    unitile.wait 0
    unitile.barrier
    %qf = unitile.load %qs[%c0] : !tile -> !frag
    %o0 = unitile.fill %zero : f32 -> !frag
    %m0 = unitile.fill %lowest : f32 -> !rows
    %l0 = unitile.fill %zero : f32 -> !rows
    %of, %mf, %lf = scf.for %n = %c0 to %blocks step %c1 iter_args(%oa = %o0, %ma = %m0, %la = %l0)
        -> (!frag, !rows, !rows) : i32 {
      %key0 = arith.muli %n, %c64 : i32
      unitile.copy_async %v row %key0 limit %lk stride %stride to %vs[%c0] : !tile
      unitile.commit
      unitile.wait 1
      unitile.barrier
      %sz = unitile.fill %zero : f32 -> !frag
      %s = unitile.mma %qf, %ks[%c0], %sz : !frag, !tile, !frag
      unitile.barrier
      // rows at or past the limit are not read: behind the last block, zeros
      %keyn = arith.addi %key0, %c64 : i32
      unitile.copy_async %k row %keyn limit %lk stride %stride to %ks[%c0] : !tile
      unitile.commit
      %sm = unitile.map indices ins(%s : !frag) -> !frag {
      ^bb0(%i: i32, %c: i32, %e: f32):
        %key = arith.addi %key0, %c : i32
        %ok = arith.cmpi slt, %key, %lk : i32
        %y = arith.select %ok, %e, %neginf : f32
        unitile.yield %y : f32
      }
      %m = unitile.reduce max %sm, %ma : !frag, !rows
      %shrink = unitile.map ins(%ma, %m : !rows, !rows) -> !rows {
      ^bb0(%old: f32, %new: f32):
        %d = arith.subf %old, %new : f32
        %x = arith.mulf %d, %scale : f32
        %e = math.exp2 %x : f32
        unitile.yield %e : f32
      }
      // P is f32 as it is: the A operand of the next product.
      %p = unitile.map ins(%sm, %m : !frag, !rows) -> !frag {
      ^bb0(%x: f32, %top: f32):
        %d = arith.subf %x, %top : f32
        %y = arith.mulf %d, %scale : f32
        %e = math.exp2 %y : f32
        unitile.yield %e : f32
      }
      %ls = unitile.map ins(%la, %shrink : !rows, !rows) -> !rows {
      ^bb0(%x: f32, %y: f32):
        %z = arith.mulf %x, %y : f32
        unitile.yield %z : f32
      }
      %l = unitile.reduce add %p, %ls : !frag, !rows
      %os = unitile.map ins(%oa, %shrink : !frag, !rows) -> !frag {
      ^bb0(%x: f32, %y: f32):
        %z = arith.mulf %x, %y : f32
        unitile.yield %z : f32
      }
      unitile.wait 1
      unitile.barrier
      %on = unitile.mma %p, %vs[%c0], %os by_rows : !frag, !tile, !frag
      unitile.barrier
      scf.yield %on, %m, %l : !frag, !rows, !rows
    }
    unitile.wait 0
    %ob = unitile.map ins(%of, %lf : !frag, !rows) -> !frag {
    ^bb0(%x: f32, %sum: f32):
      %y = arith.divf %x, %sum : f32
      unitile.yield %y : f32
    }
    unitile.store %ob to %o row %row0 limit %lq stride %stride : !frag
    gpu.return
  }
}
}

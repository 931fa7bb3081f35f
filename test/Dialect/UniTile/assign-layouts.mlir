// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-assign-layouts))' | FileCheck %s
// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-assign-layouts))' --verify-roundtrip -o /dev/null
// RUN: unisparse-opt %s --pass-pipeline='builtin.module(gpu.module(unitile-assign-layouts,unitile-assign-layouts))' | FileCheck %s

!tile = !unitile.shared<64x64xbf16>
!tile32 = !unitile.shared<64x64xf32>
!in = !unitile.fragment<64x64xbf16>
!acc = !unitile.fragment<64x64xf32>
!rows = !unitile.rows<64xf32>

gpu.module @m {
  // From the atom to a, to the sums, and to all that is computed from them,
  // through loops and branches.
  // CHECK-LABEL: gpu.func @product
  // CHECK:         %[[A:.*]] = unitile.load {{.*}} -> !unitile.fragment<64x64xbf16, #unitile.mma_fragment>
  // CHECK:         scf.for {{.*}} -> (!unitile.fragment<64x64xf32, #unitile.mma_fragment>, !unitile.rows<64xf32, #unitile.mma_fragment>)
  // CHECK:           unitile.mma %[[A]], {{.*}} atom(#unitile.mma_sync) :
  // CHECK:           unitile.reduce max {{.*}} : !unitile.fragment<64x64xf32, #unitile.mma_fragment>, !unitile.rows<64xf32, #unitile.mma_fragment>
  // CHECK:           scf.if {{.*}} -> (!unitile.fragment<64x64xf32, #unitile.mma_fragment>)
  // CHECK:         unitile.fold add {{.*}} -> !unitile.fragment<64x8xf32, #unitile.mma_fragment>
  gpu.func @product(%n: i32, %c: i1, %z: f32) kernel {
    %c1 = arith.constant 1 : i32
    %k = unitile.alloc : !tile
    %a = unitile.load %k[%n] : !tile -> !in
    %zero = unitile.fill %z : f32 -> !acc
    %low = unitile.fill %z : f32 -> !rows
    %o, %m = scf.for %i = %c1 to %n step %c1 iter_args(%acc = %zero, %top = %low) -> (!acc, !rows) : i32 {
      %s = unitile.mma %a, %k[%n], %acc : !in, !tile, !acc
      %t = unitile.reduce max %s, %top : !acc, !rows
      %r = scf.if %c -> !acc {
        %d = unitile.map ins(%s, %t : !acc, !rows) -> !acc {
        ^bb0(%x: f32, %y: f32):
          %e = arith.subf %x, %y : f32
          unitile.yield %e : f32
        }
        scf.yield %d : !acc
      } else {
        scf.yield %s : !acc
      }
      scf.yield %r, %t : !acc, !rows
    }
    %f = unitile.fold add %o : !acc -> !unitile.fragment<64x8xf32>
    gpu.return
  }

  // The element type decides which instruction multiplies.
  // CHECK-LABEL: gpu.func @product_f32
  // CHECK:         unitile.mma {{.*}} by_rows atom(#unitile.mma_3xtf32) :
  gpu.func @product_f32(%n: i32, %z: f32) kernel {
    %k = unitile.alloc : !tile32
    %a = unitile.fill %z : f32 -> !acc
    %s = unitile.mma %a, %k[%n], %a by_rows : !acc, !tile32, !acc
    gpu.return
  }

  // What is in flight is laid out as what it becomes.
  // CHECK-LABEL: gpu.func @in_flight
  // CHECK:         unitile.mma_start {{.*}} atom(#unitile.wgmma) : !unitile.fragment<64x64xbf16, #unitile.mma_fragment>, !unitile.shared<64x64xbf16> -> !unitile.pending<64x64xf32, #unitile.mma_fragment>
  // CHECK:         unitile.mma_wait 0, {{.*}} : !unitile.pending<64x64xf32, #unitile.mma_fragment>
  gpu.func @in_flight(%n: i32) kernel {
    %k = unitile.alloc : !tile
    %a = unitile.load %k[%n] : !tile -> !in
    %s = unitile.mma_start %a, %k[%n] : !in, !tile -> !unitile.pending<64x64xf32>
    %r = unitile.mma_wait 0, %s : !unitile.pending<64x64xf32>
    gpu.return
  }

  // Between blocks, by a choice, and beside memory that is an argument of the
  // block alone.
  // CHECK-LABEL: gpu.func @blocks
  // CHECK-SAME:      (%{{.*}}: i1, %{{.*}}: !unitile.fragment<64x16xf32, #unitile.row_fragment>, %{{.*}}: !unitile.rows<64xf32, #unitile.mma_fragment>) workgroup(%{{.*}} : memref<4xf32, #gpu.address_space<workgroup>>)
  // CHECK:         arith.select %{{.*}} : !unitile.fragment<64x16xf32, #unitile.row_fragment>
  // CHECK:       ^bb1(%{{.*}}: i32, %{{.*}}: !unitile.fragment<64x16xf32, #unitile.row_fragment>):
  gpu.func @blocks(%c: i1, %x: !unitile.fragment<64x16xf32, #unitile.row_fragment>, %m: !rows) workgroup(%w: memref<4xf32, #gpu.address_space<workgroup>>) kernel {
    %n = arith.constant 0 : i32
    %z = arith.constant 0.0 : f32
    %y = unitile.fill %z : f32 -> !unitile.fragment<64x16xf32, #unitile.row_fragment>
    %s = arith.select %c, %x, %y : !unitile.fragment<64x16xf32, #unitile.row_fragment>
    cf.br ^bb1(%n, %s : i32, !unitile.fragment<64x16xf32, #unitile.row_fragment>)
  ^bb1(%i: i32, %t: !unitile.fragment<64x16xf32, #unitile.row_fragment>):
    gpu.return
  }

  // What a person asks for stays, and spreads; the rest of the kernel is another
  // matter.
  // CHECK-LABEL: gpu.func @asked_for
  // CHECK:         %[[X:.*]] = unitile.fill {{.*}} -> !unitile.fragment<64x16xf32, #unitile.row_fragment>
  // CHECK:         %[[M:.*]] = unitile.fill {{.*}} -> !unitile.rows<64xf32, #unitile.row_fragment>
  // CHECK:         unitile.reduce add %[[X]], %[[M]] : !unitile.fragment<64x16xf32, #unitile.row_fragment>, !unitile.rows<64xf32, #unitile.row_fragment>
  // CHECK:         unitile.fill {{.*}} -> !unitile.rows<64xf32, #unitile.mma_fragment>
  gpu.func @asked_for(%z: f32) kernel {
    %x = unitile.fill %z : f32 -> !unitile.fragment<64x16xf32, #unitile.row_fragment>
    %m = unitile.fill %z : f32 -> !unitile.rows<64xf32, #unitile.row_fragment>
    %y = unitile.map ins(%x, %m : !unitile.fragment<64x16xf32, #unitile.row_fragment>, !unitile.rows<64xf32, #unitile.row_fragment>) -> !unitile.fragment<64x16xf32, #unitile.row_fragment> {
    ^bb0(%e: f32, %f: f32):
      unitile.yield %e : f32
    }
    %s = unitile.reduce add %x, %m : !unitile.fragment<64x16xf32, #unitile.row_fragment>, !unitile.rows<64xf32, #unitile.row_fragment>
    %other = unitile.fill %z : f32 -> !rows
    gpu.return
  }
}

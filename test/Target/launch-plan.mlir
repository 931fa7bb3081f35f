// RUN: unisparse-compile %s -o %t.usp
// RUN: unisparse-compile --show=%t.usp | FileCheck %s
// RUN: unisparse-opt %s --unisparse-verify-launch-contract | unisparse-opt -o %t.mlir

// A host function as the GPU pipeline leaves it, compiled already: no --chip.

!q = memref<?x32x?x128xbf16, strided<[?, ?, ?, ?], offset: ?>>
!cu = memref<?xi32, strided<[?], offset: ?>>

// CHECK:      @main, written by UniSparse {{[0-9.]+}} with LLVM {{[0-9]+}}
// Strides that somebody reads are the caller's; where nobody does, the kernels
// take the tensor for contiguous.
// CHECK-NEXT: input   q: bf16 [q.size(0), 32, q.size(2), 128], contiguous rows
// CHECK-NEXT: input   k: bf16 [k.size(0), 8, k.size(2), 128], contiguous
// CHECK-NEXT: input   input 2: i32 [input 2.size(0)], contiguous
// CHECK-NEXT: input   scales: f32 [4, 8], contiguous
// CHECK-NEXT: output  o: bf16 [q.size(0), 32, q.size(2), 128], contiguous
// CHECK-NEXT: output  output 1: f32 [q.size(0), 32, q.size(2)], contiguous
// CHECK-NEXT: check   I7: the length of q <= the length of k; q.size(2) <= k.size(2)
// CHECK-NEXT: check   I7: 128 keys <= the length of k; 128 <= k.size(2)
// CHECK-NEXT: check   I2: the batch of q == the batch of k; q.size(0) == k.size(0)
// CHECK-NEXT: check   I5: the length of k multiple of a block; k.size(2) multiple of 128

// CHECK:      sm_90a: 102 bytes of PTX, compute capability 9.0 only, driver of CUDA 12.7 or later
// CHECK-NEXT:   workspace 0: 12 * ceildiv(q.size(2), 128) bytes
// CHECK-NEXT:   workspace 1: 640 bytes
// CHECK-NEXT:   fill workspace 0 with 0xffffffff, 3 * ceildiv(q.size(2), 128) words
// CHECK-NEXT:   fill output 1 with 0xff800000, 32 * q.size(0) * q.size(2) words
// CHECK-NEXT:   launch pool on [q.size(0), 1, 1] CTAs of [128, 1, 1] threads, 0 bytes shared
// CHECK-NEXT:     address  k
// CHECK-NEXT:     address  workspace 1
// CHECK-NEXT:   launch attend on [ceildiv(q.size(2), 128), 32, q.size(0)] CTAs of [256, 2, 1] threads, 49152 bytes shared
// What the launch says of its kernel.
// CHECK-NEXT:     schedule #unitile.tiles<rows = 128, keys = 64>
// CHECK-NEXT:     address  q
// CHECK-NEXT:     address  o
// CHECK-NEXT:     address  output 1
// CHECK-NEXT:     address  workspace 0
// CHECK-NEXT:     i32      q.size(2)
// CHECK-NEXT:     i64      q.stride(1)
// The last stride of an input is 1, whatever its type says.
// CHECK-NEXT:     i64      1
// CHECK-NEXT:     f32      0.125
// A map has sizes from the innermost on, and strides in bytes.
// CHECK-NEXT:     map      q: bf16 [128, q.size(2), 32], strides [q.stride(2) * 2, q.stride(1) * 2] bytes, box [64, 128, 1], swizzle 128B
// CHECK-NOT:  {{.}}

module attributes {gpu.container_module} {
gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_90a">, assembly = ".version 8.6\0A.target sm_90a\0A.visible .entry pool(.param .u64 x)\0A.visible .entry attend(\0A.param .u64 y)">]

func.func @main(%q: !q {unisparse.name = "q"}, %k: memref<?x8x?x128xbf16, strided<[?, ?, ?, 1], offset: ?>> {unisparse.name = "k"},
                %cu: !cu, %scales: memref<4x8xf32, strided<[8, 1], offset: ?>> {unisparse.name = "scales"})
    -> (memref<?x32x?x128xbf16> {unisparse.name = "o"}, memref<?x32x?xf32, strided<[?, ?, ?], offset: ?>>) {
  %c0 = arith.constant 0 : index
  %c1 = arith.constant 1 : index
  %c2 = arith.constant 2 : index
  %c32 = arith.constant 32 : index
  %c128 = arith.constant 128 : index
  %c256 = arith.constant 256 : index
  %bytes = arith.constant 49152 : i32
  %scale = arith.constant 0.125 : f32
  %none = arith.constant -1 : i32
  %lowest = arith.constant 0xFF800000 : f32

  // A cast may forget sizes, and say that rows are contiguous, which they are.
  %forgotten = memref.cast %q : !q to memref<?x?x?x128xbf16, strided<[?, ?, ?, 1], offset: ?>>
  %lq = memref.dim %forgotten, %c2 : memref<?x?x?x128xbf16, strided<[?, ?, ?, 1], offset: ?>>
  %lk = memref.dim %k, %c2 : memref<?x8x?x128xbf16, strided<[?, ?, ?, 1], offset: ?>>
  %bk = memref.dim %k, %c0 : memref<?x8x?x128xbf16, strided<[?, ?, ?, 1], offset: ?>>
  %base, %offset, %b, %h, %l, %d, %s0, %s1, %s2, %s3 = memref.extract_strided_metadata %q
    : !q -> memref<bf16>, index, index, index, index, index, index, index, index, index
  %le = arith.cmpi ule, %lq, %lk : index
  cf.assert %le, "I7: the length of q <= the length of k" {unisparse.check = #unisparse.check<"I7", "the length of q" at_most "the length of k">}
  %ge = arith.cmpi sge, %lk, %c128 : index
  cf.assert %ge, "I7: 128 keys <= the length of k" {unisparse.check = #unisparse.check<"I7", "128 keys" at_most "the length of k">}
  %eq = arith.cmpi eq, %b, %bk : index
  cf.assert %eq, "I2: the batch of q == the batch of k" {unisparse.check = #unisparse.check<"I2", "the batch of q" equal "the batch of k">}
  %rest = arith.remui %lk, %c128 : index
  %multiple = arith.cmpi eq, %rest, %c0 : index
  cf.assert %multiple, "I5: the length of k multiple of a block" {unisparse.check = #unisparse.check<"I5", "the length of k" multiple_of "a block">}

  %o = gpu.alloc (%b, %lq) : memref<?x32x?x128xbf16>
  %lse = gpu.alloc (%b, %lq) : memref<?x32x?xf32>
  %slots = arith.ceildivui %lq, %c128 : index
  %scratch = gpu.alloc (%slots) : memref<?x3xi32>
  %fixed = gpu.alloc () : memref<10x32xf16>
  gpu.memset %scratch, %none : memref<?x3xi32>, i32
  gpu.memset %lse, %lowest : memref<?x32x?xf32>, f32

  // A kernel may be launched before another's arguments are computed.
  %ak = memref.extract_aligned_pointer_as_index %k : memref<?x8x?x128xbf16, strided<[?, ?, ?, 1], offset: ?>> -> index
  %ik = arith.index_cast %ak : index to i64
  %pk = llvm.inttoptr %ik : i64 to !llvm.ptr<1>
  %af = memref.extract_aligned_pointer_as_index %fixed : memref<10x32xf16> -> index
  %if = arith.index_castui %af : index to i64
  %pf = llvm.inttoptr %if : i64 to !llvm.ptr<1>
  gpu.launch_func @unisparse_kernels::@pool blocks in (%b, %c1, %c1) threads in (%c128, %c1, %c1) args(%pk : !llvm.ptr<1>, %pf : !llvm.ptr<1>)

  // Addresses that a caller gives have their offsets in them.
  %aq = memref.extract_aligned_pointer_as_index %base : memref<bf16> -> index
  %skip = arith.muli %offset, %c2 : index
  %first = arith.addi %aq, %skip : index
  %iq = arith.index_cast %first : index to i64
  %pq = llvm.inttoptr %iq : i64 to !llvm.ptr<1>
  %ao = memref.extract_aligned_pointer_as_index %o : memref<?x32x?x128xbf16> -> index
  %io = arith.index_cast %ao : index to i64
  %po = llvm.inttoptr %io : i64 to !llvm.ptr<1>
  %view = memref.cast %lse : memref<?x32x?xf32> to memref<?x32x?xf32, strided<[?, ?, ?], offset: ?>>
  %al = memref.extract_aligned_pointer_as_index %view : memref<?x32x?xf32, strided<[?, ?, ?], offset: ?>> -> index
  %il = arith.index_cast %al : index to i64
  %pl = llvm.inttoptr %il : i64 to !llvm.ptr<1>
  %as = memref.extract_aligned_pointer_as_index %scratch : memref<?x3xi32> -> index
  %is = arith.index_cast %as : index to i64
  %ps = llvm.inttoptr %is : i64 to !llvm.ptr<1>
  %lq32 = arith.index_cast %lq : index to i32
  %stride = arith.index_cast %s1 : index to i64
  %last = arith.index_cast %s3 : index to i64
  %rowBytes = arith.muli %s2, %c2 : index
  %headBytes = arith.muli %s1, %c2 : index
  %map = unitile.tensor_map %pq sizes [%c128, %lq, %c32] strides [%rowBytes, %headBytes] box [64, 128, 1] : bf16
  gpu.launch_func @unisparse_kernels::@attend blocks in (%slots, %c32, %b) threads in (%c256, %c2, %c1) dynamic_shared_memory_size %bytes
    args(%pq : !llvm.ptr<1>, %po : !llvm.ptr<1>, %pl : !llvm.ptr<1>, %ps : !llvm.ptr<1>, %lq32 : i32, %stride : i64, %last : i64, %scale : f32, %map : !llvm.ptr)
    {unitile.schedule = #unitile.tiles<rows = 128, keys = 64>}
  gpu.dealloc %scratch : memref<?x3xi32>
  gpu.dealloc %fixed : memref<10x32xf16>
  return %o, %view : memref<?x32x?x128xbf16>, memref<?x32x?xf32, strided<[?, ?, ?], offset: ?>>
}
}

// RUN: unisparse-opt %s -split-input-file -verify-diagnostics --unisparse-verify-launch-contract

// What a launch plan cannot hold, at the op in question. (What it holds:
// test/Target.)

// expected-error@+1 {{expected one public function, got 0}}
module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func private @main() {
    return
  }
}

// -----

// expected-error@+1 {{expected one public function, got 2}}
module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @one() {
    return
  }
  func.func @two() {
    return
  }
}

// -----

// expected-error@+1 {{expected a program with kernels (stages of unisparse, linalg on tensors), got none}}
module attributes {gpu.container_module} {
  func.func @main() {
    return
  }
}

// -----

// expected-error@+1 {{expected one gpu.binary, got 2}}
module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  gpu.binary @others [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main() {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  // expected-error@+1 {{expected one object of PTX or machine code for an NVIDIA chip}}
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, ".version 8.0">]
  func.func @main() {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  // expected-error@+1 {{expected one object of PTX or machine code for an NVIDIA chip}}
  gpu.binary @unisparse_kernels [#gpu.object<#rocdl.target, assembly = ".version 8.0">]
  func.func @main() {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  // expected-error@+1 {{expected one object of PTX or machine code for an NVIDIA chip}}
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = "">, #gpu.object<#nvvm.target<chip = "sm_90">, assembly = "">]
  func.func @main() {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  // expected-error@+1 {{expected a chip of the table, got 'sm_70'}}
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_70">, assembly = ".version 8.0">]
  func.func @main() {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  // expected-error@+1 {{expected PTX with a known .version}}
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 1.0">]
  func.func @main() {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  // expected-error@+1 {{expected PTX with a known .version}}
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = "nothing">]
  func.func @main() {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  // expected-error@+1 {{expected argument 0 to be a buffer of f32, f16, bf16 or i32 of at most 4 dimensions, got 'index'}}
  func.func @main(%n: index) {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  // expected-error@+1 {{expected argument 0 to be a buffer of f32, f16, bf16 or i32 of at most 4 dimensions, got 'memref<?xi8>'}}
  func.func @main(%x: memref<?xi8>) {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  // expected-error@+1 {{expected argument 0 to be a buffer of f32, f16, bf16 or i32 of at most 4 dimensions, got 'memref<1x1x1x1x?xf32>'}}
  func.func @main(%x: memref<1x1x1x1x?xf32>) {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  // expected-error@+1 {{expected a strided layout, got}}
  func.func @main(%x: memref<4x4xf32, affine_map<(d0, d1) -> (d0 * 4 + d1 mod 2)>>) {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  // expected-error@+1 {{expected contiguous rows and otherwise dynamic strides, or a contiguous layout, got}}
  func.func @main(%x: memref<?x4xf32, strided<[8, 1], offset: ?>>) {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  // expected-error@+1 {{expected contiguous rows and otherwise dynamic strides, or a contiguous layout, got}}
  func.func @main(%x: memref<?x4xf32, strided<[?, 2], offset: ?>>) {
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  // expected-error@+1 {{expected straight-line code in one block, got 2 blocks}}
  func.func @main(%x: memref<?xf32>) {
    cf.br ^next
    ^next:
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) -> memref<?xf32> {
    // expected-error@+1 {{expected result 0 to be allocated by gpu.alloc, got an argument}}
    return %x : memref<?xf32>
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) -> memref<4xf32> {
    %o = memref.alloc() : memref<4xf32>
    // expected-error@+1 {{expected result 0 to be allocated by gpu.alloc, got the result of 'memref.alloc'}}
    return %o : memref<4xf32>
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) -> (memref<4xf32>, memref<4xf32>) {
    %o = gpu.alloc () : memref<4xf32>
    // expected-error@+1 {{expected result 1 to be a buffer of its own, got that of result 0}}
    return %o, %o : memref<4xf32>, memref<4xf32>
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) -> memref<4xi8> {
    // expected-error@+1 {{expected result 0 to be a buffer of f32, f16, bf16 or i32 of at most 4 dimensions, got 'memref<4xi8>'}}
    %o = gpu.alloc () : memref<4xi8>
    return %o : memref<4xi8>
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    // expected-error@+1 {{expected a synchronous allocation of contiguous device memory}}
    %w = gpu.alloc host_shared () : memref<4xf32>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    // expected-error@+1 {{expected a synchronous allocation of contiguous device memory}}
    %w, %t = gpu.alloc async () : memref<4xf32>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    // expected-error@+1 {{expected a synchronous allocation of contiguous device memory}}
    %w = gpu.alloc () : memref<4xi1>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    // expected-error@+1 {{expected a synchronous allocation of contiguous device memory}}
    %w = gpu.alloc () : memref<4x4xf32, strided<[8, 1]>>
    return
  }
}

// -----

// Strides are a caller's, and so of results alone.
module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) -> memref<4x4xf32, strided<[?, 1]>> {
    %four = arith.constant 4 : index
    %o = gpu.alloc ()[%four] : memref<4x4xf32, strided<[?, 1]>>
    // expected-error@+1 {{expected a synchronous allocation of contiguous device memory}}
    %w = gpu.alloc ()[%four] : memref<4x4xf32, strided<[?, 1]>>
    return %o : memref<4x4xf32, strided<[?, 1]>>
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %zero = arith.constant 0.0 : f32
    // expected-error@+1 {{expected to set an allocated buffer to a constant i32 or f32, synchronously}}
    gpu.memset %x, %zero : memref<?xf32>, f32
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %w = gpu.alloc () : memref<4xf16>
    %zero = arith.constant 0.0 : f16
    // expected-error@+1 {{expected to set an allocated buffer to a constant i32 or f32, synchronously}}
    gpu.memset %w, %zero : memref<4xf16>, f16
    return
  }
}

// -----

// The word has to be known.
module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %n32 = arith.index_cast %n : index to i32
    %w = gpu.alloc () : memref<4xi32>
    // expected-error@+1 {{expected to set an allocated buffer to a constant i32 or f32, synchronously}}
    gpu.memset %w, %n32 : memref<4xi32>, i32
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    // expected-error@+1 {{expected sizes, buffers, fills and launches in a compiled program, got 'memref.subview', which would need code on the host}}
    %part = memref.subview %x[0] [4] [1] : memref<?xf32> to memref<4xf32, strided<[1]>>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %o = gpu.alloc () : memref<4xf32>
    %w = gpu.alloc () : memref<4xf32>
    // expected-error@+1 {{expected sizes, buffers, fills and launches in a compiled program, got 'memref.copy', which would need code on the host}}
    memref.copy %w, %o : memref<4xf32> to memref<4xf32>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    // expected-error@+1 {{expected sizes, buffers, fills and launches in a compiled program, got 'memref.load', which would need code on the host}}
    %e = memref.load %x[%c0] : memref<?xf32>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    // expected-error@+1 {{expected sizes, buffers, fills and launches in a compiled program, got 'scf.for', which would need code on the host}}
    scf.for %i = %c0 to %n step %c1 {
    }
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %is = arith.cmpi ult, %n, %c0 : index
    // expected-error@+1 {{expected sizes, buffers, fills and launches in a compiled program, got 'arith.select', which would need code on the host}}
    %s = arith.select %is, %n, %c0 : index
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    // expected-error@+1 {{expected sizes, buffers, fills and launches in a compiled program, got 'gpu.wait', which would need code on the host}}
    gpu.wait
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    // expected-error@+1 {{expected sizes, buffers, fills and launches in a compiled program, got 'func.call', which would need code on the host}}
    func.call @main(%x) : (memref<?xf32>) -> ()
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    // expected-error@+1 {{expected a constant dimension of the buffer}}
    %m = memref.dim %x, %n : memref<?xf32>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    // expected-error@+1 {{expected a divisor above 0, got 0}}
    %m = arith.divui %n, %c0 : index
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %rest = arith.remui %n, %n : index
    // expected-error@+1 {{expected operands that are formulas of sizes, got the result of 'arith.remui'}}
    %m = arith.addi %n, %rest : index
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %s0 = arith.muli %n, %n : index
    %s1 = arith.muli %s0, %s0 : index
    %s2 = arith.muli %s1, %s1 : index
    %s3 = arith.muli %s2, %s2 : index
    %s4 = arith.muli %s3, %s3 : index
    // expected-error@+1 {{expected a formula of at most 64 terms, got 127}}
    %s5 = arith.muli %s4, %s4 : index
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %s0 = arith.muli %n, %n : index
    %s1 = arith.muli %s0, %s0 : index
    %s2 = arith.muli %s1, %s1 : index
    %s3 = arith.muli %s2, %s2 : index
    %s4 = arith.muli %s3, %s3 : index
    // expected-error@+1 {{expected a formula of at most 64 terms for its bytes, got 65}}
    %w = gpu.alloc (%s4) : memref<?xf32>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %p = memref.extract_aligned_pointer_as_index %x : memref<?xf32> -> index
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{expected the address of a whole buffer, got one that is computed}}
    %q = arith.addi %p, %c1 : index
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %n64 = arith.index_cast %n : index to i64
    // expected-error@+1 {{expected a buffer's address, got the result of 'arith.index_cast'}}
    %p = llvm.inttoptr %n64 : i64 to !llvm.ptr<1>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %is = arith.cmpi ult, %n, %c0 : index
    // expected-error@+1 {{expected a length rule: a comparison by eq, sle or ule, or of a remainder with 0}}
    cf.assert %is, "I7: a <= b" {unisparse.check = #unisparse.check<"I7", "a" at_most "b">}
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %never = arith.constant false
    // expected-error@+1 {{expected a length rule: a comparison by eq, sle or ule, or of a remainder with 0}}
    cf.assert %never, "I7: a <= b" {unisparse.check = #unisparse.check<"I7", "a" at_most "b">}
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %is = arith.cmpi ule, %n, %c0 : index
    // expected-error@+1 {{expected a condition as unisparse.check says, equal, got at_most}}
    cf.assert %is, "I7: a == b" {unisparse.check = #unisparse.check<"I7", "a" equal "b">}
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %is = arith.cmpi eq, %n, %c0 : index
    // expected-error@+1 {{expected an assertion about sizes that says so in its attribute unisparse.check, got none}}
    cf.assert %is, "a == b"
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %rest = arith.remsi %n, %c1 : index
    %is = arith.cmpi eq, %rest, %c0 : index
    // expected-error@+1 {{expected a condition as unisparse.check says, equal, got multiple_of}}
    cf.assert %is, "I5: a == 0" {unisparse.check = #unisparse.check<"I5", "a" equal "0">}
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{expected a kernel of that name in the PTX, got none}}
    gpu.launch_func @unisparse_kernels::@g blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{expected a synchronous launch without clusters}}
    %t = gpu.launch_func async @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{expected a synchronous launch without clusters}}
    gpu.launch_func @unisparse_kernels::@f clusters in (%c1, %c1, %c1) blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    // expected-error@+1 {{expected constant numbers of threads, 1 to 1024}}
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%n, %c1, %c1)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{expected constant numbers of threads, 1 to 1024}}
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c0, %c1, %c1)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    %bytes = arith.index_cast %n : index to i32
    // expected-error@+1 {{expected a constant size of dynamic shared memory of at most 166912 bytes on sm_80}}
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) dynamic_shared_memory_size %bytes
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c0 = arith.constant 0 : index
    %c1 = arith.constant 1 : index
    %n = memref.dim %x, %c0 : memref<?xf32>
    // expected-error@+1 {{expected kernel arguments that are addresses of buffers, tensor maps, i32, i64 or constant f32, got 'index'}}
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%n : index)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c1 = arith.constant 1 : index
    %h = arith.constant 1.0 : f16
    // expected-error@+1 {{expected kernel arguments that are addresses of buffers, tensor maps, i32, i64 or constant f32, got 'f16'}}
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%h : f16)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?xf32>) {
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{expected kernel arguments that are addresses of buffers, tensor maps, i32, i64 or constant f32, got 'memref<?xf32>'}}
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%x : memref<?xf32>)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  gpu.module @others {
    gpu.func @f() kernel {
      gpu.return
    }
  }
  func.func @main() {
    %c1 = arith.constant 1 : index
    // expected-error@+1 {{expected a kernel of @unisparse_kernels, got @others::@f}}
    gpu.launch_func @others::@f blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main() {
    %c1 = arith.constant 1 : index
    %c64 = arith.constant 64 : index
    // expected-error@+1 {{expected at most 1024 threads in a block, and 64 in its third dimension, got 64x64x1}}
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c64, %c64, %c1) 
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main() {
    %c1 = arith.constant 1 : index
    %c65 = arith.constant 65 : index
    // expected-error@+1 {{expected at most 1024 threads in a block, and 64 in its third dimension, got 1x1x65}}
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c65) 
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main() {
    %c1 = arith.constant 1 : index
    %bytes = arith.constant 200000 : i32
    // expected-error@+1 {{expected a constant size of dynamic shared memory of at most 166912 bytes on sm_80}}
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) dynamic_shared_memory_size %bytes
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?x4xf32, strided<[?, ?], offset: ?>>) {
    // expected-error@+1 {{expected sizes that the buffer is known to have, got 8 for a dynamic one}}
    %y = memref.cast %x : memref<?x4xf32, strided<[?, ?], offset: ?>> to memref<8x4xf32, strided<[?, ?], offset: ?>>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?x4xf32, strided<[?, ?], offset: ?>>) {
    // expected-error@+1 {{expected strides that stay the caller's, got 4 for a dynamic one}}
    %y = memref.cast %x : memref<?x4xf32, strided<[?, ?], offset: ?>> to memref<?x4xf32>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?x4xf32, strided<[?, ?], offset: ?>>) {
    // expected-error@+1 {{expected a ranked memref with strides}}
    %y = memref.cast %x : memref<?x4xf32, strided<[?, ?], offset: ?>> to memref<*xf32>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main() {
    %c1 = arith.constant 1 : index
    %i = arith.constant 1 : i32
    // expected-error@+1 {{expected at most 128 arguments, got 129}}
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32, %i : i32)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_90a">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?x64xf32>) {
    %c1 = arith.constant 1 : index
    %c64 = arith.constant 64 : index
    %c256 = arith.constant 256 : index
    %a = memref.extract_aligned_pointer_as_index %x : memref<?x64xf32> -> index
    %i = arith.index_cast %a : index to i64
    %p = llvm.inttoptr %i : i64 to !llvm.ptr<1>
    // expected-error@+1 {{expected the address of a buffer of f32, f16, bf16 or i32}}
    %m = unitile.tensor_map %p sizes [%c64, %c1] strides [%c256] box [32, 1] : f64
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%m : !llvm.ptr)
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_90a">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?x64xf32>) {
    %c1 = arith.constant 1 : index
    %c64 = arith.constant 64 : index
    %c256 = arith.constant 256 : index
    %a = memref.extract_aligned_pointer_as_index %x : memref<?x64xf32> -> index
    %i = arith.index_cast %a : index to i64
    %p = llvm.inttoptr %i : i64 to !llvm.ptr<1>
    // expected-error@+1 {{expected operands that are formulas of sizes, got the result of 'memref.extract_aligned_pointer_as_index'}}
    %m = unitile.tensor_map %p sizes [%c64, %a] strides [%c256] box [32, 1] : f32
    gpu.launch_func @unisparse_kernels::@f blocks in (%c1, %c1, %c1) threads in (%c1, %c1, %c1) args(%m : !llvm.ptr)
    return
  }
}

// -----

// Rows that a caller may put apart have no other dimensions.
module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main(%x: memref<?x512xf32, strided<[?, 1], offset: ?>>) {
    %c0 = arith.constant 0 : index
    %n = memref.dim %x, %c0 : memref<?x512xf32, strided<[?, 1], offset: ?>>
    // expected-error@+1 {{expected a contiguous buffer, got 'memref<?x512xf32, strided<[?, 1], offset: ?>>'}}
    %y = memref.expand_shape %x [[0], [1, 2]] output_shape [%n, 8, 64] : memref<?x512xf32, strided<[?, 1], offset: ?>> into memref<?x8x64xf32, strided<[?, 64, 1], offset: ?>>
    return
  }
}

// -----

module attributes {gpu.container_module} {
  gpu.binary @unisparse_kernels [#gpu.object<#nvvm.target<chip = "sm_80">, assembly = ".version 8.0\0A.entry f()">]
  func.func @main() -> memref<*xf32> {
    // expected-error@+1 {{expected result 0 to be a buffer of f32, f16, bf16 or i32 of at most 4 dimensions, got 'memref<*xf32>'}}
    %x = gpu.alloc () : memref<4xf32>
    %y = memref.cast %x : memref<4xf32> to memref<*xf32>
    return %y : memref<*xf32>
  }
}

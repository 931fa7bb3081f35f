// What a caller sees of a program for the CPU stays with the module, and results become arguments, which the program
// writes where they are.
// RUN: unisparse-opt %s --split-input-file --unisparse-describe-program --verify-diagnostics
// RUN: not unisparse-opt %s --split-input-file --unisparse-describe-program 2>/dev/null | FileCheck %s
// RUN: unisparse-opt %S/Inputs/library.mlir --unisparse-to-cpu-pipeline=library --mlir-print-ir-after=buffer-results-to-out-params -o /dev/null 2>&1 | FileCheck %s --check-prefix=OUT

// CHECK: module attributes {unisparse.description = "UNISPARS
// CHECK: func.func @described
func.func @described(%x: memref<?x64xf32> {unisparse.name = "x"}) -> (memref<?x32xf32> {unisparse.name = "y"}) {
  %zero = arith.constant 0 : index
  %two = arith.constant 2 : index
  %length = memref.dim %x, %zero : memref<?x64xf32>
  %halves = arith.ceildivui %length, %two : index
  %y = memref.alloc(%halves) : memref<?x32xf32>
  return %y : memref<?x32xf32>
}

// -----

// Shapes of upstream's are formulas too.
// CHECK: module attributes {unisparse.description = "UNISPARS
// CHECK: func.func @apply
func.func @apply(%x: memref<?xf32>) -> memref<?xf32> {
  %zero = arith.constant 0 : index
  %length = memref.dim %x, %zero : memref<?xf32>
  %size = affine.apply affine_map<(d0)[s0] -> ((d0 + 127) floordiv 128 + s0 ceildiv 2 - 1)>(%length)[%length]
  %y = memref.alloc(%size) : memref<?xf32>
  return %y : memref<?xf32>
}

// -----

func.func @remainder(%x: memref<?xf32>) -> memref<?xf32> {
  %zero = arith.constant 0 : index
  %length = memref.dim %x, %zero : memref<?xf32>
  // expected-error @below {{expected sums, products and quotients by divisors above 0, got affine_map<(d0) -> (d0 mod 3)>}}
  %size = affine.apply affine_map<(d0) -> (d0 mod 3)>(%length)
  %y = memref.alloc(%size) : memref<?xf32>
  return %y : memref<?xf32>
}

// -----

// The size of a result is known before the program runs.
func.func @data(%x: memref<2xi32>) -> memref<?xf32> {
  %zero = arith.constant 0 : index
  // expected-error @below {{expected sizes, buffers, fills and launches in a compiled program, got 'memref.load'}}
  %n = memref.load %x[%zero] : memref<2xi32>
  %size = arith.index_cast %n : i32 to index
  %y = memref.alloc(%size) : memref<?xf32>
  return %y : memref<?xf32>
}

// -----

func.func @argument(%x: memref<2xi32>) -> memref<2xi32> {
  // expected-error @below {{expected result 0 to be allocated by memref.alloc, got an argument; return a linalg.copy of it into a tensor.empty}}
  return %x : memref<2xi32>
}

// -----

func.func @twice() -> (memref<2xi32>, memref<2xi32>) {
  %y = memref.alloc() : memref<2xi32>
  // expected-error @below {{expected result 1 to be a buffer of its own, got that of result 0}}
  return %y, %y : memref<2xi32>, memref<2xi32>
}

// -----

func.func @type(%x: memref<2xf64>) {
  return
}
// expected-error @-3 {{expected argument 0 to be a buffer of f32, f16, bf16 or i32 of at most 4 dimensions, got 'memref<2xf64>'}}

// -----

// expected-error @below {{expected one public function, got 2}}
module {
  func.func @one() { return }
  func.func @two() { return }
}

// OUT: func.func @attention(%{{.*}}: memref<?x4x?x16xf32, strided<[?, ?, ?, 1]>>, %{{.*}}, %{{.*}}, %[[O:.*]]: memref<?x4x?x16xf32>{{.*}})
// OUT-NOT: memref.copy %arg
// OUT-NOT: memref.alloc({{.*}}) : memref<?x4x?x16xf32>
// OUT: return{{$}}

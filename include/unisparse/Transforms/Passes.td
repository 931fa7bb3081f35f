// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#ifndef UNISPARSE_TRANSFORMS_PASSES_TD
#define UNISPARSE_TRANSFORMS_PASSES_TD

include "mlir/Pass/PassBase.td"

def UniSparseVectorizeContractions
    : InterfacePass<"unisparse-vectorize-contractions", "::mlir::FunctionOpInterface"> {
  let summary = "Keep the accumulators of linalg contractions in registers";
  let description = [{
    A contraction of static f32 buffers, `C[m, n] += A[m, k] * B[k, n]` or
    `A[k, m]` with n at most 64, becomes loops over `register-rows` rows whose accumulators stay
    in registers while `k` runs: one load of a row of B, then one broadcast and
    one `vector.fma` for each row of A. `register-rows` must divide m. Other
    linalg ops are left to `convert-linalg-to-loops`.

    Contractions do not go through `vector.contract`: its lowering takes scalars
    out of vectors of A, one shuffle for each, where a broadcast from memory is
    free on the load ports.

    Before:
    ```mlir
    func.func @before(%a: memref<128x64xf32>, %b: memref<64x16xf32>, %c: memref<128x16xf32>) {
      linalg.matmul ins(%a, %b : memref<128x64xf32>, memref<64x16xf32>) outs(%c : memref<128x16xf32>)
      return
    }
    ```
    After, with `register-rows=1`. At most 32 products are summed before C is
    touched: short chains keep rounding errors small.
    ```mlir
    func.func @after(%a: memref<128x64xf32>, %b: memref<64x16xf32>, %c: memref<128x16xf32>) {
      %zero = arith.constant dense<0.0> : vector<16xf32>
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c32 = arith.constant 32 : index
      %c64 = arith.constant 64 : index
      %c128 = arith.constant 128 : index
      scf.for %m = %c0 to %c128 step %c1 {
        scf.for %k0 = %c0 to %c64 step %c32 {
          %k1 = arith.addi %k0, %c32 : index
          %sum = scf.for %k = %k0 to %k1 step %c1 iter_args(%acc = %zero) -> (vector<16xf32>) {
            %row = vector.load %b[%k, %c0] : memref<64x16xf32>, vector<16xf32>
            %x = memref.load %a[%m, %k] : memref<128x64xf32>
            %xs = vector.broadcast %x : f32 to vector<16xf32>
            %next = vector.fma %xs, %row, %acc : vector<16xf32>
            scf.yield %next : vector<16xf32>
          }
          %old = vector.load %c[%m, %c0] : memref<128x16xf32>, vector<16xf32>
          %new = arith.addf %old, %sum : vector<16xf32>
          vector.store %new, %c[%m, %c0] : memref<128x16xf32>, vector<16xf32>
        }
      }
      return
    }
    ```
  }];
  let options = [
    Option<"registerRows", "register-rows", "int64_t", "4",
           "rows of a contraction kept in registers at a time: 1, 2, 4 or 8">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect"];
}

def UniSparseVectorizePairs
    : InterfacePass<"unisparse-vectorize-pairs", "::mlir::FunctionOpInterface"> {
  let summary = "Multiply pairs of bf16 by AVX512-BF16's dot products";
  let description = [{
    A contraction of pairs, `C[m, n] += A[m, k, p] * B[k, n, p]` or `A[k, m, p]`
    with bf16 A and B, f32 C and p in [0, 2), becomes loops as
    `unisparse-vectorize-contractions` makes them, whose products are
    `x86vector.avx512.dot`: 32 of them in an instruction, where an f32 FMA has 16.
    Rows of C are 16 to 64 lanes in whole vectors of 16, and `register-rows`
    divides m; other ops are left alone.

    The pass is for CPUs that have AVX512-BF16. It adds up to 16 pairs before C is
    touched. The dot product takes subnormal bf16 as 0.

    Before:
    ```mlir
    #a = affine_map<(m, n, k, p) -> (m, k, p)>
    #b = affine_map<(m, n, k, p) -> (k, n, p)>
    #c = affine_map<(m, n, k, p) -> (m, n)>
    func.func @before(%a: memref<8x16x2xbf16>, %b: memref<16x16x2xbf16>, %c: memref<8x16xf32>) {
      linalg.generic {indexing_maps = [#a, #b, #c], iterator_types = ["parallel", "parallel", "reduction", "reduction"]}
          ins(%a, %b : memref<8x16x2xbf16>, memref<16x16x2xbf16>) outs(%c : memref<8x16xf32>) {
      ^bb0(%x: bf16, %y: bf16, %z: f32):
        %0 = arith.extf %x : bf16 to f32
        %1 = arith.extf %y : bf16 to f32
        %2 = arith.mulf %0, %1 : f32
        %3 = arith.addf %z, %2 : f32
        linalg.yield %3 : f32
      }
      return
    }
    ```
    After, the innermost loop with `register-rows=1`:
    ```mlir
    func.func @after(%a: memref<8x32xbf16>, %b: memref<16x32xbf16>, %m: index) -> vector<16xf32> {
      %zero = arith.constant dense<0.0> : vector<16xf32>
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      %c2 = arith.constant 2 : index
      %c16 = arith.constant 16 : index
      %sum = scf.for %k = %c0 to %c16 step %c1 iter_args(%acc = %zero) -> (vector<16xf32>) {
        %row = vector.load %b[%k, %c0] : memref<16x32xbf16>, vector<32xbf16>
        %at = arith.muli %k, %c2 : index
        %pair = vector.load %a[%m, %at] : memref<8x32xbf16>, vector<2xbf16>
        %bits = vector.bitcast %pair : vector<2xbf16> to vector<1xi32>
        %word = vector.extract %bits[0] : i32 from vector<1xi32>
        %words = vector.broadcast %word : i32 to vector<16xi32>
        %pairs = vector.bitcast %words : vector<16xi32> to vector<32xbf16>
        %next = x86vector.avx512.dot %acc, %pairs, %row : vector<32xbf16> -> vector<16xf32>
        scf.yield %next : vector<16xf32>
      }
      return %sum : vector<16xf32>
    }
    ```
  }];
  let options = [
    Option<"registerRows", "register-rows", "int64_t", "8",
           "rows of a contraction kept in registers at a time: 1, 2, 4 or 8">
  ];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::memref::MemRefDialect",
    "::mlir::scf::SCFDialect", "::mlir::vector::VectorDialect",
    "::mlir::x86vector::X86VectorDialect"];
}

def UniSparseDecomposeLinalg : Pass<"unisparse-decompose-linalg"> {
  let summary = "Make linalg's composite ops of simpler ones";
  let description = [{
    `linalg.softmax` on tensors becomes its maxima, exponentials, sums and
    quotients through linalg's `AggregatedOpInterface`: bufferization and
    `convert-linalg-to-loops` know these, but not the whole. MLIR has the
    decomposition, but no pass outside its tests that runs it.

    Before:
    ```mlir
    func.func @before(%x: tensor<4x8xf32>, %y: tensor<4x8xf32>) -> tensor<4x8xf32> {
      %0 = linalg.softmax dimension(1) ins(%x : tensor<4x8xf32>) outs(%y : tensor<4x8xf32>) -> tensor<4x8xf32>
      return %0 : tensor<4x8xf32>
    }
    ```
    After, its first step (of four):
    ```mlir
    #whole = affine_map<(d0, d1) -> (d0, d1)>
    #row = affine_map<(d0, d1) -> (d0)>
    func.func @after(%x: tensor<4x8xf32>, %none: tensor<4xf32>) -> tensor<4xf32> {
      %0 = linalg.generic {indexing_maps = [#whole, #row], iterator_types = ["parallel", "reduction"]}
          ins(%x : tensor<4x8xf32>) outs(%none : tensor<4xf32>) {
      ^bb0(%in: f32, %out: f32):
        %m = arith.maxnumf %in, %out : f32
        linalg.yield %m : f32
      } -> tensor<4xf32>
      return %0 : tensor<4xf32>
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::linalg::LinalgDialect", "::mlir::math::MathDialect",
    "::mlir::tensor::TensorDialect"];
}

def UniSparseExpandCopies
    : InterfacePass<"unisparse-expand-copies", "::mlir::FunctionOpInterface"> {
  let summary = "Write copies of strided buffers as linalg";
  let description = [{
    A `memref.copy` between buffers of which one has a layout would be lowered
    to a call of `memrefCopy`, a function of MLIR's own runner that nobody else
    has. As linalg it becomes loops like everything else. Copies of plain
    buffers stay: they become memcpy.

    Before:
    ```mlir
    func.func @before(%x: memref<4x8xf32, strided<[16, 1]>>, %y: memref<4x8xf32>) {
      memref.copy %x, %y : memref<4x8xf32, strided<[16, 1]>> to memref<4x8xf32>
      return
    }
    ```
    After:
    ```mlir
    #map = affine_map<(d0, d1) -> (d0, d1)>
    func.func @after(%x: memref<4x8xf32, strided<[16, 1]>>, %y: memref<4x8xf32>) {
      linalg.generic {indexing_maps = [#map, #map], iterator_types = ["parallel", "parallel"]}
          ins(%x : memref<4x8xf32, strided<[16, 1]>>) outs(%y : memref<4x8xf32>) {
      ^bb0(%in: f32, %out: f32):
        linalg.yield %in : f32
      }
      return
    }
    ```
  }];
  let dependentDialects = ["::mlir::linalg::LinalgDialect"];
}

def UniSparseExpandMath
    : InterfacePass<"unisparse-expand-math", "::mlir::FunctionOpInterface"> {
  let summary = "Expand exponentials and logarithms into polynomials";
  let description = [{
    Applies upstream's polynomial approximation of `math.exp` and `math.log` on
    f32, vectors above all, and of vectors of `math.tanh`: without it every lane
    becomes a call of libm. MLIR has these patterns, but no pass outside its tests
    that runs them.

    Before:
    ```mlir
    func.func @before(%x: vector<16xf32>) -> vector<16xf32> {
      %0 = math.exp %x : vector<16xf32>
      return %0 : vector<16xf32>
    }
    ```
    After, in outline (`x = n ln 2 + r`, `exp x = 2^n P(r)`):
    ```mlir
    func.func @after(%x: vector<16xf32>) -> vector<16xf32> {
      %log2e = arith.constant dense<1.44269502> : vector<16xf32>
      %0 = arith.mulf %x, %log2e : vector<16xf32>
      %n = math.floor %0 : vector<16xf32>
      // reduce, evaluate P by vector fma, scale by 2^n, handle the ends
      return %n : vector<16xf32>
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect",
    "::mlir::math::MathDialect", "::mlir::vector::VectorDialect"];
}

def UniSparseDynamicSchedule
    : InterfacePass<"unisparse-dynamic-schedule", "::mlir::FunctionOpInterface"> {
  let summary = "Let OpenMP hand out loop iterations as threads get free";
  let description = [{
    Sets `schedule(dynamic)` on every `omp.wsloop` that names no schedule: rows
    of query blocks differ in how many key blocks they attend to, so equal
    shares of rows are unequal shares of work.

    Before:
    ```mlir
    func.func @before(%n: index) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      omp.parallel {
        omp.wsloop {
          omp.loop_nest (%i) : index = (%c0) to (%n) step (%c1) {
            omp.yield
          }
        }
        omp.terminator
      }
      return
    }
    ```
    After:
    ```mlir
    func.func @after(%n: index) {
      %c0 = arith.constant 0 : index
      %c1 = arith.constant 1 : index
      omp.parallel {
        omp.wsloop schedule(dynamic) {
          omp.loop_nest (%i) : index = (%c0) to (%n) step (%c1) {
            omp.yield
          }
        }
        omp.terminator
      }
      return
    }
    ```
  }];
  let dependentDialects = ["::mlir::omp::OpenMPDialect"];
}

def UniSparseVerifyLoopsContract : Pass<"unisparse-verify-loops-contract"> {
  let summary = "Check that stages have become loops over buffers";
  let description = [{
    Closes the loop level: no op of the unisparse dialect and no tensor is left,
    in signatures neither. Changes nothing.
  }];
}

def UniSparseVerifyLLVMContract : Pass<"unisparse-verify-llvm-contract"> {
  let summary = "Check that only LLVM and OpenMP ops are left";
  let description = [{
    Closes the CPU pipeline: what is left can be translated to LLVM IR. Names
    the first op that cannot, and a cast between levels only where nothing else
    is left: it stands for an op beside it. Changes nothing.
  }];
}

def UniSparseVerifyLaunchContract
    : Pass<"unisparse-verify-launch-contract", "::mlir::ModuleOp"> {
  let summary = "Check that a host function is no more than a launch plan";
  let description = [{
    Closes the GPU pipeline: the host function is one block of sizes, buffers,
    fills and launches of kernels in the module's one gpu.binary, which an
    artifact holds as data. Names the first op that would need code on the host.
    Changes nothing.
  }];
  let options = [
    Option<"entry", "entry", "std::string", "",
           "the host function; by default the one public function">,
  ];
}

def UniSparseReportViolations
    : Pass<"unisparse-report-violations", "::mlir::ModuleOp"> {
  let summary = "Report length rules that do not hold, instead of stopping in silence";
  let description = [{
    An assertion of a comparison with an attribute `#unisparse.check` becomes a
    call of `unisparse_violation(rule, left, right)` where it does not hold. The module defines that function, weakly: one line on stderr, then
    `abort()`. A host that has its own (`unisparse-rt/violation.h`) gets the
    call instead, and must not return from it. Other assertions are left to
    `convert-cf-to-llvm`, as are those nobody turned into rules.

    Before:
    ```mlir
    func.func @before(%lq: index, %lk: index) {
      %holds = arith.cmpi sle, %lq, %lk : index
      cf.assert %holds, "I7: the length of q <= the length of k" {unisparse.check = #unisparse.check<"I7", "the length of q" at_most "the length of k">}
      return
    }
    ```
    After:
    ```mlir
    llvm.mlir.global internal constant @unisparse_rule("[I7] expected the length of q <= the length of k\00")
    llvm.func weak @unisparse_violation(%rule: !llvm.ptr, %left: i64, %right: i64) {
      llvm.unreachable
    }
    func.func @after(%lq: index, %lk: index) {
      %true = arith.constant true
      %holds = arith.cmpi sle, %lq, %lk : index
      %broken = arith.xori %holds, %true : i1
      scf.if %broken {
        %rule = llvm.mlir.addressof @unisparse_rule : !llvm.ptr
        %left = arith.index_cast %lq : index to i64
        %right = arith.index_cast %lk : index to i64
        llvm.call @unisparse_violation(%rule, %left, %right) : (!llvm.ptr, i64, i64) -> ()
        "llvm.intr.trap"() : () -> ()
      }
      return
    }
    ```
  }];
  let dependentDialects = ["::mlir::arith::ArithDialect", "::mlir::scf::SCFDialect",
                           "::mlir::LLVM::LLVMDialect"];
}

#endif // UNISPARSE_TRANSFORMS_PASSES_TD

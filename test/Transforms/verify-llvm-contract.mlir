// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// RUN: unisparse-opt %s --unisparse-verify-llvm-contract -split-input-file -verify-diagnostics

module {
  llvm.func @accepted(%n: i64) {
    %c0 = llvm.mlir.constant(0 : i64) : i64
    %c1 = llvm.mlir.constant(1 : i64) : i64
    omp.parallel {
      omp.wsloop schedule(dynamic) {
        omp.loop_nest (%i) : i64 = (%c0) to (%n) step (%c1) {
          omp.yield
        }
      }
      omp.terminator
    }
    llvm.return
  }
}

// -----

func.func @function() {
  // expected-error@+1 {{'func.return' op expected only llvm and omp ops at the end of the CPU pipeline; the pipeline has no lowering for this one}}
  return
}

// -----

// expected-error@+1 {{'func.func' op expected only llvm and omp ops}}
func.func private @declaration()

// -----

llvm.func @cast(%x: i64) -> i32 {
  // expected-error@+1 {{'builtin.unrealized_conversion_cast' op expected types of the llvm dialect at the end of the CPU pipeline, got a cast from 'i64' to 'i32'}}
  %0 = builtin.unrealized_conversion_cast %x : i64 to i32
  llvm.return %0 : i32
}

// -----

// The op that a cast is there for is what is named.
llvm.func @behind_a_cast(%x: i64) -> i64 {
  %0 = builtin.unrealized_conversion_cast %x : i64 to index
  // expected-error@+1 {{'index.add' op expected only llvm and omp ops at the end of the CPU pipeline}}
  %1 = index.add %0, %0
  %2 = builtin.unrealized_conversion_cast %1 : index to i64
  llvm.return %2 : i64
}

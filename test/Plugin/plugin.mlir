// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

// An mlir-opt that knows nothing of UniSparse loads the dialect, the passes and
// the pipeline.

// RUN: not mlir-opt-22 %s 2>&1 | FileCheck %s --check-prefix=ALONE
// RUN: mlir-opt-22 --load-dialect-plugin=%plugin %s | FileCheck %s --check-prefix=PARSED
// RUN: mlir-opt-22 --load-dialect-plugin=%plugin --load-pass-plugin=%plugin %s --pass-pipeline="builtin.module(unisparse-decompose-attention,unisparse-verify-tensor-contract)" | FileCheck %s --check-prefix=STAGES
// RUN: mlir-opt-22 --load-dialect-plugin=%plugin --load-pass-plugin=%plugin %s --pass-pipeline="builtin.module(unisparse-decompose-attention,one-shot-bufferize{bufferize-function-boundaries})" | FileCheck %s --check-prefix=BUFFERS
// RUN: mlir-opt-22 --load-dialect-plugin=%plugin --load-pass-plugin=%plugin %s --pass-pipeline="builtin.module(unisparse-to-cpu-pipeline{vector-bits=512})" | FileCheck %s --check-prefix=CPU
// RUN: not mlir-opt-22 --load-dialect-plugin=%plugin --load-pass-plugin=%plugin %s --pass-pipeline="builtin.module(unisparse-verify-loops-contract)" 2>&1 | FileCheck %s --check-prefix=REFUSED

// ALONE:   {{[Dd]ialect `unisparse' not found|unregistered|not registered|created with unregistered dialect}}

// PARSED:  unisparse.attention

// STAGES-NOT: unisparse.attention
// STAGES:     unisparse.block_sparse_attention

// BUFFERS-NOT: unisparse.
// BUFFERS:     scf.parallel

// CPU:     llvm.func @attention(
// CPU:       omp.wsloop schedule(dynamic)
// CPU:       vector<32xf32>

// REFUSED: 'unisparse.attention' op expected to be lowered to loops by now
func.func @attention(%q: tensor<1x4x512x64xf32>, %k: tensor<1x2x512x64xf32>) -> tensor<1x4x512x64xf32> {
  %o, %c, %i, %d = unisparse.attention %q, %k, %k block <64x64> pooling <8x8> rule <top_p = 0.5> causal
    : (tensor<1x4x512x64xf32>, tensor<1x2x512x64xf32>, tensor<1x2x512x64xf32>)
      -> (tensor<1x4x512x64xf32>, tensor<1x4x8xi32>, tensor<1x4x8x8xi32>, tensor<1x4xf32>)
  return %o : tensor<1x4x512x64xf32>
}

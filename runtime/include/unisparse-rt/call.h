/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* What call sites that unisparse-outline leaves in a program's host code call:
 * an attention whose artifact is a constant of the program, on tensors in the
 * host's memory. */
#ifndef UNISPARSE_RT_CALL_H
#define UNISPARSE_RT_CALL_H

#include "unisparse-rt/unisparse.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Runs the artifact in the `bytes` bytes at `artifact`, which have to stay
 * where they are, on the GPU that UNISPARSE_DEVICE names (0 where it does not).
 * Inputs are copied to the device, outputs back to where `outputs` says, whose
 * sizes have to be those that the artifact gives; it returns when they are
 * there. The first call of an artifact loads it. Calls from several threads are
 * served one after another.
 *
 * What fails is one line on stderr and abort(): compiled code has no way to go
 * on without a result. A host with tensors in device memory, a stream or
 * another way to fail defines this function itself, and is called instead; the
 * rest of the C interface (unisparse_artifact_read and so on) does all of the
 * work. */
UNISPARSE_API void unisparse_call(const void *artifact, int64_t bytes,
                                  const unisparse_tensor *inputs,
                                  int32_t input_count,
                                  const unisparse_tensor *outputs,
                                  int32_t output_count);

#ifdef __cplusplus
}
#endif

#endif /* UNISPARSE_RT_CALL_H */

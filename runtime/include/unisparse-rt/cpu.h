/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Runs what `unisparse-compile --target=cpu` wrote, in this process: machine
 * code in a shared library, which needs this library, OpenMP's runtime (libomp)
 * and no LLVM. Plain C.
 *
 *   unisparse_cpu_program *program;   a library, checked and loaded
 *
 * All functions may be called from several threads at once, on one program too,
 * except that a program is closed once and when nothing uses it any more. What
 * fails returns a status, with a line in unisparse_last_message(), as
 * everywhere in unisparse.h; a rule that tensors break while the program runs
 * (I7 of a packed batch) does, too: nothing ends the process, and what the call
 * had allocated is freed. */
#ifndef UNISPARSE_RT_CPU_H
#define UNISPARSE_RT_CPU_H

#include "unisparse-rt/unisparse.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct unisparse_cpu_program unisparse_cpu_program;

/* Whether programs can run here: OpenMP's runtime is found. */
UNISPARSE_API unisparse_status unisparse_cpu_check(void);

/* Checks the whole file before any of it is loaded. UNISPARSE_BAD_CHIP where it
 * was compiled for more than this CPU has. */
UNISPARSE_API unisparse_status
unisparse_cpu_open(const char *path, unisparse_cpu_program **program);
UNISPARSE_API void unisparse_cpu_close(unisparse_cpu_program *program);

/* What the program takes and gives, for unisparse_artifact_input and so on; it
 * lives as long as the program. */
UNISPARSE_API const unisparse_artifact *
unisparse_cpu_description(const unisparse_cpu_program *program);

/* What it was compiled for, as in "x86-64-v3". */
UNISPARSE_API const char *
unisparse_cpu_program_level(const unisparse_cpu_program *program);
/* The best that this CPU runs: "x86-64" to "x86-64-v4", "x86-64-v4-bf16" with
 * AVX512-BF16, elsewhere "generic". */
UNISPARSE_API const char *unisparse_cpu_level(void);

/* Checks the inputs' types, sizes and strides (data may be null), and gives
 * outputs[i] element, rank, sizes and contiguous strides; data is left alone.
 */
UNISPARSE_API unisparse_status unisparse_cpu_prepare(
    const unisparse_cpu_program *program, const unisparse_tensor *inputs,
    int32_t input_count, unisparse_tensor *outputs, int32_t output_count);

/* Computes outputs of inputs, all of them in memory of the host, aligned as
 * their elements are. Inputs and outputs may have strides where the description
 * says so (layout 1 of docs/Artifact.md, of any multiple of an element): rows
 * are contiguous, and every element of an output has memory of its own. Outputs
 * overlap nothing: what counts is the range from first to last element. On
 * `threads` threads, or with 0 on as many as OpenMP gives this thread. Returns
 * when it is done. */
UNISPARSE_API unisparse_status unisparse_cpu_run(
    const unisparse_cpu_program *program, const unisparse_tensor *inputs,
    int32_t input_count, const unisparse_tensor *outputs, int32_t output_count,
    int32_t threads);

/* What leads compiled code through the other inputs. */
typedef struct unisparse_cpu_values {
  const unisparse_tensor *cu_seqlens_q, *cu_seqlens_k; /* null unless packed */
  const unisparse_tensor *counts,
      *indices;          /* null unless a selection is given */
  int64_t queries, keys; /* Lq and Lk, in tokens */
  int64_t query_block, key_block;
} unisparse_cpu_values;

/* Rules that values alone tell, for whoever did not make these values: code
 * goes where a selection sends it. [I8] of the ends of sequences, [A4] and [L6]
 * of a selection. Needs no program. */
UNISPARSE_API unisparse_status
unisparse_cpu_check_values(const unisparse_cpu_values *values);

/*--------------------------------------------------------------------------*\
 * What a library exports; for the two sides of it, the compiler and this
 * runtime.
\*--------------------------------------------------------------------------*/

/* The one symbol, a unisparse_cpu_library. */
#define UNISPARSE_CPU_SYMBOL "unisparse_cpu_library"

/* A function of the host's that the code calls: memory, violations, threads.
 * `in_region`: from inside a parallel region, which cannot be left. */
typedef struct unisparse_cpu_import {
  const char *name;
  int64_t in_region;
  void *address; /* the runtime fills it in */
} unisparse_cpu_import;

typedef struct unisparse_cpu_library {
  int64_t import_count;
  const char *level;
  unisparse_cpu_import *imports;
  /* Takes the address of a memref descriptor for each input, then for each
   * output: allocated, aligned, offset, sizes, strides, a word each. */
  void (*run)(void *const *memrefs);
} unisparse_cpu_library;

#ifdef __cplusplus
}
#endif

#endif /* UNISPARSE_RT_CPU_H */

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A program for the CPU, and what its code finds around it. */
#ifndef UNISPARSE_RT_SRC_CPU_H
#define UNISPARSE_RT_SRC_CPU_H

#include "program.h"
#include "unisparse-rt/cpu.h"
#include <setjmp.h>

struct unisparse_cpu_program {
  unisparse_artifact *description;
  void *library;
  const unisparse_cpu_library *code;
};

/* Memory that the code took outside of parallel regions, so that a call that is
 * left early gives it back. */
typedef struct usrt_block {
  struct usrt_block *previous, *next;
  struct usrt_call *call; /* null: of a parallel region, which is not left */
  void *start;
} usrt_block;

/* One call, on the stack of the thread that makes it. */
typedef struct usrt_call {
  jmp_buf left;
  unisparse_status status;
  struct usrt_call *outer;
  usrt_block *blocks;
  const char *text; /* the last that the code had to say */
} usrt_call;

/* Gives the code's imports their addresses. */
unisparse_status usrt_bind_imports(const char *path,
                                   const unisparse_cpu_library *code);

/* Runs the code in a call of its own. */
unisparse_status usrt_run_code(const unisparse_cpu_library *code,
                               void *const *memrefs, int32_t threads);

#endif /* UNISPARSE_RT_SRC_CPU_H */

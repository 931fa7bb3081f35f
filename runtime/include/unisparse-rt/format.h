/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* The numbers of docs/Artifact.md: what the compiler writes and the runtime
 * reads is numbered and bounded here and nowhere else. Plain C, for both. */
#ifndef UNISPARSE_RT_FORMAT_H
#define UNISPARSE_RT_FORMAT_H

#include "unisparse.h"

#define UNISPARSE_FORMAT_MAGIC "UNISPARS"

enum { UNISPARSE_FORMAT_VERSION = 4, UNISPARSE_FORMAT_HEADER_BYTES = 24 };

/* Behind the shared library of a program for the CPU stand its description and
 * this: u64 bytes of the library, u64 bytes of the description, u32 version,
 * u32 crc32 of all before it, the magic. */
#define UNISPARSE_CPU_MAGIC "UNISPCPU"

enum { UNISPARSE_CPU_VERSION = 2, UNISPARSE_CPU_FOOTER_BYTES = 32 };

/* Most that an artifact may have. They bound the stack of a launch, which
 * allocates nothing. */
enum {
  UNISPARSE_MAX_TENSORS = 32, /* inputs, and as many outputs */
  UNISPARSE_MAX_SYMBOLS = UNISPARSE_MAX_TENSORS * UNISPARSE_MAX_RANK,
  UNISPARSE_MAX_CHECKS = 1024,
  UNISPARSE_MAX_VARIANTS = 64,
  UNISPARSE_MAX_BUFFERS = 128,
  UNISPARSE_MAX_STEPS = 1024,
  UNISPARSE_MAX_ARGUMENTS = 128,
  UNISPARSE_MAX_MAPS = 16, /* of one launch */
  UNISPARSE_MAX_TERMS = 64 /* of a formula */
};

/* What CUDA allows: of a block and of a tensor map. */
enum {
  UNISPARSE_MAX_THREADS = 1024,
  UNISPARSE_MAX_THREADS_Z = 64,
  UNISPARSE_MAX_SHARED_BYTES = 2147483647,
  UNISPARSE_MAX_MAP_RANK = 5,
  UNISPARSE_MAX_BOX = 256,
  UNISPARSE_MAP_ALIGNMENT = 16 /* bytes; of rows of a box and of strides */
};

/* A variant's capability is 10 * major + minor. */
enum { UNISPARSE_LEAST_CAPABILITY = 10, UNISPARSE_MAX_CAPABILITY = 9999 };

/* Of a formula; leaves first. */
typedef enum unisparse_term {
  UNISPARSE_TERM_CONSTANT = 0,
  UNISPARSE_TERM_SYMBOL = 1,
  UNISPARSE_TERM_STRIDE =
      2,                   /* UNISPARSE_STRIDE_BASE * input + dimension; output
                            * i stands behind UNISPARSE_MAX_TENSORS inputs */
  UNISPARSE_TERM_FACT = 3, /* of the device; 0: number of multiprocessors */
  UNISPARSE_TERM_ADD = 4,
  UNISPARSE_TERM_SUB = 5,
  UNISPARSE_TERM_MUL = 6,
  UNISPARSE_TERM_FLOORDIV = 7,
  UNISPARSE_TERM_CEILDIV = 8,
  UNISPARSE_TERM_MIN = 9,
  UNISPARSE_TERM_MAX = 10
} unisparse_term;

enum { UNISPARSE_STRIDE_BASE = 8 };

typedef enum unisparse_layout {
  UNISPARSE_LAYOUT_CONTIGUOUS = 0,
  UNISPARSE_LAYOUT_ROWS = 1
} unisparse_layout;

typedef enum unisparse_relation {
  UNISPARSE_EQUAL = 0,
  UNISPARSE_AT_MOST = 1,
  UNISPARSE_MULTIPLE_OF = 2
} unisparse_relation;

typedef enum unisparse_image {
  UNISPARSE_IMAGE_PTX = 0,
  UNISPARSE_IMAGE_MACHINE_CODE = 1
} unisparse_image;

typedef enum unisparse_step {
  UNISPARSE_STEP_LAUNCH = 0,
  UNISPARSE_STEP_FILL = 1
} unisparse_step;

typedef enum unisparse_buffer {
  UNISPARSE_BUFFER_INPUT = 0,
  UNISPARSE_BUFFER_OUTPUT = 1,
  UNISPARSE_BUFFER_WORKSPACE = 2
} unisparse_buffer;

typedef enum unisparse_argument {
  UNISPARSE_ARGUMENT_ADDRESS = 0,
  UNISPARSE_ARGUMENT_I32 = 1,
  UNISPARSE_ARGUMENT_I64 = 2,
  UNISPARSE_ARGUMENT_F32 = 3,
  UNISPARSE_ARGUMENT_MAP = 4
} unisparse_argument;

/* A swizzle s above 0 takes rows of at most 16 << s bytes. */
typedef enum unisparse_swizzle {
  UNISPARSE_SWIZZLE_NONE = 0,
  UNISPARSE_SWIZZLE_32B = 1,
  UNISPARSE_SWIZZLE_64B = 2,
  UNISPARSE_SWIZZLE_128B = 3
} unisparse_swizzle;

#endif /* UNISPARSE_RT_FORMAT_H */

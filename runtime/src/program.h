/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A loaded program, and what one call works out of the sizes it is given. */
#ifndef UNISPARSE_RT_SRC_PROGRAM_H
#define UNISPARSE_RT_SRC_PROGRAM_H

#include "artifact.h"
#include "driver.h"

struct unisparse_program {
  atomic_int references; /* the caller's and each plan's */
  unisparse_artifact *artifact;
  const usrt_variant *variant;
  const usrt_driver *driver;
  usrt_encode_tiled *encode;        /* null where no launch has a tensor map */
  usrt_launch_kernel_ex *launch_ex; /* null where no launch overlaps */
  int32_t ordinal;
  CUdevice device;
  CUcontext context; /* the device's primary one, retained */
  CUmodule module;
  CUfunction *functions; /* one for each step; null for fills */
  int64_t multiprocessors;
  usrt_graph_driver graphs;
  bool has_graphs;        /* else plans launch step by step */
  atomic_int graph_count; /* that live */
};

/* A tensor that passed its checks. */
typedef struct usrt_shape {
  int64_t sizes[UNISPARSE_MAX_RANK];
  /* Where a size is 1, or any size 0, as if rows followed one another: callers'
   * strides do not matter there. */
  int64_t strides[UNISPARSE_MAX_RANK];
  int64_t bytes; /* from the first element to the end of the last */
} usrt_shape;

/* All that follows from the sizes of inputs; lives on the stack of a call. */
typedef struct usrt_frame {
  int64_t multiprocessors;
  int64_t row_bytes; /* what rows, and with them tensors, start at multiples of,
                      * no less than an element */
  int64_t symbols[UNISPARSE_MAX_SYMBOLS];
  usrt_shape inputs[UNISPARSE_MAX_TENSORS];
  usrt_shape outputs[UNISPARSE_MAX_TENSORS];
  int64_t buffer_offsets[UNISPARSE_MAX_BUFFERS];
  int64_t buffer_bytes[UNISPARSE_MAX_BUFFERS];
  int64_t workspace; /* bytes in all */
} usrt_frame;

/* Null, or what is wrong, as in "overflows 64 bits". */
const char *usrt_evaluate(const usrt_expression *expression,
                          const usrt_frame *frame, int64_t *value);

/* Fills in the frame, outputs contiguous; fails with UNISPARSE_BAD_SHAPE where
 * sizes, strides or checks are out of range. */
unisparse_status usrt_prepare(const unisparse_program *program,
                              const unisparse_tensor *inputs,
                              int32_t input_count, usrt_frame *frame);

/* The part of it that tensors decide, on any device: inputs, checks, sizes of
 * outputs. `row_bytes` is set, and `multiprocessors` where formulas have it. */
unisparse_status usrt_prepare_tensors(const unisparse_artifact *artifact,
                                      const unisparse_tensor *inputs,
                                      int32_t input_count, usrt_frame *frame);

/* `outputs` holds as many as the artifact has. */
unisparse_status usrt_check_output_count(const unisparse_artifact *artifact,
                                         const unisparse_tensor *outputs,
                                         int32_t output_count);

/* Element, rank, sizes and contiguous strides of all outputs. */
void usrt_describe_outputs(const unisparse_artifact *artifact,
                           const usrt_frame *frame, unisparse_tensor *outputs);

/* Sizes and strides of `outputs` against what is expected of them. What may
 * have strides of its own has them in the frame afterwards. */
unisparse_status usrt_check_outputs(const unisparse_artifact *artifact,
                                    const unisparse_tensor *outputs,
                                    usrt_frame *frame);

/* What every step that names a buffer is held to. */
int64_t usrt_buffer_bytes(const usrt_frame *frame, usrt_buffer buffer);

/* The grid of a launch; *empty where it has a size 0. */
unisparse_status usrt_grid(const usrt_launch *launch, const usrt_frame *frame,
                           uint32_t grid[3], bool *empty);

/* An i32 or i64 argument. */
unisparse_status usrt_integer(const usrt_launch *launch, uint32_t index,
                              const usrt_frame *frame, int64_t *value);

/* Sizes and strides of a tensor map, within the driver's limits and within its
 * buffer. A buffer without bytes has a map of one element, of any memory. */
unisparse_status usrt_map_shape(const usrt_launch *launch, const usrt_map *map,
                                const usrt_frame *frame,
                                uint64_t sizes[UNISPARSE_MAX_MAP_RANK],
                                uint64_t strides[UNISPARSE_MAX_MAP_RANK]);

/* The 32-bit words that a fill sets, within its buffer. */
unisparse_status usrt_fill_words(const usrt_fill *fill, const usrt_frame *frame,
                                 size_t *words);

/* All addresses of a call, numbered: inputs from 0 on, outputs, workspace. */
enum {
  USRT_FIRST_OUTPUT = UNISPARSE_MAX_TENSORS,
  USRT_WORKSPACE = 2 * UNISPARSE_MAX_TENSORS,
  USRT_ADDRESSES
};
typedef struct usrt_addresses {
  void *of[USRT_ADDRESSES]; /* those that the artifact has */
} usrt_addresses;

void usrt_addresses_of(const unisparse_artifact *artifact,
                       const unisparse_tensor *inputs,
                       const unisparse_tensor *outputs, void *workspace,
                       usrt_addresses *addresses);

/* Memory that a call reads or writes. */
typedef struct usrt_region {
  const char *kind, *name;
  uint32_t address; /* its number */
  uint64_t bytes, alignment;
} usrt_region;

/* All that have bytes; the first `read` of them are only read. */
typedef struct usrt_regions {
  uint32_t count, read;
  usrt_region list[USRT_ADDRESSES];
} usrt_regions;

void usrt_list_regions(const unisparse_artifact *artifact,
                       const usrt_frame *frame, usrt_regions *regions);

/* Addresses: alignment and overlap. Host side only. */
unisparse_status usrt_check_addresses(const usrt_region *regions,
                                      uint32_t count, uint32_t read,
                                      const usrt_addresses *addresses);

/* Addresses: memory of the program's device. Its context is current. */
unisparse_status usrt_check_memory(const unisparse_program *program,
                                   const usrt_regions *regions,
                                   const usrt_addresses *addresses);

/* Makes the program's context current, and the one before it again. Leaving
 * returns `status`, or where that is none what went wrong on leaving. */
unisparse_status usrt_enter(const unisparse_program *program);
unisparse_status usrt_leave(const unisparse_program *program,
                            unisparse_status status);

unisparse_program *usrt_program_retain(const unisparse_program *program);

#endif /* UNISPARSE_RT_SRC_PROGRAM_H */

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* What the steps of a program make of a call's sizes. */
#include "program.h"
#include <inttypes.h>

unisparse_status usrt_grid(const usrt_launch *launch, const usrt_frame *frame,
                           uint32_t grid[3], bool *empty) {
  static const int64_t most[3] = {INT32_MAX, 65535, 65535};
  int64_t sizes[3];
  *empty = false;
  for (int i = 0; i < 3; ++i) {
    const char *problem = usrt_evaluate(&launch->grid[i], frame, &sizes[i]);
    if (problem)
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "kernel \"%s\": grid %c: expected a number, got a "
                       "formula that %s",
                       launch->kernel, "xyz"[i], problem);
    *empty |= sizes[i] == 0;
  }
  for (int i = 0; i < 3; ++i) {
    if (sizes[i] < 0 || (sizes[i] > most[i] && !*empty))
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "kernel \"%s\": grid %c: expected 0 to %" PRId64
                       ", got %" PRId64,
                       launch->kernel, "xyz"[i], most[i], sizes[i]);
    grid[i] = (uint32_t)sizes[i];
  }
  return UNISPARSE_OK;
}

unisparse_status usrt_integer(const usrt_launch *launch, uint32_t index,
                              const usrt_frame *frame, int64_t *value) {
  const usrt_argument *argument = &launch->arguments[index];
  const char *problem = usrt_evaluate(&argument->expression, frame, value);
  if (problem)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "kernel \"%s\": argument %" PRIu32
                     ": expected a number, got a formula that %s",
                     launch->kernel, index, problem);
  if (argument->kind == USRT_I32 && (*value < INT32_MIN || *value > INT32_MAX))
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "kernel \"%s\": argument %" PRIu32
                     ": expected a number of 32 bits, got %" PRId64,
                     launch->kernel, index, *value);
  return UNISPARSE_OK;
}

static unisparse_status map_number(const usrt_launch *launch,
                                   const usrt_expression *expression,
                                   const char *what, uint32_t index,
                                   const usrt_frame *frame, int64_t *value) {
  const char *problem = usrt_evaluate(expression, frame, value);
  if (!problem)
    return UNISPARSE_OK;
  return usrt_fail(UNISPARSE_BAD_SHAPE,
                   "kernel \"%s\": %s %" PRIu32
                   " of a tensor map: expected a number, got a formula that %s",
                   launch->kernel, what, index, problem);
}

unisparse_status usrt_map_shape(const usrt_launch *launch, const usrt_map *map,
                                const usrt_frame *frame,
                                uint64_t sizes[USRT_MAX_MAP_RANK],
                                uint64_t strides[USRT_MAX_MAP_RANK]) {
  static const int64_t most_size = (int64_t)1 << 32;
  static const int64_t end_stride = (int64_t)1 << 40;
  int64_t value;
  for (uint32_t i = 0; i < map->rank; ++i) {
    USRT_TRY(map_number(launch, &map->sizes[i], "size", i, frame, &value));
    if (value < 1 || value > most_size)
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "kernel \"%s\": size %" PRIu32
                       " of a tensor map: expected 1 to 2^32, got %" PRId64,
                       launch->kernel, i, value);
    sizes[i] = (uint64_t)value;
  }
  for (uint32_t i = 0; i + 1 < map->rank; ++i) {
    USRT_TRY(map_number(launch, &map->strides[i], "stride", i, frame, &value));
    if (value < 0 || value >= end_stride || value % 16 != 0)
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "kernel \"%s\": stride %" PRIu32
                       " of a tensor map: expected a multiple of 16 bytes "
                       "below 2^40, got %" PRId64,
                       launch->kernel, i, value);
    strides[i] = (uint64_t)value;
  }
  return UNISPARSE_OK;
}

unisparse_status usrt_fill_words(const usrt_fill *fill, const usrt_frame *frame,
                                 size_t *words) {
  uint32_t index = fill->buffer.index;
  bool output = fill->buffer.kind == USRT_OUTPUT;
  const char *what = output ? "output" : "workspace buffer";
  int64_t most =
      (output ? frame->outputs[index].bytes : frame->buffer_bytes[index]) / 4;
  int64_t value;
  const char *problem = usrt_evaluate(&fill->words, frame, &value);
  if (problem)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "fill of %s %" PRIu32
                     ": expected a number of words, got a formula that %s",
                     what, index, problem);
  if (value < 0 || value > most)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "fill of %s %" PRIu32 ": expected 0 to its %" PRId64
                     " words, got %" PRId64,
                     what, index, most, value);
  *words = (size_t)value;
  return UNISPARSE_OK;
}

static unisparse_status check_launch(const usrt_launch *launch,
                                     const usrt_frame *frame) {
  uint32_t grid[3];
  bool empty;
  USRT_TRY(usrt_grid(launch, frame, grid, &empty));
  if (empty)
    return UNISPARSE_OK;
  for (uint32_t i = 0; i < launch->argument_count; ++i) {
    const usrt_argument *argument = &launch->arguments[i];
    int64_t value;
    uint64_t sizes[USRT_MAX_MAP_RANK], strides[USRT_MAX_MAP_RANK];
    if (argument->kind == USRT_I32 || argument->kind == USRT_I64)
      USRT_TRY(usrt_integer(launch, i, frame, &value));
    else if (argument->kind == USRT_TENSOR_MAP)
      USRT_TRY(usrt_map_shape(launch, argument->map, frame, sizes, strides));
  }
  return UNISPARSE_OK;
}

unisparse_status usrt_check_steps(const unisparse_program *program,
                                  const usrt_frame *frame) {
  const usrt_variant *variant = program->variant;
  for (uint32_t i = 0; i < variant->step_count; ++i) {
    size_t words;
    if (variant->steps[i].is_fill)
      USRT_TRY(usrt_fill_words(&variant->steps[i].fill, frame, &words));
    else
      USRT_TRY(check_launch(&variant->steps[i].launch, frame));
  }
  return UNISPARSE_OK;
}

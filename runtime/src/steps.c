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
  if (argument->kind == UNISPARSE_ARGUMENT_I32 &&
      (*value < INT32_MIN || *value > INT32_MAX))
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

int64_t usrt_buffer_bytes(const usrt_frame *frame, usrt_buffer buffer) {
  switch (buffer.kind) {
  case UNISPARSE_BUFFER_INPUT:
    return frame->inputs[buffer.index].bytes;
  case UNISPARSE_BUFFER_OUTPUT:
    return frame->outputs[buffer.index].bytes;
  case UNISPARSE_BUFFER_WORKSPACE:
    break;
  }
  return frame->buffer_bytes[buffer.index];
}

static const char *buffer_word(usrt_buffer buffer) {
  static const char *const words[] = {"input", "output", "workspace buffer"};
  return words[buffer.kind];
}

/* Bytes from a map's first element to the end of its last; INT64_MAX where
 * there are as many or more. */
static int64_t map_reach(const usrt_map *map, const uint64_t *sizes,
                         const uint64_t *strides) {
  int64_t reach = (int64_t)sizes[0] * usrt_element_bytes(map->element);
  for (uint32_t i = 1; i < map->rank; ++i) {
    int64_t more;
    if (__builtin_mul_overflow(sizes[i] - 1, strides[i - 1], &more) ||
        __builtin_add_overflow(reach, more, &reach))
      return INT64_MAX;
  }
  return reach;
}

unisparse_status usrt_map_shape(const usrt_launch *launch, const usrt_map *map,
                                const usrt_frame *frame,
                                uint64_t sizes[UNISPARSE_MAX_MAP_RANK],
                                uint64_t strides[UNISPARSE_MAX_MAP_RANK]) {
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
    if (value < 0 || value >= end_stride ||
        value % UNISPARSE_MAP_ALIGNMENT != 0)
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "kernel \"%s\": stride %" PRIu32
                       " of a tensor map: expected a multiple of 16 bytes "
                       "below 2^40, got %" PRId64,
                       launch->kernel, i, value);
    strides[i] = (uint64_t)value;
  }
  int64_t most = usrt_buffer_bytes(frame, map->buffer);
  /* Sizes of 0, which a map cannot have, became others: whatever they are,
   * the rest of the map reads as 0. */
  for (uint32_t i = 0; most == 0 && i < map->rank; ++i)
    sizes[i] = 1;
  int64_t reach = map_reach(map, sizes, strides);
  if (most != 0 && reach > most)
    return usrt_fail(
        UNISPARSE_BAD_SHAPE,
        "kernel \"%s\": tensor map of %s %" PRIu32
        ": expected to end within its %" PRId64 " bytes, got %" PRId64 "%s",
        launch->kernel, buffer_word(map->buffer), map->buffer.index, most,
        reach, reach == INT64_MAX ? " or more" : "");
  return UNISPARSE_OK;
}

unisparse_status usrt_fill_words(const usrt_fill *fill, const usrt_frame *frame,
                                 size_t *words) {
  uint32_t index = fill->buffer.index;
  const char *what = buffer_word(fill->buffer);
  int64_t most = usrt_buffer_bytes(frame, fill->buffer) / 4;
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

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Variants and their steps; see docs/Artifact.md. */
#include "artifact.h"
#include <inttypes.h>

/* Bytes of the smallest record of each kind. */
enum { STRING = 4, EXPRESSION = 16, BUFFER = 8, STEP = 4 + BUFFER + 4 };

static unisparse_status parse_buffer(usrt_parser *parser,
                                     const usrt_variant *variant,
                                     usrt_buffer *buffer) {
  static const char *const kinds[] = {"input", "output", "workspace buffer"};
  uint32_t counts[] = {parser->artifact->input_count,
                       parser->artifact->output_count, variant->buffer_count};
  uint32_t kind;
  USRT_TRY(usrt_take_range(&parser->reader, "kind of a buffer", 0,
                           UNISPARSE_BUFFER_WORKSPACE, &kind));
  USRT_TRY(
      usrt_take_u32(&parser->reader, "number of a buffer", &buffer->index));
  if (buffer->index >= counts[kind])
    return usrt_bad(&parser->reader,
                    "%s: expected a number below %" PRIu32 ", got %" PRIu32,
                    kinds[kind], counts[kind], buffer->index);
  buffer->kind = (unisparse_buffer)kind;
  return UNISPARSE_OK;
}

/* The rules of cuTensorMapEncodeTiled that sizes do not decide. */
static unisparse_status check_box(usrt_parser *parser, const usrt_map *map) {
  int64_t row = map->box[0] * usrt_element_bytes(map->element);
  if (row % UNISPARSE_MAP_ALIGNMENT != 0)
    return usrt_bad(&parser->reader,
                    "box of a tensor map: expected rows of a multiple of 16 "
                    "bytes, got %" PRId64,
                    row);
  int64_t span = (int64_t)16 << map->swizzle;
  if (map->swizzle != UNISPARSE_SWIZZLE_NONE && row > span)
    return usrt_bad(&parser->reader,
                    "box of a tensor map: expected rows of at most the "
                    "swizzle's %" PRId64 " bytes, got %" PRId64,
                    span, row);
  return UNISPARSE_OK;
}

static unisparse_status parse_map(usrt_parser *parser,
                                  const usrt_variant *variant,
                                  const usrt_map **parsed) {
  usrt_reader *reader = &parser->reader;
  usrt_map *map = usrt_allocate(&parser->artifact->arena, 1, sizeof *map);
  if (!map)
    return UNISPARSE_NO_MEMORY;
  uint32_t element;
  USRT_TRY(parse_buffer(parser, variant, &map->buffer));
  USRT_TRY(usrt_take_range(reader, "element of a tensor map", 0, UNISPARSE_I32,
                           &element));
  map->element = (unisparse_element)element;
  USRT_TRY(usrt_take_range(reader, "rank of a tensor map", 1,
                           UNISPARSE_MAX_MAP_RANK, &map->rank));
  for (uint32_t i = 0; i < map->rank; ++i)
    USRT_TRY(usrt_parse_expression(parser, "size of a tensor map",
                                   USRT_LEAVES_OF_CALLS, &map->sizes[i]));
  for (uint32_t i = 0; i + 1 < map->rank; ++i)
    USRT_TRY(usrt_parse_expression(parser, "stride of a tensor map",
                                   USRT_LEAVES_OF_CALLS, &map->strides[i]));
  for (uint32_t i = 0; i < map->rank; ++i)
    USRT_TRY(usrt_take_range(reader, "box of a tensor map", 1,
                             UNISPARSE_MAX_BOX, &map->box[i]));
  USRT_TRY(usrt_take_range(reader, "swizzle of a tensor map", 0,
                           UNISPARSE_SWIZZLE_128B, &map->swizzle));
  *parsed = map;
  return check_box(parser, map);
}

static unisparse_status parse_argument(usrt_parser *parser,
                                       const usrt_variant *variant,
                                       usrt_argument *argument) {
  uint32_t kind;
  USRT_TRY(usrt_take_range(&parser->reader, "kind of an argument", 0,
                           UNISPARSE_ARGUMENT_MAP, &kind));
  argument->kind = (unisparse_argument)kind;
  switch (argument->kind) {
  case UNISPARSE_ARGUMENT_ADDRESS:
    return parse_buffer(parser, variant, &argument->buffer);
  case UNISPARSE_ARGUMENT_I32:
  case UNISPARSE_ARGUMENT_I64:
    return usrt_parse_expression(parser, "argument", USRT_LEAVES_OF_CALLS,
                                 &argument->expression);
  case UNISPARSE_ARGUMENT_F32:
    return usrt_take_u32(&parser->reader, "f32 argument", &argument->bits);
  case UNISPARSE_ARGUMENT_MAP:
    return parse_map(parser, variant, &argument->map);
  }
  return UNISPARSE_OK;
}

static unisparse_status parse_arguments(usrt_parser *parser,
                                        usrt_variant *variant,
                                        usrt_launch *launch) {
  USRT_TRY(usrt_take_count(&parser->reader, "number of arguments",
                           UNISPARSE_MAX_ARGUMENTS, 8,
                           &launch->argument_count));
  usrt_argument *arguments = usrt_allocate(
      &parser->artifact->arena, launch->argument_count, sizeof *arguments);
  if (!arguments)
    return UNISPARSE_NO_MEMORY;
  uint32_t maps = 0;
  for (uint32_t i = 0; i < launch->argument_count; ++i) {
    USRT_TRY(parse_argument(parser, variant, &arguments[i]));
    maps += arguments[i].kind == UNISPARSE_ARGUMENT_MAP;
  }
  if (maps > UNISPARSE_MAX_MAPS)
    return usrt_bad(&parser->reader,
                    "kernel \"%s\": expected at most %d tensor maps, got "
                    "%" PRIu32,
                    launch->kernel, UNISPARSE_MAX_MAPS, maps);
  variant->has_maps |= maps != 0;
  launch->arguments = arguments;
  return UNISPARSE_OK;
}

static unisparse_status parse_launch(usrt_parser *parser, usrt_variant *variant,
                                     usrt_launch *launch) {
  usrt_reader *reader = &parser->reader;
  const unsigned char *name = reader->at;
  USRT_TRY(usrt_take_symbol(reader, "name of a kernel",
                            &parser->artifact->arena, &launch->symbol));
  reader->at = name; /* once more, for people */
  USRT_TRY(usrt_take_string(reader, "name of a kernel",
                            &parser->artifact->arena, &launch->kernel));
  USRT_TRY(usrt_take_string(reader, "schedule of a kernel",
                            &parser->artifact->arena, &launch->schedule));
  for (int i = 0; i < 3; ++i)
    USRT_TRY(usrt_parse_expression(parser, "grid", USRT_LEAVES_OF_CALLS,
                                   &launch->grid[i]));
  uint32_t threads = 1;
  for (int i = 0; i < 3; ++i) {
    USRT_TRY(usrt_take_range(reader, "block", 1,
                             i == 2 ? UNISPARSE_MAX_THREADS_Z
                                    : UNISPARSE_MAX_THREADS,
                             &launch->block[i]));
    threads *= launch->block[i]; /* below 2^27 */
  }
  if (threads > UNISPARSE_MAX_THREADS)
    return usrt_bad(reader,
                    "kernel \"%s\": expected at most %d threads in a block, "
                    "got %" PRIu32,
                    launch->kernel, UNISPARSE_MAX_THREADS, threads);
  USRT_TRY(usrt_take_range(reader, "dynamic shared memory", 0,
                           UNISPARSE_MAX_SHARED_BYTES, &launch->shared_bytes));
  uint32_t overlaps;
  USRT_TRY(usrt_take_range(reader, "overlap", 0, 1, &overlaps));
  launch->overlaps = overlaps != 0;
  variant->has_overlaps |= launch->overlaps;
  return parse_arguments(parser, variant, launch);
}

static unisparse_status
parse_fill(usrt_parser *parser, const usrt_variant *variant, usrt_fill *fill) {
  USRT_TRY(parse_buffer(parser, variant, &fill->buffer));
  if (fill->buffer.kind == UNISPARSE_BUFFER_INPUT)
    return usrt_bad(&parser->reader,
                    "fill: expected an output or a workspace buffer, got input "
                    "%" PRIu32,
                    fill->buffer.index);
  /* It would fill what is between rows, too. */
  if (fill->buffer.kind == UNISPARSE_BUFFER_OUTPUT &&
      parser->artifact->outputs[fill->buffer.index].strided)
    return usrt_bad(&parser->reader,
                    "fill: expected a contiguous output, got output %" PRIu32,
                    fill->buffer.index);
  USRT_TRY(usrt_take_u32(&parser->reader, "word of a fill", &fill->word));
  return usrt_parse_expression(parser, "words of a fill", USRT_LEAVES_OF_CALLS,
                               &fill->words);
}

static unisparse_status parse_steps(usrt_parser *parser,
                                    usrt_variant *variant) {
  USRT_TRY(usrt_take_count(&parser->reader, "number of steps",
                           UNISPARSE_MAX_STEPS, STEP, &variant->step_count));
  usrt_step *steps = usrt_allocate(&parser->artifact->arena,
                                   variant->step_count, sizeof *steps);
  if (!steps)
    return UNISPARSE_NO_MEMORY;
  for (uint32_t i = 0; i < variant->step_count; ++i) {
    uint32_t kind;
    USRT_TRY(usrt_take_range(&parser->reader, "kind of a step", 0,
                             UNISPARSE_STEP_FILL, &kind));
    steps[i].is_fill = kind == UNISPARSE_STEP_FILL;
    if (steps[i].is_fill)
      USRT_TRY(parse_fill(parser, variant, &steps[i].fill));
    else
      USRT_TRY(parse_launch(parser, variant, &steps[i].launch));
  }
  variant->steps = steps;
  return UNISPARSE_OK;
}

unisparse_status usrt_parse_variant(usrt_parser *parser,
                                    usrt_variant *variant) {
  usrt_reader *reader = &parser->reader;
  usrt_arena *arena = &parser->artifact->arena;
  uint32_t exact, machine_code;
  USRT_TRY(usrt_take_string(reader, "chip", arena, &variant->chip));
  USRT_TRY(usrt_take_range(reader, "capability", UNISPARSE_LEAST_CAPABILITY,
                           UNISPARSE_MAX_CAPABILITY, &variant->capability));
  USRT_TRY(usrt_take_range(reader, "exact", 0, 1, &exact));
  USRT_TRY(usrt_take_range(reader, "kind of code", 0,
                           UNISPARSE_IMAGE_MACHINE_CODE, &machine_code));
  variant->exact = exact;
  variant->machine_code = machine_code;
  USRT_TRY(usrt_take_range(reader, "version of the driver", 0, INT32_MAX,
                           &variant->driver_version));
  USRT_TRY(usrt_take_blob(reader, "image", arena, &variant->image,
                          &variant->image_bytes));
  USRT_TRY(usrt_take_count(reader, "number of workspace buffers",
                           UNISPARSE_MAX_BUFFERS, EXPRESSION,
                           &variant->buffer_count));
  usrt_expression *buffers =
      usrt_allocate(arena, variant->buffer_count, sizeof *buffers);
  if (!buffers)
    return UNISPARSE_NO_MEMORY;
  for (uint32_t i = 0; i < variant->buffer_count; ++i)
    USRT_TRY(usrt_parse_expression(parser, "bytes of a workspace buffer",
                                   USRT_LEAVES_OF_DEVICES, &buffers[i]));
  variant->buffers = buffers;
  return parse_steps(parser, variant);
}

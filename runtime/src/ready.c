/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "ready.h"
#include <string.h>

uint32_t usrt_map_count(const usrt_launch *launch) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < launch->argument_count; ++i)
    count += launch->arguments[i].kind == UNISPARSE_ARGUMENT_MAP;
  return count;
}

static usrt_place place_of(usrt_buffer buffer, const usrt_frame *frame) {
  switch (buffer.kind) {
  case UNISPARSE_BUFFER_INPUT:
    return (usrt_place){buffer.index, 0};
  case UNISPARSE_BUFFER_OUTPUT:
    return (usrt_place){USRT_FIRST_OUTPUT + buffer.index, 0};
  case UNISPARSE_BUFFER_WORKSPACE:
    break;
  }
  return (usrt_place){USRT_WORKSPACE, frame->buffer_offsets[buffer.index]};
}

/* A map needs memory of the device even where nothing of it will be read, which
 * a tensor without elements may lack. Null where no tensor has any. */
static usrt_place any_memory(const unisparse_artifact *artifact,
                             const usrt_frame *frame) {
  for (uint32_t i = 0; frame->workspace == 0 && i < artifact->output_count; ++i)
    if (frame->outputs[i].bytes > 0)
      return (usrt_place){USRT_FIRST_OUTPUT + i, 0};
  for (uint32_t i = 0; frame->workspace == 0 && i < artifact->input_count; ++i)
    if (frame->inputs[i].bytes > 0)
      return (usrt_place){i, 0};
  return (usrt_place){USRT_WORKSPACE, 0};
}

static unisparse_status ready_map(const unisparse_artifact *artifact,
                                  const usrt_launch *launch,
                                  const usrt_map *map, const usrt_frame *frame,
                                  usrt_ready_map *ready) {
  ready->place = usrt_buffer_bytes(frame, map->buffer) > 0
                     ? place_of(map->buffer, frame)
                     : any_memory(artifact, frame);
  return usrt_map_shape(launch, map, frame, ready->sizes, ready->strides);
}

static unisparse_status ready_arguments(const unisparse_artifact *artifact,
                                        const usrt_launch *launch,
                                        const usrt_frame *frame,
                                        usrt_ready *ready) {
  uint32_t maps = 0;
  for (uint32_t i = 0; i < launch->argument_count; ++i) {
    const usrt_argument *argument = &launch->arguments[i];
    usrt_value *value = &ready->values[i];
    int64_t integer;
    int32_t narrow;
    value->bits = 0;
    switch (argument->kind) {
    case UNISPARSE_ARGUMENT_ADDRESS:
      value->place = place_of(argument->buffer, frame);
      break;
    case UNISPARSE_ARGUMENT_I32:
      USRT_TRY(usrt_integer(launch, i, frame, &integer));
      narrow = (int32_t)integer;
      memcpy(&value->bits, &narrow, sizeof narrow);
      break;
    case UNISPARSE_ARGUMENT_I64:
      USRT_TRY(usrt_integer(launch, i, frame, &integer));
      value->bits = (uint64_t)integer;
      break;
    case UNISPARSE_ARGUMENT_F32:
      memcpy(&value->bits, &argument->bits, sizeof argument->bits);
      break;
    case UNISPARSE_ARGUMENT_MAP:
      USRT_TRY(ready_map(artifact, launch, argument->map, frame,
                         &ready->maps[maps++]));
      break;
    }
  }
  return UNISPARSE_OK;
}

unisparse_status usrt_make_ready(const unisparse_program *program,
                                 uint32_t index, const usrt_frame *frame,
                                 bool *behind_launch, usrt_ready *ready) {
  const usrt_step *step = &program->variant->steps[index];
  ready->step = step;
  ready->function = program->functions[index];
  ready->overlaps = false;
  if (step->is_fill) {
    *behind_launch = false;
    USRT_TRY(usrt_fill_words(&step->fill, frame, &ready->words));
    ready->left_out = ready->words == 0;
    ready->place = place_of(step->fill.buffer, frame);
    return UNISPARSE_OK;
  }
  const usrt_launch *launch = &step->launch;
  USRT_TRY(usrt_grid(launch, frame, ready->grid, &ready->left_out));
  /* Whose kernel waits for nobody first relies on its own call's steps. */
  ready->overlaps = launch->overlaps && *behind_launch;
  *behind_launch = !ready->left_out;
  if (ready->left_out)
    return UNISPARSE_OK;
  return ready_arguments(program->artifact, launch, frame, ready);
}

unisparse_status usrt_check_steps(const unisparse_program *program,
                                  const usrt_frame *frame) {
  usrt_ready_room room;
  usrt_ready ready = {.values = room.values, .maps = room.maps};
  bool behind_launch = false;
  for (uint32_t i = 0; i < program->variant->step_count; ++i)
    USRT_TRY(usrt_make_ready(program, i, frame, &behind_launch, &ready));
  return UNISPARSE_OK;
}

void *usrt_address(usrt_place place, const usrt_addresses *addresses) {
  char *base = addresses->of[place.address];
  return base ? base + place.offset : NULL;
}

void usrt_set_numbers(const usrt_ready *ready, usrt_arguments *arguments) {
  const usrt_launch *launch = &ready->step->launch;
  uint32_t maps = 0;
  for (uint32_t i = 0; i < launch->argument_count; ++i) {
    unisparse_argument kind = launch->arguments[i].kind;
    arguments->pointers[i] = &arguments->values[i];
    if (kind == UNISPARSE_ARGUMENT_MAP)
      arguments->pointers[i] = &arguments->maps[maps++];
    else if (kind != UNISPARSE_ARGUMENT_ADDRESS)
      arguments->values[i] = ready->values[i].bits;
  }
}

static int map_type(unisparse_element element) {
  switch (element) {
  case UNISPARSE_F16:
    return CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  case UNISPARSE_BF16:
    return CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  case UNISPARSE_I32:
    return CU_TENSOR_MAP_DATA_TYPE_INT32;
  case UNISPARSE_F32:
    break;
  }
  return CU_TENSOR_MAP_DATA_TYPE_FLOAT32;
}

/* The next columns of a row are fetched by another copy: 256 bytes bring them
 * into the L2 too. */
static CUresult encode_map(const unisparse_program *program,
                           const usrt_map *map, const usrt_ready_map *ready,
                           void *address, CUtensorMap *encoded) {
  static const uint32_t ones[UNISPARSE_MAX_MAP_RANK] = {1, 1, 1, 1, 1};
  return program->encode(encoded, map_type(map->element), map->rank, address,
                         ready->sizes, ready->strides, map->box, ones,
                         CU_TENSOR_MAP_INTERLEAVE_NONE, (int)map->swizzle,
                         CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                         CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
}

CUresult usrt_set_addresses(const unisparse_program *program,
                            const usrt_ready *ready,
                            const usrt_addresses *addresses, bool again,
                            usrt_arguments *arguments, bool *changed,
                            uint32_t *failed) {
  const usrt_launch *launch = &ready->step->launch;
  uint32_t maps = 0;
  *changed = !again;
  for (uint32_t i = 0; i < launch->argument_count; ++i) {
    const usrt_argument *argument = &launch->arguments[i];
    bool is_map = argument->kind == UNISPARSE_ARGUMENT_MAP;
    if (!is_map && argument->kind != UNISPARSE_ARGUMENT_ADDRESS)
      continue;
    uint32_t map = maps;
    maps += is_map;
    void *address = usrt_address(
        is_map ? ready->maps[map].place : ready->values[i].place, addresses);
    if (again && arguments->values[i] == (uintptr_t)address)
      continue;
    *changed = true;
    arguments->values[i] = (uintptr_t)address;
    if (!is_map)
      continue;
    CUresult error = encode_map(program, argument->map, &ready->maps[map],
                                address, &arguments->maps[map]);
    *failed = i;
    if (error != CUDA_SUCCESS)
      return error;
  }
  return CUDA_SUCCESS;
}

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "program.h"
#include <inttypes.h>
#include <string.h>

unisparse_status usrt_check_output_count(const unisparse_artifact *artifact,
                                           const unisparse_tensor *outputs,
                                           int32_t output_count) {
  if (output_count < 0 || (uint32_t)output_count != artifact->output_count)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "outputs: expected %" PRIu32 " tensors, got %" PRId32,
                     artifact->output_count, output_count);
  if (!outputs && output_count != 0)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "outputs: expected %" PRIu32
                     " tensors, got a null pointer",
                     artifact->output_count);
  return UNISPARSE_OK;
}

unisparse_status unisparse_program_prepare(const unisparse_program *program,
                                           const unisparse_tensor *inputs,
                                           int32_t input_count,
                                           unisparse_tensor *outputs,
                                           int32_t output_count,
                                           size_t *workspace) {
  if (!program)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "program: expected one, got a null pointer");
  const unisparse_artifact *artifact = program->artifact;
  if (outputs)
    USRT_TRY(usrt_check_output_count(artifact, outputs, output_count));
  usrt_frame frame;
  USRT_TRY(usrt_prepare(program, inputs, input_count, &frame));
  USRT_TRY(usrt_check_steps(program, &frame));
  if (outputs)
    usrt_describe_outputs(artifact, &frame, outputs);
  if (workspace)
    *workspace = (size_t)frame.workspace;
  return UNISPARSE_OK;
}

/* What one call has, beside what follows from its sizes. */
typedef struct usrt_call {
  const unisparse_program *program;
  const usrt_frame *frame;
  const unisparse_tensor *inputs, *outputs;
  char *workspace;
  CUstream stream;
  bool is_known;      /* whose memory it is */
  bool behind_launch; /* the step before was a launch, and not left out */
} usrt_call;

/* What cuLaunchKernel reads before it returns. */
typedef struct usrt_arguments {
  CUtensorMap maps[UNISPARSE_MAX_MAPS];
  uint64_t values[UNISPARSE_MAX_ARGUMENTS];
  void *pointers[UNISPARSE_MAX_ARGUMENTS];
} usrt_arguments;

static void *address_of(const usrt_call *call, usrt_buffer buffer) {
  switch (buffer.kind) {
  case UNISPARSE_BUFFER_INPUT:
    return call->inputs[buffer.index].data;
  case UNISPARSE_BUFFER_OUTPUT:
    return call->outputs[buffer.index].data;
  case UNISPARSE_BUFFER_WORKSPACE:
    break;
  }
  /* Null where the whole workspace may be: then no buffer has a byte. */
  return call->workspace
             ? call->workspace + call->frame->buffer_offsets[buffer.index]
             : NULL;
}

/* A map needs memory of the device even where nothing of it will be read, which
 * a tensor without elements may lack. Null where no tensor has any. */
static void *any_memory(const usrt_call *call) {
  const unisparse_artifact *artifact = call->program->artifact;
  if (call->workspace && call->frame->workspace > 0)
    return call->workspace;
  for (uint32_t i = 0; i < artifact->output_count; ++i)
    if (call->frame->outputs[i].bytes > 0)
      return call->outputs[i].data;
  for (uint32_t i = 0; i < artifact->input_count; ++i)
    if (call->frame->inputs[i].bytes > 0)
      return call->inputs[i].data;
  return call->workspace;
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

static unisparse_status encode_map(const usrt_call *call,
                                   const usrt_launch *launch, uint32_t index,
                                   CUtensorMap *encoded) {
  static const uint32_t ones[UNISPARSE_MAX_MAP_RANK] = {1, 1, 1, 1, 1};
  const usrt_map *map = launch->arguments[index].map;
  uint64_t sizes[UNISPARSE_MAX_MAP_RANK], strides[UNISPARSE_MAX_MAP_RANK];
  USRT_TRY(usrt_map_shape(launch, map, call->frame, sizes, strides));
  void *address = usrt_buffer_bytes(call->frame, map->buffer) > 0
                      ? address_of(call, map->buffer)
                      : any_memory(call);
  /* The next columns of a row are fetched by another copy: 256 bytes bring
   * them into the L2 too. */
  CUresult error = call->program->encode(
      encoded, map_type(map->element), map->rank, address, sizes, strides,
      map->box, ones, CU_TENSOR_MAP_INTERLEAVE_NONE, (int)map->swizzle,
      CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return usrt_driver_check(call->program->driver, "cuTensorMapEncodeTiled",
                           error, "kernel \"%s\": argument %" PRIu32,
                           launch->kernel, index);
}

static unisparse_status set_arguments(const usrt_call *call,
                                      const usrt_launch *launch,
                                      usrt_arguments *arguments) {
  uint32_t maps = 0;
  for (uint32_t i = 0; i < launch->argument_count; ++i) {
    const usrt_argument *argument = &launch->arguments[i];
    uint64_t *value = &arguments->values[i];
    arguments->pointers[i] = value;
    int64_t integer;
    int32_t narrow;
    switch (argument->kind) {
    case UNISPARSE_ARGUMENT_ADDRESS:
      *value = (uintptr_t)address_of(call, argument->buffer);
      break;
    case UNISPARSE_ARGUMENT_I32:
      USRT_TRY(usrt_integer(launch, i, call->frame, &integer));
      narrow = (int32_t)integer;
      memcpy(value, &narrow, sizeof narrow);
      break;
    case UNISPARSE_ARGUMENT_I64:
      USRT_TRY(usrt_integer(launch, i, call->frame, &integer));
      *value = (uint64_t)integer;
      break;
    case UNISPARSE_ARGUMENT_F32:
      memcpy(value, &argument->bits, sizeof argument->bits);
      break;
    case UNISPARSE_ARGUMENT_MAP:
      arguments->pointers[i] = &arguments->maps[maps];
      USRT_TRY(encode_map(call, launch, i, &arguments->maps[maps++]));
      break;
    }
  }
  return UNISPARSE_OK;
}

static unisparse_status check_launch(const usrt_driver *driver,
                                     const char *name, CUresult error,
                                     const usrt_launch *launch,
                                     const uint32_t grid[3]) {
  return usrt_driver_check(driver, name, error,
                           "kernel \"%s\" on a grid of %" PRIu32 "x%" PRIu32
                           "x%" PRIu32,
                           launch->kernel, grid[0], grid[1], grid[2]);
}

static unisparse_status run_launch(usrt_call *call,
                                   const usrt_launch *launch,
                                   CUfunction function) {
  uint32_t grid[3];
  bool empty;
  USRT_TRY(usrt_grid(launch, call->frame, grid, &empty));
  /* Whose kernel waits for nobody first relies on its own call's steps. */
  bool overlaps = launch->overlaps && call->behind_launch;
  call->behind_launch = !empty;
  if (empty)
    return UNISPARSE_OK;
  usrt_arguments arguments;
  USRT_TRY(set_arguments(call, launch, &arguments));
  const usrt_driver *driver = call->program->driver;
  const uint32_t *block = launch->block;
  if (overlaps) {
    usrt_launch_attribute overlap = {
        .id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
        .value.programmatic_stream_serialization_allowed = 1};
    usrt_launch_config config = {{grid[0], grid[1], grid[2]},
                                 {block[0], block[1], block[2]},
                                 launch->shared_bytes,
                                 call->stream,
                                 &overlap,
                                 1};
    return check_launch(driver, "cuLaunchKernelEx",
                        call->program->launch_ex(&config, function,
                                                 arguments.pointers, NULL),
                        launch, grid);
  }
  return check_launch(
      driver, "cuLaunchKernel",
      driver->launch_kernel(function, grid[0], grid[1], grid[2], block[0],
                            block[1], block[2], launch->shared_bytes,
                            call->stream, arguments.pointers, NULL),
      launch, grid);
}

static unisparse_status run_fill(usrt_call *call, const usrt_fill *fill) {
  call->behind_launch = false;
  size_t words;
  USRT_TRY(usrt_fill_words(fill, call->frame, &words));
  if (words == 0)
    return UNISPARSE_OK;
  CUresult error = call->program->driver->memset_d32(
      (CUdeviceptr)(uintptr_t)address_of(call, fill->buffer), fill->word, words,
      call->stream);
  bool output = fill->buffer.kind == UNISPARSE_BUFFER_OUTPUT;
  return usrt_driver_check(call->program->driver, "cuMemsetD32Async", error,
                           "fill of %s %" PRIu32,
                           output ? "output" : "workspace buffer",
                           fill->buffer.index);
}

static unisparse_status run_steps(usrt_call *call) {
  const unisparse_program *program = call->program;
  if (!call->is_known)
    USRT_TRY(usrt_check_memory(program, call->inputs, call->outputs,
                               call->workspace, call->frame));
  for (uint32_t i = 0; i < program->variant->step_count; ++i) {
    const usrt_step *step = &program->variant->steps[i];
    USRT_TRY(step->is_fill
                 ? run_fill(call, &step->fill)
                 : run_launch(call, &step->launch, program->functions[i]));
  }
  return UNISPARSE_OK;
}

static unisparse_status launch(const unisparse_program *program,
                               const unisparse_tensor *inputs,
                               int32_t input_count,
                               const unisparse_tensor *outputs,
                               int32_t output_count, void *workspace,
                               size_t workspace_bytes, void *stream,
                               bool is_known) {
  if (!program)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "program: expected one, got a null pointer");
  USRT_TRY(usrt_check_output_count(program->artifact, outputs, output_count));
  usrt_frame frame;
  USRT_TRY(usrt_prepare(program, inputs, input_count, &frame));
  USRT_TRY(usrt_check_outputs(program->artifact, outputs, &frame));
  USRT_TRY(usrt_check_steps(program, &frame));
  if (workspace_bytes < (uint64_t)frame.workspace)
    return usrt_fail(UNISPARSE_SMALL_WORKSPACE,
                     "workspace: expected at least %" PRId64 " bytes, got %zu",
                     frame.workspace, workspace_bytes);
  USRT_TRY(usrt_check_addresses(program->artifact, inputs, outputs, workspace,
                                &frame));
  usrt_call call = {program, &frame,   inputs, outputs, workspace,
                    stream,  is_known, false};
  USRT_TRY(usrt_enter(program));
  return usrt_leave(program, run_steps(&call));
}

unisparse_status unisparse_program_launch(
    const unisparse_program *program, const unisparse_tensor *inputs,
    int32_t input_count, const unisparse_tensor *outputs, int32_t output_count,
    void *workspace, size_t workspace_bytes, void *stream) {
  return launch(program, inputs, input_count, outputs, output_count, workspace,
                workspace_bytes, stream, false);
}

unisparse_status unisparse_program_launch_known(
    const unisparse_program *program, const unisparse_tensor *inputs,
    int32_t input_count, const unisparse_tensor *outputs, int32_t output_count,
    void *workspace, size_t workspace_bytes, void *stream) {
  return launch(program, inputs, input_count, outputs, output_count, workspace,
                workspace_bytes, stream, true);
}

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "ready.h"
#include <inttypes.h>

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

static unisparse_status check_launch(const usrt_driver *driver,
                                     const char *name, CUresult error,
                                     const usrt_ready *ready) {
  const uint32_t *grid = ready->grid;
  return usrt_driver_check(
      driver, name, error,
      "kernel \"%s\" on a grid of %" PRIu32 "x%" PRIu32 "x%" PRIu32,
      ready->step->launch.kernel, grid[0], grid[1], grid[2]);
}

static unisparse_status enqueue_launch(const unisparse_program *program,
                                       const usrt_ready *ready,
                                       const usrt_addresses *addresses,
                                       CUstream stream) {
  const usrt_driver *driver = program->driver;
  const usrt_launch *launch = &ready->step->launch;
  const uint32_t *grid = ready->grid, *block = launch->block;
  usrt_arguments_room room;
  usrt_arguments arguments = {room.maps, room.values, room.pointers};
  bool changed;
  uint32_t failed = 0;
  usrt_set_numbers(ready, &arguments);
  CUresult error = usrt_set_addresses(program, ready, addresses, false,
                                      &arguments, &changed, &failed);
  USRT_TRY(usrt_driver_check(driver, "cuTensorMapEncodeTiled", error,
                             "kernel \"%s\": argument %" PRIu32, launch->kernel,
                             failed));
  if (ready->overlaps) {
    usrt_launch_attribute overlap = {
        .id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
        .value.programmatic_stream_serialization_allowed = 1};
    usrt_launch_config config = {{grid[0], grid[1], grid[2]},
                                 {block[0], block[1], block[2]},
                                 launch->shared_bytes,
                                 stream,
                                 &overlap,
                                 1};
    return check_launch(
        driver, "cuLaunchKernelEx",
        program->launch_ex(&config, ready->function, arguments.pointers, NULL),
        ready);
  }
  return check_launch(driver, "cuLaunchKernel",
                      driver->launch_kernel(ready->function, grid[0], grid[1],
                                            grid[2], block[0], block[1],
                                            block[2], launch->shared_bytes,
                                            stream, arguments.pointers, NULL),
                      ready);
}

unisparse_status usrt_enqueue(const unisparse_program *program,
                              const usrt_ready *ready,
                              const usrt_addresses *addresses,
                              CUstream stream) {
  if (!ready->step->is_fill)
    return enqueue_launch(program, ready, addresses, stream);
  const usrt_fill *fill = &ready->step->fill;
  void *address = usrt_address(ready->place, addresses);
  CUresult error = program->driver->memset_d32(
      (CUdeviceptr)(uintptr_t)address, fill->word, ready->words, stream);
  bool output = fill->buffer.kind == UNISPARSE_BUFFER_OUTPUT;
  return usrt_driver_check(
      program->driver, "cuMemsetD32Async", error, "fill of %s %" PRIu32,
      output ? "output" : "workspace buffer", fill->buffer.index);
}

static unisparse_status run_steps(const unisparse_program *program,
                                  const usrt_frame *frame,
                                  const usrt_addresses *addresses,
                                  CUstream stream) {
  usrt_ready_room room;
  usrt_ready ready = {.values = room.values, .maps = room.maps};
  bool behind_launch = false;
  for (uint32_t i = 0; i < program->variant->step_count; ++i) {
    USRT_TRY(usrt_make_ready(program, i, frame, &behind_launch, &ready));
    if (!ready.left_out)
      USRT_TRY(usrt_enqueue(program, &ready, addresses, stream));
  }
  return UNISPARSE_OK;
}

/* With the program's context current. */
static unisparse_status run(const unisparse_program *program,
                            const usrt_frame *frame,
                            const usrt_regions *regions,
                            const usrt_addresses *addresses, CUstream stream,
                            bool is_known) {
  if (!is_known)
    USRT_TRY(usrt_check_memory(program, regions, addresses));
  return run_steps(program, frame, addresses, stream);
}

static unisparse_status
launch(const unisparse_program *program, const unisparse_tensor *inputs,
       int32_t input_count, const unisparse_tensor *outputs,
       int32_t output_count, void *workspace, size_t workspace_bytes,
       void *stream, bool is_known) {
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
  usrt_regions regions;
  usrt_addresses addresses;
  usrt_list_regions(program->artifact, &frame, &regions);
  usrt_addresses_of(program->artifact, inputs, outputs, workspace, &addresses);
  USRT_TRY(usrt_check_addresses(regions.list, regions.count, regions.read,
                                &addresses));
  USRT_TRY(usrt_enter(program));
  return usrt_leave(
      program, run(program, &frame, &regions, &addresses, stream, is_known));
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

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A whole run for host code that only has tensors of the host: the one place of
 * the library that allocates on the device, copies and waits. */
#include "unisparse-rt/call.h"
#include "program.h"
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Artifacts that were called, by where they lie. */
typedef struct usrt_loaded {
  const void *bytes;
  unisparse_program *program;
  struct usrt_loaded *next;
} usrt_loaded;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static usrt_loaded *loaded;

/* What a launch has no use for. */
typedef struct usrt_memory {
  CUresult (*allocate)(CUdeviceptr *address, size_t bytes);
  CUresult (*release)(CUdeviceptr address);
  CUresult (*to_device)(CUdeviceptr to, const void *from, size_t bytes);
  CUresult (*to_host)(void *to, CUdeviceptr from, size_t bytes);
} usrt_memory;

/* Tensors and the workspace on the device, released together. */
typedef struct usrt_run {
  const unisparse_program *program;
  usrt_memory memory;
  CUdeviceptr held[2 * UNISPARSE_MAX_TENSORS + 1];
  int count;
} usrt_run;

static unisparse_status find(const usrt_driver *driver, const char *name,
                             void *function) {
  void *symbol = dlsym(driver->library, name);
  if (!symbol)
    return usrt_fail(UNISPARSE_NO_DRIVER, "expected %s in the driver, got none",
                     name);
  memcpy(function, &symbol, sizeof symbol);
  return UNISPARSE_OK;
}

static unisparse_status find_memory(usrt_run *run) {
  const usrt_driver *driver = run->program->driver;
  USRT_TRY(find(driver, "cuMemAlloc_v2", &run->memory.allocate));
  USRT_TRY(find(driver, "cuMemFree_v2", &run->memory.release));
  USRT_TRY(find(driver, "cuMemcpyHtoD_v2", &run->memory.to_device));
  return find(driver, "cuMemcpyDtoH_v2", &run->memory.to_host);
}

static unisparse_status load(const void *artifact, int64_t bytes,
                             unisparse_program **program) {
  for (usrt_loaded *entry = loaded; entry; entry = entry->next)
    if (entry->bytes == artifact)
      return *program = entry->program, UNISPARSE_OK;
  usrt_loaded *entry = malloc(sizeof *entry);
  if (!entry)
    return usrt_fail(UNISPARSE_NO_MEMORY, "expected memory for a program");
  const char *device = getenv("UNISPARSE_DEVICE");
  unisparse_artifact *read = NULL;
  unisparse_status status =
      bytes < 0
          ? usrt_fail(UNISPARSE_BAD_ARGUMENT,
                      "expected bytes of an artifact, got %" PRId64, bytes)
          : unisparse_artifact_read(artifact, (size_t)bytes, &read);
  if (status == UNISPARSE_OK) {
    status = unisparse_program_load(read, device ? atoi(device) : 0, program);
    unisparse_artifact_free(read);
  }
  if (status != UNISPARSE_OK)
    return free(entry), status;
  *entry = (usrt_loaded){artifact, *program, loaded};
  loaded = entry;
  return UNISPARSE_OK;
}

static size_t element_bytes(unisparse_element element) {
  return element == UNISPARSE_F32 || element == UNISPARSE_I32 ? 4 : 2;
}

/* From the first element to the end of the last. */
static size_t span(const unisparse_tensor *tensor) {
  size_t last = 0;
  for (int32_t i = 0; i < tensor->rank; ++i) {
    if (tensor->sizes[i] == 0)
      return 0;
    last += (size_t)(tensor->sizes[i] - 1) * (size_t)tensor->strides[i];
  }
  return (last + 1) * element_bytes(tensor->element);
}

static unisparse_status hold(usrt_run *run, size_t bytes, void **address) {
  CUdeviceptr pointer = 0;
  *address = NULL;
  if (!bytes)
    return UNISPARSE_OK;
  USRT_TRY(usrt_driver_check(run->program->driver, "cuMemAlloc",
                             run->memory.allocate(&pointer, bytes), "%zu bytes",
                             bytes));
  run->held[run->count++] = pointer;
  *address = (void *)(uintptr_t)pointer;
  return UNISPARSE_OK;
}

/* The caller made its outputs; the artifact says of what sizes. */
static unisparse_status check_output(const unisparse_tensor *given,
                                     const unisparse_tensor *wanted,
                                     int32_t index) {
  if (given->element != wanted->element || given->rank != wanted->rank)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "output %" PRId32 ": expected element %d and rank %" PRId32
                     ", got %d and %" PRId32,
                     index, (int)wanted->element, wanted->rank,
                     (int)given->element, given->rank);
  for (int32_t i = 0; i < wanted->rank; ++i)
    if (given->sizes[i] != wanted->sizes[i] ||
        (given->sizes[i] > 1 && given->strides[i] != wanted->strides[i]))
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "output %" PRId32 ": expected size %" PRId64
                       " and stride %" PRId64 " of dim %" PRId32
                       ", got %" PRId64 " and %" PRId64,
                       index, wanted->sizes[i], wanted->strides[i], i,
                       given->sizes[i], given->strides[i]);
  return UNISPARSE_OK;
}

static unisparse_status launch(usrt_run *run, const unisparse_tensor *inputs,
                               int32_t input_count,
                               const unisparse_tensor *outputs,
                               int32_t output_count) {
  const usrt_driver *driver = run->program->driver;
  unisparse_tensor in[UNISPARSE_MAX_TENSORS], out[UNISPARSE_MAX_TENSORS];
  size_t workspace_bytes;
  void *workspace;
  /* Checks counts, sizes and strides before anything of them is used. */
  USRT_TRY(unisparse_program_prepare(run->program, inputs, input_count, out,
                                     output_count, &workspace_bytes));
  for (int32_t i = 0; i < input_count; ++i) {
    size_t bytes = span(&inputs[i]);
    in[i] = inputs[i];
    USRT_TRY(hold(run, bytes, &in[i].data));
    if (bytes)
      USRT_TRY(usrt_driver_check(
          driver, "cuMemcpyHtoD",
          run->memory.to_device((CUdeviceptr)(uintptr_t)in[i].data,
                                inputs[i].data, bytes),
          "input %" PRId32, i));
  }
  for (int32_t i = 0; i < output_count; ++i) {
    USRT_TRY(check_output(&outputs[i], &out[i], i));
    USRT_TRY(hold(run, span(&out[i]), &out[i].data));
  }
  USRT_TRY(hold(run, workspace_bytes, &workspace));
  USRT_TRY(unisparse_program_launch(run->program, in, input_count, out,
                                    output_count, workspace, workspace_bytes,
                                    /*stream=*/NULL));
  /* Copies to the host wait for the default stream. */
  for (int32_t i = 0; i < output_count; ++i) {
    size_t bytes = span(&out[i]);
    if (bytes)
      USRT_TRY(usrt_driver_check(
          driver, "cuMemcpyDtoH",
          run->memory.to_host(outputs[i].data,
                              (CUdeviceptr)(uintptr_t)out[i].data, bytes),
          "output %" PRId32, i));
  }
  return UNISPARSE_OK;
}

static unisparse_status call(const void *artifact, int64_t bytes,
                             const unisparse_tensor *inputs,
                             int32_t input_count,
                             const unisparse_tensor *outputs,
                             int32_t output_count) {
  unisparse_program *program;
  usrt_run run = {0};
  USRT_TRY(load(artifact, bytes, &program));
  run.program = program;
  USRT_TRY(find_memory(&run));
  USRT_TRY(usrt_enter(program));
  unisparse_status status =
      launch(&run, inputs, input_count, outputs, output_count);
  while (run.count)
    (void)run.memory.release(run.held[--run.count]);
  return usrt_leave(program, status);
}

void unisparse_call(const void *artifact, int64_t bytes,
                    const unisparse_tensor *inputs, int32_t input_count,
                    const unisparse_tensor *outputs, int32_t output_count) {
  pthread_mutex_lock(&lock);
  unisparse_status status =
      call(artifact, bytes, inputs, input_count, outputs, output_count);
  pthread_mutex_unlock(&lock);
  if (status == UNISPARSE_OK)
    return;
  fprintf(stderr, "unisparse_call: %s: %s\n", unisparse_status_name(status),
          unisparse_last_message());
  abort();
}

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "program.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

unisparse_status usrt_enter(const unisparse_program *program) {
  return usrt_driver_check(program->driver, "cuCtxPushCurrent",
                           program->driver->ctx_push(program->context),
                           "context of device %" PRId32, program->ordinal);
}

unisparse_status usrt_leave(const unisparse_program *program,
                            unisparse_status status) {
  CUcontext popped;
  CUresult error = program->driver->ctx_pop(&popped);
  if (status != UNISPARSE_OK)
    return status;
  return usrt_driver_check(program->driver, "cuCtxPopCurrent", error,
                           "context of device %" PRId32, program->ordinal);
}

static bool runs_on(const usrt_variant *variant, uint32_t capability) {
  if (variant->exact)
    return capability == variant->capability;
  if (capability < variant->capability)
    return false;
  return !variant->machine_code || capability / 10 == variant->capability / 10;
}

/* Whether `a` is to be taken before `b`, both of which run. */
static bool is_better(const usrt_variant *a, const usrt_variant *b) {
  if (a->exact != b->exact)
    return a->exact;
  if (a->machine_code != b->machine_code)
    return a->machine_code;
  return a->capability > b->capability;
}

/* "sm_80 (PTX, 8.0 and newer), sm_90a (machine code, 9.0 only)" */
static void list_variants(const unisparse_artifact *artifact, char *text,
                          size_t size) {
  size_t used = 0;
  text[0] = 0;
  for (uint32_t i = 0; i < artifact->variant_count && used < size; ++i) {
    const usrt_variant *variant = &artifact->variants[i];
    uint32_t major = variant->capability / 10, minor = variant->capability % 10;
    char range[32];
    if (variant->machine_code && !variant->exact)
      snprintf(range, sizeof range, "to %" PRIu32 ".x", major);
    else
      snprintf(range, sizeof range, "%s", variant->exact ? "only" : "or newer");
    int length = snprintf(
        text + used, size - used, "%s%s (%s, %" PRIu32 ".%" PRIu32 " %s)",
        i ? ", " : "", variant->chip,
        variant->machine_code ? "machine code" : "PTX", major, minor, range);
    used += length > 0 ? (size_t)length : 0;
  }
}

static unisparse_status choose_variant(unisparse_program *program,
                                       uint32_t capability) {
  const unisparse_artifact *artifact = program->artifact;
  for (uint32_t i = 0; i < artifact->variant_count; ++i) {
    const usrt_variant *variant = &artifact->variants[i];
    if (runs_on(variant, capability) &&
        (!program->variant || is_better(variant, program->variant)))
      program->variant = variant;
  }
  if (program->variant)
    return UNISPARSE_OK;
  char has[1024], name[128];
  list_variants(artifact, has, sizeof has);
  if (program->driver->device_get_name(name, sizeof name, program->device) !=
      CUDA_SUCCESS)
    snprintf(name, sizeof name, "of unknown name");
  name[sizeof name - 1] = 0;
  return usrt_fail(UNISPARSE_BAD_CHIP,
                   "device %" PRId32 ": expected one that runs %s, got %s of "
                   "capability %" PRIu32 ".%" PRIu32,
                   program->ordinal, has, name, capability / 10,
                   capability % 10);
}

/* The driver's version beside the one that the artifact asks for. */
static unisparse_status old_driver(const unisparse_program *program,
                                   int version, const char *because) {
  uint32_t least = program->variant->driver_version;
  return usrt_fail(UNISPARSE_OLD_DRIVER,
                   "driver: expected one of CUDA %" PRIu32 ".%" PRIu32
                   " or newer for the kernels for %s, got one of CUDA "
                   "%d.%d%s",
                   least / 1000, least % 1000 / 10, program->variant->chip,
                   version / 1000, version % 1000 / 10, because);
}

static unisparse_status find_device(unisparse_program *program) {
  const usrt_driver *driver = program->driver;
  int count;
  USRT_TRY(usrt_driver_check(driver, "cuDeviceGetCount",
                             driver->device_get_count(&count), "GPUs"));
  if (program->ordinal < 0 || program->ordinal >= count)
    return usrt_fail(UNISPARSE_NO_DEVICE,
                     "device: expected a number below %d, that of GPUs, got "
                     "%" PRId32,
                     count, program->ordinal);
  CUresult error = driver->device_get(&program->device, program->ordinal);
  bool gone =
      error == CUDA_ERROR_NO_DEVICE || error == CUDA_ERROR_INVALID_DEVICE;
  if (error != CUDA_SUCCESS)
    return usrt_driver_fail(
        driver, gone ? UNISPARSE_NO_DEVICE : UNISPARSE_DRIVER_ERROR,
        "cuDeviceGet", error, "device %" PRId32, program->ordinal);
  return UNISPARSE_OK;
}

static unisparse_status get_attribute(const unisparse_program *program,
                                      int attribute, const char *what,
                                      int *value) {
  return usrt_driver_check(
      program->driver, "cuDeviceGetAttribute",
      program->driver->device_get_attribute(value, attribute, program->device),
      "%s of device %" PRId32, what, program->ordinal);
}

/* UNISPARSE_GRAPHS=0 goes without, for tools that look at single launches. */
static bool wants_graphs(void) {
  const char *value = getenv("UNISPARSE_GRAPHS");
  return !value || strcmp(value, "0") != 0;
}

/* Device, variant and driver, before anything is held. */
static unisparse_status choose(unisparse_program *program, int *version) {
  USRT_TRY(usrt_driver_open(&program->driver));
  USRT_TRY(find_device(program));
  int major, minor, processors;
  USRT_TRY(get_attribute(program, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                         "major capability", &major));
  USRT_TRY(get_attribute(program, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                         "minor capability", &minor));
  USRT_TRY(get_attribute(program, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
                         "number of multiprocessors", &processors));
  program->multiprocessors = processors;
  USRT_TRY(choose_variant(program, (uint32_t)(10 * major + minor)));
  USRT_TRY(usrt_driver_check(program->driver, "cuDriverGetVersion",
                             program->driver->driver_get_version(version),
                             "version of the driver"));
  if ((uint32_t)*version < program->variant->driver_version)
    return old_driver(program, *version, "");
  if (program->variant->has_maps)
    USRT_TRY(usrt_driver_find(program->driver, "cuTensorMapEncodeTiled",
                              &program->encode));
  if (program->variant->has_overlaps)
    USRT_TRY(usrt_driver_find(program->driver, "cuLaunchKernelEx",
                              &program->launch_ex));
  program->has_graphs =
      wants_graphs() && usrt_driver_graphs(program->driver, &program->graphs);
  return UNISPARSE_OK;
}

static unisparse_status load_failed(const unisparse_program *program,
                                    CUresult error, int version,
                                    const char *log) {
  if (error == CUDA_ERROR_UNSUPPORTED_PTX_VERSION)
    return old_driver(program, version, ": CUDA_ERROR_UNSUPPORTED_PTX_VERSION");
  unisparse_status status = UNISPARSE_DRIVER_ERROR;
  if (error == CUDA_ERROR_NO_BINARY_FOR_GPU)
    status = UNISPARSE_BAD_CHIP;
  else if (error == CUDA_ERROR_INVALID_IMAGE || error == CUDA_ERROR_INVALID_PTX)
    status = UNISPARSE_BAD_ARTIFACT;
  int length = (int)strcspn(log, "\r\n");
  return usrt_driver_fail(program->driver, status, "cuModuleLoadDataEx", error,
                          "kernels for %s on device %" PRId32 "%s%.*s",
                          program->variant->chip, program->ordinal,
                          length ? ": " : "", length, log);
}

static unisparse_status load_module(unisparse_program *program, int version) {
  char log[1024] = "";
  int options[] = {CU_JIT_ERROR_LOG_BUFFER, CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES};
  void *values[] = {log, (void *)(uintptr_t)(sizeof log - 1)};
  CUresult error = program->driver->module_load(
      &program->module, program->variant->image, 2, options, values);
  if (error == CUDA_SUCCESS)
    return UNISPARSE_OK;
  program->module = NULL;
  log[sizeof log - 1] = 0;
  return load_failed(program, error, version, log + strspn(log, "\r\n \t"));
}

/* One kernel may be launched by several steps; it is to allow the most. */
static uint32_t most_shared_bytes(const usrt_variant *variant,
                                  const char *symbol) {
  uint32_t most = 0;
  for (uint32_t i = 0; i < variant->step_count; ++i) {
    const usrt_step *step = &variant->steps[i];
    if (!step->is_fill && strcmp(step->launch.symbol, symbol) == 0 &&
        step->launch.shared_bytes > most)
      most = step->launch.shared_bytes;
  }
  return most;
}

static unisparse_status find_function(const unisparse_program *program,
                                      const usrt_launch *launch,
                                      CUfunction *function) {
  const usrt_driver *driver = program->driver;
  const char *kernel = launch->kernel;
  CUresult error =
      driver->module_get_function(function, program->module, launch->symbol);
  if (error == CUDA_ERROR_NOT_FOUND)
    return usrt_driver_fail(driver, UNISPARSE_BAD_ARTIFACT,
                            "cuModuleGetFunction", error,
                            "expected kernel \"%s\" among those for %s", kernel,
                            program->variant->chip);
  USRT_TRY(usrt_driver_check(driver, "cuModuleGetFunction", error,
                             "kernel \"%s\"", kernel));
  uint32_t shared = most_shared_bytes(program->variant, launch->symbol);
  if (shared == 0)
    return UNISPARSE_OK;
  error = driver->func_set_attribute(
      *function, CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, (int)shared);
  return usrt_driver_check(
      driver, "cuFuncSetAttribute", error,
      "kernel \"%s\" with %" PRIu32 " bytes of shared memory", kernel, shared);
}

static unisparse_status load_kernels(unisparse_program *program, int version) {
  const usrt_variant *variant = program->variant;
  USRT_TRY(load_module(program, version));
  for (uint32_t i = 0; i < variant->step_count; ++i)
    if (!variant->steps[i].is_fill)
      USRT_TRY(find_function(program, &variant->steps[i].launch,
                             &program->functions[i]));
  return UNISPARSE_OK;
}

static unisparse_status load(unisparse_program *program) {
  int version;
  USRT_TRY(choose(program, &version));
  program->functions =
      calloc(program->variant->step_count + 1, sizeof *program->functions);
  if (!program->functions)
    return usrt_fail(UNISPARSE_NO_MEMORY, "no memory for a program");
  CUresult error =
      program->driver->primary_ctx_retain(&program->context, program->device);
  if (error != CUDA_SUCCESS)
    program->context = NULL;
  USRT_TRY(usrt_driver_check(program->driver, "cuDevicePrimaryCtxRetain", error,
                             "device %" PRId32, program->ordinal));
  USRT_TRY(usrt_enter(program));
  return usrt_leave(program, load_kernels(program, version));
}

unisparse_status unisparse_program_load(const unisparse_artifact *artifact,
                                        int32_t device,
                                        unisparse_program **program) {
  if (!program)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "program: expected an address, got a null pointer");
  *program = NULL;
  if (!artifact)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "artifact: expected one, got a null pointer");
  unisparse_program *loaded = calloc(1, sizeof *loaded);
  if (!loaded)
    return usrt_fail(UNISPARSE_NO_MEMORY, "no memory for a program");
  atomic_init(&loaded->references, 1);
  loaded->artifact = usrt_artifact_retain(artifact);
  loaded->ordinal = device;
  unisparse_status status = load(loaded);
  if (status != UNISPARSE_OK)
    unisparse_program_free(loaded);
  else
    *program = loaded;
  return status;
}

unisparse_program *usrt_program_retain(const unisparse_program *program) {
  unisparse_program *retained = (unisparse_program *)(uintptr_t)program;
  atomic_fetch_add(&retained->references, 1);
  return retained;
}

void unisparse_program_free(unisparse_program *program) {
  if (!program || atomic_fetch_sub(&program->references, 1) > 1)
    return;
  const usrt_driver *driver = program->driver;
  if (program->module) {
    CUcontext popped;
    CUresult entered = driver->ctx_push(program->context);
    driver->module_unload(program->module);
    if (entered == CUDA_SUCCESS)
      driver->ctx_pop(&popped);
  }
  if (program->context)
    driver->primary_ctx_release(program->device);
  unisparse_artifact_free(program->artifact);
  free(program->functions);
  free(program);
}

const char *unisparse_program_chip(const unisparse_program *program) {
  return program ? program->variant->chip : "";
}

int32_t unisparse_program_kernels(const unisparse_program *program) {
  int32_t count = 0;
  for (uint32_t i = 0; program && i < program->variant->step_count; ++i)
    count += !program->variant->steps[i].is_fill;
  return count;
}

unisparse_status unisparse_program_kernel(const unisparse_program *program,
                                          int32_t index,
                                          unisparse_kernel *out) {
  if (!program || !out)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "%s: expected an address, got a null pointer",
                     program ? "kernel" : "program");
  int32_t left = index;
  for (uint32_t i = 0; index >= 0 && i < program->variant->step_count; ++i) {
    const usrt_step *step = &program->variant->steps[i];
    if (step->is_fill || left-- != 0)
      continue;
    out->name = step->launch.kernel;
    out->schedule = step->launch.schedule;
    return UNISPARSE_OK;
  }
  return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                   "kernel: expected a number below %" PRId32 ", got %" PRId32,
                   unisparse_program_kernels(program), index);
}

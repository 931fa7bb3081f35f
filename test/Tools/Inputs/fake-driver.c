/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* What unisparse-run and the runtime call of libcuda, on the host's memory: one
 * device of the capability in FAKE_CAPABILITY ("90"), whose kernels are
 *   copy(from, to, bytes)   copies
 *   attend(...)             does nothing; also attend_0 and so on
 * With FAKE_LOG, launches are appended to that file. FAKE_DEVICES is how many
 * devices there are. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define API __attribute__((visibility("default")))
enum { NO_DEVICE = 100, INVALID_IMAGE = 200, NOT_FOUND = 500, BAD = 1 };

static int number_from(const char *name, int otherwise) {
  const char *text = getenv(name);
  return text ? atoi(text) : otherwise;
}

static void say(const char *what, const char *more) {
  const char *path = getenv("FAKE_LOG");
  FILE *file = path ? fopen(path, "a") : NULL;
  if (!file)
    return;
  fprintf(file, "%s %s\n", what, more);
  fclose(file);
}

/* Allocations, so that an address that is none of them is refused. */
static struct {
  char *begin;
  size_t bytes;
  int device;
} memory[64];

static int find_memory(uint64_t address) {
  for (int i = 0; i < 64; ++i)
    if (memory[i].begin && address >= (uint64_t)memory[i].begin &&
        address <= (uint64_t)memory[i].begin + memory[i].bytes)
      return i;
  return -1;
}

static int is_device_memory(uint64_t address) {
  return find_memory(address) >= 0;
}

/* A context is a device's place in this array. */
static char contexts[8], *current = contexts;

API int cuInit(unsigned flags) {
  return number_from("FAKE_DEVICES", 1) ? 0 : NO_DEVICE;
}
API int cuDriverGetVersion(int *version) { return *version = 13000, 0; }
API int cuGetErrorName(int error, const char **name) {
  return *name = "CUDA_ERROR_FAKE", 0;
}
API int cuGetErrorString(int error, const char **text) {
  return *text = "fake error", 0;
}
API int cuDeviceGetCount(int *count) {
  return *count = number_from("FAKE_DEVICES", 1), 0;
}
API int cuDeviceGet(int *device, int ordinal) { return *device = ordinal, 0; }
API int cuDeviceGetName(char *name, int bytes, int device) {
  return snprintf(name, bytes, "Fake GPU %d", device), 0;
}
API int cuDeviceGetAttribute(int *value, int attribute, int device) {
  int capability = number_from("FAKE_CAPABILITY", 90);
  *value = attribute == 75   ? capability / 10
           : attribute == 76 ? capability % 10
           : attribute == 16 ? 132
                             : 0;
  return *value < 0 ? BAD : 0;
}
API int cuDevicePrimaryCtxRetain(void **context, int device) {
  return *context = &contexts[device], 0;
}
API int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
API int cuCtxSetCurrent(void *context) {
  return context ? (current = context, 0) : BAD;
}
API int cuCtxPushCurrent_v2(void *context) { return cuCtxSetCurrent(context); }
API int cuCtxPopCurrent_v2(void **context) {
  if (context)
    *context = current;
  return 0;
}

API int cuMemAlloc_v2(uint64_t *address, size_t bytes) {
  for (int i = 0; i < 64; ++i)
    if (!memory[i].begin) {
      memory[i].begin = aligned_alloc(512, (bytes + 511) / 512 * 512);
      memory[i].bytes = bytes;
      memory[i].device = current - contexts;
      memset(memory[i].begin, 0, bytes);
      *address = (uint64_t)memory[i].begin;
      return 0;
    }
  return BAD;
}
API int cuMemFree_v2(uint64_t address) {
  for (int i = 0; i < 64; ++i)
    if ((uint64_t)memory[i].begin == address) {
      free(memory[i].begin);
      memory[i].begin = NULL;
      return 0;
    }
  return BAD;
}
API int cuMemsetD8_v2(uint64_t to, unsigned char byte, size_t bytes) {
  return is_device_memory(to) ? (memset((void *)to, byte, bytes), 0) : BAD;
}
API int cuMemsetD32Async(uint64_t to, unsigned word, size_t words,
                         void *stream) {
  if (!is_device_memory(to))
    return BAD;
  for (size_t i = 0; i < words; ++i)
    ((uint32_t *)to)[i] = word;
  return 0;
}
API int cuMemcpyHtoD_v2(uint64_t to, const void *from, size_t bytes) {
  return is_device_memory(to) ? (memcpy((void *)to, from, bytes), 0) : BAD;
}
API int cuMemcpyDtoH_v2(void *to, uint64_t from, size_t bytes) {
  return is_device_memory(from) ? (memcpy(to, (void *)from, bytes), 0) : BAD;
}
API int cuPointerGetAttributes(unsigned count, int *attributes, void **values,
                               uint64_t pointer) {
  int found = find_memory(pointer);
  for (unsigned i = 0; i < count; ++i)
    *(int *)values[i] = found < 0            ? 0
                        : attributes[i] == 2 ? 2
                        : attributes[i] == 9 ? memory[found].device
                                             : 0;
  return 0;
}

API int cuStreamCreate(void **stream, unsigned flags) {
  return *stream = memory, flags ? BAD : 0;
}
API int cuStreamDestroy_v2(void *stream) { return 0; }
API int cuStreamSynchronize(void *stream) { return 0; }
API int cuEventCreate(void **event, unsigned flags) {
  return *event = memory, 0;
}
API int cuEventDestroy_v2(void *event) { return 0; }
API int cuEventRecord(void *event, void *stream) { return 0; }
API int cuEventElapsedTime(float *milliseconds, void *begin, void *end) {
  return *milliseconds = 2.5f, 0;
}

/* PTX is all it loads, and a function is its name. */
API int cuModuleLoadDataEx(void **module, const void *image, unsigned count,
                           int *options, void **values) {
  const char *target = strstr(image, ".target ");
  if (!target)
    return INVALID_IMAGE;
  char chip[16] = {0};
  sscanf(target, ".target %15[a-z_0-9]", chip);
  say("load", chip);
  return *module = memory, 0;
}
API int cuModuleUnload(void *module) { return 0; }
API int cuModuleGetFunction(void **function, void *module, const char *name) {
  static char copy[] = "copy", attend[] = "attend";
  *function = !strcmp(name, copy)                      ? copy
              : !strncmp(name, attend, strlen(attend)) ? attend
                                                       : NULL;
  return *function ? 0 : NOT_FOUND;
}
API int cuFuncSetAttribute(void *function, int attribute, int value) {
  return 0;
}
API int cuLaunchKernel(void *function, unsigned x, unsigned y, unsigned z,
                       unsigned bx, unsigned by, unsigned bz, unsigned shared,
                       void *stream, void **arguments, void **extra) {
  char grid[64];
  snprintf(grid, sizeof grid, "%s %ux%ux%u %ux%ux%u %u", (char *)function, x, y,
           z, bx, by, bz, shared);
  say("launch", grid);
  if (strcmp(function, "copy"))
    return 0;
  uint64_t from = *(uint64_t *)arguments[0], to = *(uint64_t *)arguments[1];
  int64_t bytes = *(int64_t *)arguments[2];
  return is_device_memory(from) ? cuMemcpyHtoD_v2(to, (void *)from, bytes)
                                : BAD;
}

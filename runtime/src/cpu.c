/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Programs for the CPU: their files, their tensors. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "cpu.h"
#include <dlfcn.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/*--------------------------------------------------------------------------*\
 * The machine
\*--------------------------------------------------------------------------*/

#if defined(__x86_64__) && defined(__GNUC__)
/* The levels of the x86-64 psABI, by what tells one from the one below, and one
 * above them. */
static int level_number(void) {
  __builtin_cpu_init();
  if (!__builtin_cpu_supports("sse4.2") || !__builtin_cpu_supports("popcnt"))
    return 1;
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") ||
      !__builtin_cpu_supports("bmi") || !__builtin_cpu_supports("bmi2"))
    return 2;
  if (!__builtin_cpu_supports("avx512f") ||
      !__builtin_cpu_supports("avx512bw") ||
      !__builtin_cpu_supports("avx512cd") ||
      !__builtin_cpu_supports("avx512dq") ||
      !__builtin_cpu_supports("avx512vl"))
    return 3;
  return __builtin_cpu_supports("avx512bf16") ? 5 : 4;
}
static const char *const levels[] = {
    "", "x86-64", "x86-64-v2", "x86-64-v3", "x86-64-v4", "x86-64-v4-bf16"};
#else
static int level_number(void) { return 1; }
static const char *const levels[] = {"", "generic"};
#endif

const char *unisparse_cpu_level(void) { return levels[level_number()]; }

static bool runs(const char *level) {
  for (int i = level_number(); i > 0; --i)
    if (strcmp(levels[i], level) == 0)
      return true;
  return false;
}

/*--------------------------------------------------------------------------*\
 * Files
\*--------------------------------------------------------------------------*/

static unisparse_status damaged(const char *path, const char *expected) {
  return usrt_fail(UNISPARSE_BAD_ARTIFACT,
                   "\"%s\": expected a library of unisparse-compile "
                   "--target=cpu, got a file without %s",
                   path, expected);
}

/* What stands behind the library; nothing of it is believed before. A file that
 * is cut off would end the process when the loader reads it. */
static unisparse_status read_description(const char *path,
                                         const unsigned char *bytes,
                                         size_t size,
                                         unisparse_artifact **description) {
  if (size < UNISPARSE_CPU_FOOTER_BYTES ||
      memcmp(bytes + size - 8, UNISPARSE_CPU_MAGIC, 8) != 0)
    return damaged(path, "its mark at the end");
  usrt_reader footer = {bytes, bytes + size - UNISPARSE_CPU_FOOTER_BYTES,
                        bytes + size - 8};
  uint64_t library, length;
  uint32_t version, crc;
  USRT_TRY(usrt_take_u64(&footer, "bytes of the library", &library));
  USRT_TRY(usrt_take_u64(&footer, "bytes of the description", &length));
  USRT_TRY(usrt_take_u32(&footer, "version", &version));
  USRT_TRY(usrt_take_u32(&footer, "crc32", &crc));
  if (version != UNISPARSE_CPU_VERSION)
    return usrt_fail(
        UNISPARSE_BAD_VERSION,
        "\"%s\": expected version %d of libraries for the CPU, got "
        "%" PRIu32,
        path, UNISPARSE_CPU_VERSION, version);
  if (usrt_crc32(bytes, size - 12) != crc)
    return damaged(path, "the bytes of its checksum");
  size_t both = size - UNISPARSE_CPU_FOOTER_BYTES;
  if (library > both || length != both - library)
    return damaged(path, "a description");
  return usrt_read(bytes + library, (size_t)length, true, description);
}

static unisparse_status load(const char *path, unisparse_cpu_program *program) {
  /* Without a slash, the loader would search for it. */
  char *real = realpath(path, NULL);
  program->library = dlopen(real ? real : path, RTLD_NOW | RTLD_LOCAL);
  free(real);
  if (!program->library)
    return usrt_fail(UNISPARSE_BAD_FILE,
                     "\"%s\": expected a library that can be loaded, got: %s",
                     path, dlerror());
  program->code = dlsym(program->library, UNISPARSE_CPU_SYMBOL);
  if (!program->code)
    return damaged(path, UNISPARSE_CPU_SYMBOL);
  if (!runs(program->code->level))
    return usrt_fail(UNISPARSE_BAD_CHIP,
                     "\"%s\": expected a CPU of %s, for which it was compiled, "
                     "got one of %s",
                     path, program->code->level, unisparse_cpu_level());
  return usrt_bind_imports(path, program->code);
}

unisparse_status unisparse_cpu_open(const char *path,
                                    unisparse_cpu_program **program) {
  if (!program)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "program: expected an address, got a null pointer");
  *program = NULL;
  if (!path)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "path: expected a file's name, got a null pointer");
  unsigned char *bytes;
  size_t size;
  USRT_TRY(usrt_read_file(path, &bytes, &size));
  unisparse_cpu_program *made = calloc(1, sizeof *made);
  unisparse_status status =
      made ? read_description(path, bytes, size, &made->description)
           : usrt_fail(UNISPARSE_NO_MEMORY, "no memory for a program");
  free(bytes);
  if (status == UNISPARSE_OK)
    status = load(path, made);
  if (status == UNISPARSE_OK)
    *program = made;
  else
    unisparse_cpu_close(made);
  return status;
}

void unisparse_cpu_close(unisparse_cpu_program *program) {
  if (!program)
    return;
  if (program->library)
    dlclose(program->library);
  unisparse_artifact_free(program->description);
  free(program);
}

const unisparse_artifact *
unisparse_cpu_description(const unisparse_cpu_program *program) {
  return program ? program->description : NULL;
}

const char *unisparse_cpu_program_level(const unisparse_cpu_program *program) {
  return program ? program->code->level : "";
}

/*--------------------------------------------------------------------------*\
 * Calls
\*--------------------------------------------------------------------------*/

static unisparse_status prepare(const unisparse_cpu_program *program,
                                const unisparse_tensor *inputs,
                                int32_t input_count, usrt_frame *frame) {
  frame->multiprocessors = 0;
  frame->row_bytes = 1;
  return usrt_prepare_tensors(program->description, inputs, input_count, frame);
}

static unisparse_status check_program(const unisparse_cpu_program *program) {
  return program ? UNISPARSE_OK
                 : usrt_fail(UNISPARSE_BAD_ARGUMENT,
                             "program: expected one, got a null pointer");
}

unisparse_status unisparse_cpu_prepare(const unisparse_cpu_program *program,
                                       const unisparse_tensor *inputs,
                                       int32_t input_count,
                                       unisparse_tensor *outputs,
                                       int32_t output_count) {
  USRT_TRY(check_program(program));
  USRT_TRY(
      usrt_check_output_count(program->description, outputs, output_count));
  usrt_frame frame;
  USRT_TRY(prepare(program, inputs, input_count, &frame));
  usrt_describe_outputs(program->description, &frame, outputs);
  return UNISPARSE_OK;
}

/* A memref descriptor: allocated, aligned, offset, sizes, strides. */
enum { MEMREF_WORDS = 3 + 2 * UNISPARSE_MAX_RANK };

static void describe(void *data, int32_t rank, const usrt_shape *shape,
                     int64_t words[MEMREF_WORDS]) {
  words[0] = words[1] = (int64_t)(intptr_t)data;
  words[2] = 0;
  for (int32_t d = 0; d < rank; ++d) {
    words[3 + d] = shape->sizes[d];
    words[3 + rank + d] = shape->strides[d];
  }
}

unisparse_status unisparse_cpu_run(const unisparse_cpu_program *program,
                                   const unisparse_tensor *inputs,
                                   int32_t input_count,
                                   const unisparse_tensor *outputs,
                                   int32_t output_count, int32_t threads) {
  USRT_TRY(check_program(program));
  const unisparse_artifact *description = program->description;
  USRT_TRY(usrt_check_output_count(description, outputs, output_count));
  usrt_frame frame;
  USRT_TRY(prepare(program, inputs, input_count, &frame));
  frame.workspace = 0;
  USRT_TRY(usrt_check_outputs(description, outputs, &frame));
  usrt_regions regions;
  usrt_addresses addresses;
  usrt_list_regions(description, &frame, &regions);
  usrt_addresses_of(description, inputs, outputs, NULL, &addresses);
  USRT_TRY(usrt_check_addresses(regions.list, regions.count, regions.read,
                                &addresses));
  int64_t words[2 * UNISPARSE_MAX_TENSORS][MEMREF_WORDS];
  void *memrefs[2 * UNISPARSE_MAX_TENSORS];
  uint32_t count = 0;
  for (uint32_t i = 0; i < description->input_count; ++i, ++count)
    describe(inputs[i].data, inputs[i].rank, &frame.inputs[i], words[count]);
  for (uint32_t i = 0; i < description->output_count; ++i, ++count)
    describe(outputs[i].data, outputs[i].rank, &frame.outputs[i], words[count]);
  for (uint32_t i = 0; i < count; ++i)
    memrefs[i] = words[i];
  return usrt_run_code(program->code, memrefs, threads);
}

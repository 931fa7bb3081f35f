/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Which memory a launch was given. */
#include "program.h"
#include <inttypes.h>

enum { WORKSPACE_ALIGNMENT = 256 };

/* Memory that a launch reads or writes. */
typedef struct usrt_region {
  const char *kind, *name;
  uint64_t begin, bytes;
  uint64_t alignment;
} usrt_region;

/* All of a call's: inputs, outputs, workspace. */
enum { MAX_REGIONS = 2 * UNISPARSE_MAX_TENSORS + 1 };

/* Memory of no bytes has no address, and is left out. */
static void add_region(usrt_region *regions, uint32_t *count,
                       usrt_region region) {
  if (region.bytes > 0)
    regions[(*count)++] = region;
}

static uint64_t alignment_of(unisparse_element element,
                             const usrt_frame *frame) {
  int64_t bytes = usrt_element_bytes(element);
  return (uint64_t)(frame->row_bytes > bytes ? frame->row_bytes : bytes);
}

/* Returns how many there are; the first *read of them are only read. */
static uint32_t list_regions(const unisparse_artifact *artifact,
                             const unisparse_tensor *inputs,
                             const unisparse_tensor *outputs, void *workspace,
                             const usrt_frame *frame,
                             usrt_region regions[MAX_REGIONS], uint32_t *read) {
  uint32_t count = 0;
  for (uint32_t i = 0; i < artifact->input_count; ++i)
    add_region(regions, &count,
               (usrt_region){"input ", artifact->inputs[i].name,
                             (uintptr_t)inputs[i].data,
                             (uint64_t)frame->inputs[i].bytes,
                             alignment_of(artifact->inputs[i].element, frame)});
  *read = count;
  for (uint32_t i = 0; i < artifact->output_count; ++i)
    add_region(regions, &count,
               (usrt_region){"output ", artifact->outputs[i].name,
                             (uintptr_t)outputs[i].data,
                             (uint64_t)frame->outputs[i].bytes,
                             alignment_of(artifact->outputs[i].element, frame)});
  add_region(regions, &count,
             (usrt_region){"", "workspace", (uintptr_t)workspace,
                           (uint64_t)frame->workspace, WORKSPACE_ALIGNMENT});
  return count;
}

static bool overlap(const usrt_region *a, const usrt_region *b) {
  return a->begin <= b->begin ? b->begin - a->begin < a->bytes
                              : a->begin - b->begin < b->bytes;
}

unisparse_status usrt_check_addresses(const unisparse_artifact *artifact,
                                      const unisparse_tensor *inputs,
                                      const unisparse_tensor *outputs,
                                      void *workspace,
                                      const usrt_frame *frame) {
  usrt_region regions[MAX_REGIONS];
  uint32_t read;
  uint32_t count =
      list_regions(artifact, inputs, outputs, workspace, frame, regions, &read);
  for (uint32_t i = 0; i < count; ++i) {
    const usrt_region *region = &regions[i];
    if (region->begin == 0)
      return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                       "%s%s: expected the address of %" PRIu64
                       " bytes, got a null pointer",
                       region->kind, region->name, region->bytes);
    if (region->begin % region->alignment != 0)
      return usrt_fail(UNISPARSE_BAD_ALIGNMENT,
                       "%s%s: expected an address that is a multiple of "
                       "%" PRIu64 ", got 0x%" PRIx64,
                       region->kind, region->name, region->alignment,
                       region->begin);
  }
  for (uint32_t i = read; i < count; ++i)
    for (uint32_t j = 0; j < i; ++j)
      if (overlap(&regions[i], &regions[j]))
        return usrt_fail(UNISPARSE_OVERLAP,
                         "%s%s: expected memory apart from %s%s, got 0x%" PRIx64
                         " with %" PRIu64 " bytes and 0x%" PRIx64
                         " with %" PRIu64 " bytes",
                         regions[i].kind, regions[i].name, regions[j].kind,
                         regions[j].name, regions[i].begin, regions[i].bytes,
                         regions[j].begin, regions[j].bytes);
  return UNISPARSE_OK;
}

static unisparse_status check_region(const unisparse_program *program,
                                     const usrt_region *region) {
  /* Of memory that it does not know, the driver says 0 three times. */
  unsigned type = 0, managed = 0;
  int ordinal = -1;
  int attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                      CU_POINTER_ATTRIBUTE_IS_MANAGED,
                      CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
  void *values[] = {&type, &managed, &ordinal};
  CUresult error = program->driver->pointer_get_attributes(
      3, attributes, values, (CUdeviceptr)region->begin);
  USRT_TRY(usrt_driver_check(program->driver, "cuPointerGetAttributes", error,
                             "%s%s at 0x%" PRIx64, region->kind, region->name,
                             region->begin));
  /* Managed memory goes where it is used. */
  if (managed)
    return UNISPARSE_OK;
  if (type != CU_MEMORYTYPE_DEVICE)
    return usrt_fail(UNISPARSE_WRONG_DEVICE,
                     "%s%s: expected memory of device %" PRId32
                     ", got memory of the host at 0x%" PRIx64,
                     region->kind, region->name, program->ordinal,
                     region->begin);
  if (ordinal != program->ordinal)
    return usrt_fail(UNISPARSE_WRONG_DEVICE,
                     "%s%s: expected memory of device %" PRId32
                     ", got memory of device %d at 0x%" PRIx64,
                     region->kind, region->name, program->ordinal, ordinal,
                     region->begin);
  return UNISPARSE_OK;
}

unisparse_status usrt_check_memory(const unisparse_program *program,
                                   const unisparse_tensor *inputs,
                                   const unisparse_tensor *outputs,
                                   void *workspace, const usrt_frame *frame) {
  usrt_region regions[MAX_REGIONS];
  uint32_t read;
  uint32_t count =
      list_regions(program->artifact, inputs, outputs, workspace, frame,
                   regions, &read);
  for (uint32_t i = 0; i < count; ++i)
    USRT_TRY(check_region(program, &regions[i]));
  return UNISPARSE_OK;
}

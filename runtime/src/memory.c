/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Which memory a launch was given. */
#include "program.h"
#include <inttypes.h>

enum { WORKSPACE_ALIGNMENT = 256 };

/* Memory of no bytes has no address, and is left out. */
static void add_region(usrt_regions *regions, usrt_region region) {
  if (region.bytes > 0)
    regions->list[regions->count++] = region;
}

static uint64_t alignment_of(unisparse_element element,
                             const usrt_frame *frame) {
  int64_t bytes = usrt_element_bytes(element);
  return (uint64_t)(frame->row_bytes > bytes ? frame->row_bytes : bytes);
}

void usrt_list_regions(const unisparse_artifact *artifact,
                       const usrt_frame *frame, usrt_regions *regions) {
  regions->count = 0;
  for (uint32_t i = 0; i < artifact->input_count; ++i)
    add_region(regions,
               (usrt_region){"input ", artifact->inputs[i].name, i,
                             (uint64_t)frame->inputs[i].bytes,
                             alignment_of(artifact->inputs[i].element, frame)});
  regions->read = regions->count;
  for (uint32_t i = 0; i < artifact->output_count; ++i)
    add_region(
        regions,
        (usrt_region){"output ", artifact->outputs[i].name,
                      USRT_FIRST_OUTPUT + i, (uint64_t)frame->outputs[i].bytes,
                      alignment_of(artifact->outputs[i].element, frame)});
  add_region(regions,
             (usrt_region){"", "workspace", USRT_WORKSPACE,
                           (uint64_t)frame->workspace, WORKSPACE_ALIGNMENT});
}

void usrt_addresses_of(const unisparse_artifact *artifact,
                       const unisparse_tensor *inputs,
                       const unisparse_tensor *outputs, void *workspace,
                       usrt_addresses *addresses) {
  for (uint32_t i = 0; i < artifact->input_count; ++i)
    addresses->of[i] = inputs[i].data;
  for (uint32_t i = 0; i < artifact->output_count; ++i)
    addresses->of[USRT_FIRST_OUTPUT + i] = outputs[i].data;
  addresses->of[USRT_WORKSPACE] = workspace;
}

static uint64_t begin_of(const usrt_region *region,
                         const usrt_addresses *addresses) {
  return (uintptr_t)addresses->of[region->address];
}

static unisparse_status check_overlap(const usrt_region *a,
                                      const usrt_region *b,
                                      const usrt_addresses *addresses) {
  uint64_t begin = begin_of(a, addresses), other = begin_of(b, addresses);
  if (begin <= other ? other - begin >= a->bytes : begin - other >= b->bytes)
    return UNISPARSE_OK;
  return usrt_fail(
      UNISPARSE_OVERLAP,
      "%s%s: expected memory apart from %s%s, got 0x%" PRIx64 " with %" PRIu64
      " bytes and 0x%" PRIx64 " with %" PRIu64 " bytes",
      a->kind, a->name, b->kind, b->name, begin, a->bytes, other, b->bytes);
}

unisparse_status usrt_check_addresses(const usrt_region *regions,
                                      uint32_t count, uint32_t read,
                                      const usrt_addresses *addresses) {
  for (uint32_t i = 0; i < count; ++i) {
    const usrt_region *region = &regions[i];
    uint64_t begin = begin_of(region, addresses);
    if (begin == 0)
      return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                       "%s%s: expected the address of %" PRIu64
                       " bytes, got a null pointer",
                       region->kind, region->name, region->bytes);
    if (begin % region->alignment != 0)
      return usrt_fail(UNISPARSE_BAD_ALIGNMENT,
                       "%s%s: expected an address that is a multiple of "
                       "%" PRIu64 ", got 0x%" PRIx64,
                       region->kind, region->name, region->alignment, begin);
  }
  for (uint32_t i = read; i < count; ++i)
    for (uint32_t j = 0; j < i; ++j)
      USRT_TRY(check_overlap(&regions[i], &regions[j], addresses));
  return UNISPARSE_OK;
}

static unisparse_status check_region(const unisparse_program *program,
                                     const usrt_region *region,
                                     uint64_t begin) {
  /* Of memory that it does not know, the driver says 0 three times. */
  unsigned type = 0, managed = 0;
  int ordinal = -1;
  int attributes[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                      CU_POINTER_ATTRIBUTE_IS_MANAGED,
                      CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
  void *values[] = {&type, &managed, &ordinal};
  CUresult error = program->driver->pointer_get_attributes(
      3, attributes, values, (CUdeviceptr)begin);
  USRT_TRY(usrt_driver_check(program->driver, "cuPointerGetAttributes", error,
                             "%s%s at 0x%" PRIx64, region->kind, region->name,
                             begin));
  /* Managed memory goes where it is used. */
  if (managed)
    return UNISPARSE_OK;
  if (type != CU_MEMORYTYPE_DEVICE)
    return usrt_fail(UNISPARSE_WRONG_DEVICE,
                     "%s%s: expected memory of device %" PRId32
                     ", got memory of the host at 0x%" PRIx64,
                     region->kind, region->name, program->ordinal, begin);
  if (ordinal != program->ordinal)
    return usrt_fail(UNISPARSE_WRONG_DEVICE,
                     "%s%s: expected memory of device %" PRId32
                     ", got memory of device %d at 0x%" PRIx64,
                     region->kind, region->name, program->ordinal, ordinal,
                     begin);
  return UNISPARSE_OK;
}

unisparse_status usrt_check_memory(const unisparse_program *program,
                                   const usrt_regions *regions,
                                   const usrt_addresses *addresses) {
  for (uint32_t i = 0; i < regions->count; ++i)
    USRT_TRY(check_region(program, &regions->list[i],
                          begin_of(&regions->list[i], addresses)));
  return UNISPARSE_OK;
}

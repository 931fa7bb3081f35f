/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A step on its way to the driver: made ready of what sizes decide, then given
 * addresses, then enqueued. A launch does all three in a row; a plan keeps the
 * first, its graphs keep the second. */
#ifndef UNISPARSE_RT_SRC_READY_H
#define UNISPARSE_RT_SRC_READY_H

#include "program.h"

/* So many bytes behind one of a call's addresses. */
typedef struct usrt_place {
  uint32_t address; /* its number */
  int64_t offset;
} usrt_place;

/* An argument's number, or where its address comes from; a map has none. */
typedef union usrt_value {
  uint64_t bits;
  usrt_place place;
} usrt_value;

typedef struct usrt_ready_map {
  usrt_place place;
  uint64_t sizes[UNISPARSE_MAX_MAP_RANK], strides[UNISPARSE_MAX_MAP_RANK];
} usrt_ready_map;

typedef struct usrt_ready {
  const usrt_step *step;
  CUfunction function; /* of a launch */
  bool left_out;       /* nothing to do: all below is void */
  bool overlaps;       /* may begin before the step in front of it has ended */
  uint32_t grid[3];
  usrt_value *values;   /* one for each argument */
  usrt_ready_map *maps; /* in the order of their arguments */
  usrt_place place;     /* of a fill */
  size_t words;
} usrt_ready;

/* Room for any step's `values` and `maps`. */
typedef struct usrt_ready_room {
  usrt_value values[UNISPARSE_MAX_ARGUMENTS];
  usrt_ready_map maps[UNISPARSE_MAX_MAPS];
} usrt_ready_room;

/* Makes step `index` ready; `ready` has room. *behind_launch: whether the step
 * in front of it was a launch, and not left out; then whether this one is.
 * Fails where grids, arguments, tensor maps or fills are out of range. */
unisparse_status usrt_make_ready(const unisparse_program *program,
                                 uint32_t index, const usrt_frame *frame,
                                 bool *behind_launch, usrt_ready *ready);

/* Same, of all steps and for the failures alone, so that a launch enqueues all
 * or nothing as far as sizes and strides go. */
unisparse_status usrt_check_steps(const unisparse_program *program,
                                  const usrt_frame *frame);

uint32_t usrt_map_count(const usrt_launch *launch);

/* Null where the address is: then no buffer behind it has a byte. */
void *usrt_address(usrt_place place, const usrt_addresses *addresses);

/* What the driver reads of a launch, before it returns. */
typedef struct usrt_arguments {
  CUtensorMap *maps;
  uint64_t *values; /* of a map: the address in it */
  void **pointers;
} usrt_arguments;

/* Room for any launch's. */
typedef struct usrt_arguments_room {
  CUtensorMap maps[UNISPARSE_MAX_MAPS];
  uint64_t values[UNISPARSE_MAX_ARGUMENTS];
  void *pointers[UNISPARSE_MAX_ARGUMENTS];
} usrt_arguments_room;

/* Everything but addresses. */
void usrt_set_numbers(const usrt_ready *ready, usrt_arguments *arguments);

/* Addresses, and maps of them; `again`: those of an earlier call are there, and
 * *changed says whether any is another now. Fails as the driver does at the map
 * that is argument *failed, without a message. */
CUresult usrt_set_addresses(const unisparse_program *program,
                            const usrt_ready *ready,
                            const usrt_addresses *addresses, bool again,
                            usrt_arguments *arguments, bool *changed,
                            uint32_t *failed);

/* Enqueues a step that is not left out. The program's context is current. */
unisparse_status usrt_enqueue(const unisparse_program *program,
                              const usrt_ready *ready,
                              const usrt_addresses *addresses, CUstream stream);

#endif /* UNISPARSE_RT_SRC_READY_H */

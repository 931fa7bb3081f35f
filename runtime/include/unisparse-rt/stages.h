/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* What programs compiled with `instrument-stages` call and their host defines.
 * Plain C; no MLIR. Calls come from the thread that called the program, in
 * pairs that do not nest. */
#ifndef UNISPARSE_RT_STAGES_H
#define UNISPARSE_RT_STAGES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The stages of an attention, in the order in which they run. */
enum unisparse_stage {
  UNISPARSE_STAGE_POOL = 0,
  UNISPARSE_STAGE_SCORE = 1,
  UNISPARSE_STAGE_SELECT = 2,
  UNISPARSE_STAGE_ATTEND = 3,
  UNISPARSE_STAGE_COUNT = 4
};

/* Before and behind the stage `stage`, an unisparse_stage. */
void _mlir_ciface_unisparse_stage_begin(int32_t stage);
void _mlir_ciface_unisparse_stage_end(int32_t stage);

#ifdef __cplusplus
}
#endif

#endif /* UNISPARSE_RT_STAGES_H */

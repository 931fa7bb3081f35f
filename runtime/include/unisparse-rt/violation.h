/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* What programs compiled for the CPU call where their tensors break a rule that
 * no type could settle, such as I7: before anything is computed from them.
 * Plain C; no MLIR. */
#ifndef UNISPARSE_RT_VIOLATION_H
#define UNISPARSE_RT_VIOLATION_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* `rule` reads "[I7] expected the length of q <= the length of k"; `left` and
 * `right` are the two numbers. Every compiled module has a weak definition,
 * which writes one line on stderr and calls abort(); a host that defines the
 * function itself gets the call instead. It may end the process or the thread,
 * or leave by longjmp, which loses the call's temporary buffers; it must not
 * return. Calls come from the thread that called the program, outside of its
 * parallel regions. */
void unisparse_violation(const char *rule, int64_t left, int64_t right);

#ifdef __cplusplus
}
#endif

#endif /* UNISPARSE_RT_VIOLATION_H */

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Statuses and the line of text that goes with them. */
#ifndef UNISPARSE_RT_SRC_STATUS_H
#define UNISPARSE_RT_SRC_STATUS_H

#include "unisparse-rt/unisparse.h"

#if defined(__GNUC__)
#define USRT_PRINTF(text, first) __attribute__((format(printf, text, first)))
#else
#define USRT_PRINTF(text, first)
#endif

/* Returns a failing status to the caller at once. */
#define USRT_TRY(call)                                                         \
  do {                                                                         \
    unisparse_status usrt_status_ = (call);                                    \
    if (usrt_status_ != UNISPARSE_OK)                                          \
      return usrt_status_;                                                     \
  } while (0)

/* Sets this thread's message and returns `status`. */
unisparse_status usrt_fail(unisparse_status status, const char *format, ...)
    USRT_PRINTF(2, 3);

/* Replaces control characters, which would reach the terminal of whoever prints
 * a name out of a file. */
void usrt_make_printable(char *text, char instead);

#endif /* UNISPARSE_RT_SRC_STATUS_H */

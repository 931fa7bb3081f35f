/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Takes numbers, strings and blobs off bytes that nobody has checked. */
#ifndef UNISPARSE_RT_SRC_READER_H
#define UNISPARSE_RT_SRC_READER_H

#include "status.h"

/* Memory that lives and ends together. */
typedef struct usrt_arena {
  struct usrt_chunk *chunks;
} usrt_arena;

/* `count` times `size` zeroed bytes, `count` * `size` being in range; null only
 * when the host has no memory, with the message set. */
void *usrt_allocate(usrt_arena *arena, size_t count, size_t size);
void usrt_arena_free(usrt_arena *arena);

typedef struct usrt_reader {
  const unsigned char *begin, *at, *end;
} usrt_reader;

/* Each fails with UNISPARSE_BAD_ARTIFACT and names `what` and the offset. */
unisparse_status usrt_take_u32(usrt_reader *reader, const char *what,
                               uint32_t *value);
unisparse_status usrt_take_u64(usrt_reader *reader, const char *what,
                               uint64_t *value);
unisparse_status usrt_take_i64(usrt_reader *reader, const char *what,
                               int64_t *value);

/* A u32 from `least` to `most`. */
unisparse_status usrt_take_range(usrt_reader *reader, const char *what,
                                 uint32_t least, uint32_t most,
                                 uint32_t *value);

/* The number of records that follow, at most `most`; each takes `bytes` or
 * more, so that a number which the bytes left cannot hold costs no memory. */
unisparse_status usrt_take_count(usrt_reader *reader, const char *what,
                                 uint32_t most, size_t bytes, uint32_t *value);

/* Copies, with a NUL behind the last byte. A string is UTF-8 without NUL, and
 * for people: control characters are replaced. A symbol is a string as it is.
 */
unisparse_status usrt_take_string(usrt_reader *reader, const char *what,
                                  usrt_arena *arena, const char **string);
unisparse_status usrt_take_symbol(usrt_reader *reader, const char *what,
                                  usrt_arena *arena, const char **symbol);
unisparse_status usrt_take_blob(usrt_reader *reader, const char *what,
                                usrt_arena *arena, const void **blob,
                                size_t *size);

/* Fails with UNISPARSE_BAD_ARTIFACT and "byte N: ". */
unisparse_status usrt_bad(const usrt_reader *reader, const char *format, ...)
    USRT_PRINTF(2, 3);

#endif /* UNISPARSE_RT_SRC_READER_H */

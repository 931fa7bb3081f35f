/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "reader.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct usrt_chunk {
  struct usrt_chunk *next;
  max_align_t memory[];
};

void *usrt_allocate(usrt_arena *arena, size_t count, size_t size) {
  struct usrt_chunk *chunk = calloc(1, sizeof *chunk + count * size);
  if (!chunk) {
    usrt_fail(UNISPARSE_NO_MEMORY, "no memory: expected %zu bytes",
              count * size);
    return NULL;
  }
  chunk->next = arena->chunks;
  arena->chunks = chunk;
  return chunk->memory;
}

void usrt_arena_free(usrt_arena *arena) {
  while (arena->chunks) {
    struct usrt_chunk *next = arena->chunks->next;
    free(arena->chunks);
    arena->chunks = next;
  }
}

unisparse_status usrt_bad(const usrt_reader *reader, const char *format, ...) {
  char text[1024];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  return usrt_fail(UNISPARSE_BAD_ARTIFACT, "bad artifact: byte %td: %s",
                   reader->at - reader->begin, text);
}

/* Fails where fewer than `bytes` are left. */
static unisparse_status need(const usrt_reader *reader, const char *what,
                             uint64_t bytes) {
  uint64_t left = (uint64_t)(reader->end - reader->at);
  if (bytes <= left)
    return UNISPARSE_OK;
  return usrt_bad(reader, "%s: expected %" PRIu64 " bytes, got %" PRIu64, what,
                  bytes, left);
}

static uint64_t take_little_endian(usrt_reader *reader, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; ++i)
    value |= (uint64_t)reader->at[i] << (8 * i);
  reader->at += bytes;
  return value;
}

unisparse_status usrt_take_u32(usrt_reader *reader, const char *what,
                               uint32_t *value) {
  USRT_TRY(need(reader, what, 4));
  *value = (uint32_t)take_little_endian(reader, 4);
  return UNISPARSE_OK;
}

unisparse_status usrt_take_u64(usrt_reader *reader, const char *what,
                               uint64_t *value) {
  USRT_TRY(need(reader, what, 8));
  *value = take_little_endian(reader, 8);
  return UNISPARSE_OK;
}

unisparse_status usrt_take_i64(usrt_reader *reader, const char *what,
                               int64_t *value) {
  uint64_t bits;
  USRT_TRY(usrt_take_u64(reader, what, &bits));
  /* Without the conversion of a large value, which C leaves to the compiler. */
  memcpy(value, &bits, sizeof bits);
  return UNISPARSE_OK;
}

unisparse_status usrt_take_range(usrt_reader *reader, const char *what,
                                 uint32_t least, uint32_t most,
                                 uint32_t *value) {
  USRT_TRY(usrt_take_u32(reader, what, value));
  if (*value >= least && *value <= most)
    return UNISPARSE_OK;
  reader->at -= 4;
  return usrt_bad(reader,
                  "%s: expected %" PRIu32 " to %" PRIu32 ", got %" PRIu32, what,
                  least, most, *value);
}

unisparse_status usrt_take_count(usrt_reader *reader, const char *what,
                                 uint32_t most, size_t bytes, uint32_t *value) {
  USRT_TRY(usrt_take_range(reader, what, 0, most, value));
  return need(reader, what, (uint64_t)*value * bytes);
}

/* Length of the UTF-8 character at `at`, of which `left` bytes are there; 0
 * where there is none, or NUL. */
static size_t character_length(const unsigned char *at, size_t left) {
  static const uint32_t least[] = {1, 0x80, 0x800, 0x10000};
  size_t more = at[0] < 0x80             ? 0
                : (at[0] & 0xE0) == 0xC0 ? 1
                : (at[0] & 0xF0) == 0xE0 ? 2
                : (at[0] & 0xF8) == 0xF0 ? 3
                                         : left;
  if (more >= left)
    return 0;
  uint32_t value = more ? at[0] & (0x3Fu >> more) : at[0];
  for (size_t i = 1; i <= more; ++i) {
    if ((at[i] & 0xC0) != 0x80)
      return 0;
    value = value << 6 | (at[i] & 0x3F);
  }
  bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  return value < least[more] || value > 0x10FFFF || surrogate ? 0 : more + 1;
}

static unisparse_status copy_bytes(usrt_reader *reader, usrt_arena *arena,
                                   size_t size, char **bytes) {
  *bytes = usrt_allocate(arena, size + 1, 1);
  if (!*bytes)
    return UNISPARSE_NO_MEMORY;
  memcpy(*bytes, reader->at, size);
  reader->at += size;
  return UNISPARSE_OK;
}

static unisparse_status take_text(usrt_reader *reader, const char *what,
                                  usrt_arena *arena, char **text) {
  uint32_t size;
  USRT_TRY(usrt_take_u32(reader, what, &size));
  USRT_TRY(need(reader, what, size));
  for (size_t i = 0; i < size;) {
    size_t length = character_length(reader->at + i, size - i);
    if (length == 0)
      return usrt_bad(reader, "%s: expected UTF-8 without NUL, got byte 0x%02x",
                      what, reader->at[i]);
    i += length;
  }
  return copy_bytes(reader, arena, size, text);
}

unisparse_status usrt_take_string(usrt_reader *reader, const char *what,
                                  usrt_arena *arena, const char **string) {
  char *text;
  USRT_TRY(take_text(reader, what, arena, &text));
  usrt_make_printable(text, '?');
  *string = text;
  return UNISPARSE_OK;
}

unisparse_status usrt_take_symbol(usrt_reader *reader, const char *what,
                                  usrt_arena *arena, const char **symbol) {
  char *text;
  USRT_TRY(take_text(reader, what, arena, &text));
  *symbol = text;
  return UNISPARSE_OK;
}

unisparse_status usrt_take_blob(usrt_reader *reader, const char *what,
                                usrt_arena *arena, const void **blob,
                                size_t *size) {
  uint64_t bytes;
  USRT_TRY(usrt_take_u64(reader, what, &bytes));
  USRT_TRY(need(reader, what, bytes));
  *size = (size_t)bytes;
  char *copy;
  USRT_TRY(copy_bytes(reader, arena, *size, &copy));
  *blob = copy;
  return UNISPARSE_OK;
}

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Rules that only values tell, of what code would be led by: I8 and L6. */
#include "artifact.h"
#include "unisparse-rt/cpu.h"
#include <inttypes.h>

/* Integers of a rank, whose memory may be read. */
static unisparse_status
check_integers(const char *name, const unisparse_tensor *x, int32_t rank) {
  if (x->element != UNISPARSE_I32)
    return usrt_fail(UNISPARSE_BAD_SHAPE, "%s: expected i32, got %s", name,
                     usrt_element_name(x->element));
  if (x->rank != rank)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "%s: expected rank %" PRId32 ", got %" PRId32, name, rank,
                     x->rank);
  bool empty = false;
  for (int32_t d = 0; d < rank; ++d) {
    if (x->sizes[d] < 0)
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "%s.size(%" PRId32 "): expected 0 or more, got %" PRId64,
                       name, d, x->sizes[d]);
    empty |= x->sizes[d] == 0;
  }
  if (!empty && !x->data)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "%s: expected an address, got a null pointer", name);
  if (!empty && (uintptr_t)x->data % sizeof(int32_t) != 0)
    return usrt_fail(
        UNISPARSE_BAD_ALIGNMENT,
        "%s: expected an address that is a multiple of %zu, got %p", name,
        sizeof(int32_t), x->data);
  return UNISPARSE_OK;
}

static int64_t integer(const unisparse_tensor *x, int64_t element) {
  return ((const int32_t *)x->data)[element];
}

static int64_t blocks_of(int64_t tokens, int64_t block) {
  return tokens / block + (tokens % block != 0);
}

/*--------------------------------------------------------------------------*\
 * I8: the ends of packed sequences
\*--------------------------------------------------------------------------*/

static unisparse_status
check_ends(const char *name, const unisparse_tensor *ends, int64_t length) {
  USRT_TRY(check_integers(name, ends, 1));
  int64_t count = ends->sizes[0], before = 0;
  if (count < 1)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "%s: expected [I8] S + 1 ends of S sequences, got none",
                     name);
  for (int64_t i = 0; i < count; ++i) {
    int64_t end = integer(ends, i);
    if (i == 0 && end != 0)
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "%s: expected [I8] to start with 0, got %" PRId64, name,
                       end);
    if (end < before)
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "%s: expected [I8] no entry below the one before, got "
                       "%" PRId64 " behind %" PRId64,
                       name, end, before);
    before = end;
  }
  if (before != length)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "%s: expected [I8] to end with the length %" PRId64
                     ", got %" PRId64,
                     name, length, before);
  return UNISPARSE_OK;
}

static unisparse_status check_packed(const unisparse_cpu_values *x) {
  USRT_TRY(check_ends("cu_seqlens_q", x->cu_seqlens_q, x->queries));
  USRT_TRY(check_ends("cu_seqlens_k", x->cu_seqlens_k, x->keys));
  if (x->cu_seqlens_q->sizes[0] != x->cu_seqlens_k->sizes[0])
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "cu_seqlens_k: expected [I8] as many entries as "
                     "cu_seqlens_q, %" PRId64 ", got %" PRId64,
                     x->cu_seqlens_q->sizes[0], x->cu_seqlens_k->sizes[0]);
  return UNISPARSE_OK;
}

/*--------------------------------------------------------------------------*\
 * L6: selections
\*--------------------------------------------------------------------------*/

/* Rows [first, last) of a selection, whose sequence has so many key blocks. */
typedef struct usrt_rows {
  int64_t first, last, blocks;
} usrt_rows;

static unisparse_status check_row(const unisparse_cpu_values *x, int64_t b,
                                  int64_t h, int64_t r, int64_t blocks) {
  const int64_t *s = x->indices->strides, *c = x->counts->strides;
  int64_t count = integer(x->counts, b * c[0] + h * c[1] + r * c[2]);
  int64_t columns = x->indices->sizes[3];
  int64_t most = blocks < columns ? blocks : columns;
  if (count < 0 || count > most)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "counts: expected [L6] a count in [0, %" PRId64
                     "] in batch %" PRId64 ", head %" PRId64 ", row %" PRId64
                     ", got %" PRId64,
                     most, b, h, r, count);
  int64_t row = b * s[0] + h * s[1] + r * s[2], before = -1;
  for (int64_t n = 0; n < count; ++n) {
    int64_t index = integer(x->indices, row + n * s[3]);
    if (index < 0 || index >= blocks)
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "indices: expected [L6] key blocks in [0, %" PRId64
                       ") in batch %" PRId64 ", head %" PRId64 ", row %" PRId64
                       ", got %" PRId64,
                       blocks, b, h, r, index);
    if (index <= before)
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "indices: expected [L6] ascending key blocks in batch "
                       "%" PRId64 ", head %" PRId64 ", row %" PRId64
                       ", got %" PRId64 " behind %" PRId64,
                       b, h, r, index, before);
    before = index;
  }
  return UNISPARSE_OK;
}

static unisparse_status check_rows(const unisparse_cpu_values *x,
                                   usrt_rows rows) {
  for (int64_t b = 0; b < x->counts->sizes[0]; ++b)
    for (int64_t h = 0; h < x->counts->sizes[1]; ++h)
      for (int64_t r = rows.first; r < rows.last; ++r)
        USRT_TRY(check_row(x, b, h, r, rows.blocks));
  return UNISPARSE_OK;
}

static unisparse_status check_sizes(const unisparse_cpu_values *x,
                                    int64_t rows) {
  USRT_TRY(check_integers("counts", x->counts, 3));
  USRT_TRY(check_integers("indices", x->indices, 4));
  if (x->counts->sizes[2] != rows)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "counts: expected [A4] %" PRId64 " rows%s, got %" PRId64,
                     rows, x->cu_seqlens_q ? " (slots of a packed batch)" : "",
                     x->counts->sizes[2]);
  for (int32_t d = 0; d < 3; ++d)
    if (x->indices->sizes[d] != x->counts->sizes[d])
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "indices.size(%" PRId32
                       "): expected [A4] that of counts, "
                       "%" PRId64 ", got %" PRId64,
                       d, x->counts->sizes[d], x->indices->sizes[d]);
  return UNISPARSE_OK;
}

static unisparse_status check_selection(const unisparse_cpu_values *x) {
  int64_t bq = x->query_block, bk = x->key_block;
  const unisparse_tensor *q = x->cu_seqlens_q, *k = x->cu_seqlens_k;
  int64_t sequences = q ? q->sizes[0] - 1 : 1;
  int64_t rows = q ? x->queries / bq + sequences : blocks_of(x->queries, bq);
  USRT_TRY(check_sizes(x, rows));
  if (!q)
    return check_rows(x, (usrt_rows){0, rows, blocks_of(x->keys, bk)});
  /* Slots between the rows of two sequences are nobody's. */
  for (int64_t s = 0; s < sequences; ++s) {
    int64_t begin = integer(q, s), end = integer(q, s + 1);
    int64_t first = begin / bq + s, length = integer(k, s + 1) - integer(k, s);
    USRT_TRY(
        check_rows(x, (usrt_rows){first, first + blocks_of(end - begin, bq),
                                  blocks_of(length, bk)}));
  }
  return UNISPARSE_OK;
}

unisparse_status
unisparse_cpu_check_values(const unisparse_cpu_values *values) {
  if (!values)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "values: expected an address, got a null pointer");
  if (!values->cu_seqlens_q != !values->cu_seqlens_k ||
      !values->counts != !values->indices)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "values: expected both of a pair, got a null pointer");
  if (values->cu_seqlens_q)
    USRT_TRY(check_packed(values));
  if (!values->counts)
    return UNISPARSE_OK;
  if (values->query_block < 1 || values->key_block < 1)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "block: expected sizes of at least 1, got %" PRId64
                     " and %" PRId64,
                     values->query_block, values->key_block);
  return check_selection(values);
}

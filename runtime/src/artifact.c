/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "artifact.h"
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* More than any set of kernels, and a stop for files without an end. */
static const size_t most_file_bytes = (size_t)1 << 30;

int64_t usrt_element_bytes(unisparse_element element) {
  return element == UNISPARSE_F16 || element == UNISPARSE_BF16 ? 2 : 4;
}

const char *usrt_element_name(unisparse_element element) {
  switch (element) {
  case UNISPARSE_F32:
    return "f32";
  case UNISPARSE_F16:
    return "f16";
  case UNISPARSE_BF16:
    return "bf16";
  case UNISPARSE_I32:
    return "i32";
  }
  return "an unknown type";
}

/* zlib's, four bits at a time. */
uint32_t usrt_crc32(const unsigned char *bytes, size_t size) {
  static const uint32_t table[16] = {
      0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac, 0x76dc4190, 0x6b6b51f4,
      0x4db26158, 0x5005713c, 0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
      0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
  uint32_t crc = 0xFFFFFFFF;
  for (size_t i = 0; i < size; ++i) {
    crc = crc >> 4 ^ table[(crc ^ bytes[i]) & 15];
    crc = crc >> 4 ^ table[(crc ^ (uint32_t)bytes[i] >> 4) & 15];
  }
  return ~crc;
}

static unisparse_status check_header(usrt_reader *reader) {
  enum { MAGIC_BYTES = sizeof UNISPARSE_FORMAT_MAGIC - 1 };
  size_t size = (size_t)(reader->end - reader->begin);
  if (size < MAGIC_BYTES ||
      memcmp(reader->begin, UNISPARSE_FORMAT_MAGIC, MAGIC_BYTES) != 0)
    return usrt_bad(reader, "expected the %d bytes %s, got %s", MAGIC_BYTES,
                    UNISPARSE_FORMAT_MAGIC,
                    size < MAGIC_BYTES ? "fewer bytes" : "others");
  reader->at += MAGIC_BYTES;
  uint32_t version, crc;
  uint64_t bytes;
  USRT_TRY(usrt_take_u32(reader, "version", &version));
  if (version != UNISPARSE_FORMAT_VERSION)
    return usrt_fail(UNISPARSE_BAD_VERSION,
                     "artifact: expected version %d of the format, got "
                     "%" PRIu32,
                     UNISPARSE_FORMAT_VERSION, version);
  USRT_TRY(usrt_take_u32(reader, "crc32", &crc));
  USRT_TRY(usrt_take_u64(reader, "bytes of body", &bytes));
  if (bytes != size - UNISPARSE_FORMAT_HEADER_BYTES)
    return usrt_bad(reader,
                    "expected a body of %" PRIu64 " bytes, got %zu bytes",
                    bytes, size - UNISPARSE_FORMAT_HEADER_BYTES);
  uint32_t actual = usrt_crc32(reader->at, (size_t)bytes);
  if (actual != crc)
    return usrt_bad(reader,
                    "expected a body of crc32 %08" PRIx32 ", got %08" PRIx32,
                    crc, actual);
  return UNISPARSE_OK;
}

int32_t unisparse_format_version(void) { return UNISPARSE_FORMAT_VERSION; }

unisparse_status usrt_read(const void *bytes, size_t size, bool description,
                           unisparse_artifact **artifact) {
  usrt_parser parser = {.reader = {bytes, bytes, NULL},
                        .artifact = NULL,
                        .description = description};
  parser.reader.end = parser.reader.begin + size;
  USRT_TRY(check_header(&parser.reader));
  parser.artifact = calloc(1, sizeof *parser.artifact);
  if (!parser.artifact)
    return usrt_fail(UNISPARSE_NO_MEMORY, "no memory for an artifact");
  atomic_init(&parser.artifact->references, 1);
  unisparse_status status = usrt_parse_body(&parser);
  if (status != UNISPARSE_OK)
    unisparse_artifact_free(parser.artifact);
  else
    *artifact = parser.artifact;
  return status;
}

unisparse_status unisparse_artifact_read(const void *bytes, size_t size,
                                         unisparse_artifact **artifact) {
  if (!artifact)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "artifact: expected an address, got a null pointer");
  *artifact = NULL;
  if (!bytes)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "bytes: expected an artifact, got a null pointer");
  return usrt_read(bytes, size, false, artifact);
}

/* All of a stream; null, with the message set and *status, where that fails. */
static unsigned char *read_stream(FILE *file, const char *path, size_t *size,
                                  unisparse_status *status) {
  unsigned char *bytes = NULL;
  size_t capacity = 0;
  *size = 0;
  while (!feof(file)) {
    if (*size == capacity) {
      capacity = capacity ? 2 * capacity : (size_t)1 << 16;
      unsigned char *larger =
          capacity <= most_file_bytes ? realloc(bytes, capacity) : NULL;
      if (!larger) {
        *status =
            capacity <= most_file_bytes
                ? usrt_fail(UNISPARSE_NO_MEMORY,
                            "\"%s\": no memory: expected %zu bytes", path,
                            capacity)
                : usrt_fail(UNISPARSE_BAD_FILE,
                            "\"%s\": expected less than %zu bytes, got more",
                            path, most_file_bytes);
        free(bytes);
        return NULL;
      }
      bytes = larger;
    }
    *size += fread(bytes + *size, 1, capacity - *size, file);
    if (ferror(file)) {
      *status = usrt_fail(UNISPARSE_BAD_FILE, "\"%s\": cannot be read: %s",
                          path, strerror(errno));
      free(bytes);
      return NULL;
    }
  }
  return bytes;
}

unisparse_status usrt_read_file(const char *path, unsigned char **bytes,
                                size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file)
    return usrt_fail(UNISPARSE_BAD_FILE, "\"%s\": cannot be opened: %s", path,
                     strerror(errno));
  unisparse_status status = UNISPARSE_OK;
  *bytes = read_stream(file, path, size, &status);
  fclose(file);
  return status;
}

unisparse_status unisparse_artifact_open(const char *path,
                                         unisparse_artifact **artifact) {
  if (!artifact)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "artifact: expected an address, got a null pointer");
  *artifact = NULL;
  if (!path)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "path: expected a file's name, got a null pointer");
  size_t size;
  unsigned char *bytes;
  USRT_TRY(usrt_read_file(path, &bytes, &size));
  unisparse_status status = usrt_read(bytes, size, false, artifact);
  free(bytes);
  return status;
}

unisparse_artifact *usrt_artifact_retain(const unisparse_artifact *artifact) {
  /* Artifacts are const to callers; their count of references is not. */
  unisparse_artifact *counted = (unisparse_artifact *)(uintptr_t)artifact;
  atomic_fetch_add(&counted->references, 1);
  return counted;
}

void unisparse_artifact_free(unisparse_artifact *artifact) {
  if (!artifact || atomic_fetch_sub(&artifact->references, 1) != 1)
    return;
  usrt_arena_free(&artifact->arena);
  free(artifact);
}

int32_t unisparse_artifact_inputs(const unisparse_artifact *artifact) {
  return artifact ? (int32_t)artifact->input_count : 0;
}

int32_t unisparse_artifact_outputs(const unisparse_artifact *artifact) {
  return artifact ? (int32_t)artifact->output_count : 0;
}

/* What both descriptions refuse. */
static unisparse_status check_signature(const unisparse_artifact *artifact,
                                        const char *what, int32_t index,
                                        int32_t count,
                                        const unisparse_signature *out) {
  if (!artifact || !out)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "%s: expected an address, got a null pointer",
                     artifact ? "signature" : "artifact");
  if (index < 0 || index >= count)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "%s: expected a number below %" PRId32 ", got %" PRId32,
                     what, count, index);
  return UNISPARSE_OK;
}

unisparse_status unisparse_artifact_input(const unisparse_artifact *artifact,
                                          int32_t index,
                                          unisparse_signature *out) {
  USRT_TRY(check_signature(artifact, "input", index,
                           unisparse_artifact_inputs(artifact), out));
  const usrt_input *input = &artifact->inputs[index];
  memset(out, 0, sizeof *out);
  out->name = input->name;
  out->element = input->element;
  out->rank = input->rank;
  for (int32_t i = 0; i < input->rank; ++i)
    out->sizes[i] = input->dims[i] >= 0 ? input->dims[i] : -1;
  return UNISPARSE_OK;
}

unisparse_status unisparse_artifact_output(const unisparse_artifact *artifact,
                                           int32_t index,
                                           unisparse_signature *out) {
  USRT_TRY(check_signature(artifact, "output", index,
                           unisparse_artifact_outputs(artifact), out));
  const usrt_output *output = &artifact->outputs[index];
  memset(out, 0, sizeof *out);
  out->name = output->name;
  out->element = output->element;
  out->rank = output->rank;
  for (int32_t i = 0; i < output->rank; ++i) {
    const usrt_expression *size = &output->sizes[i];
    bool constant = size->count == 1 &&
                    size->ops[0].code == UNISPARSE_TERM_CONSTANT &&
                    size->ops[0].value >= 0;
    out->sizes[i] = constant ? size->ops[0].value : -1;
  }
  return UNISPARSE_OK;
}

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* What docs/Artifact.md describes, in memory. Whoever holds one of these knows
 * that every index, operation and count in it is valid. */
#ifndef UNISPARSE_RT_SRC_ARTIFACT_H
#define UNISPARSE_RT_SRC_ARTIFACT_H

#include "reader.h"
#include "unisparse-rt/format.h"
#include <stdatomic.h>
#include <stdbool.h>

typedef struct usrt_op {
  unisparse_term code;
  int64_t value;
} usrt_op;

/* Postfix; leaves one value. */
typedef struct usrt_expression {
  uint32_t count;
  const usrt_op *ops;
} usrt_expression;

typedef struct usrt_input {
  const char *name;
  unisparse_element element;
  int32_t rank;
  int64_t dims[UNISPARSE_MAX_RANK]; /* -1 - s: symbol s */
  bool strided;                     /* only rows are contiguous */
} usrt_input;

typedef struct usrt_output {
  const char *name;
  unisparse_element element;
  int32_t rank;
  usrt_expression sizes[UNISPARSE_MAX_RANK];
  bool strided; /* only rows are contiguous */
} usrt_output;

typedef struct usrt_check {
  const char *label;
  usrt_expression left, right;
  unisparse_relation relation;
  const char *left_name, *right_name;
} usrt_check;

typedef struct usrt_buffer {
  unisparse_buffer kind;
  uint32_t index;
} usrt_buffer;

/* The arguments of cuTensorMapEncodeTiled. */
typedef struct usrt_map {
  usrt_buffer buffer;
  unisparse_element element;
  uint32_t rank;
  usrt_expression sizes[UNISPARSE_MAX_MAP_RANK];
  usrt_expression strides[UNISPARSE_MAX_MAP_RANK - 1];
  uint32_t box[UNISPARSE_MAX_MAP_RANK];
  uint32_t swizzle;
} usrt_map;

typedef struct usrt_argument {
  unisparse_argument kind;
  union {
    usrt_buffer buffer;
    usrt_expression expression;
    uint32_t bits;
    const usrt_map *map;
  };
} usrt_argument;

typedef struct usrt_launch {
  const char *symbol, *kernel; /* in the image; for people */
  const char *schedule;        /* empty where it has none */
  usrt_expression grid[3];
  uint32_t block[3];
  uint32_t shared_bytes;
  bool overlaps; /* may begin before the step in front of it has ended */
  uint32_t argument_count;
  const usrt_argument *arguments;
} usrt_launch;

typedef struct usrt_fill {
  usrt_buffer buffer;
  uint32_t word;
  usrt_expression words;
} usrt_fill;

typedef struct usrt_step {
  bool is_fill;
  union {
    usrt_launch launch;
    usrt_fill fill;
  };
} usrt_step;

typedef struct usrt_variant {
  const char *chip;
  uint32_t capability; /* 10 * major + minor */
  bool exact;
  bool machine_code;
  uint32_t driver_version; /* least, 12000 for 12.0 */
  const void *image;       /* NUL behind it, as the driver wants of PTX */
  size_t image_bytes;
  uint32_t buffer_count;
  const usrt_expression *buffers; /* bytes */
  uint32_t step_count;
  const usrt_step *steps;
  bool has_maps, has_overlaps;
} usrt_variant;

struct unisparse_artifact {
  atomic_int references; /* the caller's and each program's */
  usrt_arena arena;
  const char *producer, *entry;
  uint32_t symbol_count;
  const char **symbols;
  uint32_t input_count;
  usrt_input *inputs;
  uint32_t output_count;
  usrt_output *outputs;
  uint32_t check_count;
  usrt_check *checks;
  uint32_t variant_count;
  usrt_variant *variants;
};

/* What parsing carries along. */
typedef struct usrt_parser {
  usrt_reader reader;
  struct unisparse_artifact *artifact;
  bool description; /* of a program for the CPU: no variants */
} usrt_parser;

unisparse_status usrt_parse_body(usrt_parser *parser);
unisparse_status usrt_parse_variant(usrt_parser *parser, usrt_variant *variant);

/* What a formula may be made of; each has what those before it have. */
typedef enum usrt_leaves {
  USRT_LEAVES_OF_INPUTS,  /* sizes, strides of inputs */
  USRT_LEAVES_OF_DEVICES, /* facts of a device */
  USRT_LEAVES_OF_CALLS    /* strides of outputs */
} usrt_leaves;

unisparse_status usrt_parse_expression(usrt_parser *parser, const char *what,
                                       usrt_leaves leaves,
                                       usrt_expression *expression);

/* Validates and copies; a description has no variants, all else has. */
unisparse_status usrt_read(const void *bytes, size_t size, bool description,
                           unisparse_artifact **artifact);

/* All of a file, which the caller frees. */
unisparse_status usrt_read_file(const char *path, unsigned char **bytes,
                                size_t *size);
uint32_t usrt_crc32(const unsigned char *bytes, size_t count);

int64_t usrt_element_bytes(unisparse_element element);
const char *usrt_element_name(unisparse_element element);

unisparse_artifact *usrt_artifact_retain(const unisparse_artifact *artifact);

#endif /* UNISPARSE_RT_SRC_ARTIFACT_H */

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Tensors, expressions and checks of an artifact; see docs/Artifact.md. */
#include "artifact.h"
#include <inttypes.h>

/* Bytes of the smallest record of each kind. */
enum { STRING = 4, OP = 12, EXPRESSION = 4 + OP, TENSOR = STRING + 8 };

/* Strides of outputs are a call's, and known when its steps run. */
static bool is_stride(const unisparse_artifact *artifact, int64_t value,
                      bool outputs) {
  int64_t tensor = value / UNISPARSE_STRIDE_BASE,
          dimension = value % UNISPARSE_STRIDE_BASE;
  if (value < 0)
    return false;
  if (tensor < artifact->input_count)
    return dimension < artifact->inputs[tensor].rank;
  tensor -= UNISPARSE_MAX_TENSORS;
  return outputs && tensor >= 0 && tensor < artifact->output_count &&
         dimension < artifact->outputs[tensor].rank;
}

/* A leaf's operand has to exist; an operator has none beside the stack. */
static unisparse_status check_op(const usrt_parser *parser, const char *what,
                                 usrt_leaves leaves, const usrt_op *op) {
  const usrt_reader *reader = &parser->reader;
  const unisparse_artifact *artifact = parser->artifact;
  int64_t value = op->value;
  bool facts = leaves != USRT_LEAVES_OF_INPUTS;
  switch (op->code) {
  case UNISPARSE_TERM_CONSTANT:
    return UNISPARSE_OK;
  case UNISPARSE_TERM_SYMBOL:
    if (value < 0 || value >= artifact->symbol_count)
      return usrt_bad(reader,
                      "%s: expected a symbol below %" PRIu32 ", got %" PRId64,
                      what, artifact->symbol_count, value);
    return UNISPARSE_OK;
  case UNISPARSE_TERM_STRIDE:
    if (!is_stride(artifact, value, leaves == USRT_LEAVES_OF_CALLS))
      return usrt_bad(
          reader, "%s: expected a stride of an input%s, got number %" PRId64,
          what, leaves == USRT_LEAVES_OF_CALLS ? " or an output" : "", value);
    return UNISPARSE_OK;
  case UNISPARSE_TERM_FACT:
    if (!facts || value != 0)
      return usrt_bad(reader, "%s: expected %s, got fact %" PRId64, what,
                      facts ? "fact 0 of a device" : "no fact of a device",
                      value);
    return UNISPARSE_OK;
  default:
    if (value != 0)
      return usrt_bad(reader, "%s: expected 0 beside an operator, got %" PRId64,
                      what, value);
    return UNISPARSE_OK;
  }
}

/* That the operands of ops[i] are there; *depth is how many values are. */
static unisparse_status check_operands(const usrt_parser *parser,
                                       const char *what, const usrt_op *ops,
                                       uint32_t i, uint32_t *depth) {
  unisparse_term code = ops[i].code;
  if (code < UNISPARSE_TERM_ADD) {
    ++*depth;
    return UNISPARSE_OK;
  }
  if (*depth < 2)
    return usrt_bad(&parser->reader, "%s: expected 2 operands, got %" PRIu32,
                    what, *depth);
  --*depth;
  const usrt_op *right = &ops[i - 1];
  bool divides =
      code == UNISPARSE_TERM_FLOORDIV || code == UNISPARSE_TERM_CEILDIV;
  if (divides && right->code == UNISPARSE_TERM_CONSTANT && right->value <= 0)
    return usrt_bad(&parser->reader,
                    "%s: expected a divisor above 0, got %" PRId64, what,
                    right->value);
  return UNISPARSE_OK;
}

unisparse_status usrt_parse_expression(usrt_parser *parser, const char *what,
                                       usrt_leaves leaves,
                                       usrt_expression *expression) {
  usrt_reader *reader = &parser->reader;
  uint32_t count;
  USRT_TRY(usrt_take_range(reader, what, 1, UNISPARSE_MAX_TERMS, &count));
  usrt_op *ops = usrt_allocate(&parser->artifact->arena, count, sizeof *ops);
  if (!ops)
    return UNISPARSE_NO_MEMORY;
  uint32_t depth = 0;
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t code;
    USRT_TRY(usrt_take_range(reader, what, 0, UNISPARSE_TERM_MAX, &code));
    ops[i].code = (unisparse_term)code;
    USRT_TRY(usrt_take_i64(reader, what, &ops[i].value));
    USRT_TRY(check_op(parser, what, leaves, &ops[i]));
    USRT_TRY(check_operands(parser, what, ops, i, &depth));
  }
  if (depth != 1)
    return usrt_bad(reader, "%s: expected 1 value, got %" PRIu32, what, depth);
  expression->count = count;
  expression->ops = ops;
  return UNISPARSE_OK;
}

/* What inputs and outputs have in common. */
static unisparse_status parse_tensor(usrt_parser *parser, const char **name,
                                     unisparse_element *element,
                                     int32_t *rank) {
  uint32_t element_number, rank_number;
  USRT_TRY(usrt_take_string(&parser->reader, "name of a tensor",
                            &parser->artifact->arena, name));
  USRT_TRY(usrt_take_range(&parser->reader, "element", 0, UNISPARSE_I32,
                           &element_number));
  USRT_TRY(usrt_take_range(&parser->reader, "rank", 0, UNISPARSE_MAX_RANK,
                           &rank_number));
  *element = (unisparse_element)element_number;
  *rank = (int32_t)rank_number;
  return UNISPARSE_OK;
}

static unisparse_status parse_layout(usrt_parser *parser, bool *strided) {
  uint32_t layout;
  USRT_TRY(usrt_take_range(&parser->reader, "layout", 0, UNISPARSE_LAYOUT_ROWS,
                           &layout));
  *strided = layout == UNISPARSE_LAYOUT_ROWS;
  return UNISPARSE_OK;
}

static unisparse_status parse_input(usrt_parser *parser, usrt_input *input,
                                    bool *bound) {
  usrt_reader *reader = &parser->reader;
  USRT_TRY(parse_tensor(parser, &input->name, &input->element, &input->rank));
  for (int32_t i = 0; i < input->rank; ++i) {
    USRT_TRY(usrt_take_i64(reader, "size of an input", &input->dims[i]));
    /* -1 - dim does not overflow. */
    if (input->dims[i] >= 0)
      continue;
    int64_t symbol = -1 - input->dims[i];
    if (symbol >= parser->artifact->symbol_count)
      return usrt_bad(reader,
                      "input \"%s\": expected a symbol below %" PRIu32
                      ", got %" PRId64,
                      input->name, parser->artifact->symbol_count, symbol);
    bound[symbol] = true;
  }
  return parse_layout(parser, &input->strided);
}

static unisparse_status parse_inputs(usrt_parser *parser) {
  unisparse_artifact *artifact = parser->artifact;
  bool bound[UNISPARSE_MAX_SYMBOLS] = {false};
  USRT_TRY(usrt_take_count(&parser->reader, "number of inputs",
                           UNISPARSE_MAX_TENSORS, TENSOR + 4,
                           &artifact->input_count));
  artifact->inputs = usrt_allocate(&artifact->arena, artifact->input_count,
                                   sizeof *artifact->inputs);
  if (!artifact->inputs)
    return UNISPARSE_NO_MEMORY;
  for (uint32_t i = 0; i < artifact->input_count; ++i)
    USRT_TRY(parse_input(parser, &artifact->inputs[i], bound));
  for (uint32_t i = 0; i < artifact->symbol_count; ++i)
    if (!bound[i])
      return usrt_bad(&parser->reader,
                      "symbol \"%s\": expected to be a size of an input, got "
                      "none",
                      artifact->symbols[i]);
  return UNISPARSE_OK;
}

static unisparse_status parse_outputs(usrt_parser *parser) {
  unisparse_artifact *artifact = parser->artifact;
  USRT_TRY(usrt_take_count(&parser->reader, "number of outputs",
                           UNISPARSE_MAX_TENSORS, TENSOR + 4,
                           &artifact->output_count));
  artifact->outputs = usrt_allocate(&artifact->arena, artifact->output_count,
                                    sizeof *artifact->outputs);
  if (!artifact->outputs)
    return UNISPARSE_NO_MEMORY;
  for (uint32_t i = 0; i < artifact->output_count; ++i) {
    usrt_output *output = &artifact->outputs[i];
    USRT_TRY(
        parse_tensor(parser, &output->name, &output->element, &output->rank));
    for (int32_t d = 0; d < output->rank; ++d)
      USRT_TRY(usrt_parse_expression(parser, "size of an output",
                                     USRT_LEAVES_OF_DEVICES,
                                     &output->sizes[d]));
    USRT_TRY(parse_layout(parser, &output->strided));
  }
  return UNISPARSE_OK;
}

static unisparse_status parse_checks(usrt_parser *parser) {
  unisparse_artifact *artifact = parser->artifact;
  usrt_reader *reader = &parser->reader;
  usrt_arena *arena = &artifact->arena;
  USRT_TRY(usrt_take_count(reader, "number of checks", UNISPARSE_MAX_CHECKS,
                           3 * STRING + 2 * EXPRESSION + 4,
                           &artifact->check_count));
  artifact->checks =
      usrt_allocate(arena, artifact->check_count, sizeof *artifact->checks);
  if (!artifact->checks)
    return UNISPARSE_NO_MEMORY;
  for (uint32_t i = 0; i < artifact->check_count; ++i) {
    usrt_check *check = &artifact->checks[i];
    uint32_t relation;
    USRT_TRY(
        usrt_take_string(reader, "label of a check", arena, &check->label));
    USRT_TRY(usrt_parse_expression(parser, "left side of a check",
                                   USRT_LEAVES_OF_INPUTS, &check->left));
    USRT_TRY(usrt_take_range(reader, "relation", 0, UNISPARSE_MULTIPLE_OF,
                             &relation));
    check->relation = (unisparse_relation)relation;
    USRT_TRY(usrt_parse_expression(parser, "right side of a check",
                                   USRT_LEAVES_OF_INPUTS, &check->right));
    USRT_TRY(usrt_take_string(reader, "left name of a check", arena,
                              &check->left_name));
    USRT_TRY(usrt_take_string(reader, "right name of a check", arena,
                              &check->right_name));
  }
  return UNISPARSE_OK;
}

static unisparse_status parse_symbols(usrt_parser *parser) {
  unisparse_artifact *artifact = parser->artifact;
  USRT_TRY(usrt_take_count(&parser->reader, "number of size names",
                           UNISPARSE_MAX_SYMBOLS, STRING,
                           &artifact->symbol_count));
  artifact->symbols = usrt_allocate(&artifact->arena, artifact->symbol_count,
                                    sizeof *artifact->symbols);
  if (!artifact->symbols)
    return UNISPARSE_NO_MEMORY;
  for (uint32_t i = 0; i < artifact->symbol_count; ++i)
    USRT_TRY(usrt_take_string(&parser->reader, "name of a size",
                              &artifact->arena, &artifact->symbols[i]));
  return UNISPARSE_OK;
}

unisparse_status usrt_parse_body(usrt_parser *parser) {
  unisparse_artifact *artifact = parser->artifact;
  usrt_reader *reader = &parser->reader;
  USRT_TRY(usrt_take_string(reader, "producer", &artifact->arena,
                            &artifact->producer));
  USRT_TRY(
      usrt_take_string(reader, "entry", &artifact->arena, &artifact->entry));
  USRT_TRY(parse_symbols(parser));
  USRT_TRY(parse_inputs(parser));
  USRT_TRY(parse_outputs(parser));
  USRT_TRY(parse_checks(parser));
  /* Chip, four numbers, an empty blob, two counts. */
  USRT_TRY(usrt_take_count(reader, "number of variants", UNISPARSE_MAX_VARIANTS,
                           STRING + 4 * 4 + 8 + 2 * 4,
                           &artifact->variant_count));
  if (parser->description ? artifact->variant_count != 0
                          : artifact->variant_count == 0)
    return usrt_bad(reader, "expected %s, got %" PRIu32,
                    parser->description ? "no variant" : "at least 1 variant",
                    artifact->variant_count);
  artifact->variants = usrt_allocate(&artifact->arena, artifact->variant_count,
                                     sizeof *artifact->variants);
  if (!artifact->variants)
    return UNISPARSE_NO_MEMORY;
  for (uint32_t i = 0; i < artifact->variant_count; ++i)
    USRT_TRY(usrt_parse_variant(parser, &artifact->variants[i]));
  if (reader->at != reader->end)
    return usrt_bad(reader,
                    "expected the end behind the last variant, got "
                    "%td bytes more",
                    reader->end - reader->at);
  return UNISPARSE_OK;
}

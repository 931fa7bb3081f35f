/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "program.h"
#include <inttypes.h>

/* Far below what 64 bits hold, so that sums of extents stay in range. */
static const int64_t most_bytes = (int64_t)1 << 60;

/* Buffers of the workspace start at multiples of this. */
enum { BUFFER_ALIGNMENT = 256 };

static unisparse_status too_large(const char *name) {
  return usrt_fail(UNISPARSE_BAD_SHAPE,
                   "%s: expected less than 2^60 bytes, got more", name);
}

static unisparse_status check_type(const char *name, unisparse_element element,
                                   int32_t rank,
                                   const unisparse_tensor *tensor) {
  if (tensor->element != element)
    return usrt_fail(UNISPARSE_BAD_SHAPE, "%s: expected %s, got %s", name,
                     usrt_element_name(element),
                     usrt_element_name(tensor->element));
  if (tensor->rank != rank)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "%s: expected rank %" PRId32 ", got %" PRId32, name, rank,
                     tensor->rank);
  return UNISPARSE_OK;
}

/* A stride that matters. `contiguous` is what it is where rows follow one
 * another; `free`: whether it may be another one, a multiple of `row_bytes`. */
static unisparse_status check_stride(const char *name, int32_t dimension,
                                     unisparse_element element, int64_t stride,
                                     int64_t contiguous, bool free,
                                     int64_t row_bytes) {
  if (!free && stride != contiguous)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "%s.stride(%" PRId32 "): expected %" PRId64
                     " (contiguous), got %" PRId64,
                     name, dimension, contiguous, stride);
  if (stride < 0)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "%s.stride(%" PRId32 "): expected 0 or more, got %" PRId64,
                     name, dimension, stride);
  int64_t multiple = row_bytes / usrt_element_bytes(element);
  if (free && multiple > 1 && stride % multiple != 0)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "%s.stride(%" PRId32 "): expected a multiple of %" PRId64
                     " (%" PRId64 " bytes), got %" PRId64,
                     name, dimension, multiple, row_bytes, stride);
  return UNISPARSE_OK;
}

/* Strides and extent of a tensor whose sizes, 0 or more, are in `shape`;
 * `given` strides may be null where they are to be contiguous. */
static unisparse_status lay_out(const char *name, unisparse_element element,
                                int32_t rank, const int64_t *given,
                                bool strided, int64_t row_bytes,
                                usrt_shape *shape) {
  bool empty = false;
  for (int32_t d = 0; d < rank; ++d)
    empty |= shape->sizes[d] == 0;
  int64_t next = 1; /* stride of a dimension right outside those seen */
  int64_t last = 0; /* number of the last element */
  for (int32_t d = rank - 1; d >= 0; --d) {
    int64_t size = shape->sizes[d] > 0 ? shape->sizes[d] : 1, reach;
    bool matters = given && !empty && size > 1;
    if (matters)
      USRT_TRY(check_stride(name, d, element, given[d], next,
                            strided && d != rank - 1, row_bytes));
    int64_t stride = matters ? given[d] : next;
    shape->strides[d] = stride;
    if (__builtin_mul_overflow(stride, size, &next) ||
        __builtin_mul_overflow(stride, size - 1, &reach) ||
        __builtin_add_overflow(last, reach, &last))
      return too_large(name);
  }
  if (last >= most_bytes / usrt_element_bytes(element))
    return too_large(name);
  shape->bytes = empty ? 0 : (last + 1) * usrt_element_bytes(element);
  return UNISPARSE_OK;
}

/* Which symbols have a value, and where it came from. */
typedef struct usrt_binding {
  bool bound[UNISPARSE_MAX_SYMBOLS];
} usrt_binding;

static unisparse_status bind_size(const unisparse_artifact *artifact,
                                  const usrt_input *input, int32_t dimension,
                                  int64_t size, usrt_binding *binding,
                                  usrt_frame *frame) {
  int64_t expected = input->dims[dimension];
  if (size < 0)
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "%s.size(%" PRId32 "): expected 0 or more, got %" PRId64,
                     input->name, dimension, size);
  if (expected >= 0) {
    if (size == expected)
      return UNISPARSE_OK;
    return usrt_fail(UNISPARSE_BAD_SHAPE,
                     "%s.size(%" PRId32 "): expected %" PRId64 ", got %" PRId64,
                     input->name, dimension, expected, size);
  }
  int64_t symbol = -1 - expected;
  if (!binding->bound[symbol]) {
    binding->bound[symbol] = true;
    frame->symbols[symbol] = size;
  }
  if (frame->symbols[symbol] == size)
    return UNISPARSE_OK;
  return usrt_fail(UNISPARSE_BAD_SHAPE,
                   "%s.size(%" PRId32 "): expected %" PRId64
                   ", which is %s, got %" PRId64,
                   input->name, dimension, frame->symbols[symbol],
                   artifact->symbols[symbol], size);
}

static unisparse_status bind_inputs(const unisparse_artifact *artifact,
                                    const unisparse_tensor *inputs,
                                    usrt_frame *frame) {
  usrt_binding binding = {{false}};
  for (uint32_t i = 0; i < artifact->input_count; ++i) {
    const usrt_input *input = &artifact->inputs[i];
    usrt_shape *shape = &frame->inputs[i];
    USRT_TRY(check_type(input->name, input->element, input->rank, &inputs[i]));
    for (int32_t d = 0; d < input->rank; ++d) {
      USRT_TRY(
          bind_size(artifact, input, d, inputs[i].sizes[d], &binding, frame));
      shape->sizes[d] = inputs[i].sizes[d];
    }
    USRT_TRY(lay_out(input->name, input->element, input->rank,
                     inputs[i].strides, input->strided, frame->row_bytes,
                     shape));
  }
  return UNISPARSE_OK;
}

static unisparse_status evaluate_side(const usrt_check *check,
                                      const usrt_expression *side,
                                      const char *name, const usrt_frame *frame,
                                      int64_t *value) {
  const char *problem = usrt_evaluate(side, frame, value);
  if (!problem)
    return UNISPARSE_OK;
  return usrt_fail(UNISPARSE_BAD_SHAPE,
                   "%s: expected a number for %s, got a formula that %s",
                   check->label, name, problem);
}

static unisparse_status run_check(const usrt_check *check,
                                  const usrt_frame *frame) {
  int64_t left, right;
  USRT_TRY(evaluate_side(check, &check->left, check->left_name, frame, &left));
  USRT_TRY(
      evaluate_side(check, &check->right, check->right_name, frame, &right));
  static const char *const signs[] = {"==", "<=", "multiple of"};
  bool holds = check->relation == UNISPARSE_EQUAL ? left == right
               : check->relation == UNISPARSE_AT_MOST
                   ? left <= right
                   : right > 0 && left % right == 0;
  if (holds)
    return UNISPARSE_OK;
  return usrt_fail(UNISPARSE_BAD_SHAPE,
                   "%s: expected %s %s %s, got %" PRId64 " and %" PRId64,
                   check->label, check->left_name, signs[check->relation],
                   check->right_name, left, right);
}

static unisparse_status shape_outputs(const unisparse_artifact *artifact,
                                      usrt_frame *frame) {
  for (uint32_t i = 0; i < artifact->output_count; ++i) {
    const usrt_output *output = &artifact->outputs[i];
    usrt_shape *shape = &frame->outputs[i];
    for (int32_t d = 0; d < output->rank; ++d) {
      const char *problem =
          usrt_evaluate(&output->sizes[d], frame, &shape->sizes[d]);
      if (problem)
        return usrt_fail(UNISPARSE_BAD_SHAPE,
                         "%s.size(%" PRId32
                         "): expected a number, got a formula that %s",
                         output->name, d, problem);
      if (shape->sizes[d] < 0)
        return usrt_fail(UNISPARSE_BAD_SHAPE,
                         "%s.size(%" PRId32
                         "): expected 0 or more, got %" PRId64,
                         output->name, d, shape->sizes[d]);
    }
    USRT_TRY(lay_out(output->name, output->element, output->rank, NULL, false,
                     frame->row_bytes, shape));
  }
  return UNISPARSE_OK;
}

static unisparse_status lay_out_workspace(const usrt_variant *variant,
                                          usrt_frame *frame) {
  frame->workspace = 0;
  for (uint32_t i = 0; i < variant->buffer_count; ++i) {
    int64_t bytes;
    const char *problem = usrt_evaluate(&variant->buffers[i], frame, &bytes);
    if (problem)
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "workspace buffer %" PRIu32
                       ": expected a number of bytes, got a formula that %s",
                       i, problem);
    if (bytes < 0 || bytes >= most_bytes)
      return usrt_fail(UNISPARSE_BAD_SHAPE,
                       "workspace buffer %" PRIu32
                       ": expected 0 to 2^60 bytes, got %" PRId64,
                       i, bytes);
    int64_t offset = (frame->workspace + BUFFER_ALIGNMENT - 1) /
                     BUFFER_ALIGNMENT * BUFFER_ALIGNMENT;
    if (offset + bytes >= most_bytes)
      return too_large("workspace");
    frame->buffer_offsets[i] = offset;
    frame->buffer_bytes[i] = bytes;
    frame->workspace = offset + bytes;
  }
  return UNISPARSE_OK;
}

unisparse_status usrt_prepare_tensors(const unisparse_artifact *artifact,
                                      const unisparse_tensor *inputs,
                                      int32_t input_count, usrt_frame *frame) {
  if (input_count < 0 || (uint32_t)input_count != artifact->input_count)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "inputs: expected %" PRIu32 " tensors, got %" PRId32,
                     artifact->input_count, input_count);
  if (!inputs && input_count != 0)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "inputs: expected %" PRIu32 " tensors, got a null pointer",
                     artifact->input_count);
  USRT_TRY(bind_inputs(artifact, inputs, frame));
  for (uint32_t i = 0; i < artifact->check_count; ++i)
    USRT_TRY(run_check(&artifact->checks[i], frame));
  return shape_outputs(artifact, frame);
}

unisparse_status usrt_prepare(const unisparse_program *program,
                              const unisparse_tensor *inputs,
                              int32_t input_count, usrt_frame *frame) {
  frame->multiprocessors = program->multiprocessors;
  frame->row_bytes = 16;
  USRT_TRY(usrt_prepare_tensors(program->artifact, inputs, input_count, frame));
  return lay_out_workspace(program->variant, frame);
}

void usrt_describe_outputs(const unisparse_artifact *artifact,
                           const usrt_frame *frame, unisparse_tensor *outputs) {
  for (uint32_t i = 0; i < artifact->output_count; ++i) {
    outputs[i].element = artifact->outputs[i].element;
    outputs[i].rank = artifact->outputs[i].rank;
    for (int32_t d = 0; d < UNISPARSE_MAX_RANK; ++d) {
      bool used = d < outputs[i].rank;
      outputs[i].sizes[d] = used ? frame->outputs[i].sizes[d] : 0;
      outputs[i].strides[d] = used ? frame->outputs[i].strides[d] : 0;
    }
  }
}

/* No two elements lie in one place: from the smallest stride on, each is at
 * least what those before reach over. */
static unisparse_status check_apart(const usrt_output *output,
                                    const usrt_shape *shape) {
  int64_t reach = 1;
  bool seen[UNISPARSE_MAX_RANK] = {false};
  for (int32_t n = 0; n < output->rank; ++n) {
    int32_t least = -1;
    for (int32_t d = 0; d < output->rank; ++d)
      if (!seen[d] && shape->sizes[d] > 1 &&
          (least < 0 || shape->strides[d] < shape->strides[least]))
        least = d;
    if (least < 0)
      break;
    seen[least] = true;
    if (shape->strides[least] < reach)
      return usrt_fail(UNISPARSE_OVERLAP,
                       "%s.stride(%" PRId32 "): expected at least %" PRId64
                       ", memory of its own for every element, got %" PRId64,
                       output->name, least, reach, shape->strides[least]);
    reach += shape->strides[least] * (shape->sizes[least] - 1);
  }
  return UNISPARSE_OK;
}

unisparse_status usrt_check_outputs(const unisparse_artifact *artifact,
                                    const unisparse_tensor *outputs,
                                    usrt_frame *frame) {
  for (uint32_t i = 0; i < artifact->output_count; ++i) {
    const usrt_output *output = &artifact->outputs[i];
    usrt_shape shape = frame->outputs[i];
    USRT_TRY(
        check_type(output->name, output->element, output->rank, &outputs[i]));
    for (int32_t d = 0; d < output->rank; ++d)
      if (outputs[i].sizes[d] != shape.sizes[d])
        return usrt_fail(UNISPARSE_BAD_SHAPE,
                         "%s.size(%" PRId32 "): expected %" PRId64
                         ", got %" PRId64,
                         output->name, d, shape.sizes[d], outputs[i].sizes[d]);
    USRT_TRY(lay_out(output->name, output->element, output->rank,
                     outputs[i].strides, output->strided, frame->row_bytes,
                     &shape));
    if (!output->strided)
      continue;
    if (shape.bytes > 0)
      USRT_TRY(check_apart(output, &shape));
    frame->outputs[i] = shape;
  }
  return UNISPARSE_OK;
}

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* Stands for libunisparse-rt.so where there is no GPU: "artifacts" are the
 * text that fake-compile.py writes, and every call is a line of the file
 * $STUB_LOG, if there is one. $STUB_FAIL names the function that is to fail.
 * A file whose first word is not "in" is refused. */
#include "unisparse-rt/unisparse.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 8 };

struct unisparse_artifact {
  char names[2][MAX_TENSORS][32];
  unisparse_signature signatures[2][MAX_TENSORS];
  int count[2];
};

struct unisparse_program {
  struct unisparse_artifact artifact;
  int references; /* the caller's and each plan's */
};

struct unisparse_plan {
  unisparse_program *program;
  int32_t count[2];
  unisparse_tensor tensors[2][2 * MAX_TENSORS]; /* inputs, outputs */
};

static void note(const char *format, ...) {
  const char *path = getenv("STUB_LOG");
  FILE *log = path && *path ? fopen(path, "a") : NULL;
  if (!log)
    return;
  va_list arguments;
  va_start(arguments, format);
  vfprintf(log, format, arguments);
  va_end(arguments);
  fclose(log);
}

/* A line each, written at once: threads write to one file. */
static void note_tensors(const char *what, const unisparse_tensor *tensors,
                         int32_t count) {
  if (!getenv("STUB_LOG")) /* A call is to cost nothing then. */
    return;
  for (int32_t i = 0; i < count; ++i) {
    char sizes[256] = "";
    for (int d = 0, n = 0; d < tensors[i].rank; ++d)
      n += snprintf(sizes + n, sizeof sizes - n, "%s%lld/%lld", d ? " " : "",
                    (long long)tensors[i].sizes[d],
                    (long long)tensors[i].strides[d]);
    note("%s %p %d [%s]\n", what, tensors[i].data, tensors[i].element, sizes);
  }
}

static _Thread_local const char *message = "";

static unisparse_status fail(const char *function) {
  const char *name = getenv("STUB_FAIL");
  if (!name || strcmp(name, function))
    return UNISPARSE_OK;
  message = "q: expected an address that is a multiple of 16, got 8 more";
  return UNISPARSE_BAD_ALIGNMENT;
}

const char *unisparse_last_message(void) { return message; }

unisparse_status unisparse_artifact_open(const char *path,
                                         unisparse_artifact **artifact) {
  static const char *const elements[] = {"f32", "f16", "bf16", "i32"};
  FILE *file = fopen(path, "r");
  *artifact = NULL;
  message = "cannot be opened";
  if (!file)
    return UNISPARSE_BAD_FILE;
  unisparse_artifact *a = calloc(1, sizeof *a);
  char way[8], name[32], element[8];
  int rank;
  while (fscanf(file, "%7s %31s %7s %d", way, name, element, &rank) == 4) {
    int out = !strcmp(way, "out"), i = a->count[out]++;
    strcpy(a->names[out][i], name);
    for (int e = 0; e < 4; ++e)
      if (!strcmp(element, elements[e]))
        a->signatures[out][i].element = (unisparse_element)e;
    a->signatures[out][i].rank = rank;
  }
  fclose(file);
  if (a->count[0] == 0) {
    free(a);
    message = "bad artifact: expected inputs, got none";
    return UNISPARSE_BAD_ARTIFACT;
  }
  note("open\n");
  *artifact = a;
  return fail("open");
}

void unisparse_artifact_free(unisparse_artifact *artifact) {
  note("artifact free\n");
  free(artifact);
}

int32_t unisparse_artifact_inputs(const unisparse_artifact *a) {
  return a->count[0];
}

int32_t unisparse_artifact_outputs(const unisparse_artifact *a) {
  return a->count[1];
}

static unisparse_status describe(const unisparse_artifact *a, int out, int i,
                                 unisparse_signature *to) {
  *to = a->signatures[out][i];
  to->name = a->names[out][i];
  return UNISPARSE_OK;
}

unisparse_status unisparse_artifact_input(const unisparse_artifact *a,
                                          int32_t i, unisparse_signature *to) {
  return describe(a, 0, i, to);
}

unisparse_status unisparse_artifact_output(const unisparse_artifact *a,
                                           int32_t i, unisparse_signature *to) {
  return describe(a, 1, i, to);
}

unisparse_status unisparse_program_load(const unisparse_artifact *artifact,
                                        int32_t device,
                                        unisparse_program **program) {
  note("load on %d\n", device);
  *program = calloc(1, sizeof **program);
  (*program)->artifact = *artifact;
  (*program)->references = 1;
  return fail("load");
}

void unisparse_program_free(unisparse_program *program) {
  if (--program->references > 0)
    return;
  note("program free\n");
  free(program);
}

const char *unisparse_program_chip(const unisparse_program *program) {
  (void)program;
  return "sm_90a";
}

int32_t unisparse_program_kernels(const unisparse_program *program) {
  (void)program;
  return 2;
}

unisparse_status unisparse_program_kernel(const unisparse_program *program,
                                          int32_t index,
                                          unisparse_kernel *out) {
  (void)program;
  out->name = index ? "attend" : "select";
  out->schedule = index ? "#unitile.schedule<stages = 3>" : "";
  return UNISPARSE_OK;
}

/* As many sizes as o, lse, counts and indices have, from q, k and v, for
 * blocks of 128. */
unisparse_status unisparse_program_prepare(const unisparse_program *program,
                                           const unisparse_tensor *inputs,
                                           int32_t input_count,
                                           unisparse_tensor *outputs,
                                           int32_t output_count,
                                           size_t *workspace) {
  note_tensors("prepare", inputs, input_count);
  const int64_t rows = (inputs[0].sizes[2] + 127) / 128;
  const int64_t columns = (inputs[1].sizes[2] + 127) / 128;
  for (int32_t i = 0; i < output_count; ++i) {
    const unisparse_signature *s = &program->artifact.signatures[1][i];
    int is_row = s->element == UNISPARSE_I32;
    int64_t sizes[] = {inputs[0].sizes[0], inputs[0].sizes[1],
                       is_row ? rows : inputs[0].sizes[2],
                       is_row ? columns : inputs[2].sizes[3]};
    outputs[i].element = s->element;
    outputs[i].rank = s->rank;
    int64_t stride = 1;
    for (int d = s->rank - 1; d >= 0; --d) {
      outputs[i].sizes[d] = sizes[d];
      outputs[i].strides[d] = stride;
      stride *= sizes[d];
    }
  }
  *workspace = 1000;
  return fail("prepare");
}

static unisparse_status launch(const unisparse_tensor *inputs,
                               int32_t input_count,
                               const unisparse_tensor *outputs,
                               int32_t output_count, void *workspace,
                               size_t workspace_bytes, void *stream) {
  note_tensors("input", inputs, input_count);
  note_tensors("output", outputs, output_count);
  note("workspace %p %zu\nstream %p\n", workspace, workspace_bytes, stream);
  return fail("launch");
}

static unisparse_status no_program(void) {
  message = "program: expected one, got a null pointer";
  return UNISPARSE_BAD_ARGUMENT;
}

unisparse_status unisparse_program_launch_known(
    const unisparse_program *program, const unisparse_tensor *inputs,
    int32_t input_count, const unisparse_tensor *outputs, int32_t output_count,
    void *workspace, size_t workspace_bytes, void *stream) {
  return program ? launch(inputs, input_count, outputs, output_count, workspace,
                          workspace_bytes, stream)
                 : no_program();
}

unisparse_status unisparse_plan_make(const unisparse_program *program,
                                     const unisparse_tensor *inputs,
                                     int32_t input_count,
                                     const unisparse_tensor *outputs,
                                     int32_t output_count,
                                     unisparse_plan **plan) {
  *plan = NULL;
  if (!program)
    return no_program();
  unisparse_status status = fail("plan");
  if (status != UNISPARSE_OK)
    return status;
  note("plan make\n");
  unisparse_plan *made = *plan = calloc(1, sizeof *made);
  made->program = (unisparse_program *)program;
  ++made->program->references;
  made->count[0] = input_count;
  made->count[1] = output_count;
  memcpy(made->tensors[0], inputs, (size_t)input_count * sizeof *inputs);
  memcpy(made->tensors[1], outputs, (size_t)output_count * sizeof *outputs);
  return UNISPARSE_OK;
}

/* With a line more in front of what a launch says. */
unisparse_status unisparse_plan_launch(unisparse_plan *plan,
                                       void *const *inputs,
                                       void *const *outputs, void *workspace,
                                       void *stream) {
  unisparse_tensor tensors[2][2 * MAX_TENSORS];
  if (!getenv("STUB_LOG"))
    return fail("launch");
  memcpy(tensors, plan->tensors, sizeof tensors);
  for (int32_t i = 0; i < plan->count[0]; ++i)
    tensors[0][i].data = inputs[i];
  for (int32_t i = 0; i < plan->count[1]; ++i)
    tensors[1][i].data = outputs[i];
  note("plan launch\n");
  return launch(tensors[0], plan->count[0], tensors[1], plan->count[1],
                workspace, 1000, stream);
}

void unisparse_plan_free(unisparse_plan *plan) {
  note("plan free\n");
  unisparse_program_free(plan->program);
  free(plan);
}

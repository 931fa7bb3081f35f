/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A program for tensors of given sizes and strides: what follows from them is
 * worked out once, addresses come with each launch. */
#include "graph.h"
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Streams that a plan has graphs for. One graph that is launched on two streams
 * runs on one after the other. */
enum { MOST_STREAMS = 4 };

typedef struct usrt_own_graph {
  bool is_taken; /* the stream has had a launch */
  CUstream stream;
  usrt_graph *graph;
} usrt_own_graph;

struct unisparse_plan {
  unisparse_program *program;
  usrt_arena arena; /* of all that pointers here point at */
  size_t workspace;
  uint32_t region_count, read_count;
  usrt_region *regions;
  uint32_t step_count;
  usrt_ready *steps;
  bool may_have_graphs;
  pthread_mutex_t lock; /* of all below */
  bool failed; /* a graph did: steps are launched one by one for good */
  usrt_own_graph graphs[MOST_STREAMS];
};

static unisparse_status keep_regions(unisparse_plan *plan,
                                     const usrt_frame *frame) {
  usrt_regions regions;
  usrt_list_regions(plan->program->artifact, frame, &regions);
  plan->regions =
      usrt_allocate(&plan->arena, regions.count, sizeof *plan->regions);
  if (!plan->regions)
    return UNISPARSE_NO_MEMORY;
  memcpy(plan->regions, regions.list, regions.count * sizeof *plan->regions);
  plan->region_count = regions.count;
  plan->read_count = regions.read;
  return UNISPARSE_OK;
}

static unisparse_status keep_steps(unisparse_plan *plan,
                                   const usrt_frame *frame) {
  const usrt_variant *variant = plan->program->variant;
  usrt_arena *arena = &plan->arena;
  plan->step_count = variant->step_count;
  plan->steps = usrt_allocate(arena, variant->step_count, sizeof *plan->steps);
  if (!plan->steps)
    return UNISPARSE_NO_MEMORY;
  bool behind_launch = false;
  for (uint32_t i = 0; i < variant->step_count; ++i) {
    usrt_ready *ready = &plan->steps[i];
    if (!variant->steps[i].is_fill) {
      const usrt_launch *launch = &variant->steps[i].launch;
      ready->values =
          usrt_allocate(arena, launch->argument_count, sizeof *ready->values);
      ready->maps =
          usrt_allocate(arena, usrt_map_count(launch), sizeof *ready->maps);
      if (!ready->values || !ready->maps)
        return UNISPARSE_NO_MEMORY;
    }
    USRT_TRY(usrt_make_ready(plan->program, i, frame, &behind_launch, ready));
    plan->may_have_graphs |= plan->program->has_graphs && !ready->left_out;
  }
  return UNISPARSE_OK;
}

static unisparse_status
make(unisparse_plan *plan, const unisparse_tensor *inputs, int32_t input_count,
     const unisparse_tensor *outputs, int32_t output_count) {
  const unisparse_program *program = plan->program;
  USRT_TRY(usrt_check_output_count(program->artifact, outputs, output_count));
  usrt_frame frame;
  USRT_TRY(usrt_prepare(program, inputs, input_count, &frame));
  USRT_TRY(usrt_check_outputs(program->artifact, outputs, &frame));
  plan->workspace = (size_t)frame.workspace;
  USRT_TRY(keep_steps(plan, &frame));
  return keep_regions(plan, &frame);
}

unisparse_status unisparse_plan_make(const unisparse_program *program,
                                     const unisparse_tensor *inputs,
                                     int32_t input_count,
                                     const unisparse_tensor *outputs,
                                     int32_t output_count,
                                     unisparse_plan **plan) {
  if (!plan)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "plan: expected an address, got a null pointer");
  *plan = NULL;
  if (!program)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "program: expected one, got a null pointer");
  unisparse_plan *made = calloc(1, sizeof *made);
  if (!made)
    return usrt_fail(UNISPARSE_NO_MEMORY, "no memory for a plan");
  pthread_mutex_init(&made->lock, NULL);
  made->program = usrt_program_retain(program);
  unisparse_status status =
      make(made, inputs, input_count, outputs, output_count);
  if (status != UNISPARSE_OK)
    unisparse_plan_free(made);
  else
    *plan = made;
  return status;
}

size_t unisparse_plan_workspace(const unisparse_plan *plan) {
  return plan ? plan->workspace : 0;
}

/* The stream's place, or null where others have all. */
static usrt_own_graph *find_place(unisparse_plan *plan, CUstream stream) {
  usrt_own_graph *graphs = plan->graphs;
  for (int i = 0; i < MOST_STREAMS; ++i)
    if (!graphs[i].is_taken || graphs[i].stream == stream)
      return &graphs[i];
  return NULL;
}

static void free_graphs(unisparse_plan *plan) {
  for (int i = 0; i < MOST_STREAMS; ++i) {
    usrt_graph_free(plan->graphs[i].graph);
    plan->graphs[i].graph = NULL;
  }
}

/* The graph to launch, ready for these addresses. Null where there is none:
 * what is launched once is not worth one, a graph of the caller's is to hold
 * kernels, and where the driver refuses something, steps that are launched one
 * by one say what is wrong, if anything is. */
static usrt_graph *graph_for(unisparse_plan *plan,
                             const usrt_addresses *addresses, CUstream stream) {
  usrt_own_graph *own = plan->failed ? NULL : find_place(plan, stream);
  if (!own)
    return NULL;
  if (!own->is_taken) {
    *own = (usrt_own_graph){true, stream, NULL};
    return NULL;
  }
  if (usrt_graph_is_captured(plan->program, stream))
    return NULL;
  if (own->graph) {
    plan->failed = !usrt_graph_set(own->graph, addresses);
  } else if (usrt_graph_reserve(plan->program)) {
    own->graph = usrt_graph_make(plan->program, plan->steps, plan->step_count,
                                 addresses);
    plan->failed = !own->graph;
  }
  if (plan->failed)
    free_graphs(plan);
  return own->graph;
}

static unisparse_status
launch(unisparse_plan *plan, const usrt_addresses *addresses, CUstream stream) {
  /* Another thread's launch sets the graph that this one would: it goes
   * without. */
  if (plan->may_have_graphs && pthread_mutex_trylock(&plan->lock) == 0) {
    unisparse_status status = UNISPARSE_OK;
    usrt_graph *graph = graph_for(plan, addresses, stream);
    if (graph)
      status = usrt_graph_launch(graph, stream);
    pthread_mutex_unlock(&plan->lock);
    if (graph)
      return status;
  }
  for (uint32_t i = 0; i < plan->step_count; ++i)
    if (!plan->steps[i].left_out)
      USRT_TRY(usrt_enqueue(plan->program, &plan->steps[i], addresses, stream));
  return UNISPARSE_OK;
}

static unisparse_status check_given(const char *what, void *const *given,
                                    uint32_t expected) {
  if (given || expected == 0)
    return UNISPARSE_OK;
  return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                   "%s: expected %" PRIu32 " addresses, got a null pointer",
                   what, expected);
}

unisparse_status unisparse_plan_launch(unisparse_plan *plan,
                                       void *const *inputs,
                                       void *const *outputs, void *workspace,
                                       void *stream) {
  if (!plan)
    return usrt_fail(UNISPARSE_BAD_ARGUMENT,
                     "plan: expected one, got a null pointer");
  const unisparse_artifact *artifact = plan->program->artifact;
  USRT_TRY(check_given("inputs", inputs, artifact->input_count));
  USRT_TRY(check_given("outputs", outputs, artifact->output_count));
  usrt_addresses addresses;
  for (uint32_t i = 0; i < artifact->input_count; ++i)
    addresses.of[i] = inputs[i];
  for (uint32_t i = 0; i < artifact->output_count; ++i)
    addresses.of[USRT_FIRST_OUTPUT + i] = outputs[i];
  addresses.of[USRT_WORKSPACE] = workspace;
  USRT_TRY(usrt_check_addresses(plan->regions, plan->region_count,
                                plan->read_count, &addresses));
  USRT_TRY(usrt_enter(plan->program));
  return usrt_leave(plan->program, launch(plan, &addresses, stream));
}

void unisparse_plan_free(unisparse_plan *plan) {
  if (!plan)
    return;
  const unisparse_program *program = plan->program;
  bool has_graphs = false;
  for (int i = 0; i < MOST_STREAMS; ++i)
    has_graphs |= plan->graphs[i].graph != NULL;
  if (has_graphs) {
    CUcontext popped;
    CUresult entered = program->driver->ctx_push(program->context);
    free_graphs(plan);
    if (entered == CUDA_SUCCESS)
      program->driver->ctx_pop(&popped);
  }
  pthread_mutex_destroy(&plan->lock);
  usrt_arena_free(&plan->arena);
  unisparse_program_free(plan->program);
  free(plan);
}

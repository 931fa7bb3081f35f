/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "graph.h"
#include <inttypes.h>
#include <stdlib.h>

/* Of one program at a time. A graph takes memory of the device, and prompts of
 * every length have a plan each. */
enum { MOST_GRAPHS = 256 };

typedef struct usrt_node {
  const usrt_ready *ready;
  CUgraphNode node;
  usrt_arguments arguments; /* of a launch, as they were set last */
  uint64_t filled;          /* of a fill: the address that was set last */
} usrt_node;

struct usrt_graph {
  unisparse_program *program;
  CUgraph graph; /* its nodes name those of `exec` */
  CUgraphExec exec;
  void *room; /* of all arguments */
  uint32_t node_count;
  usrt_node nodes[];
};

/* Lets this thread make and end graphs while streams are captured, which the
 * driver else may hold against the capture. -> the mode of before, or -1. */
static int relax(const unisparse_program *program) {
  int mode = CU_STREAM_CAPTURE_MODE_RELAXED;
  return program->graphs.exchange_capture_mode(&mode) == CUDA_SUCCESS ? mode
                                                                      : -1;
}

static void restore(const unisparse_program *program, int mode) {
  if (mode >= 0)
    program->graphs.exchange_capture_mode(&mode);
}

static usrt_kernel_node kernel_node(const usrt_node *node) {
  const usrt_ready *ready = node->ready;
  const usrt_launch *launch = &ready->step->launch;
  return (usrt_kernel_node){
      .function = ready->function,
      .grid = {ready->grid[0], ready->grid[1], ready->grid[2]},
      .block = {launch->block[0], launch->block[1], launch->block[2]},
      .shared_bytes = launch->shared_bytes,
      .arguments = node->arguments.pointers};
}

static usrt_memset_node memset_node(const usrt_node *node) {
  return (usrt_memset_node){.pointer = node->filled,
                            .word = node->ready->step->fill.word,
                            .word_bytes = 4,
                            .words = node->ready->words,
                            .rows = 1};
}

/* Whether the node is to be set is in *changed. */
static CUresult set_node(const unisparse_program *program, usrt_node *node,
                         const usrt_addresses *addresses, bool again,
                         bool *changed) {
  uint32_t failed;
  if (!node->ready->step->is_fill)
    return usrt_set_addresses(program, node->ready, addresses, again,
                              &node->arguments, changed, &failed);
  uint64_t address = (uintptr_t)usrt_address(node->ready->place, addresses);
  *changed = !again || address != node->filled;
  node->filled = address;
  return CUDA_SUCCESS;
}

/* Behind `before`, where there is one: a step that overlaps by an edge that
 * lets it begin before the other has ended, as cuLaunchKernelEx would. */
static CUresult add_node(const usrt_graph *graph, usrt_node *node,
                         const usrt_node *before) {
  const usrt_graph_driver *driver = &graph->program->graphs;
  bool overlaps = node->ready->overlaps;
  const CUgraphNode *behind = before && !overlaps ? &before->node : NULL;
  size_t behind_count = behind != NULL;
  if (node->ready->step->is_fill) {
    usrt_memset_node memset = memset_node(node);
    return driver->add_memset(&node->node, graph->graph, behind, behind_count,
                              &memset, graph->program->context);
  }
  usrt_kernel_node kernel = kernel_node(node);
  CUresult error = driver->add_kernel(&node->node, graph->graph, behind,
                                      behind_count, &kernel);
  if (error != CUDA_SUCCESS || !overlaps)
    return error;
  const usrt_graph_edge edge = {.from_port =
                                    CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC,
                                .type = CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC};
  return driver->add_edges(graph->graph, &before->node, &node->node, &edge, 1);
}

static CUresult build(usrt_graph *graph, const usrt_addresses *addresses) {
  const usrt_graph_driver *driver = &graph->program->graphs;
  CUresult error = driver->create(&graph->graph, 0);
  if (error != CUDA_SUCCESS)
    graph->graph = NULL;
  for (uint32_t i = 0; error == CUDA_SUCCESS && i < graph->node_count; ++i) {
    usrt_node *node = &graph->nodes[i];
    bool changed;
    if (!node->ready->step->is_fill)
      usrt_set_numbers(node->ready, &node->arguments);
    error = set_node(graph->program, node, addresses, false, &changed);
    if (error == CUDA_SUCCESS)
      error = add_node(graph, node, i > 0 ? node - 1 : NULL);
  }
  if (error == CUDA_SUCCESS) {
    error = driver->instantiate(&graph->exec, graph->graph, 0);
    if (error != CUDA_SUCCESS)
      graph->exec = NULL;
  }
  return error;
}

/* Maps of all nodes lie in front of all values, which need not be at multiples
 * of 64. */
static bool give_room(usrt_graph *graph) {
  size_t maps = 0, arguments = 0;
  for (uint32_t i = 0; i < graph->node_count; ++i) {
    const usrt_step *step = graph->nodes[i].ready->step;
    maps += step->is_fill ? 0 : usrt_map_count(&step->launch);
    arguments += step->is_fill ? 0 : step->launch.argument_count;
  }
  graph->room = malloc((maps + 1) * sizeof(CUtensorMap) +
                       arguments * (sizeof(uint64_t) + sizeof(void *)));
  if (!graph->room)
    return false;
  uintptr_t aligned = ((uintptr_t)graph->room + _Alignof(CUtensorMap) - 1) /
                      _Alignof(CUtensorMap) * _Alignof(CUtensorMap);
  CUtensorMap *map = (CUtensorMap *)aligned;
  uint64_t *value = (uint64_t *)(map + maps);
  void **pointer = (void **)(value + arguments);
  for (uint32_t i = 0; i < graph->node_count; ++i) {
    const usrt_step *step = graph->nodes[i].ready->step;
    if (step->is_fill)
      continue;
    graph->nodes[i].arguments = (usrt_arguments){map, value, pointer};
    map += usrt_map_count(&step->launch);
    value += step->launch.argument_count;
    pointer += step->launch.argument_count;
  }
  return true;
}

bool usrt_graph_reserve(unisparse_program *program) {
  if (atomic_fetch_add(&program->graph_count, 1) < MOST_GRAPHS)
    return true;
  atomic_fetch_sub(&program->graph_count, 1);
  return false;
}

usrt_graph *usrt_graph_make(unisparse_program *program, const usrt_ready *steps,
                            uint32_t step_count,
                            const usrt_addresses *addresses) {
  usrt_graph *graph =
      calloc(1, sizeof *graph + step_count * sizeof *graph->nodes);
  if (!graph) {
    atomic_fetch_sub(&program->graph_count, 1);
    return NULL;
  }
  graph->program = program;
  for (uint32_t i = 0; i < step_count; ++i)
    if (!steps[i].left_out)
      graph->nodes[graph->node_count++].ready = &steps[i];
  int mode = relax(program);
  bool built =
      mode >= 0 && give_room(graph) && build(graph, addresses) == CUDA_SUCCESS;
  restore(program, mode);
  if (built)
    return graph;
  usrt_graph_free(graph);
  return NULL;
}

bool usrt_graph_set(usrt_graph *graph, const usrt_addresses *addresses) {
  const usrt_graph_driver *driver = &graph->program->graphs;
  for (uint32_t i = 0; i < graph->node_count; ++i) {
    usrt_node *node = &graph->nodes[i];
    bool changed;
    CUresult error = set_node(graph->program, node, addresses, true, &changed);
    if (error == CUDA_SUCCESS && changed && node->ready->step->is_fill) {
      usrt_memset_node memset = memset_node(node);
      error = driver->set_memset(graph->exec, node->node, &memset,
                                 graph->program->context);
    } else if (error == CUDA_SUCCESS && changed) {
      usrt_kernel_node kernel = kernel_node(node);
      error = driver->set_kernel(graph->exec, node->node, &kernel);
    }
    if (error != CUDA_SUCCESS)
      return false;
  }
  return true;
}

unisparse_status usrt_graph_launch(const usrt_graph *graph, CUstream stream) {
  const unisparse_program *program = graph->program;
  return usrt_driver_check(program->driver, "cuGraphLaunch",
                           program->graphs.launch(graph->exec, stream),
                           "\"%s\" in %" PRIu32 " steps",
                           program->artifact->entry, graph->node_count);
}

void usrt_graph_free(usrt_graph *graph) {
  if (!graph)
    return;
  const unisparse_program *program = graph->program;
  int mode = relax(program);
  if (graph->exec)
    program->graphs.exec_destroy(graph->exec);
  if (graph->graph)
    program->graphs.destroy(graph->graph);
  restore(program, mode);
  atomic_fetch_sub(&graph->program->graph_count, 1);
  free(graph->room);
  free(graph);
}

bool usrt_graph_is_captured(const unisparse_program *program, CUstream stream) {
  int status;
  return program->graphs.is_capturing(stream, &status) != CUDA_SUCCESS ||
         status != CU_STREAM_CAPTURE_STATUS_NONE;
}

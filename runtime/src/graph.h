/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* A plan's steps as a CUDA graph: the driver is called once for all of them. */
#ifndef UNISPARSE_RT_SRC_GRAPH_H
#define UNISPARSE_RT_SRC_GRAPH_H

#include "ready.h"

typedef struct usrt_graph usrt_graph;

/* Whether the program may have one more graph, which is to be made then. */
bool usrt_graph_reserve(unisparse_program *program);

/* In all that follow the program's context is current.
 *
 * Null, without a message, where the driver refuses something or there is no
 * memory. The graph refers to `steps`, of which those that are left out are no
 * nodes. */
usrt_graph *usrt_graph_make(unisparse_program *program, const usrt_ready *steps,
                            uint32_t step_count,
                            const usrt_addresses *addresses);

/* Sets the nodes whose addresses are others now. False, without a message,
 * where the driver refuses that: then the graph is of no use any more. */
bool usrt_graph_set(usrt_graph *graph, const usrt_addresses *addresses);

unisparse_status usrt_graph_launch(const usrt_graph *graph, CUstream stream);

/* One that runs goes on, and is freed when it has run. */
void usrt_graph_free(usrt_graph *graph);

/* Whether work on the stream goes into a graph of the caller's, or cannot be
 * told not to. */
bool usrt_graph_is_captured(const unisparse_program *program, CUstream stream);

#endif /* UNISPARSE_RT_SRC_GRAPH_H */

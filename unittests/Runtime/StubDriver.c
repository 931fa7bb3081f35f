/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "StubDriver.h"
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  SUCCESS = 0,
  INVALID_VALUE = 1,
  INVALID_DEVICE = 101,
  INVALID_CONTEXT = 201,
  INVALID_HANDLE = 400,
  NOT_FOUND = 500
};

enum { FOREIGN = STUB_MAX_DEVICES, CONTEXTS, STACK = 16 };

typedef struct Context {
  int device, references;
} Context;
typedef struct Module {
  Context *context;
} Module;
typedef struct Function {
  struct Function *next; /* functions live as long as the stub */
  Context *context;
  char name[64];
} Function;

StubConfig stub_config;
static Context contexts[CONTEXTS];
static Function *functions;
static int live_modules, live_graphs;
static char log_text[1 << 16];
static size_t log_used;
static struct {
  char name[48];
  int count;
} calls[64];
static char fail_name[48];
static int fail_skip, fail_code, fail_done;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static _Thread_local Context *stack[STACK];
static _Thread_local int depth;

__attribute__((constructor)) void stub_reset(void) {
  stub_config = (StubConfig){2, {90, 80}, {132, 108}, 12040, "", 1, 0};
  for (int i = 0; i < CONTEXTS; ++i)
    contexts[i].device = i;
  memset(calls, 0, sizeof calls);
  log_text[log_used = 0] = 0;
  fail_name[0] = 0;
  fail_done = 0;
}

void stub_fail(const char *function, int skip, int code) {
  snprintf(fail_name, sizeof fail_name, "%s", function);
  fail_skip = skip;
  fail_code = code;
  fail_done = 0;
}

int stub_failed(void) { return fail_done; }
const char *stub_log(void) { return log_text; }
int stub_live_modules(void) { return live_modules; }
int stub_live_graphs(void) { return live_graphs; }
int stub_stack_depth(void) { return depth; }

int stub_live_contexts(void) {
  int count = 0;
  for (int i = 0; i < CONTEXTS; ++i)
    count += contexts[i].references;
  return count;
}

static Context *current(void) { return depth ? stack[depth - 1] : NULL; }
int stub_current_device(void) { return current() ? current()->device : -1; }
void stub_push_foreign(void) { stack[depth++] = &contexts[FOREIGN]; }
int stub_pop_foreign(void) {
  int was_current = current() == &contexts[FOREIGN];
  depth -= was_current;
  return was_current;
}

static int *counter(const char *name) {
  int i = 0;
  while (calls[i].name[0] && strcmp(calls[i].name, name) != 0)
    ++i;
  snprintf(calls[i].name, sizeof calls[i].name, "%s", name);
  return &calls[i].count;
}

int stub_calls(const char *function) {
  pthread_mutex_lock(&lock);
  int count = *counter(function);
  pthread_mutex_unlock(&lock);
  return count;
}

/* Counts the call; what it is to fail with, or SUCCESS. */
static int begin(const char *name) {
  int code = SUCCESS;
  pthread_mutex_lock(&lock);
  ++*counter(name);
  if (strcmp(fail_name, name) == 0 && !fail_done && fail_skip-- == 0) {
    fail_done = 1;
    code = fail_code;
  }
  pthread_mutex_unlock(&lock);
  return code;
}

#define BEGIN()                                                                \
  do {                                                                         \
    int injected = begin(__func__);                                            \
    if (injected != SUCCESS)                                                   \
      return injected;                                                         \
  } while (0)

static void say(const char *format, ...) {
  pthread_mutex_lock(&lock);
  if (stub_config.keep_log) {
    va_list arguments;
    va_start(arguments, format);
    log_used += (size_t)vsnprintf(
        log_text + log_used, sizeof log_text - log_used, format, arguments);
    va_end(arguments);
    if (log_used >= sizeof log_text)
      abort();
  }
  pthread_mutex_unlock(&lock);
}

int cuInit(unsigned flags) {
  BEGIN();
  return flags == 0 ? SUCCESS : INVALID_VALUE;
}

int cuDriverGetVersion(int *version) {
  BEGIN();
  *version = stub_config.driver_version;
  return SUCCESS;
}

int cuGetErrorName(int error, const char **name) {
  BEGIN();
  *name = error == 222   ? "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"
          : error == 500 ? "CUDA_ERROR_NOT_FOUND"
                         : "CUDA_ERROR_OF_THE_STUB";
  return SUCCESS;
}

int cuGetErrorString(int error, const char **text) {
  BEGIN();
  *text = error == 500 ? "named symbol not found" : "as a test asked for";
  return SUCCESS;
}

int cuDeviceGetCount(int *count) {
  BEGIN();
  *count = stub_config.device_count;
  return SUCCESS;
}

int cuDeviceGet(int *device, int ordinal) {
  BEGIN();
  *device = ordinal;
  return ordinal < stub_config.device_count ? SUCCESS : INVALID_DEVICE;
}

int cuDeviceGetName(char *name, int bytes, int device) {
  BEGIN();
  snprintf(name, (size_t)bytes, "Stub %d", device);
  return SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
  BEGIN();
  switch (attribute) {
  case 16:
    *value = stub_config.multiprocessors[device];
    return SUCCESS;
  case 75:
    *value = stub_config.capabilities[device] / 10;
    return SUCCESS;
  case 76:
    *value = stub_config.capabilities[device] % 10;
    return SUCCESS;
  }
  return INVALID_VALUE;
}

int cuDevicePrimaryCtxRetain(Context **context, int device) {
  BEGIN();
  pthread_mutex_lock(&lock);
  *context = &contexts[device];
  ++contexts[device].references;
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(int device) {
  pthread_mutex_lock(&lock);
  --contexts[device].references;
  pthread_mutex_unlock(&lock);
  BEGIN();
  return SUCCESS;
}

int cuCtxPushCurrent_v2(Context *context) {
  BEGIN();
  pthread_mutex_lock(&lock);
  int retained = context->references > 0;
  pthread_mutex_unlock(&lock);
  if (depth == STACK || !retained)
    return INVALID_CONTEXT;
  stack[depth++] = context;
  return SUCCESS;
}

int cuCtxPopCurrent_v2(Context **context) {
  *context = current();
  depth -= depth > 0;
  BEGIN();
  return *context ? SUCCESS : INVALID_CONTEXT;
}

int cuModuleLoadDataEx(Module **module, const void *image, unsigned count,
                       int *options, void **values) {
  int injected = begin(__func__);
  if (injected != SUCCESS) {
    /* Option 5 is the buffer for the log of errors, 6 its bytes. */
    for (unsigned i = 0; i + 1 < count; ++i)
      if (options[i] == 5 && options[i + 1] == 6)
        snprintf(values[i], (size_t)(uintptr_t)values[i + 1], "%s",
                 stub_config.jit_log);
    return injected;
  }
  if (!current())
    return INVALID_CONTEXT;
  *module = malloc(sizeof **module);
  (*module)->context = current();
  pthread_mutex_lock(&lock);
  ++live_modules;
  pthread_mutex_unlock(&lock);
  say("load \"%s\" on %d\n", (const char *)image, current()->device);
  return SUCCESS;
}

int cuModuleUnload(Module *module) {
  pthread_mutex_lock(&lock);
  --live_modules;
  pthread_mutex_unlock(&lock);
  free(module);
  BEGIN();
  return SUCCESS;
}

int cuModuleGetFunction(Function **function, Module *module, const char *name) {
  BEGIN();
  if (strncmp(name, "missing", 7) == 0)
    return NOT_FOUND;
  *function = malloc(sizeof **function);
  snprintf((*function)->name, sizeof(*function)->name, "%s", name);
  (*function)->context = module->context;
  pthread_mutex_lock(&lock);
  (*function)->next = functions;
  functions = *function;
  pthread_mutex_unlock(&lock);
  return SUCCESS;
}

int cuFuncSetAttribute(Function *function, int attribute, int value) {
  BEGIN();
  say("attribute %d of %s = %d\n", attribute, function->name, value);
  return SUCCESS;
}

int cuPointerGetAttributes(unsigned count, int *attributes, void **values,
                           unsigned long long pointer) {
  BEGIN();
  if (!current())
    return INVALID_CONTEXT;
  int area = (int)(pointer >> 32); /* 1, 2 devices, 3 managed, 4 pinned */
  for (unsigned i = 0; i < count; ++i) {
    int *value = values[i];
    if (attributes[i] == 2)
      *value = area == 1 || area == 2 || area == 3 ? 2 : area == 4 ? 1 : 0;
    else if (attributes[i] == 8)
      *value = area == 3;
    else if (attributes[i] == 9)
      *value = area == 2 ? 1 : 0;
    else
      return INVALID_VALUE;
  }
  return SUCCESS;
}

int cuMemsetD32Async(unsigned long long pointer, unsigned word, size_t words,
                     void *stream) {
  BEGIN();
  if (!current())
    return INVALID_CONTEXT;
  say("fill 0x%llx with %u, %zu words, stream %zu on %d\n", pointer, word,
      words, (size_t)(uintptr_t)stream, current()->device);
  return SUCCESS;
}

typedef struct Work {
  char before[1200], after[1200]; /* a line, around the stream's number */
  int is_kernel, device;
} Work;

static void run(const Work *work, void *stream) {
  say("%s stream %zu on %d%s\n", work->before, (size_t)(uintptr_t)stream,
      work->device, work->after);
}

static int describe(Function *function, const unsigned grid[3],
                    const unsigned block[3], unsigned shared_bytes,
                    void **arguments, const char *how, Work *work) {
  if (current() != function->context)
    return INVALID_HANDLE;
  char *text = work->after;
  text[0] = 0;
  size_t used = 0;
  const char *kinds = strchr(function->name, ':');
  for (int i = 0; kinds && kinds[1 + i]; ++i) {
    unsigned long long wide = 0;
    unsigned narrow;
    memcpy(&narrow, arguments[i], sizeof narrow);
    if (kinds[1 + i] == 'p')
      memcpy(&wide, arguments[i], sizeof wide);
    else
      wide = narrow;
    used += (size_t)snprintf(text + used, sizeof work->after - used,
                             " %c:0x%llx", kinds[1 + i], wide);
  }
  snprintf(work->before, sizeof work->before,
           "launch %s grid %u %u %u block %u %u %u shared %u%s", function->name,
           grid[0], grid[1], grid[2], block[0], block[1], block[2],
           shared_bytes, how);
  work->is_kernel = 1;
  work->device = current()->device;
  return SUCCESS;
}

static int launch(Function *function, const unsigned grid[3],
                  const unsigned block[3], unsigned shared_bytes, void *stream,
                  void **arguments, const char *how) {
  Work work;
  int error =
      describe(function, grid, block, shared_bytes, arguments, how, &work);
  if (error == SUCCESS)
    run(&work, stream);
  return error;
}

int cuLaunchKernel(Function *function, unsigned grid_x, unsigned grid_y,
                   unsigned grid_z, unsigned block_x, unsigned block_y,
                   unsigned block_z, unsigned shared_bytes, void *stream,
                   void **arguments, void **extra) {
  BEGIN();
  const unsigned grid[3] = {grid_x, grid_y, grid_z},
                 block[3] = {block_x, block_y, block_z};
  return extra ? INVALID_HANDLE
               : launch(function, grid, block, shared_bytes, stream, arguments,
                        "");
}

#ifndef STUB_WITHOUT_TENSOR_MAPS
/* CUlaunchConfig and CUlaunchAttribute of cuda.h, with the one attribute that
 * is used: number 6, programmatic stream serialization. */
typedef struct {
  int id;
  char pad[8 - sizeof(int)];
  union {
    char bytes[64];
    int allowed;
  } value;
} LaunchAttribute;
typedef struct {
  unsigned grid[3], block[3], shared_bytes;
  void *stream;
  LaunchAttribute *attributes;
  unsigned attribute_count;
} LaunchConfig;

int cuLaunchKernelEx(const LaunchConfig *config, Function *function,
                     void **arguments, void **extra) {
  BEGIN();
  if (extra || config->attribute_count != 1 || config->attributes->id != 6 ||
      config->attributes->value.allowed != 1)
    return INVALID_VALUE;
  return launch(function, config->grid, config->block, config->shared_bytes,
                config->stream, arguments, " overlapping");
}
#endif

#ifndef STUB_WITHOUT_TENSOR_MAPS
/* A map is all bytes of its number, counted from 1. */
int cuTensorMapEncodeTiled(void *map, int type, uint32_t rank, void *address,
                           const uint64_t *sizes, const uint64_t *strides,
                           const uint32_t *box, const uint32_t *steps,
                           int interleave, int swizzle, int l2_promotion,
                           int fill) {
  BEGIN();
  if ((uintptr_t)map % 64 != 0)
    return INVALID_VALUE;
  memset(map, stub_calls(__func__), 128);
  char text[512];
  size_t used = 0;
  for (uint32_t i = 0; i < rank; ++i)
    used += (size_t)snprintf(text + used, sizeof text - used,
                             " (%llu box %u step %u)",
                             (unsigned long long)sizes[i], box[i], steps[i]);
  for (uint32_t i = 0; i + 1 < rank; ++i)
    used += (size_t)snprintf(text + used, sizeof text - used, " stride %llu",
                             (unsigned long long)strides[i]);
  say("map 0x%zx type %d%s interleave %d swizzle %d l2 %d fill %d\n",
      (size_t)(uintptr_t)address, type, text, interleave, swizzle, l2_promotion,
      fill);
  return SUCCESS;
}
#endif

/* Of this thread; 0 is the global one, 2 the relaxed one. */
static _Thread_local int capture_mode;
int stub_capture_mode(void) { return capture_mode; }

#ifndef STUB_WITHOUT_TENSOR_MAPS
/* A graph is a chain: each node but the first has one edge, from the node that
 * was added before it. */
enum { MAX_NODES = 16 };
typedef struct Node {
  int number, edges;
  Work work;
} Node;
typedef struct Graph {
  int count;
  Node nodes[MAX_NODES];
} Graph;
typedef struct Exec {
  Graph *of; /* whose nodes name its own */
  Graph graph;
} Exec;

typedef struct {
  Function *function;
  unsigned grid[3], block[3], shared_bytes;
  void **arguments, **extra;
  void *kernel;
  Context *context;
} KernelNode;
typedef struct {
  unsigned long long pointer;
  size_t pitch;
  unsigned word, word_bytes;
  size_t words, rows;
} MemsetNode;
typedef struct {
  unsigned char from_port, to_port, type, reserved[5];
} Edge;

static void count_graphs(int more) {
  pthread_mutex_lock(&lock);
  live_graphs += more;
  pthread_mutex_unlock(&lock);
}

int cuGraphCreate(Graph **graph, unsigned flags) {
  BEGIN();
  if (flags != 0)
    return INVALID_VALUE;
  *graph = calloc(1, sizeof **graph);
  count_graphs(1);
  return SUCCESS;
}

int cuGraphDestroy(Graph *graph) {
  count_graphs(-1);
  free(graph);
  BEGIN();
  return SUCCESS;
}

static int describe_kernel(const KernelNode *kernel, Work *work) {
  if (kernel->extra || kernel->kernel || kernel->context)
    return INVALID_VALUE;
  return describe(kernel->function, kernel->grid, kernel->block,
                  kernel->shared_bytes, kernel->arguments, "", work);
}

static int describe_memset(const MemsetNode *memset, const Context *context,
                           Work *work) {
  if (memset->word_bytes != 4 || memset->rows != 1 || memset->words == 0 ||
      context != current())
    return INVALID_VALUE;
  snprintf(work->before, sizeof work->before, "fill 0x%llx with %u, %zu words,",
           memset->pointer, memset->word, memset->words);
  work->after[0] = 0;
  work->is_kernel = 0;
  work->device = context->device;
  return SUCCESS;
}

/* The node's number of edges, which are full ones. */
static int add(Graph *graph, Node **out, Node *const *before, size_t count) {
  Node *node = &graph->nodes[graph->count];
  if (graph->count == MAX_NODES || count > 1 ||
      (count == 1 && before[0] != node - 1))
    return INVALID_VALUE;
  node->number = graph->count++;
  node->edges = (int)count;
  *out = node;
  return SUCCESS;
}

int cuGraphAddKernelNode_v2(Node **node, Graph *graph, Node *const *before,
                            size_t count, const KernelNode *kernel) {
  BEGIN();
  int error = add(graph, node, before, count);
  return error ? error : describe_kernel(kernel, &(*node)->work);
}

int cuGraphAddMemsetNode(Node **node, Graph *graph, Node *const *before,
                         size_t count, const MemsetNode *memset,
                         Context *context) {
  BEGIN();
  int error = add(graph, node, before, count);
  return error ? error : describe_memset(memset, context, &(*node)->work);
}

/* Of a kernel that may begin before the one in front of it has ended. */
int cuGraphAddDependencies_v2(Graph *graph, Node *const *from, Node *const *to,
                              const Edge *edge, size_t count) {
  BEGIN();
  if (count != 1 || !edge || edge->from_port != 1 || edge->to_port != 0 ||
      edge->type != 1 || from[0] < graph->nodes || from[0] != to[0] - 1 ||
      !from[0]->work.is_kernel || !to[0]->work.is_kernel || to[0]->edges != 0)
    return INVALID_VALUE;
  to[0]->edges = 1;
  strcat(to[0]->work.before, " overlapping");
  return SUCCESS;
}

int cuGraphInstantiateWithFlags(Exec **exec, Graph *graph,
                                unsigned long long flags) {
  BEGIN();
  if (flags != 0 || capture_mode != 2)
    return INVALID_VALUE;
  for (int i = 1; i < graph->count; ++i)
    if (graph->nodes[i].edges != 1)
      return INVALID_VALUE;
  *exec = malloc(sizeof **exec);
  (*exec)->of = graph;
  (*exec)->graph = *graph;
  count_graphs(1);
  return SUCCESS;
}

int cuGraphExecDestroy(Exec *exec) {
  count_graphs(-1);
  free(exec);
  BEGIN();
  return SUCCESS;
}

/* What the node overlaps stays as it was. */
static int set(Exec *exec, const Node *node, Work *work) {
  if (node != &exec->of->nodes[node->number])
    return INVALID_VALUE;
  Work *of = &exec->graph.nodes[node->number].work;
  if (strstr(of->before, " overlapping"))
    strcat(work->before, " overlapping");
  *of = *work;
  say("set node %d: %s%s\n", node->number, work->before, work->after);
  return SUCCESS;
}

int cuGraphExecKernelNodeSetParams_v2(Exec *exec, Node *node,
                                      const KernelNode *kernel) {
  BEGIN();
  Work work;
  int error = describe_kernel(kernel, &work);
  return error ? error : set(exec, node, &work);
}

int cuGraphExecMemsetNodeSetParams(Exec *exec, Node *node,
                                   const MemsetNode *memset, Context *context) {
  BEGIN();
  Work work;
  int error = describe_memset(memset, context, &work);
  return error ? error : set(exec, node, &work);
}

int cuGraphLaunch(Exec *exec, void *stream) {
  BEGIN();
  if (!current())
    return INVALID_CONTEXT;
  say("graph of %d\n", exec->graph.count);
  for (int i = 0; i < exec->graph.count; ++i)
    run(&exec->graph.nodes[i].work, stream);
  return SUCCESS;
}

int cuStreamIsCapturing(void *stream, int *status) {
  (void)stream;
  BEGIN();
  *status = stub_config.captured;
  return SUCCESS;
}

int cuThreadExchangeStreamCaptureMode(int *mode) {
  int before = capture_mode, injected = begin(__func__);
  if (injected != SUCCESS && *mode == 2)
    return injected;
  capture_mode = *mode;
  *mode = before;
  return injected;
}
#endif

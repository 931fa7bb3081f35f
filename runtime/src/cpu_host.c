/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* What compiled code calls: memory, what it has to say, threads. It does not
 * look at what it gets and cannot return early, so a call is left by longjmp:
 * from the thread that made it, outside of parallel regions, where nothing but
 * compiled code is on the stack. */
#define _GNU_SOURCE /* dladdr */
#include "cpu.h"
#include <dlfcn.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local usrt_call *current;

static _Noreturn void leave(unisparse_status status) {
  current->status = status;
  longjmp(current->left, 1);
}

/* Inside a region there is no way out, nor for the thread beside it. */
static _Noreturn void end(const char *what, size_t bytes) {
  fprintf(stderr, "unisparse: %s, got none for %zu bytes\n", what, bytes);
  abort();
}

/*--------------------------------------------------------------------------*\
 * Memory
\*--------------------------------------------------------------------------*/

/* A block stands right before what the code gets, whose alignment is at least
 * malloc's. */
enum { LEAST_ALIGNMENT = 16 };
_Static_assert(sizeof(usrt_block) % LEAST_ALIGNMENT == 0,
               "blocks keep alignment");

static void *take(size_t alignment, size_t bytes, bool zero, usrt_call *call) {
  size_t around = sizeof(usrt_block) + alignment - LEAST_ALIGNMENT, size;
  if (__builtin_add_overflow(bytes, around, &size))
    return NULL;
  char *start = zero ? calloc(1, size) : malloc(size);
  if (!start)
    return NULL;
  uintptr_t data = (uintptr_t)start + sizeof(usrt_block);
  data = (data + alignment - 1) & ~(uintptr_t)(alignment - 1);
  usrt_block *block = (usrt_block *)data - 1;
  *block = (usrt_block){NULL, NULL, call, start};
  if (call) {
    block->next = call->blocks;
    if (block->next)
      block->next->previous = block;
    call->blocks = block;
  }
  return (void *)data;
}

static void release(void *data) {
  if (!data)
    return;
  usrt_block *block = (usrt_block *)data - 1;
  if (block->call) {
    if (block->next)
      block->next->previous = block->previous;
    if (block->previous)
      block->previous->next = block->next;
    else
      block->call->blocks = block->next;
  }
  free(block->start);
}

static void *take_or_leave(size_t alignment, size_t bytes, bool zero) {
  void *data = take(alignment, bytes, zero, current);
  if (!data)
    leave(usrt_fail(UNISPARSE_NO_MEMORY,
                    "memory: expected room for %zu bytes, got none", bytes));
  return data;
}
static void *take_or_end(size_t alignment, size_t bytes, bool zero) {
  void *data = take(alignment, bytes, zero, NULL);
  if (!data)
    end("memory: expected room for a tile", bytes);
  return data;
}

static size_t product(size_t count, size_t bytes) {
  size_t all;
  return __builtin_mul_overflow(count, bytes, &all) ? SIZE_MAX : all;
}
static size_t aligned(size_t alignment) {
  return alignment < LEAST_ALIGNMENT ? LEAST_ALIGNMENT : alignment;
}

static void *code_malloc(size_t bytes) {
  return take_or_leave(LEAST_ALIGNMENT, bytes, false);
}
static void *code_calloc(size_t count, size_t bytes) {
  return take_or_leave(LEAST_ALIGNMENT, product(count, bytes), true);
}
static void *code_aligned_alloc(size_t alignment, size_t bytes) {
  return take_or_leave(aligned(alignment), bytes, false);
}
static void *region_malloc(size_t bytes) {
  return take_or_end(LEAST_ALIGNMENT, bytes, false);
}
static void *region_calloc(size_t count, size_t bytes) {
  return take_or_end(LEAST_ALIGNMENT, product(count, bytes), true);
}
static void *region_aligned_alloc(size_t alignment, size_t bytes) {
  return take_or_end(aligned(alignment), bytes, false);
}

/*--------------------------------------------------------------------------*\
 * What the code has to say
\*--------------------------------------------------------------------------*/

/* violation.h */
static _Noreturn void code_violation(const char *rule, int64_t left,
                                     int64_t right) {
  leave(usrt_fail(UNISPARSE_BAD_SHAPE, "%s, got %" PRId64 " and %" PRId64, rule,
                  left, right));
}

/* An assertion that does not hold says so with puts and ends with abort. */
static int code_puts(const char *text) {
  current->text = text;
  return 0;
}
static _Noreturn void code_abort(void) {
  leave(usrt_fail(UNISPARSE_BAD_SHAPE, "%s",
                  current->text ? current->text : "the program ended itself"));
}

/* What has an address of its own inside regions has it second. */
static const struct {
  const char *name;
  void (*outside)(void), (*inside)(void);
} functions[] = {
#define USRT_FUNCTION(name, outside, inside)                                   \
  {name, (void (*)(void))(outside), (void (*)(void))(inside)}
    USRT_FUNCTION("malloc", code_malloc, region_malloc),
    USRT_FUNCTION("calloc", code_calloc, region_calloc),
    USRT_FUNCTION("aligned_alloc", code_aligned_alloc, region_aligned_alloc),
    USRT_FUNCTION("free", release, release),
    USRT_FUNCTION("puts", code_puts, puts),
    USRT_FUNCTION("abort", code_abort, abort),
    USRT_FUNCTION("unisparse_violation", code_violation, abort),
#undef USRT_FUNCTION
};

/*--------------------------------------------------------------------------*\
 * Threads
\*--------------------------------------------------------------------------*/

static struct {
  void *library;
  int (*max_threads)(void);
  void (*set_threads)(int);
} openmp;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The one that lies beside this library, as packages have it. */
static void *open_beside(void) {
  static const char own[] = "libomp.so.5";
  Dl_info here;
  if (!dladdr(&openmp, &here) || !here.dli_fname)
    return NULL;
  const char *slash = strrchr(here.dli_fname, '/');
  size_t folder = slash ? (size_t)(slash - here.dli_fname) + 1 : 0;
  char *path = folder ? malloc(folder + sizeof own) : NULL;
  if (!path)
    return NULL;
  memcpy(path, here.dli_fname, folder);
  memcpy(path + folder, own, sizeof own);
  void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  free(path);
  return library;
}

static void *open_openmp(void) {
  const char *named = getenv("UNISPARSE_LIBOMP");
  if (named && *named)
    return dlopen(named, RTLD_NOW | RTLD_LOCAL);
  static const char *const names[] = {"libomp.so.5", "libomp.so",
                                      "libiomp5.so"};
  /* Two of them in one process would not go together. */
  static const int flags[] = {RTLD_NOW | RTLD_LOCAL | RTLD_NOLOAD,
                              RTLD_NOW | RTLD_LOCAL};
  void *library = NULL;
  for (size_t f = 0; f < 2; ++f) {
    if (f == 1 && !library)
      library = open_beside();
    for (size_t n = 0; n < sizeof names / sizeof *names && !library; ++n)
      library = dlopen(names[n], flags[f]);
  }
  return library;
}

unisparse_status unisparse_cpu_check(void) {
  pthread_mutex_lock(&lock);
  if (!openmp.library) {
    void *library = open_openmp();
    void *max = library ? dlsym(library, "omp_get_max_threads") : NULL,
         *set = library ? dlsym(library, "omp_set_num_threads") : NULL;
    if (max && set) {
      /* C has no cast from an object's address to a function's. */
      memcpy(&openmp.max_threads, &max, sizeof max);
      memcpy(&openmp.set_threads, &set, sizeof set);
      openmp.library = library;
    }
  }
  bool found = openmp.library;
  pthread_mutex_unlock(&lock);
  return found ? UNISPARSE_OK
               : usrt_fail(
                     UNISPARSE_BAD_FILE,
                     "OpenMP: expected LLVM's runtime as libomp.so.5, beside "
                     "this library or on the loader's path, or in "
                     "UNISPARSE_LIBOMP, got none");
}

unisparse_status usrt_bind_imports(const char *path,
                                   const unisparse_cpu_library *code) {
  USRT_TRY(unisparse_cpu_check());
  for (int64_t i = 0; i < code->import_count; ++i) {
    unisparse_cpu_import *import = &code->imports[i];
    void *address = NULL;
    for (size_t n = 0; n < sizeof functions / sizeof *functions; ++n)
      if (strcmp(functions[n].name, import->name) == 0)
        memcpy(&address,
               import->in_region ? &functions[n].inside : &functions[n].outside,
               sizeof address);
    if (!address)
      address = dlsym(openmp.library, import->name);
    if (!address)
      return usrt_fail(UNISPARSE_BAD_FILE,
                       "\"%s\": expected %s in OpenMP's runtime, got none",
                       path, import->name);
    import->address = address;
  }
  return UNISPARSE_OK;
}

unisparse_status usrt_run_code(const unisparse_cpu_library *code,
                               void *const *memrefs, int32_t threads) {
  usrt_call call = {.status = UNISPARSE_OK, .outer = current};
  current = &call;
  /* OpenMP's number is this thread's, and the caller's again afterwards. */
  int before = threads > 0 ? openmp.max_threads() : 0;
  if (threads > 0)
    openmp.set_threads(threads);
  if (setjmp(call.left) == 0)
    code->run(memrefs);
  if (threads > 0)
    openmp.set_threads(before);
  while (call.blocks)
    release(call.blocks + 1);
  current = call.outer;
  return call.status;
}

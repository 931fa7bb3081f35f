/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "driver.h"
#include <dlfcn.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static usrt_driver opened; /* under the lock until `is_open`, then constant */
static bool is_open;

/* Names carry the versions of what cuda.h declares. */
typedef struct usrt_symbol {
  const char *name;
  size_t offset;
} usrt_symbol;

static const usrt_symbol symbols[] = {
    {"cuInit", offsetof(usrt_driver, init)},
    {"cuDriverGetVersion", offsetof(usrt_driver, driver_get_version)},
    {"cuGetErrorName", offsetof(usrt_driver, get_error_name)},
    {"cuGetErrorString", offsetof(usrt_driver, get_error_string)},
    {"cuDeviceGetCount", offsetof(usrt_driver, device_get_count)},
    {"cuDeviceGet", offsetof(usrt_driver, device_get)},
    {"cuDeviceGetName", offsetof(usrt_driver, device_get_name)},
    {"cuDeviceGetAttribute", offsetof(usrt_driver, device_get_attribute)},
    {"cuDevicePrimaryCtxRetain", offsetof(usrt_driver, primary_ctx_retain)},
    {"cuDevicePrimaryCtxRelease_v2",
     offsetof(usrt_driver, primary_ctx_release)},
    {"cuCtxPushCurrent_v2", offsetof(usrt_driver, ctx_push)},
    {"cuCtxPopCurrent_v2", offsetof(usrt_driver, ctx_pop)},
    {"cuModuleLoadDataEx", offsetof(usrt_driver, module_load)},
    {"cuModuleUnload", offsetof(usrt_driver, module_unload)},
    {"cuModuleGetFunction", offsetof(usrt_driver, module_get_function)},
    {"cuFuncSetAttribute", offsetof(usrt_driver, func_set_attribute)},
    {"cuPointerGetAttributes", offsetof(usrt_driver, pointer_get_attributes)},
    {"cuMemsetD32Async", offsetof(usrt_driver, memset_d32)},
    {"cuLaunchKernel", offsetof(usrt_driver, launch_kernel)},
};

static const usrt_symbol graph_symbols[] = {
    {"cuGraphCreate", offsetof(usrt_graph_driver, create)},
    {"cuGraphDestroy", offsetof(usrt_graph_driver, destroy)},
    {"cuGraphAddKernelNode_v2", offsetof(usrt_graph_driver, add_kernel)},
    {"cuGraphAddMemsetNode", offsetof(usrt_graph_driver, add_memset)},
    {"cuGraphAddDependencies_v2", offsetof(usrt_graph_driver, add_edges)},
    {"cuGraphInstantiateWithFlags", offsetof(usrt_graph_driver, instantiate)},
    {"cuGraphExecDestroy", offsetof(usrt_graph_driver, exec_destroy)},
    {"cuGraphExecKernelNodeSetParams_v2",
     offsetof(usrt_graph_driver, set_kernel)},
    {"cuGraphExecMemsetNodeSetParams", offsetof(usrt_graph_driver, set_memset)},
    {"cuGraphLaunch", offsetof(usrt_graph_driver, launch)},
    {"cuStreamIsCapturing", offsetof(usrt_graph_driver, is_capturing)},
    {"cuThreadExchangeStreamCaptureMode",
     offsetof(usrt_graph_driver, exchange_capture_mode)},
};

enum {
  SYMBOLS = sizeof symbols / sizeof *symbols,
  GRAPH_SYMBOLS = sizeof graph_symbols / sizeof *graph_symbols
};

/* Puts a library's functions into a structure. -> null, or the first name that
 * the library lacks. */
static const char *take_symbols(void *library, const usrt_symbol *wanted,
                                size_t count, void *to) {
  for (size_t i = 0; i < count; ++i) {
    void *symbol = dlsym(library, wanted[i].name);
    if (!symbol)
      return wanted[i].name;
    /* C has no cast from an object's address to a function's. */
    memcpy((char *)to + wanted[i].offset, &symbol, sizeof symbol);
  }
  return NULL;
}

static const char *library_name(void) {
  const char *name = getenv("UNISPARSE_LIBCUDA");
  return name && *name ? name : "libcuda.so.1";
}

/* dlerror() begins with the library's name where the loader knows better. */
static const char *loader_error(void) {
  const char *text = dlerror();
  return text ? text : "no reason given";
}

static unisparse_status open_locked(void) {
  if (is_open)
    return UNISPARSE_OK;
  const char *name = library_name();
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (!library)
    return usrt_fail(UNISPARSE_NO_DRIVER,
                     "expected NVIDIA's driver as \"%s\", got: %s", name,
                     loader_error());
  const char *missing = take_symbols(library, symbols, SYMBOLS, &opened);
  if (missing) {
    unisparse_status status =
        usrt_fail(UNISPARSE_NO_DRIVER, "expected %s in \"%s\", got: %s",
                  missing, name, loader_error());
    dlclose(library);
    return status;
  }
  opened.library = library;
  is_open = true;
  return UNISPARSE_OK;
}

unisparse_status usrt_driver_open(const usrt_driver **driver) {
  pthread_mutex_lock(&lock);
  unisparse_status status = open_locked();
  pthread_mutex_unlock(&lock);
  USRT_TRY(status);
  *driver = &opened;
  CUresult error = opened.init(0);
  if (error == CUDA_ERROR_NO_DEVICE)
    return usrt_driver_fail(*driver, UNISPARSE_NO_DEVICE, "cuInit", error,
                            "expected a GPU, got none");
  if (error == CUDA_ERROR_STUB_LIBRARY)
    return usrt_driver_fail(*driver, UNISPARSE_NO_DRIVER, "cuInit", error,
                            "expected NVIDIA's driver, got a stub of it");
  return usrt_driver_check(*driver, "cuInit", error, "cannot be initialised");
}

unisparse_status usrt_driver_find(const usrt_driver *driver, const char *name,
                                  void *function) {
  void *symbol = dlsym(driver->library, name);
  if (!symbol)
    return usrt_fail(UNISPARSE_NO_DRIVER, "expected %s in \"%s\", got: %s",
                     name, library_name(), loader_error());
  memcpy(function, &symbol, sizeof symbol);
  return UNISPARSE_OK;
}

bool usrt_driver_graphs(const usrt_driver *driver, usrt_graph_driver *graphs) {
  return !take_symbols(driver->library, graph_symbols, GRAPH_SYMBOLS, graphs);
}

static unisparse_status fail(const usrt_driver *driver, unisparse_status status,
                             const char *function, CUresult error,
                             const char *detail, va_list arguments) {
  char context[1024];
  vsnprintf(context, sizeof context, detail, arguments);
  const char *name = NULL, *text = NULL;
  if (driver->get_error_name(error, &name) != CUDA_SUCCESS || !name)
    name = "an error without a name";
  if (driver->get_error_string(error, &text) != CUDA_SUCCESS || !text)
    text = "no description";
  return usrt_fail(status, "%s: %s: %s (%d, %s)", function, context, name,
                   error, text);
}

unisparse_status usrt_driver_fail(const usrt_driver *driver,
                                  unisparse_status status, const char *function,
                                  CUresult error, const char *detail, ...) {
  va_list arguments;
  va_start(arguments, detail);
  status = fail(driver, status, function, error, detail, arguments);
  va_end(arguments);
  return status;
}

unisparse_status usrt_driver_check(const usrt_driver *driver,
                                   const char *function, CUresult error,
                                   const char *detail, ...) {
  if (error == CUDA_SUCCESS)
    return UNISPARSE_OK;
  va_list arguments;
  va_start(arguments, detail);
  unisparse_status status =
      fail(driver, UNISPARSE_DRIVER_ERROR, function, error, detail, arguments);
  va_end(arguments);
  return status;
}

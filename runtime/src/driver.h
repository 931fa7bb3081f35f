/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* What of CUDA's driver is used, opened when a program is loaded. Types and
 * numbers are those of cuda.h, whose ABI does not change under a name. */
#ifndef UNISPARSE_RT_SRC_DRIVER_H
#define UNISPARSE_RT_SRC_DRIVER_H

#include "status.h"
#include <stdbool.h>

typedef int CUresult;
typedef int CUdevice;
typedef unsigned long long CUdeviceptr;
typedef struct CUctx_st *CUcontext;
typedef struct CUmod_st *CUmodule;
typedef struct CUfunc_st *CUfunction;
typedef struct CUstream_st *CUstream;
typedef struct CUgraph_st *CUgraph;
typedef struct CUgraphNode_st *CUgraphNode;
typedef struct CUgraphExec_st *CUgraphExec;

/* Opaque; the driver wants it aligned to 64 bytes. */
typedef struct CUtensorMap {
  _Alignas(64) unsigned char bytes[128];
} CUtensorMap;

enum {
  CUDA_SUCCESS = 0,
  CUDA_ERROR_STUB_LIBRARY = 34,
  CUDA_ERROR_NO_DEVICE = 100,
  CUDA_ERROR_INVALID_DEVICE = 101,
  CUDA_ERROR_INVALID_IMAGE = 200,
  CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
  CUDA_ERROR_INVALID_PTX = 218,
  CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
  CUDA_ERROR_NOT_FOUND = 500
};

enum { /* CUdevice_attribute */
       CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT = 16,
       CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR = 75,
       CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR = 76
};

enum { /* CUjit_option */
       CU_JIT_ERROR_LOG_BUFFER = 5,
       CU_JIT_ERROR_LOG_BUFFER_SIZE_BYTES = 6
};

enum { CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES = 8 };

enum { /* CUpointer_attribute */
       CU_POINTER_ATTRIBUTE_MEMORY_TYPE = 2,
       CU_POINTER_ATTRIBUTE_IS_MANAGED = 8,
       CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL = 9
};

enum { CU_MEMORYTYPE_DEVICE = 2 };

enum { /* CUtensorMapDataType */
       CU_TENSOR_MAP_DATA_TYPE_INT32 = 3,
       CU_TENSOR_MAP_DATA_TYPE_FLOAT16 = 6,
       CU_TENSOR_MAP_DATA_TYPE_FLOAT32 = 7,
       CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 = 9
};

/* The other numbers of a tensor map: swizzles are 0 to 3 as in an artifact. */
enum {
  CU_TENSOR_MAP_INTERLEAVE_NONE = 0,
  CU_TENSOR_MAP_L2_PROMOTION_L2_256B = 3,
  CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE = 0
};

/* CUlaunchAttribute and CUlaunchConfig. */
enum { CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION = 6 };

typedef struct usrt_launch_attribute {
  int id;
  char pad[8 - sizeof(int)];
  union {
    char bytes[64];
    int programmatic_stream_serialization_allowed;
  } value;
} usrt_launch_attribute;

typedef struct usrt_launch_config {
  unsigned grid[3], block[3], shared_bytes;
  CUstream stream;
  usrt_launch_attribute *attributes;
  unsigned attribute_count;
} usrt_launch_config;

typedef CUresult usrt_launch_kernel_ex(const usrt_launch_config *config,
                                       CUfunction function, void **arguments,
                                       void **extra);

typedef CUresult usrt_encode_tiled(CUtensorMap *map, int type, uint32_t rank,
                                   void *address, const uint64_t *sizes,
                                   const uint64_t *strides, const uint32_t *box,
                                   const uint32_t *element_strides,
                                   int interleave, int swizzle,
                                   int l2_promotion, int fill);

/* CUDA_KERNEL_NODE_PARAMS_v2. */
typedef struct usrt_kernel_node {
  CUfunction function;
  unsigned grid[3], block[3], shared_bytes;
  void **arguments, **extra;
  void *kernel; /* where there is no function */
  CUcontext context;
} usrt_kernel_node;

/* CUDA_MEMSET_NODE_PARAMS. */
typedef struct usrt_memset_node {
  CUdeviceptr pointer;
  size_t pitch;
  unsigned word, word_bytes;
  size_t words, rows;
} usrt_memset_node;

/* CUgraphEdgeData. */
typedef struct usrt_graph_edge {
  unsigned char from_port, to_port, type, reserved[5];
} usrt_graph_edge;

enum {
  CU_GRAPH_KERNEL_NODE_PORT_PROGRAMMATIC = 1,
  CU_GRAPH_DEPENDENCY_TYPE_PROGRAMMATIC = 1,
  CU_STREAM_CAPTURE_STATUS_NONE = 0,
  CU_STREAM_CAPTURE_MODE_RELAXED = 2
};

/* What graphs take, of which a driver has all (12.3 on) or is used without. */
typedef struct usrt_graph_driver {
  CUresult (*create)(CUgraph *graph, unsigned flags);
  CUresult (*destroy)(CUgraph graph);
  CUresult (*add_kernel)(CUgraphNode *node, CUgraph graph,
                         const CUgraphNode *before, size_t before_count,
                         const usrt_kernel_node *kernel);
  CUresult (*add_memset)(CUgraphNode *node, CUgraph graph,
                         const CUgraphNode *before, size_t before_count,
                         const usrt_memset_node *memset, CUcontext context);
  CUresult (*add_edges)(CUgraph graph, const CUgraphNode *from,
                        const CUgraphNode *to, const usrt_graph_edge *edges,
                        size_t count);
  CUresult (*instantiate)(CUgraphExec *exec, CUgraph graph,
                          unsigned long long flags);
  CUresult (*exec_destroy)(CUgraphExec exec);
  CUresult (*set_kernel)(CUgraphExec exec, CUgraphNode node,
                         const usrt_kernel_node *kernel);
  CUresult (*set_memset)(CUgraphExec exec, CUgraphNode node,
                         const usrt_memset_node *memset, CUcontext context);
  CUresult (*launch)(CUgraphExec exec, CUstream stream);
  CUresult (*is_capturing)(CUstream stream, int *status);
  CUresult (*exchange_capture_mode)(int *mode);
} usrt_graph_driver;

typedef struct usrt_driver {
  void *library;
  CUresult (*init)(unsigned flags);
  CUresult (*driver_get_version)(int *version);
  CUresult (*get_error_name)(CUresult error, const char **name);
  CUresult (*get_error_string)(CUresult error, const char **text);
  CUresult (*device_get_count)(int *count);
  CUresult (*device_get)(CUdevice *device, int ordinal);
  CUresult (*device_get_name)(char *name, int bytes, CUdevice device);
  CUresult (*device_get_attribute)(int *value, int attribute, CUdevice device);
  CUresult (*primary_ctx_retain)(CUcontext *context, CUdevice device);
  CUresult (*primary_ctx_release)(CUdevice device);
  CUresult (*ctx_push)(CUcontext context);
  CUresult (*ctx_pop)(CUcontext *context);
  CUresult (*module_load)(CUmodule *module, const void *image, unsigned count,
                          int *options, void **values);
  CUresult (*module_unload)(CUmodule module);
  CUresult (*module_get_function)(CUfunction *function, CUmodule module,
                                  const char *name);
  CUresult (*func_set_attribute)(CUfunction function, int attribute, int value);
  CUresult (*pointer_get_attributes)(unsigned count, int *attributes,
                                     void **values, CUdeviceptr pointer);
  CUresult (*memset_d32)(CUdeviceptr pointer, unsigned word, size_t words,
                         CUstream stream);
  CUresult (*launch_kernel)(CUfunction function, unsigned grid_x,
                            unsigned grid_y, unsigned grid_z, unsigned block_x,
                            unsigned block_y, unsigned block_z,
                            unsigned shared_bytes, CUstream stream,
                            void **arguments, void **extra);
} usrt_driver;

/* Opens libcuda, or what UNISPARSE_LIBCUDA names, unless that is done, and
 * initialises it. What was opened stays open; what failed is tried again. */
unisparse_status usrt_driver_open(const usrt_driver **driver);

/* A function that drivers before 12.0 lack; `function` points at a pointer to
 * it. */
unisparse_status usrt_driver_find(const usrt_driver *driver, const char *name,
                                  void *function);

/* Whether the driver has all that graphs take. Leaves the message alone. */
bool usrt_driver_graphs(const usrt_driver *driver, usrt_graph_driver *graphs);

/* Fails with `status` and "cuX: DETAIL: CUDA_ERROR_Y (text)". */
unisparse_status usrt_driver_fail(const usrt_driver *driver,
                                  unisparse_status status, const char *function,
                                  CUresult error, const char *detail, ...)
    USRT_PRINTF(5, 6);

/* Same, with UNISPARSE_DRIVER_ERROR, unless `error` is none. */
unisparse_status usrt_driver_check(const usrt_driver *driver,
                                   const char *function, CUresult error,
                                   const char *detail, ...) USRT_PRINTF(4, 5);

#endif /* UNISPARSE_RT_SRC_DRIVER_H */

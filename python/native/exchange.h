/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

/* What of DLPack's C exchange API is used (dlpack.h of version 1.3), which
 * torch's tensors have as __dlpack_c_exchange_api__ from torch 2.10 on. Layouts
 * are those of its major version 1, which do not change under that number. */
#ifndef UNISPARSE_PYTHON_EXCHANGE_H
#define UNISPARSE_PYTHON_EXCHANGE_H

#include <stdint.h>

#define EXCHANGE_NAME "__dlpack_c_exchange_api__"
#define EXCHANGE_CAPSULE "dlpack_exchange_api"

enum { EXCHANGE_MAJOR = 1 };

enum { EXCHANGE_CPU = 1, EXCHANGE_CUDA = 2 }; /* DLDeviceType */

enum { /* DLDataTypeCode */
       EXCHANGE_INT = 0,
       EXCHANGE_UINT = 1,
       EXCHANGE_FLOAT = 2,
       EXCHANGE_BFLOAT = 4
};

typedef struct exchange_version {
  uint32_t major, minor;
} exchange_version;

typedef struct exchange_device {
  int type; /* an enum of 32 bits */
  int32_t id;
} exchange_device;

typedef struct exchange_tensor {
  void *data;
  exchange_device device;
  int32_t rank;
  struct {
    uint8_t code, bits;
    uint16_t lanes;
  } element;
  int64_t *sizes, *strides; /* the tensor's own */
  uint64_t byte_offset;
} exchange_tensor;

typedef struct exchange_managed {
  exchange_version version;
  void *context;
  void (*deleter)(struct exchange_managed *self);
  uint64_t flags;
  exchange_tensor tensor;
} exchange_managed;

typedef void exchange_set_error(void *context, const char *kind,
                                const char *message);

/* Statuses are 0, or -1 with Python's exception set; the allocator calls
 * `set_error` instead. */
typedef struct exchange_api {
  exchange_version version;
  struct exchange_api *older;
  int (*allocate)(exchange_tensor *prototype, exchange_managed **out,
                  void *context, exchange_set_error *set_error);
  int (*managed_of_object)(void *object, exchange_managed **out);
  int (*object_of_managed)(exchange_managed *managed, void **out);
  int (*tensor_of_object)(void *object, exchange_tensor *out); /* may be null */
  int (*current_stream)(int device_type, int32_t device_id, void **out);
} exchange_api;

#endif /* UNISPARSE_PYTHON_EXCHANGE_H */

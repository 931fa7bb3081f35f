/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "device.h"

#include "torch.h"

typedef unisparse_status device_make_plan(const void *,
                                          const unisparse_tensor *, int32_t,
                                          const unisparse_tensor *, int32_t,
                                          unisparse_plan **);
typedef unisparse_status device_launch_plan(unisparse_plan *, void *const *,
                                            void *const *, void *, void *);
typedef void device_free_plan(unisparse_plan *);

struct device_plan {
  device_plan *next, **place; /* in the list of all */
  unisparse_plan *plan;       /* null where it was forgotten */
  device_launch_plan *launch;
  device_free_plan *end;
  int calls; /* that are in it */
  bool is_forgotten;
};

static device_plan *all;

device_plan *device_make(PyObject *functions, const void *program,
                         const unisparse_tensor *inputs, int32_t input_count,
                         const unisparse_tensor *outputs,
                         int32_t output_count) {
  unsigned long long make, launch, end;
  if (!PyArg_ParseTuple(functions, "KKK", &make, &launch, &end))
    return NULL;
  device_plan *p = PyMem_Calloc(1, sizeof *p);
  if (!p) {
    PyErr_NoMemory();
    return NULL;
  }
  p->launch = (device_launch_plan *)(uintptr_t)launch;
  p->end = (device_free_plan *)(uintptr_t)end;
  unisparse_status status = ((device_make_plan *)(uintptr_t)make)(
      program, inputs, input_count, outputs, output_count, &p->plan);
  if (status != UNISPARSE_OK) {
    PyMem_Free(p);
    torch_raise(status);
    return NULL;
  }
  p->next = all;
  p->place = &all;
  if (all)
    all->place = &p->next;
  all = p;
  return p;
}

static void end(device_plan *p) {
  if (p->plan)
    p->end(p->plan);
  p->plan = NULL;
}

bool device_enter(device_plan *p) {
  p->calls += p->plan != NULL;
  return p->plan != NULL;
}

void device_leave(device_plan *p) {
  if (--p->calls == 0 && p->is_forgotten)
    end(p);
}

unisparse_status device_launch(const device_plan *p, void *const *inputs,
                               void *const *outputs, void *workspace,
                               void *stream) {
  return p->launch(p->plan, inputs, outputs, workspace, stream);
}

void device_release(device_plan *p) {
  if (!p)
    return;
  end(p);
  *p->place = p->next;
  if (p->next)
    p->next->place = p->place;
  PyMem_Free(p);
}

void device_forget(void) {
  for (device_plan *p = all; p; p = p->next) {
    p->is_forgotten = true;
    if (p->calls == 0)
      end(p);
  }
}

/* Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
 * See LICENSE for license information.
 * SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
 */

#include "torch.h"

/* Of the one torch of the process; held for good, as torch is. */
static struct {
  const exchange_api *api;
  PyObject *tensor_type, *parameter_type;
  PyObject *is_neg, *is_grad_enabled, *modes, *check, *requires_grad;
} torch;

bool torch_connected(void) { return torch.api != NULL; }

static const exchange_api *api_of(PyObject *tensor_type) {
  PyObject *capsule = PyObject_GetAttrString(tensor_type, EXCHANGE_NAME);
  const exchange_api *api =
      capsule ? PyCapsule_GetPointer(capsule, EXCHANGE_CAPSULE) : NULL;
  Py_XDECREF(capsule);
  while (api && api->version.major != EXCHANGE_MAJOR)
    api = api->older;
  return api && api->allocate && api->tensor_of_object && api->current_stream
             ? api
             : NULL;
}

PyObject *torch_connect(PyObject *module, PyObject *arguments) {
  (void)module;
  PyObject *tensor_type, *parameter_type, *is_neg, *grad, *modes, *check;
  if (!PyArg_ParseTuple(arguments, "OOOOOO:connect", &tensor_type,
                        &parameter_type, &is_neg, &grad, &modes, &check))
    return NULL;
  const exchange_api *api = api_of(tensor_type);
  PyErr_Clear();
  PyObject *requires_grad = PyUnicode_InternFromString("requires_grad");
  if (!requires_grad)
    return NULL;
  PyObject **places[] = {&torch.tensor_type, &torch.parameter_type,
                         &torch.is_neg,      &torch.is_grad_enabled,
                         &torch.modes,       &torch.check};
  PyObject *found[] = {tensor_type, parameter_type, is_neg, grad, modes, check};
  for (int i = 0; i < 6; ++i) {
    PyObject *before = *places[i];
    Py_INCREF(found[i]);
    *places[i] = found[i];
    Py_XDECREF(before);
  }
  Py_XDECREF(torch.requires_grad);
  torch.requires_grad = requires_grad;
  torch.api = api;
  return PyBool_FromLong(api != NULL);
}

static bool forgive(void) {
  PyErr_Clear();
  return false;
}

static bool element_of(const exchange_tensor *x, unisparse_element *to) {
  if (x->element.lanes != 1)
    return false;
  switch (x->element.code << 8 | x->element.bits) {
  case EXCHANGE_FLOAT << 8 | 32:
    *to = UNISPARSE_F32;
    return true;
  case EXCHANGE_FLOAT << 8 | 16:
    *to = UNISPARSE_F16;
    return true;
  case EXCHANGE_BFLOAT << 8 | 16:
    *to = UNISPARSE_BF16;
    return true;
  case EXCHANGE_INT << 8 | 32:
    *to = UNISPARSE_I32;
    return true;
  }
  return false;
}

int64_t torch_element_bytes(unisparse_element element) {
  return element == UNISPARSE_F32 || element == UNISPARSE_I32 ? 4 : 2;
}

bool torch_describe(PyObject *x, unisparse_tensor *to,
                    exchange_device *device) {
  /* A subclass may mean something else by its memory. */
  PyObject *type = (PyObject *)Py_TYPE(x);
  if (type != torch.tensor_type && type != torch.parameter_type)
    return false;
  exchange_tensor found;
  if (torch.api->tensor_of_object(x, &found) != 0)
    return forgive();
  if (found.rank > UNISPARSE_MAX_RANK || !element_of(&found, &to->element))
    return false;
  if (found.rank > 0 && (!found.sizes || !found.strides))
    return false;
  to->data = found.data ? (char *)found.data + found.byte_offset : NULL;
  to->rank = found.rank;
  for (int d = 0; d < UNISPARSE_MAX_RANK; ++d) {
    to->sizes[d] = d < found.rank ? found.sizes[d] : 0;
    to->strides[d] = d < found.rank ? found.strides[d] : 0;
  }
  *device = found.device;
  return true;
}

/* Whether what was asked is false. */
static bool denied(PyObject *answer) {
  Py_XDECREF(answer);
  return answer == Py_False || forgive();
}

bool torch_plain(PyObject *const *tensors, const unisparse_tensor *given,
                 int count) {
  if (torch.modes != Py_None) {
    PyObject *modes = PyObject_CallNoArgs(torch.modes);
    long found = modes ? PyLong_AsLong(modes) : -1;
    Py_XDECREF(modes);
    if (found != 0)
      return forgive();
  }
  bool gradients = !denied(PyObject_CallNoArgs(torch.is_grad_enabled));
  for (int i = 0; i < count; ++i) {
    PyObject *x = tensors[i];
    if (!denied(PyObject_CallFunctionObjArgs(torch.is_neg, x, NULL)))
      return false;
    /* Integers want none. */
    if (gradients && given[i].element != UNISPARSE_I32 &&
        !denied(PyObject_GetAttr(x, torch.requires_grad)))
      return false;
  }
  return true;
}

/* Python's own path says what is wrong. */
static void ignore(void *context, const char *kind, const char *message) {
  (void)context, (void)kind, (void)message;
}

bool torch_take(exchange_device device, int64_t bytes, exchange_managed **out) {
  *out = NULL;
  if (bytes == 0)
    return true;
  int64_t stride = 1;
  exchange_tensor wanted = {.device = device,
                            .rank = 1,
                            .element = {EXCHANGE_UINT, 8, 1},
                            .sizes = &bytes,
                            .strides = &stride};
  if (torch.api->allocate(&wanted, out, NULL, ignore) != 0)
    return forgive();
  return true;
}

void torch_give_back(exchange_managed *memory) {
  if (memory && memory->deleter)
    memory->deleter(memory);
}

bool torch_stream(exchange_device device, void **stream) {
  return torch.api->current_stream(device.type, device.id, stream) == 0 ||
         forgive();
}

PyObject *torch_raise(int status) {
  PyObject *number = PyLong_FromLong(status);
  PyObject *nothing =
      number ? PyObject_CallFunctionObjArgs(torch.check, number, NULL) : NULL;
  Py_XDECREF(number);
  if (nothing) {
    Py_DECREF(nothing);
    PyErr_SetString(PyExc_SystemError, "expected a failing status to raise");
  }
  return NULL;
}

// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "FileErrors.h"
#include "unisparse/Support/AtomicFile.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringSet.h"
#include "llvm/Support/Endian.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::files;

/// What is wrong with the tensors as arguments, before anything is written.
static Error checkTensors(StringRef path, ArrayRef<NamedTensor> tensors) {
  StringSet<> names;
  for (const NamedTensor &tensor : tensors) {
    std::string what = "tensor " + quote(tensor.name);
    if (!json::isUTF8(tensor.name))
      return fail(path, what + ": name", "UTF-8", "other bytes");
    if (tensor.name == "__metadata__")
      return fail(path, what + ": name", "a tensor's", "a reserved one");
    if (!names.insert(tensor.name).second)
      return fail(path, what + ": name", "it once", "it again");
    std::string shape = what + ": shape " + formatShape(tensor.shape);
    std::optional<uint64_t> bytes = byteSize(tensor.dtype, tensor.shape);
    if (!bytes)
      return fail(path, shape, "dimensions from 0 and at most 2^64 - 1 bytes",
                  "others");
    if (*bytes != tensor.data.size())
      return fail(path, shape, Twine(*bytes) + " bytes of data",
                  Twine(tensor.data.size()));
  }
  return Error::success();
}

/// The header of tensors laid out one behind the other, padded so that the data
/// behind it starts at a multiple of 8.
static std::string buildHeader(ArrayRef<const NamedTensor *> tensors) {
  std::string header;
  raw_string_ostream os(header);
  json::OStream json(os);
  uint64_t offset = 0;
  json.object([&] {
    for (const NamedTensor *tensor : tensors) {
      json.attributeObject(tensor->name, [&] {
        json.attribute("dtype", getDTypeName(tensor->dtype));
        json.attributeArray("shape", [&] {
          for (int64_t dim : tensor->shape)
            json.value(dim);
        });
        json.attributeArray("data_offsets", [&] {
          json.value(offset);
          offset += tensor->data.size();
          json.value(offset);
        });
      });
    }
  });
  json.flush();
  header.resize(alignTo(header.size(), 8), ' ');
  return header;
}

Error unisparse::writeSafeTensors(StringRef path,
                                  ArrayRef<NamedTensor> tensors) {
  if (Error error = checkTensors(path, tensors))
    return error;
  // Large elements first: what follows then stays aligned without holes.
  SmallVector<const NamedTensor *> order;
  for (unsigned size : {8, 4, 2, 1})
    for (const NamedTensor &tensor : tensors)
      if (getDTypeSize(tensor.dtype) == size)
        order.push_back(&tensor);

  std::string header = buildHeader(order);
  if (header.size() > maxHeaderBytes)
    return fail(path, "header length", "at most " + Twine(maxHeaderBytes),
                Twine(header.size()));
  char prefix[sizeof(uint64_t)];
  support::endian::write64le(prefix, header.size());

  SmallVector<StringRef> parts = {StringRef(prefix, sizeof(prefix)), header};
  for (const NamedTensor *tensor : order)
    parts.push_back(StringRef(tensor->data.data(), tensor->data.size()));
  return writeFileAtomically(path, parts);
}

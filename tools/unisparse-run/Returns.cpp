// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "Returns.h"
#include "unisparse/Dialect/UniSparse/IR/Shapes.h"
#include "llvm/ADT/StringExtras.h"

using namespace llvm;
using namespace unisparse;
using namespace unisparse::run;

namespace {

constexpr int64_t kAny = -1;

/// A kind of result.
struct Kind {
  StringRef name, elements;
  SmallVector<DType, 3> dtypes;
  SmallVector<int64_t, 4> shape;
  bool ReturnedKinds::*has;

  bool fits(const ReturnedType &type) const {
    if (!type.dtype || !is_contained(dtypes, *type.dtype) ||
        type.shape.size() != shape.size())
      return false;
    for (auto [want, got] : zip_equal(shape, type.shape))
      if (want != kAny && got != kAny && want != got)
        return false;
    return true;
  }
  std::string text() const {
    std::string sizes;
    for (int64_t size : shape)
      sizes += (size == kAny ? "?" : std::to_string(size)) + "x";
    return (name + " " + sizes + elements).str();
  }
};

SmallVector<Kind> kindsOf(const Options &o, const Inputs &in) {
  int64_t slots = in.packed()
                      ? packedSlots(in.lq(), in.cuQ.shape[0] - 1, o.blockQ)
                      : ceilUnits(in.lq(), o.blockQ);
  int64_t blocks = ceilUnits(in.lk(), o.blockK), batch = in.batch();
  return {
      {"o",
       "(a float)",
       {in.q.dtype, DType::F32, DType::F16, DType::BF16},
       {batch, in.heads(), in.lq(), in.valueDim()},
       &ReturnedKinds::o},
      {"lse",
       "f32",
       {DType::F32},
       {batch, in.heads(), in.lq()},
       &ReturnedKinds::lse},
      {"counts",
       "i32",
       {DType::I32},
       {batch, kAny, slots},
       &ReturnedKinds::counts},
      {"indices",
       "i32",
       {DType::I32},
       {batch, kAny, slots, blocks},
       &ReturnedKinds::indices},
      {"density", "f32", {DType::F32}, {batch, kAny}, &ReturnedKinds::density}};
}

/// The heads of a selection are known and divide q's.
Error checkHeads(StringRef subject, const Kind &kind, const ReturnedType &type,
                 const Inputs &in) {
  int64_t heads = type.shape[1];
  if (kind.shape[1] != kAny || (heads > 0 && in.heads() % heads == 0))
    return Error::success();
  return failure(subject, "expected " + kind.name +
                              " with a static number of heads that divides "
                              "q's " +
                              Twine(in.heads()) + ", got " + type.text);
}

/// What the options ask for is there.
Error checkAsked(StringRef subject, const ReturnedKinds &has, const Options &o,
                 const Inputs &in) {
  if (has.counts != has.indices)
    return failure(subject, "expected counts and indices together, got " +
                                Twine(has.counts ? "counts" : "indices") +
                                " alone");
  bool given = static_cast<bool>(in.counts);
  if (!o.map.empty() && !has.selection() && !given)
    return failure(subject, "expected counts and indices to draw --map, got "
                            "neither");
  if (!o.output.empty() && !has.o && !has.lse && !has.selection() && !given)
    return failure(subject, "expected o, lse, or counts and indices, to write "
                            "to --output, got " +
                                Twine(has.density ? "density alone" : "none"));
  return Error::success();
}

} // namespace

Expected<ReturnedKinds> run::checkReturns(StringRef subject,
                                          ArrayRef<ReturnedType> types,
                                          const Options &o, const Inputs &in) {
  SmallVector<Kind> kinds = kindsOf(o, in);
  ReturnedKinds has;
  std::optional<int64_t> heads;
  for (const ReturnedType &type : types) {
    const Kind *kind =
        find_if(kinds, [&](const Kind &kind) { return kind.fits(type); });
    if (kind == kinds.end()) {
      auto texts = map_range(kinds, [](const Kind &k) { return k.text(); });
      return failure(subject, "expected results among " + join(texts, ", ") +
                                  ", got " + type.text);
    }
    if (Error e = checkHeads(subject, *kind, type, in))
      return std::move(e);
    bool counts = kind->has == &ReturnedKinds::counts,
         indices = kind->has == &ReturnedKinds::indices;
    if ((counts || indices) && !(has.*kind->has)) {
      if (heads.value_or(type.shape[1]) != type.shape[1])
        return failure(subject, "expected counts and indices of as many heads, "
                                "got " +
                                    Twine(*heads) + " and " +
                                    Twine(type.shape[1]));
      heads = type.shape[1];
    }
    has.*kind->has = true;
  }
  if (Error e = checkAsked(subject, has, o, in))
    return std::move(e);
  return has;
}

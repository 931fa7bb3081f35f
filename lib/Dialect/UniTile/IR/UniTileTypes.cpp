// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception

#include "mlir/IR/Builders.h"
#include "mlir/IR/DialectImplementation.h"
#include "unisparse/Dialect/UniTile/IR/UniTile.h"
#include "llvm/ADT/DenseSet.h"
#include "llvm/ADT/StringSwitch.h"
#include "llvm/ADT/TypeSwitch.h"

using namespace mlir;
using namespace unisparse::unitile;

#include "unisparse/Dialect/UniTile/IR/UniTileEnums.cpp.inc"
#define GET_ATTRDEF_CLASSES
#include "unisparse/Dialect/UniTile/IR/UniTileAttrs.cpp.inc"
#define GET_TYPEDEF_CLASSES
#include "unisparse/Dialect/UniTile/IR/UniTileTypes.cpp.inc"

void UniTileDialect::registerTypes() {
  addTypes<
#define GET_TYPEDEF_LIST
#include "unisparse/Dialect/UniTile/IR/UniTileTypes.cpp.inc"
      >();
}

void UniTileDialect::registerAttributes() {
  addAttributes<
#define GET_ATTRDEF_LIST
#include "unisparse/Dialect/UniTile/IR/UniTileAttrs.cpp.inc"
      >();
}

//===----------------------------------------------------------------------===//
// #unitile.schedule
//===----------------------------------------------------------------------===//

namespace {
/// A schedule's numbers and switches by name, as printed.
struct ScheduleFields {
  int64_t stages = 0, keys = 0, ctas = 0, cluster = 0, producer = 0,
          consumer = 0;
  Reference reference = Reference::Speculative;
  bool overlap = true, pingPong = false;

  int64_t *number(StringRef name) {
    return llvm::StringSwitch<int64_t *>(name)
        .Case("stages", &stages)
        .Case("keys", &keys)
        .Cases({"ctas", "blocks"}, &ctas) // blocks: before version 4.
        .Case("cluster", &cluster)
        .Case("producer_registers", &producer)
        .Case("consumer_registers", &consumer)
        .Default(nullptr);
  }
  bool *flag(StringRef name) {
    return llvm::StringSwitch<bool *>(name)
        .Case("overlap", &overlap)
        .Cases({"ping_pong", "turns"}, &pingPong) // turns: before version 4.
        .Default(nullptr);
  }
};
} // namespace

static ParseResult parseFlag(AsmParser &parser, bool &flag) {
  if (succeeded(parser.parseOptionalKeyword("true"))) {
    flag = true;
    return success();
  }
  flag = false;
  if (succeeded(parser.parseOptionalKeyword("false")))
    return success();
  return parser.emitError(parser.getCurrentLocation(),
                          "expected true or false");
}

Attribute ScheduleAttr::parse(AsmParser &parser, Type) {
  ScheduleFields fields;
  llvm::SmallDenseSet<void *, 8> seen;
  auto parseField = [&]() -> ParseResult {
    SMLoc loc = parser.getCurrentLocation();
    StringRef name;
    if (parser.parseKeyword(&name) || parser.parseEqual())
      return failure();
    int64_t *number = fields.number(name);
    bool *flag = fields.flag(name);
    void *place = number ? static_cast<void *>(number)
                  : flag ? static_cast<void *>(flag)
                         : &fields.reference;
    if (!number && !flag && name != "reference")
      return parser.emitError(loc)
             << "expected stages, keys, ctas, cluster, producer_registers, "
                "consumer_registers, reference, overlap or ping_pong, got '"
             << name << "'";
    if (!seen.insert(place).second)
      return parser.emitError(loc) << "expected '" << name << "' once";
    if (number)
      return parser.parseInteger(*number);
    if (flag)
      return parseFlag(parser, *flag);
    FailureOr<Reference> reference = FieldParser<Reference>::parse(parser);
    if (failed(reference))
      return failure();
    fields.reference = *reference;
    return success();
  };
  if (parser.parseCommaSeparatedList(AsmParser::Delimiter::LessGreater,
                                     parseField))
    return {};
  return ScheduleAttr::get(parser.getContext(), fields.stages, fields.keys,
                           fields.ctas, fields.cluster, fields.producer,
                           fields.consumer, fields.reference, fields.overlap,
                           fields.pingPong);
}

void ScheduleAttr::print(AsmPrinter &printer) const {
  printer << '<';
  bool first = true;
  auto field = [&](StringRef name) -> AsmPrinter & {
    printer << (std::exchange(first, false) ? "" : ", ") << name << " = ";
    return printer;
  };
  for (auto [name, number] : {std::pair{"stages", getStages()},
                              {"keys", getKeys()},
                              {"ctas", getCtas()},
                              {"cluster", getCluster()},
                              {"producer_registers", getProducerRegisters()},
                              {"consumer_registers", getConsumerRegisters()}})
    if (number)
      field(name) << number;
  if (getReference() != Reference::Speculative)
    field("reference") << stringifyReference(getReference());
  if (!getOverlap())
    field("overlap") << "false";
  if (getPingPong())
    field("ping_pong") << "true";
  printer << '>';
}

//===----------------------------------------------------------------------===//
// Shapes and layouts
//===----------------------------------------------------------------------===//

/// `<128x64xbf16` with `rank` sizes; the caller closes it.
static ParseResult parseShape(AsmParser &parser, size_t rank,
                              SmallVectorImpl<int64_t> &sizes, Type &element) {
  if (parser.parseLess())
    return failure();
  SMLoc loc = parser.getCurrentLocation();
  if (parser.parseDimensionList(sizes, /*allowDynamic=*/false) ||
      parser.parseType(element))
    return failure();
  if (sizes.size() != rank)
    return parser.emitError(loc)
           << "expected " << rank << " sizes, got " << sizes.size();
  return success();
}

/// What may stand behind the shape, with the end.
static ParseResult parseLayout(AsmParser &parser,
                               FragmentLayoutInterface &layout) {
  if (succeeded(parser.parseOptionalComma()) && parser.parseAttribute(layout))
    return failure();
  return parser.parseGreater();
}

static void printLayout(AsmPrinter &printer, FragmentLayoutInterface layout) {
  if (layout)
    printer << ", " << layout;
  printer << '>';
}

static LogicalResult
expectMultiple(function_ref<InFlightDiagnostic()> emitError, StringRef what,
               int64_t of, int64_t got) {
  if (got > 0 && got % of == 0)
    return success();
  return emitError() << "expected " << what << " to be a positive multiple of "
                     << of << ", got " << got;
}

static bool isElement(Type type) {
  return type.isF32() || type.isF16() || type.isBF16();
}

//===----------------------------------------------------------------------===//
// SharedType
//===----------------------------------------------------------------------===//

LogicalResult SharedType::verify(function_ref<InFlightDiagnostic()> emitError,
                                 int64_t rows, int64_t columns, Type element,
                                 int64_t stages) {
  if (failed(expectMultiple(emitError, "rows of a shared tile", 8, rows)) ||
      failed(
          expectMultiple(emitError, "columns of a shared tile", 16, columns)))
    return failure();
  if (!isElement(element))
    return emitError() << "expected f32, f16 or bf16 elements in a shared "
                          "tile, got "
                       << element;
  if (stages < 1)
    return emitError() << "expected at least one stage, got " << stages;
  return success();
}

Type SharedType::parse(AsmParser &parser) {
  SMLoc loc = parser.getCurrentLocation();
  SmallVector<int64_t> sizes;
  Type element;
  int64_t stages = 1;
  if (parseShape(parser, 2, sizes, element))
    return {};
  if (succeeded(parser.parseOptionalComma()) && parser.parseInteger(stages))
    return {};
  if (parser.parseGreater())
    return {};
  return parser.getChecked<SharedType>(loc, parser.getContext(), sizes[0],
                                       sizes[1], element, stages);
}

void SharedType::print(AsmPrinter &printer) const {
  printer << '<' << getRows() << 'x' << getColumns() << 'x' << getElementType();
  if (getStages() != 1)
    printer << ", " << getStages();
  printer << '>';
}

//===----------------------------------------------------------------------===//
// TileType
//===----------------------------------------------------------------------===//

LogicalResult TileType::verify(function_ref<InFlightDiagnostic()> emitError,
                               int64_t rows, int64_t columns, Type element) {
  // What becomes a shared tile keeps its rules.
  return SharedType::verify(emitError, rows, columns, element, /*stages=*/1);
}

Type TileType::parse(AsmParser &parser) {
  SMLoc loc = parser.getCurrentLocation();
  SmallVector<int64_t> sizes;
  Type element;
  if (parseShape(parser, 2, sizes, element) || parser.parseGreater())
    return {};
  return parser.getChecked<TileType>(loc, parser.getContext(), sizes[0],
                                     sizes[1], element);
}

void TileType::print(AsmPrinter &printer) const {
  printer << '<' << getRows() << 'x' << getColumns() << 'x' << getElementType()
          << '>';
}

//===----------------------------------------------------------------------===//
// FragmentType, PendingType, RowsType
//===----------------------------------------------------------------------===//

LogicalResult FragmentType::verify(function_ref<InFlightDiagnostic()> emitError,
                                   int64_t rows, int64_t columns, Type element,
                                   FragmentLayoutInterface layout) {
  if (failed(expectMultiple(emitError, "rows of a fragment", 16, rows)) ||
      failed(expectMultiple(emitError, "columns of a fragment", 8, columns)))
    return failure();
  if (!isElement(element))
    return emitError() << "expected f32, f16 or bf16 elements in a fragment, "
                          "got "
                       << element;
  return success();
}

Type FragmentType::parse(AsmParser &parser) {
  SMLoc loc = parser.getCurrentLocation();
  SmallVector<int64_t> sizes;
  Type element;
  FragmentLayoutInterface layout;
  if (parseShape(parser, 2, sizes, element) || parseLayout(parser, layout))
    return {};
  return parser.getChecked<FragmentType>(loc, parser.getContext(), sizes[0],
                                         sizes[1], element, layout);
}

void FragmentType::print(AsmPrinter &printer) const {
  printer << '<' << getRows() << 'x' << getColumns() << 'x' << getElementType();
  printLayout(printer, getLayout());
}

LogicalResult PendingType::verify(function_ref<InFlightDiagnostic()> emitError,
                                  int64_t rows, int64_t columns, Type element,
                                  FragmentLayoutInterface layout) {
  // What becomes a fragment keeps its rules.
  return FragmentType::verify(emitError, rows, columns, element, layout);
}

Type PendingType::parse(AsmParser &parser) {
  SMLoc loc = parser.getCurrentLocation();
  SmallVector<int64_t> sizes;
  Type element;
  FragmentLayoutInterface layout;
  if (parseShape(parser, 2, sizes, element) || parseLayout(parser, layout))
    return {};
  return parser.getChecked<PendingType>(loc, parser.getContext(), sizes[0],
                                        sizes[1], element, layout);
}

void PendingType::print(AsmPrinter &printer) const {
  printer << '<' << getRows() << 'x' << getColumns() << 'x' << getElementType();
  printLayout(printer, getLayout());
}

PendingType PendingType::of(FragmentType fragment) {
  return get(fragment.getContext(), fragment.getRows(), fragment.getColumns(),
             fragment.getElementType(), fragment.getLayout());
}

FragmentType PendingType::getFragment() {
  return FragmentType::get(getContext(), getRows(), getColumns(),
                           getElementType(), getLayout());
}

LogicalResult RowsType::verify(function_ref<InFlightDiagnostic()> emitError,
                               int64_t rows, Type element,
                               FragmentLayoutInterface layout) {
  if (failed(expectMultiple(emitError, "rows", 16, rows)))
    return failure();
  if (!element.isF32())
    return emitError() << "expected f32 elements in rows, got " << element;
  return success();
}

Type RowsType::parse(AsmParser &parser) {
  SMLoc loc = parser.getCurrentLocation();
  SmallVector<int64_t> sizes;
  Type element;
  FragmentLayoutInterface layout;
  if (parseShape(parser, 1, sizes, element) || parseLayout(parser, layout))
    return {};
  return parser.getChecked<RowsType>(loc, parser.getContext(), sizes[0],
                                     element, layout);
}

RowsType RowsType::of(Type fragment) {
  return get(fragment.getContext(), cast<FragmentType>(fragment).getRows(),
             Float32Type::get(fragment.getContext()), layoutOf(fragment));
}

void RowsType::print(AsmPrinter &printer) const {
  printer << '<' << getRows() << 'x' << getElementType();
  printLayout(printer, getLayout());
}

LogicalResult TilesAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                int64_t rows, int64_t keys) { // [U13]
  if (rows <= 0 || rows % 16 || rows > 128)
    return emitError() << "[U13] expected rows that are a multiple of 16 up to "
                          "128, got "
                       << rows;
  if (keys <= 0 || keys % 16 || keys > 256)
    return emitError() << "[U13] expected keys that are a multiple of 16 up to "
                          "256, got "
                       << keys;
  return success();
}

//===----------------------------------------------------------------------===//
// ThreadsAttr
//===----------------------------------------------------------------------===//

LogicalResult ThreadsAttr::verify(function_ref<InFlightDiagnostic()> emitError,
                                  int64_t lanes, int64_t items,
                                  int64_t ctas) { // [U29]
  constexpr int64_t kThreads = 1024;
  if (lanes < 1 || items < 1 || lanes > kThreads || items > kThreads / lanes)
    return emitError() << "[U29] expected lanes and items above 0 with a "
                          "product of at most "
                       << kThreads << ", got " << lanes << " and " << items;
  if (ctas < 0)
    return emitError() << "[U29] expected ctas of at least 0, got " << ctas;
  return success();
}

//===----------------------------------------------------------------------===//
// BarriersType
//===----------------------------------------------------------------------===//

LogicalResult BarriersType::verify(function_ref<InFlightDiagnostic()> emitError,
                                   int64_t count) {
  if (count < 1)
    return emitError() << "expected at least one barrier, got " << count;
  return success();
}

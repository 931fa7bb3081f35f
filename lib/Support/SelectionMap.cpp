//===- SelectionMap.cpp - A picture of a block selection ------------------===//
//
// Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
// See LICENSE for license information.
// SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
//
//===----------------------------------------------------------------------===//

#include "SelectionMapCheck.h"
#include "unisparse/Support/AtomicFile.h"

#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/FormatVariadic.h"
#include "llvm/Support/JSON.h"
#include "llvm/Support/MathExtras.h"
#include <algorithm>
#include <cairo.h>
#include <cmath>
#include <numeric>
#include <vector>

using namespace llvm;

namespace unisparse {

namespace {

//===----------------------------------------------------------------------===//
// Layout
//===----------------------------------------------------------------------===//

constexpr int maxPixels = 4000;
constexpr int margin = 24;
constexpr int panelGap = 20;
constexpr int labelHeight = 20;
/// Below this a panel's label would be cut.
constexpr int minPanelWidth = 92;
/// Below this the legend would be cut.
constexpr int minWidth = 800;
/// Of the title, the summary and the legend, before scaling.
constexpr int headerHeight = 94;
constexpr double maxHeaderScale = 2;
/// Of the tick labels and the axis name.
constexpr int leftAxis = 84;
constexpr int bottomAxis = 52;

/// Where everything stands. Panels are in a grid, all of one size, and only the
/// outer ones carry tick labels.
struct Layout {
  int columns = 0;
  int gridRows = 0;
  /// The part of a panel that shows blocks.
  int mapWidth = 0;
  int mapHeight = 0;
  int panelWidth = 0;
  int width = 0;
  int height = 0;
  /// Of the header: a larger picture is looked at from further away.
  double scale = 1;

  int panelX(int64_t head) const {
    return margin + leftAxis + int(head % columns) * (panelWidth + panelGap);
  }
  /// The top of the map, below the label.
  int panelY(int64_t head) const {
    return margin + int(headerHeight * scale) + labelHeight +
           int(head / columns) * (mapHeight + labelHeight + panelGap);
  }
};

/// The largest extent within `pixels` that gives each block a whole number of
/// pixels, where there is one: edges are then sharp.
int snap(double pixels, int64_t blocks) {
  int64_t whole = std::max<int64_t>(1, pixels);
  return blocks <= whole ? whole / blocks * blocks : whole;
}

/// The extent we would like for the longer side of a map.
double preferredExtent(const SelectionMap &map) {
  int64_t base = map.heads == 1 ? 600 : map.heads <= 4 ? 480 : 360;
  int64_t most = map.heads == 1 ? 2048 : map.heads <= 4 ? 1024 : 512;
  int64_t blocks = std::max(map.rows, map.keyBlocks);
  return blocks <= base ? (base + blocks / 2) / blocks * blocks
                        : std::min(blocks, most);
}

/// Lays out a grid of `columns`; a map's longer side gets `extent` at most.
Layout layOut(const SelectionMap &map, int columns, double extent) {
  Layout layout;
  layout.columns = columns;
  layout.gridRows = divideCeil(map.heads, columns);
  // Proportional to tokens, but a strip must stay wide enough to be read.
  double aspect = std::clamp(double(map.lk) / map.lq, 0.25, 4.0);
  double widthShare = std::min(1.0, aspect);
  double heightShare = std::min(1.0, 1 / aspect);
  double freeWidth = maxPixels - 2 * margin - leftAxis + panelGap;
  double freeHeight =
      maxPixels - 2 * margin - headerHeight * maxHeaderScale - bottomAxis;
  extent = std::min(
      {extent, (freeWidth / columns - panelGap) / widthShare,
       (freeHeight / layout.gridRows - labelHeight - panelGap) / heightShare});
  layout.mapWidth = snap(extent * widthShare, map.keyBlocks);
  layout.mapHeight = snap(extent * heightShare, map.rows);
  layout.panelWidth = std::max(layout.mapWidth, minPanelWidth);
  layout.width = std::max(minWidth, layout.panelX(columns - 1) +
                                        layout.panelWidth + margin);
  layout.scale = std::clamp(layout.width / 1600.0, 1.0, maxHeaderScale);
  layout.height =
      layout.panelY(map.heads - 1) + layout.mapHeight + bottomAxis + margin;
  return layout;
}

/// The grid with the largest maps, unless another is much closer to the shape
/// of a screen or leaves no hole in its last row.
Layout chooseLayout(const SelectionMap &map) {
  double preferred = preferredExtent(map);
  Layout best;
  double bestScore = -HUGE_VAL;
  for (int columns = 1; columns <= map.heads; ++columns) {
    Layout layout = layOut(map, columns, preferred);
    if (layout.width > maxPixels || layout.height > maxPixels)
      continue;
    double score = std::max(layout.mapWidth, layout.mapHeight) / preferred;
    score -= 0.3 * std::abs(std::log(layout.width / 1.5 / layout.height));
    score -= map.heads % columns ? 0.15 : 0;
    if (score <= bestScore)
      continue;
    best = layout;
    bestScore = score;
  }
  return best;
}

//===----------------------------------------------------------------------===//
// Blocks to pixels
//===----------------------------------------------------------------------===//

struct Color {
  double red, green, blue;
};

constexpr Color white = {1, 1, 1};
constexpr Color hatchColor = {0.86, 0.86, 0.86};
constexpr Color candidateColor = {0.80, 0.88, 0.95};
constexpr Color selectedColor = {0.07, 0.20, 0.40};
constexpr Color textColor = {0.15, 0.15, 0.15};
constexpr Color frameColor = {0.55, 0.55, 0.55};

Color mix(Color from, Color to, double share) {
  return {from.red + (to.red - from.red) * share,
          from.green + (to.green - from.green) * share,
          from.blue + (to.blue - from.blue) * share};
}

/// A pixel of which `candidate` may be seen and `selected` was.
Color shade(int x, int y, double candidate, double selected) {
  Color background = (x + y) % 8 == 0 ? hatchColor : white;
  Color color = mix(background, candidateColor, std::min(candidate, 1.0));
  // Darker than its share, so that one column of 8 under a pixel, or a sink,
  // stays visible: its 0.125 is drawn as 0.25.
  return mix(color, selectedColor, std::pow(std::min(selected, 1.0), 2.0 / 3));
}

/// The share of each pixel of a map that some blocks cover, by area.
class Coverage {
public:
  Coverage(const SelectionMap &map, const Layout &layout)
      : rows(map.rows), blocks(map.keyBlocks), width(layout.mapWidth),
        height(layout.mapHeight), line(width), pixels(size_t(width) * height) {}

  void clear() { llvm::fill(pixels, 0); }

  /// Adds blocks [begin, end) to the current row.
  void addBlocks(int64_t begin, int64_t end) {
    double left = double(begin) * width / blocks;
    double right = double(end) * width / blocks;
    for (int x = left; x < right; ++x)
      line[x] += std::min(right, x + 1.0) - std::max(left, double(x));
  }

  /// Puts the current row in its place and starts a new one.
  void finishRow(int64_t row) {
    double top = double(row) * height / rows;
    double bottom = double(row + 1) * height / rows;
    for (int y = top; y < bottom; ++y) {
      float share = std::min(bottom, y + 1.0) - std::max(top, double(y));
      for (int x = 0; x < width; ++x)
        pixels[size_t(y) * width + x] += share * line[x];
    }
    llvm::fill(line, 0);
  }

  double at(int x, int y) const { return pixels[size_t(y) * width + x]; }

private:
  int64_t rows, blocks;
  int width, height;
  std::vector<float> line;
  std::vector<float> pixels;
};

//===----------------------------------------------------------------------===//
// Drawing
//===----------------------------------------------------------------------===//

enum class Align { Left, Center, Right };

std::string formatDensity(double density) {
  if (!std::isfinite(density))
    return "n/a";
  return formatv(density < 0.1 ? "{0:f3}" : "{0:f2}", density);
}

/// The tokens at which an axis has ticks: at every power of two of blocks that
/// leaves `spacing` pixels between them and makes about 8, else at both ends.
std::vector<int64_t> chooseTicks(int64_t tokens, int64_t block, int64_t blocks,
                                 int pixels, double spacing) {
  double pixelsPerBlock = double(pixels) / blocks;
  int64_t step = 1;
  while (step * pixelsPerBlock < std::max(spacing, pixels / 9.0))
    step *= 2;
  if (step >= blocks)
    return {0, tokens};
  std::vector<int64_t> ticks;
  for (int64_t tick = 0; tick <= tokens; tick += step * block)
    ticks.push_back(tick);
  return ticks;
}

class Picture {
public:
  Picture(const SelectionMap &map, const Layout &layout)
      : map(map), layout(layout),
        surface(cairo_image_surface_create(CAIRO_FORMAT_RGB24, layout.width,
                                           layout.height)),
        cr(cairo_create(surface)), candidate(map, layout),
        selected(map, layout) {}
  Picture(const Picture &) = delete;
  ~Picture() {
    cairo_destroy(cr);
    cairo_surface_destroy(surface);
  }

  void draw() {
    setColor(white);
    cairo_paint(cr);
    drawHeader();
    for (int64_t row = 0; row < map.rows; ++row) {
      int64_t first =
          map.firstCandidates.empty() ? 0 : map.firstCandidates[row];
      candidate.addBlocks(first, first + map.candidates[row]);
      candidate.finishRow(row);
    }
    for (int64_t head = 0; head < map.heads; ++head) {
      drawMap(head);
      drawFrame(head);
    }
    drawAxisNames();
  }

  /// The PNG; what cairo could not do on the way here is reported here.
  cairo_status_t encode(std::string &png) {
    if (cairo_status_t status = cairo_status(cr))
      return status;
    auto append = [](void *target, const unsigned char *bytes,
                     unsigned size) -> cairo_status_t {
      static_cast<std::string *>(target)->append(
          reinterpret_cast<const char *>(bytes), size);
      return CAIRO_STATUS_SUCCESS;
    };
    return cairo_surface_write_to_png_stream(surface, append, &png);
  }

private:
  void setColor(Color color) {
    cairo_set_source_rgb(cr, color.red, color.green, color.blue);
  }

  void setFont(double size, bool bold = false) {
    cairo_select_font_face(cr, "DejaVu Sans", CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD
                                : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cr, size);
  }

  double textWidth(const std::string &text) {
    cairo_text_extents_t extents;
    cairo_text_extents(cr, text.c_str(), &extents);
    return extents.x_advance;
  }

  /// Writes text, its baseline starting at (x, y); returns where it ends.
  double drawText(double x, double y, const std::string &text,
                  Align align = Align::Left) {
    double width = textWidth(text);
    x -= align == Align::Right ? width : align == Align::Center ? width / 2 : 0;
    setColor(textColor);
    cairo_move_to(cr, x, y);
    cairo_show_text(cr, text.c_str());
    return x + width;
  }

  /// The title on one line, cut to what fits.
  std::string fitTitle(double width) {
    // Cairo takes UTF-8 only, and stops at a NUL.
    std::string title = json::fixUTF8(StringRef(map.title).take_front(512));
    for (char &c : title)
      if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
        c = ' ';
    if (textWidth(title) <= width)
      return title;
    while (!title.empty() && textWidth(title + "...") > width) {
      while (title.size() > 1 && (title.back() & 0xc0) == 0x80)
        title.pop_back();
      title.pop_back();
    }
    return title + "...";
  }

  std::string summary() {
    double chosen = std::accumulate(map.counts.begin(), map.counts.end(), 0.0);
    double possible =
        std::accumulate(map.candidates.begin(), map.candidates.end(), 0.0);
    return formatv("overall density {0} (selected / candidate blocks)   {1} "
                   "head{2}   {3} x {4} tokens   {5}",
                   formatDensity(chosen / (possible * map.heads)), map.heads,
                   map.heads == 1 ? "" : "s", map.lq, map.lk,
                   map.causal ? "causal" : "not causal")
        .str();
  }

  void drawHeader() {
    double scale = layout.scale;
    setFont(20 * scale, /*bold=*/true);
    drawText(margin, margin + 16 * scale, fitTitle(layout.width - 2 * margin));
    setFont(13 * scale);
    drawText(margin, margin + 42 * scale, summary());
    drawLegend(margin, margin + 57 * scale, 16 * scale);
  }

  /// A row of samples, `size` pixels high, with their meaning.
  void drawLegend(double x, int y, int size) {
    auto item = [&](int width, double candidate, double selectedMax,
                    const char *text) {
      fillPixels(x, y, width, size, [&](int sx, int sy) {
        double share = width == size ? 1 : double(sx) / width;
        return shade(sx, sy, candidate, selectedMax * share);
      });
      frame(x, y, width, size);
      x = drawText(x + width + size * 0.4, y + size * 0.8, text) + size * 1.4;
    };
    if (layout.mapWidth < map.keyBlocks || layout.mapHeight < map.rows)
      item(size * 6, 1, 1, "selected: 0 to 100 % of a pixel's blocks");
    else
      item(size, 1, 1, "selected");
    item(size, 1, 0, "candidate, skipped");
    item(size, 0, 0, "not a candidate");
  }

  void drawMap(int64_t head) {
    selected.clear();
    for (int64_t row = 0; row < map.rows; ++row) {
      int64_t position = head * map.rows + row;
      for (int64_t index :
           map.indices.slice(position * map.maxBlocks, map.counts[position]))
        selected.addBlocks(index, index + 1);
      selected.finishRow(row);
    }
    // A light line between blocks, where they are large enough to lose it.
    int blockWidth = layout.mapWidth / map.keyBlocks;
    int blockHeight = layout.mapHeight / map.rows;
    bool separated = std::min(blockWidth, blockHeight) >= 6;
    auto isEdge = [](int at, int block) { return at > 0 && at % block == 0; };
    fillPixels(layout.panelX(head), layout.panelY(head), layout.mapWidth,
               layout.mapHeight, [&](int x, int y) {
                 Color color =
                     shade(x, y, candidate.at(x, y), selected.at(x, y));
                 bool onEdge = separated && (isEdge(x, blockWidth) ||
                                             isEdge(y, blockHeight));
                 return onEdge ? mix(color, white, 0.4) : color;
               });
  }

  /// Sets pixels straight in the picture: cairo would blur or be slow.
  void fillPixels(int left, int top, int width, int height,
                  function_ref<Color(int, int)> colorAt) {
    cairo_surface_flush(surface);
    unsigned char *data = cairo_image_surface_get_data(surface);
    if (!data)
      return; // Out of memory: encode() reports it.
    size_t stride = cairo_image_surface_get_stride(surface);
    auto byte = [](double value) { return uint32_t(value * 255 + 0.5); };
    for (int y = 0; y < height; ++y) {
      auto *line = reinterpret_cast<uint32_t *>(data + (top + y) * stride);
      for (int x = 0; x < width; ++x) {
        Color color = colorAt(x, y);
        line[left + x] =
            byte(color.red) << 16 | byte(color.green) << 8 | byte(color.blue);
      }
    }
    cairo_surface_mark_dirty(surface);
  }

  /// A line of one pixel around a rectangle of whole pixels.
  void frame(int left, int top, int width, int height) {
    setColor(frameColor);
    cairo_set_line_width(cr, 1);
    cairo_rectangle(cr, left - 0.5, top - 0.5, width + 1, height + 1);
    cairo_stroke(cr);
  }

  void drawFrame(int64_t head) {
    int x = layout.panelX(head), y = layout.panelY(head);
    frame(x, y, layout.mapWidth, layout.mapHeight);
    setFont(12);
    std::string density = formatDensity(map.densityPerHead[head]);
    std::string label = formatv("head {0}  density {1}", head, density).str();
    if (textWidth(label) > layout.panelWidth)
      label = formatv("{0}: {1}", head, density).str();
    drawText(x, y - 6, label);
    if (head % layout.columns == 0)
      drawRowTicks(x, y);
    if (head + layout.columns >= map.heads)
      drawColumnTicks(x, y + layout.mapHeight);
  }

  void tick(double x, double y, double dx, double dy) {
    setColor(frameColor);
    cairo_move_to(cr, x, y);
    cairo_rel_line_to(cr, dx, dy);
    cairo_stroke(cr);
  }

  void drawRowTicks(int x, int y) {
    setFont(11);
    for (int64_t token :
         chooseTicks(map.lq, map.queryBlock, map.rows, layout.mapHeight, 36)) {
      double at = y + std::round(double(token) / map.queryBlock / map.rows *
                                 layout.mapHeight);
      tick(x - 5, at - 0.5, 5, 0);
      drawText(x - 8, at + 4, std::to_string(token), Align::Right);
    }
  }

  void drawColumnTicks(int x, int y) {
    setFont(11);
    for (int64_t token : chooseTicks(map.lk, map.keyBlock, map.keyBlocks,
                                     layout.mapWidth, 72)) {
      double at = x + std::round(double(token) / map.keyBlock / map.keyBlocks *
                                 layout.mapWidth);
      tick(at - 0.5, y, 0, 5);
      std::string text = std::to_string(token);
      // Kept off the first label of the next panel.
      double end =
          std::min(at + textWidth(text) / 2, x + layout.mapWidth + 4.0);
      drawText(end, y + 17, text, Align::Right);
    }
  }

  void drawAxisNames() {
    setFont(13 * std::min(layout.scale, 1.4));
    double right = layout.panelX(layout.columns - 1) + layout.mapWidth;
    drawText((layout.panelX(0) + right) / 2, layout.height - margin - 8,
             formatv("key tokens (blocks of {0})", map.keyBlock),
             Align::Center);
    double bottom = layout.panelY(map.heads - 1) + layout.mapHeight;
    cairo_save(cr);
    cairo_translate(cr, margin + 10, (layout.panelY(0) + bottom) / 2);
    cairo_rotate(cr, -M_PI / 2);
    drawText(0, 0, formatv("query tokens (blocks of {0})", map.queryBlock),
             Align::Center);
    cairo_restore(cr);
  }

  const SelectionMap &map;
  Layout layout;
  cairo_surface_t *surface;
  cairo_t *cr;
  Coverage candidate;
  Coverage selected;
};

} // namespace

Error writeSelectionMap(StringRef path, const SelectionMap &map) {
  if (Error error = files::checkSelectionMap(path, map))
    return error;
  Picture picture(map, chooseLayout(map));
  picture.draw();
  std::string png;
  if (cairo_status_t status = picture.encode(png))
    return createStringError(inconvertibleErrorCode(),
                             path +
                                 ": cannot draw the selection map, expected "
                                 "a picture, got \"" +
                                 cairo_status_to_string(status) + "\"");
  return writeFileAtomically(path, StringRef(png));
}

} // namespace unisparse

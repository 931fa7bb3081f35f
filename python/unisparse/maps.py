# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pictures of selections: PNG files, a panel for each head. unisparse-run --map draws the same with axes and words."""

from __future__ import annotations

import math
import os
import pathlib
import struct
import tempfile
import zlib
from typing import Any, Sequence, Union

from . import _config
from ._checks import backend_of
from ._errors import Error, Status, unexpected

# Of --map: nothing to select, a block that was not, one that was.
SHADES = ((255, 255, 255), (204, 224, 242), (18, 51, 102))
GAP, MOST_PIXELS, MOST_HEADS = 8, 512, 1024


def draw(
    path: Union[str, os.PathLike[str]], counts: Any, indices: Any, *, queries: int, keys: int,
    block: Sequence[int] = (128, 128), causal: bool = True,
) -> None:  # fmt: skip
    """Draws what `attention(..., return_selection=True)` of `queries` x `keys` tokens selected: counts [B, H, R] and
    indices [B, H, R, J] of no packed batch. Key blocks go to the right, query blocks downwards. The file's text "density"
    has the share of the candidates (L1) that each head selected."""
    import numpy

    bq, bk = _config.sizes("block", block, (2,), "(queries, keys)")
    lq, lk = _config.integer("queries", queries, 1), _config.integer("keys", keys, 1)
    causal = _config.flag("causal", causal)
    for name, x, rank in (("counts", counts, 3), ("indices", indices, 4)):
        backend_of(name, x)
        if len(x.shape) != rank:
            raise unexpected(name, f"{rank} dimensions", f"{len(x.shape)}: {list(x.shape)}", Status.BAD_SHAPE)
    counts, indices = (x if isinstance(x, numpy.ndarray) else x.detach().cpu().numpy() for x in (counts, indices))
    rows, blocks = -(-lq // bq), -(-lk // bk)
    if counts.shape[2] != rows:
        raise unexpected("counts", f"[L6] {rows} rows, of {lq} queries in blocks of {bq}", counts.shape[2], Status.BAD_SHAPE)
    if tuple(counts.shape) != tuple(indices.shape[:3]):
        raise unexpected("indices", f"[A4] sizes that start with those of counts, {list(counts.shape)}", list(indices.shape), Status.BAD_SHAPE)
    heads = counts.shape[0] * counts.shape[1]
    if not 0 < heads <= MOST_HEADS:
        raise unexpected("counts", f"1 to {MOST_HEADS} heads of all batches", heads, Status.BAD_SHAPE)
    counts, indices = counts.reshape(heads, rows), indices.reshape(heads, rows, -1)
    there = numpy.arange(indices.shape[2]) < counts[:, :, None]
    if counts.min() < 0 or counts.max() > indices.shape[2] or (there & ((indices < 0) | (indices >= blocks))).any():
        raise unexpected("indices", f"[L6] blocks below {blocks} in the columns that counts names", "others", Status.BAD_SHAPE)

    chosen = numpy.zeros((heads, rows, blocks + 1))  # The last column takes what is behind the counts.
    numpy.put_along_axis(chosen, numpy.where(there, indices, blocks).astype(numpy.int64), 1.0, 2)
    chosen = chosen[:, :, :blocks]
    last = numpy.minimum((numpy.arange(rows) + 1) * bq, lq) - 1 + (lk - lq)  # The last key that a row sees.
    candidate = (numpy.arange(blocks) * bk <= last[:, None]) if causal else numpy.ones((rows, blocks), bool)
    candidate = candidate.astype(float)
    density = chosen.sum((1, 2)) / max(candidate.sum(), 1)
    _write(path, _panels(chosen, candidate), " ".join(f"{x:.4f}" for x in density))


def _scaled(x: Any, axis: int) -> Any:
    """Blocks as pixels: a whole number each, or the share of several in one."""
    import numpy

    blocks = x.shape[axis]
    if blocks <= MOST_PIXELS:
        return x.repeat(max(1, 256 // blocks), axis)
    begins = numpy.arange(MOST_PIXELS) * blocks // MOST_PIXELS
    sizes = numpy.diff([*begins, blocks]).reshape([-1 if n == axis % x.ndim else 1 for n in range(x.ndim)])
    return numpy.add.reduceat(x, begins, axis) / sizes


def _panels(chosen: Any, candidate: Any) -> Any:
    """-> [height, width, 3]: the heads in a grid about as wide as high."""
    import numpy

    white, seen, dark = (numpy.array(x, float) for x in SHADES)
    background = white + _scaled(_scaled(candidate, 0), 1)[..., None] * (seen - white)
    height, width, _ = background.shape
    columns = min(len(chosen), math.ceil((len(chosen) * height / width) ** 0.5))
    rows = -(-len(chosen) // columns)
    picture = numpy.full((GAP + rows * (height + GAP), GAP + columns * (width + GAP), 3), 255, numpy.uint8)
    for head, one in enumerate(chosen):
        # Darker than its share, so that one column of many under a pixel stays visible.
        share = _scaled(_scaled(one, 0), 1)[..., None] ** (2 / 3)
        top, left = GAP + head // columns * (height + GAP), GAP + head % columns * (width + GAP)
        picture[top : top + height, left : left + width] = (background + share * (dark - background) + 0.5).astype(numpy.uint8)
    return picture


def _write(path: Union[str, os.PathLike[str]], picture: Any, density: str) -> None:
    height, width, _ = picture.shape
    lines = b"".join(b"\0" + line.tobytes() for line in picture)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    content += chunk(b"tEXt", b"density\0" + density.encode()) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    place = pathlib.Path(path)
    try:  # Whole or not at all.
        with tempfile.NamedTemporaryFile(dir=place.parent, prefix=f".{place.name}-", delete=False) as file:
            try:
                file.write(content)
                file.flush()
                os.chmod(file.name, 0o666 & ~_mask())
                os.replace(file.name, place)
            except BaseException:
                os.unlink(file.name)
                raise
    except OSError as error:
        raise Error(f"{place}: expected a place to write to, got {error.strerror}", Status.BAD_FILE) from None


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

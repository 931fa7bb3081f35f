# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a machine without compiler and network is given: a folder, whole or in pieces that can be carried one at a time.
Needs no torch."""

import contextlib
import importlib.metadata
import pathlib
import shutil
import sys
import tempfile

PART = ".part-"


def package(name, folder):
    """Copies an installed pure Python package, with what says its version."""
    try:
        files = importlib.metadata.files(name)
    except importlib.metadata.PackageNotFoundError:
        raise SystemExit(f"{name}: expected the package installed, to take it along, got none") from None
    for file in files or []:
        if ".." not in file.parts and file.suffix not in (".pyc",):
            target = folder / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file.locate(), target)


def split(folder, most):
    """Moves a folder's files to FOLDER-0, FOLDER-1, ..., none of more than `most` bytes; larger files are cut -> the folders."""
    pieces, rooms = [], []

    def place(size):
        for n, room in enumerate(rooms):
            if size <= room:
                rooms[n] -= size
                return pieces[n]
        piece = folder.with_name(f"{folder.name}-{len(pieces)}")
        shutil.rmtree(piece, ignore_errors=True)
        pieces.append(piece)
        rooms.append(most - size)
        return piece

    # Small files first: together, in the first pieces.
    for file in sorted((x for x in folder.rglob("*") if x.is_file()), key=lambda x: (x.stat().st_size, x)):
        size, name = file.stat().st_size, file.relative_to(folder)
        with file.open("rb") as content:
            for n in range(max(1, -(-size // most))):
                data = content.read(most)
                target = place(len(data)) / (f"{name}{PART}{n}-{-(-size // most)}" if size > most else name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
    shutil.rmtree(folder)
    return pieces


@contextlib.contextmanager
def joined(folders):
    """The folder that was split, made of its pieces for so long."""
    with tempfile.TemporaryDirectory() as place:
        root = pathlib.Path(place)
        for folder in folders:
            for file in sorted(x for x in folder.rglob("*") if x.is_file()):
                target = root / file.relative_to(folder)
                target.parent.mkdir(parents=True, exist_ok=True)
                if PART not in file.name:
                    shutil.copy(file, target)
        cut = {}
        for folder in folders:
            for file in folder.rglob(f"*{PART}*"):
                name, _, number = str(file.relative_to(folder)).rpartition(PART)
                part, parts = map(int, number.split("-"))
                cut.setdefault((name, parts), {})[part] = file
        for (name, parts), found in cut.items():
            missing = sorted(set(range(parts)) - set(found))
            if missing:
                sys.exit(f"{name}: expected {parts} parts, got no part {missing[0]}: name every folder that prepare made")
            with (root / name).open("wb") as whole:
                for part in range(parts):
                    whole.write(found[part].read_bytes())
        yield root

# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Accuracy over density as a PNG: a panel for each length, a dot for each policy, and their names below. NumPy alone."""

import numpy as np
from unisparse import maps

# 5x7 letters, a byte for each column from the left, the top row in the lowest bit; from the space on.
LETTERS = bytes.fromhex(
    "000000000000005f00000007000700147f147f14242a7f2a12231308646236495620500008070300001c2241000041221c002a1c7f1c2a"
    "08083e080800807030000808080808000060600020100804023e5149453e00427f400072494949462141494d331814127f102745454539"
    "3c4a49493141211109073649494936464949291e000014000000403400000008142241141414141400412214080201590906"
    "3e415d594e7c1211127c7f494949363e414141227f4141413e7f494949417f090909013e414151737f0808087f00417f41002040413f01"
    "7f081422417f404040407f021c027f7f0408107f3e4141413e7f090909063e4151215e7f091929462649494932"
    "03017f01033f4040403f1f2040201f3f4038403f631408146303047804036159494d43007f4141410204081020004141417f0402010204"
    "4040404040000307080020545478407f284444383844444428384444287f385454541800087e090218a4a49c787f08040478"
    "00447d40002040403d007f1028440000417f40007c047804787c080404783844444438fc182424181824241 8fc7c0804040848545454"
    "2404043f44243c4040207c1c2040201c3c4030403c44281028444c9090907c4464544c44000836410000007700000041360800020102 0402".replace(" ", "")
)
INK, PALE = (40, 40, 40), (210, 210, 210)
COLOURS = dict(dense=(40, 40, 40), unisparse=(25, 100, 190), reference=(110, 70, 190), xattention=(200, 90, 30), flexprefill=(30, 140, 80))
SCALE, PANEL, LEFT, TOP = 2, 420, 90, 50


class Picture:
    def __init__(self, width, height):
        self.pixels = np.full((height, width, 3), 255, np.uint8)

    def fill(self, x, y, width, height, colour):
        self.pixels[max(y, 0) : max(y + height, 0), max(x, 0) : max(x + width, 0)] = colour

    def text(self, x, y, words, colour=INK):
        """Its upper left corner at (x, y)."""
        for n, letter in enumerate(words):
            code = ord(letter) - 32
            columns = LETTERS[5 * code : 5 * code + 5] if 0 <= code and 5 * code + 5 <= len(LETTERS) else b"\x7f" * 5
            for column, bits in enumerate(columns):
                for row in range(8):
                    if bits >> row & 1:
                        self.fill(x + (6 * n + column) * SCALE, y + row * SCALE, SCALE, SCALE, colour)

    def dot(self, x, y, colour):
        for row in range(-5, 6):
            half = int((30 - row * row) ** 0.5) if row * row <= 30 else 0
            self.fill(x - half, y + row, 2 * half + 1, 1, colour)


def width_of(words):
    return 6 * SCALE * len(words)


def panel(picture, left, title, points, least):
    """points: [(number, kind, density, accuracy)]; axes from 0 to 1 and from `least` to 1."""
    bottom = TOP + PANEL
    picture.text(left + (PANEL - width_of(title)) // 2, TOP - 30, title)
    for n in range(6):
        x, y = left + PANEL * n // 5, bottom - PANEL * n // 5
        picture.fill(x, TOP, 1, PANEL, PALE)
        picture.fill(left, y, PANEL, 1, PALE)
        for words, at in ((f"{n / 5:.1f}", (x - 18, bottom + 8)), (f"{least + (1 - least) * n / 5:.3f}", (left - 70, y - 7))):
            picture.text(*at, words)
    picture.text(left + (PANEL - width_of("density")) // 2, bottom + 30, "density")
    for number, kind, density, accuracy in points:
        x, y = left + round(PANEL * density), bottom - round(PANEL * (accuracy - least) / (1 - least))
        picture.dot(x, y, COLOURS[kind])
        picture.text(x + 9, y - 15, str(number), COLOURS[kind])


def draw(path, report):
    lengths = [str(n) for n in report["lengths"] if any(str(n) in p["lengths"] for p in report["policies"].values())]
    if not lengths:
        return
    every = [found["accuracy"] for policy in report["policies"].values() for found in policy["lengths"].values()]
    least = min(0.95, np.floor(min(every) * 50) / 50)
    names = list(report["policies"])
    legend = []
    for n, name in enumerate(names):
        found = report["policies"][name]["lengths"]
        shares = ", ".join(f"{found[x]['accuracy']:.3f} at {found[x]['density']:.3f}" for x in lengths if x in found)
        legend.append((f"{n} {name}: {shares}", COLOURS[report["policies"][name]["kind"]]))
    columns = LEFT + len(lengths) * (PANEL + LEFT)
    wide = max([columns, *(LEFT + width_of(words) + 20 for words, _ in legend)])
    picture = Picture(wide, TOP + PANEL + 80 + 20 * len(legend))
    for m, length in enumerate(lengths):
        rows = [(n, report["policies"][name]["kind"], report["policies"][name]["lengths"].get(length)) for n, name in enumerate(names)]
        points = [(n, kind, found["density"], found["accuracy"]) for n, kind, found in rows if found]
        panel(picture, LEFT + m * (PANEL + LEFT), f"{length} tokens: answers right", points, least)
    for n, (words, colour) in enumerate(legend):
        picture.text(LEFT, TOP + PANEL + 70 + 20 * n, words, colour)
    maps._write(path, picture.pixels, "accuracy over density")

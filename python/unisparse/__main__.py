# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""python -m unisparse doctor | prepare ..."""

from __future__ import annotations

import sys

from . import doctor, prepare


def main() -> None:
    words = sys.argv[1:]
    if words == ["doctor"]:
        doctor.main()
    elif words[:1] == ["prepare"]:
        prepare.main(words[1:])
    else:
        sys.exit(f"unisparse: expected doctor or prepare, got {' '.join(words) or 'nothing'}")


if __name__ == "__main__":
    main()

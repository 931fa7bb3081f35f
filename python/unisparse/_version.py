# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The version of the whole project: CMakeLists.txt and pyproject.toml read it here."""

__version__ = "0.2.0"

# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What device this is, and whether it is still well. Needs torch."""

import datetime
import platform
import subprocess

import numpy
import torch

import unisparse


def alive(device):
    """Does the device still answer? After a fault in a kernel no call of the process works any more."""
    try:
        return torch.ones(1, device=device).item() == 1
    except RuntimeError:
        return False


def driver():
    try:
        command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:
        return "unknown: no nvidia-smi"


def facts():
    return dict(
        device=torch.cuda.get_device_name(),
        capability=torch.cuda.get_device_capability(),
        driver=driver(),
        date=datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        torch=torch.__version__,
        cuda=torch.version.cuda,
        numpy=numpy.__version__,
        python=platform.python_version(),
        unisparse=unisparse.__version__,
    )

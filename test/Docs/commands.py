# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && mkdir %t && %python %s %src_root %t %unisparse_opt %unisparse_run %fake_driver %plugin mlir-opt-22 Tutorial
# RUN: rm -rf %t && mkdir %t && %python %s %src_root %t %unisparse_opt %unisparse_run %fake_driver %plugin mlir-opt-22 OwnStages
# RUN: rm -rf %t && mkdir %t && %python %s %src_root %t %unisparse_opt %unisparse_run %fake_driver %plugin mlir-opt-22 Tuning
"""Pages whose commands run and whose IR is what they print.

Of a page of docs/, from top to bottom and in one folder beside the checkout's examples/:

- a ```sh block runs, line by line, and every command succeeds (one with `# status N` behind it ends with N). GPU commands
  find a driver on the host's memory, whose kernels do nothing.
- the ```mlir block, or the one without a language, that follows it is what its last command printed: all of it for mlir,
  the parts between `...` in their order for the other. Neither white space counts, nor comments, names of values and of
  affine maps, or how long something took.
"""
import os
import re
import subprocess
import sys
from pathlib import Path

root, folder, opt, run, driver, plugin, mlir_opt, name = sys.argv[1:]
page = Path(root) / "docs" / f"{name}.md"
os.symlink(Path(root) / "examples", Path(folder) / "examples")
environment = {**os.environ, "UNISPARSE_LIBCUDA": driver, "FAKE_CAPABILITY": "90", "PLUGIN": plugin,
               "PATH": os.pathsep.join([os.path.dirname(opt), os.path.dirname(run), os.path.dirname(mlir_opt), os.environ["PATH"]])}
complaints = []


def plain(text):
    """What counts of printed text."""
    text = re.sub(r"(^|\s)//.*", r"\1", text, flags=re.MULTILINE)
    text = re.sub(r"%[\w#:$.-]+", "%", re.sub(r"#map\d*", "#map", text))
    text = re.sub(r"[\d.]+ (ms|MiB|times as long)", r"N \1", text)
    return re.sub(r"\s+", "", text)


def shown(line, block, language, output):
    """Whether a block of the page is what was printed."""
    text, end = plain(output), 0
    if language == "mlir" and plain(block) not in (text, text.removeprefix("module{").removesuffix("}")):
        complaints.append(f"{page}:{line}: expected this to be what the command above prints, got\n{output[:3000]}")
        return
    for part in filter(None, map(plain, block.split("..."))):
        found = text.find(part, end)
        if found < 0:
            complaints.append(f"{page}:{line}: expected the command above to print, here, {part[:200]}, got\n{output[:3000]}")
            return
        end = found + len(part)


def execute(line, block):
    """Runs the commands of a block; what the last one printed."""
    output = ""
    for command in filter(None, map(str.strip, re.sub(r"\\\n\s*", "", block).splitlines())):
        if command.startswith("#"):
            continue
        status = re.search(r"# status (\d+)", command)
        done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
        if done.returncode != (int(status[1]) if status else 0):
            complaints.append(f"{page}:{line}: {command}\nended with {done.returncode}: {done.stderr[-2000:]}")
        output = done.stdout + done.stderr
    return output


blocks = list(re.finditer(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL))
output, ran, compared = None, 0, 0
for block in blocks:
    line = page.read_text()[:block.start()].count("\n") + 1
    if block[1] == "sh":
        output, ran = execute(line, block[2]), ran + 1
    elif block[1] in ("", "mlir") and output is not None:
        shown(line, block[2], block[1], output)
        output, compared = None, compared + 1
print(f"{page.name}: {ran} blocks of commands ran, {compared} blocks are what they print")
for complaint in complaints:
    print("FAIL ", complaint)
sys.exit(bool(complaints) or not ran or not compared)

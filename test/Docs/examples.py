# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: %python %s --root=%src_root --opt=%unisparse_opt --mlir-opt=mlir-opt-22 --plugin=%plugin
"""The documentation's IR is true: whatever it shows parses and verifies.

- Every ```mlir block of README.md, docs/*.md and the ODS descriptions in
  include/**/*.td goes through unisparse-opt, and so does every examples/*.mlir.
- Every examples/*.mlir also goes through the installed mlir-opt with the plugin.
- README.md, docs/, examples/, every op and every pass that rewrites (not the
  contract verifiers) must have such IR.
"""
import argparse
import concurrent.futures
import dataclasses
import re
import subprocess
import sys
from pathlib import Path

# `def UniSparse_PoolOp : UniSparse_Op<"pool", ...` or `def FooPass : Pass<"foo", ...`
DEFINITION = re.compile(r'^def\s+\w+\s*:\s*\w*(?:Op|Pass)\s*<\s*"([^"]+)"', re.MULTILINE)
VERIFIER = "-verify-"


@dataclasses.dataclass
class Block:
    """A fenced block: where it stands and its IR."""

    path: Path
    line: int  # of the first line of the IR, counted from 1
    text: str
    owner: str = ""  # the op or pass that it documents


@dataclasses.dataclass
class Source:
    """A file that documents something, its blocks, and its ops and passes."""

    path: Path
    blocks: list
    owners: dict  # the name of each op or pass -> the line of its definition


def read(path):
    text, source, block, owner = path.read_text(), Source(path, [], {}), None, ""
    if path.suffix == ".td":
        source.owners = {d[1]: text.count("\n", 0, d.start()) + 1 for d in DEFINITION.finditer(text)}
    owner_at = {line: name for name, line in source.owners.items()}
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("def ", "class ")):
            owner = owner_at.get(number, "")
        fence = line.strip()
        if block is not None and fence == "```":
            source.blocks.append(block)
            block = None
        elif block is not None:
            block.text += line + "\n"
        elif fence == "```mlir":
            block = Block(path, number + 1, "", owner)
    if block is not None:
        sys.exit(f"{path}:{block.line - 1}: this block of IR has no end")
    return source


def together(blocks):
    """Blocks of one file as one input, each on the lines that it has there."""
    text, at = "", 1
    for block in blocks:
        text += "\n" * (block.line - at - 1) + ("// -----\n" if at > 1 else "\n" * (block.line > 1)) + block.text
        at = block.line + block.text.count("\n")
    return text


def run(command, text, path):
    """The complaints of `command` about `text`, or None; they name path and line."""
    result = subprocess.run([*command, "-split-input-file"], input=text, capture_output=True, text=True)
    # mlir-opt goes on without a plugin that it cannot load: a warning counts too.
    if result.returncode == 0 and not result.stderr:
        return None
    return re.sub("<stdin>|within split at <stdin>", str(path), result.stderr) or f"{path}: {command[0]} ended with status {result.returncode}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--opt", required=True)
    parser.add_argument("--mlir-opt", required=True)
    parser.add_argument("--plugin", required=True)
    arguments = parser.parse_args()
    root = arguments.root
    plugin = [arguments.mlir_opt, f"--load-dialect-plugin={arguments.plugin}", f"--load-pass-plugin={arguments.plugin}"]

    readme = root / "README.md"
    pages = sorted(root.glob("docs/*.md"))
    tables = sorted(root.glob("include/**/*.td"))
    examples = sorted(root.glob("examples/*.mlir"))
    sources = {path: read(path) for path in [readme, *pages, *tables] if path.exists()}

    complaints = []
    if readme not in sources or not sources[readme].blocks:
        complaints.append(f"{readme}: shows no ```mlir block")
    if not any(sources[page].blocks for page in pages):
        complaints.append(f"{root / 'docs'}: no page shows a ```mlir block")
    if not examples:
        complaints.append(f"{root / 'examples'}: holds no .mlir program")
    owners = [(owner, line, sources[table]) for table in tables for owner, line in sources[table].owners.items()
              if VERIFIER not in owner]
    if not owners:
        complaints.append(f"{root / 'include'}: no .td file defines an op or a pass")
    for owner, line, source in owners:
        if not any(block.owner == owner for block in source.blocks):
            complaints.append(f"{source.path}:{line}: the description of {owner} shows no ```mlir block")

    blocks = [block for source in sources.values() for block in source.blocks]
    jobs = [([arguments.opt], together(source.blocks), path) for path, source in sources.items() if source.blocks]
    jobs += [(command, path.read_text(), path) for path in examples for command in ([arguments.opt], plugin)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        complaints += filter(None, pool.map(lambda job: run(*job), jobs))

    print(f"{len(blocks)} blocks of {len(sources)} files, {len(owners)} ops and passes, {len(examples)} programs")
    for complaint in complaints:
        print(complaint.replace(f"{root}/", ""), file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())

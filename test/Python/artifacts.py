# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && %python %s %t
"""Which file a configuration has, where it is looked for, and when it is compiled: with a fake unisparse-compile."""

import concurrent.futures
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "python"))

import unisparse
from unisparse import _artifacts, _config, prepare

TMP = pathlib.Path(sys.argv.pop(1))
BASE = dict(heads=8, kv_heads=2, head_dim=128, dtype="bf16")


def config(**options):
    return prepare.configuration({**BASE, **options})


class Artifacts(unittest.TestCase):
    def setUp(self):
        shutil.rmtree(TMP, ignore_errors=True)
        TMP.mkdir(parents=True)
        self.log, self.compiler = TMP / "log", TMP / "unisparse-compile"
        self.compiler.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE}/Inputs/fake-compile.py "$@"\n')
        self.compiler.chmod(self.compiler.stat().st_mode | stat.S_IXUSR)
        os.utime(self.compiler, (1, 1))
        os.environ.update(
            FAKE_COMPILE_LOG=str(self.log),
            UNISPARSE_CACHE=str(TMP / "cache"),
            UNISPARSE_COMPILE=str(self.compiler),
            PATH="/usr/bin:/bin",
            UNISPARSE_CHIPS="",
            UNISPARSE_ARTIFACTS="",
        )

    def compiled(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def test_name(self):
        name = config(return_lse=True).file_name()
        self.assertRegex(name, r"^attention-bf16-h8x2-d128x128-b128x128-c8x8x1-max-p0\.9-causal-[0-9a-f]{16}\.usp$")
        self.assertEqual(name, config(return_lse=True).file_name())

    def test_every_option_counts(self):
        """No two configurations share a file, and what is the same configuration does."""
        changes = (
            [{}]
            + [
                {key: value}
                for key, value in dict(
                    heads=4,
                    kv_heads=8,
                    head_dim=64,
                    value_dim=64,
                    dtype="f16",
                    packed=True,
                    block=(64, 128),
                    pooling=(4, 8),
                    agg="sum",
                    share="group",
                    p=0.8,
                    top_k=3,
                    sink=0,
                    local=2,
                    min_blocks=1,
                    max_blocks=5,
                    dense_below=7,
                    causal=False,
                    scale=0.25,
                    alpha=0.5,
                    return_lse=True,
                    return_selection=True,
                    selection_heads=8,
                ).items()
            ]
            + [dict(p=[0.1] * 8), dict(p=[0.1] * 7 + [0.2]), dict(selection_heads=2), dict(pooling=(8, 8, 2))]
        )
        names = {config(**change).file_name() for change in changes}
        self.assertEqual(len(names), len(changes))
        self.assertEqual(config().file_name(), config(p=0.9, value_dim=128, pooling=[8, 8], share="none", packed=False).file_name())

    def test_format_version_counts(self):
        before = config().file_name()
        try:
            _config.FORMAT_VERSION += 1
            self.assertNotEqual(before, config().file_name())
        finally:
            _config.FORMAT_VERSION -= 1
        page = (HERE.parent.parent / "docs" / "Artifact.md").read_text()
        self.assertIn(f"This page is the format, version {_config.FORMAT_VERSION}.", page)

    def test_compiled_once(self):
        first = _artifacts.find(config())
        self.assertEqual(_artifacts.find(config()), first)
        self.assertEqual(first, TMP / "cache" / "sm_80+sm_90a" / config().file_name())
        (line,) = self.compiled()
        for word in (
            "--stage=attention",
            "--heads=8",
            "--kv-heads=2",
            "--head-dim=128",
            "--value-dim=128",
            "--dtype=bf16",
            "--block=128x128",
            "--pool=8x8",
            "--head-pool=1",
            "--agg=max",
            "--share=none",
            "--p=0.9",
            "--sink=1",
            "--local=1",
            "--min-blocks=0",
            "--dense-below=0",
            "--alpha=1.0",
            "--chip=sm_80",
            "--chip=sm_90a",
        ):
            self.assertIn(word, line.split())
        self.assertFalse([p for p in first.parent.iterdir() if p != first])

    def test_options_of_the_others(self):
        _artifacts.find(
            config(
                top_k=3,
                max_blocks=2,
                causal=False,
                scale=0.5,
                packed=True,
                return_lse=True,
                return_selection=True,
                pooling=(4, 8, 2),
                p=[0.5] * 8,
            )
        )
        _artifacts.find(config(selection_heads=2))
        first, second = (line.split() for line in self.compiled())
        for word in (
            "--top-k=3",
            "--max-blocks=2",
            "--no-causal",
            "--scale=0.5",
            "--packed",
            "--return-lse",
            "--return-selection",
            "--pool=4x8",
            "--head-pool=2",
        ):
            self.assertIn(word, first)
        self.assertFalse([w for w in first if w.startswith("--p=")])
        self.assertIn("--stage=block_sparse_attention", second)
        self.assertIn("--share=group", second)
        self.assertFalse([w for w in second if w.startswith(("--pool", "--p=", "--sink"))])

    def test_newer_compiler(self):
        path = _artifacts.find(config())
        os.utime(path, (100, 100))
        os.utime(self.compiler, (200, 200))
        _artifacts.find(config())
        self.assertEqual(len(self.compiled()), 2)

    def test_chips(self):
        os.environ["UNISPARSE_CHIPS"] = "sm_89"
        _artifacts.find(config())
        self.assertEqual([w for w in self.compiled()[0].split() if w.startswith("--chip")], ["--chip=sm_89"])

    def test_prepared_first(self):
        os.environ["UNISPARSE_ARTIFACTS"] = str(TMP / "prepared")
        (TMP / "prepared").mkdir()
        path = TMP / "prepared" / config().file_name()
        path.write_text("prepared")
        self.assertEqual(_artifacts.find(config()), path)
        self.assertEqual(self.compiled(), [])

    def test_neither(self):
        os.environ["UNISPARSE_COMPILE"] = ""
        with self.assertRaises(unisparse.Error) as caught:
            _artifacts.find(config())
        text = str(caught.exception)
        self.assertEqual(caught.exception.status, unisparse.Status.BAD_FILE)
        (line,) = [x.strip() for x in text.splitlines() if x.strip().startswith("unisparse-compile ")]
        # The line that is printed is the one that would have run.
        os.environ["UNISPARSE_COMPILE"] = str(self.compiler)
        subprocess.run([str(self.compiler), *line.split()[1:]], cwd=TMP, check=True)
        self.assertTrue((TMP / config().file_name()).exists())

    def test_refused(self):
        with self.assertRaises(unisparse.Error) as caught:
            _artifacts.find(config(head_dim=7))
        self.assertIn("unisparse-compile: --head-dim: expected a multiple of 8, got 7", str(caught.exception))
        self.assertEqual(list((TMP / "cache").rglob("*.usp")), [])

    def test_threads_compile_once(self):
        from unisparse._program import program_for

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            programs = list(pool.map(lambda _: program_for(config(sink=3)), range(16)))
        self.assertEqual(len(set(map(id, programs))), 1)
        self.assertEqual(len(self.compiled()), 1)

    def test_prepare(self):
        spec, out = TMP / "spec.json", TMP / "ahead"
        command = [sys.executable, "-m", "unisparse.prepare", f"--list={spec}", f"--out={out}", "--chips=sm_90a,sm_80", "--jobs=2"]
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent / "python"), "PYTHONDONTWRITEBYTECODE": "1"}
        spec.write_text(json.dumps([BASE, {**BASE, "top_k": 3}, {**BASE, "selection_heads": 8}, BASE]))
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(
            {p.name for p in out.iterdir()}, {config().file_name(), config(top_k=3).file_name(), config(selection_heads=8).file_name()}
        )
        self.assertTrue(all("--chip=sm_90a --chip=sm_80" in line for line in self.compiled()))
        for entry, message in (
            ({**BASE, "head_dim": 7}, "expected a multiple of 8"),
            ({**BASE, "blocks": 1}, "blocks: expected an option of attention"),
            ({"heads": 2}, "kv_heads: expected an integer"),
        ):
            spec.write_text(json.dumps([entry]))
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            self.assertEqual(done.returncode, 1)
            self.assertIn(message, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()

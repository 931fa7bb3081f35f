# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# RUN: rm -rf %t && %python %s %t
"""Which file a configuration has, where it is looked for, and when it is compiled: with a fake unisparse-compile."""

import concurrent.futures
import fcntl
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import unittest
import warnings
from unittest import mock

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "Inputs"), str(HERE.parent.parent / "python")]

import stubs
import unisparse
from unisparse import _artifacts, _cache, _config, _program, prepare

TMP = pathlib.Path(sys.argv.pop(1))
BASE = dict(heads=8, kv_heads=2, head_dim=128, dtype="bf16")


def config(**options):
    return prepare.configuration({**BASE, **options})


def setUpModule():
    # Read once for the process.
    TMP.mkdir(parents=True)
    os.environ["UNISPARSE_RT"] = str(stubs.runtime(TMP))


class Artifacts(unittest.TestCase):
    def setUp(self):
        for path in TMP.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.suffix != ".so":
                path.unlink()
        _program._programs.clear()
        self.log, self.compiler = TMP / "log", stubs.compiler(TMP / "unisparse-compile")
        os.environ.update(
            FAKE_COMPILE_LOG=str(self.log),
            FAKE_COMPILE_VERSION="1",
            FAKE_COMPILE_KILL="",
            UNISPARSE_CACHE=str(TMP / "cache"),
            UNISPARSE_COMPILE=str(self.compiler),
            PATH="/usr/bin:/bin",
            UNISPARSE_CHIPS="",
            UNISPARSE_ARTIFACTS="",
        )

    def compiled(self):
        return self.log.read_text().splitlines() if self.log.exists() else []

    def refused(self, message, call, *arguments):
        """One line, and no exception of Python's own."""
        with self.assertRaises(unisparse.Error) as caught:
            call(*arguments)
        self.assertIn(message, str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))
        return caught.exception.status

    def test_name(self):
        name = config(return_lse=True).file_name()
        self.assertRegex(name, r"^attention-bf16-h8x2-d128x128-b128x128-c8x8x1t16s4-max-p0\.8-causal-[0-9a-f]{16}\.usp$")
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
                    p=0.7,
                    top_k=3,
                    threshold=0.5,
                    random=0.5,
                    representatives=4,
                    spread=2,
                    last=2,
                    sink=0,
                    local=2,
                    min_blocks=1,
                    max_blocks=5,
                    dense_below=7,
                    causal=False,
                    scale=0.25,
                    alpha=0.5,
                    softcap=30.0,
                    window=(5, 0),
                    sinks=True,
                    return_lse=True,
                    return_selection=True,
                    selection_heads=8,
                ).items()
            ]
            + [dict(random=0.5, seed=1), dict(p=[0.1] * 8), dict(p=[0.1] * 7 + [0.2]), dict(selection_heads=2), dict(pooling=(8, 8, 2))]
        )
        names = {config(**change).file_name() for change in changes}
        self.assertEqual(len(names), len(changes))
        self.assertEqual(config().file_name(), config(p=0.8, relax=0.5, representatives=16, spread=4, last=1, value_dim=128, pooling=[8, 8], share="none", packed=False).file_name())

    def test_format_version_counts(self):
        before = config().file_name()
        try:
            _config.FORMAT_VERSION += 1
            self.assertNotEqual(before, config().file_name())
        finally:
            _config.FORMAT_VERSION -= 1
        header = (HERE.parent.parent / "runtime/include/unisparse-rt/format.h").read_text()
        self.assertIn(f"UNISPARSE_FORMAT_VERSION = {_config.FORMAT_VERSION},", header)
        page = (HERE.parent.parent / "docs" / "Artifact.md").read_text()
        self.assertIn(f"This page is the format, version {_config.FORMAT_VERSION}.", page)

    def test_compiled_once(self):
        first = _artifacts.find(config())
        self.assertEqual(_artifacts.find(config()), first)
        self.assertEqual((first.parent.parent, first.name), (TMP / "cache" / "sm_80+sm_90a", config().file_name()))
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
            "--p=0.8",
            "--relax=0.5",
            "--representatives=16",
            "--spread=4",
            "--sink=1",
            "--local=1",
            "--last=1",
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

    def test_stages(self):
        """What a stage has no use for tells no programs apart."""
        whole = dict(causal=False, window=(5, 0), return_lse=True, sinks=True, packed=True, last=2, dense_below=9, value_dim=32)
        pool, select = (config(stage=stage, **whole) for stage in ("pool", "select"))
        self.assertEqual(pool, config(stage="pool", scale=0.5, top_k=2))
        self.assertNotEqual(pool.file_name(), config(stage="pool", pooling=(8, 4)).file_name())
        self.assertEqual(select, config(stage="select", causal=False, window=(5, 0)))
        self.assertNotEqual(select.file_name(), config(causal=False, window=(5, 0)).file_name())
        self.assertIn("--stage=select", select.options())
        with self.assertRaisesRegex(unisparse.Error, "^stage: expected none beside selection_heads, got 'pool'$"):
            config(stage="pool", selection_heads=8)

    def test_another_compiler(self):
        """Which one it is, its version and its content say; the time of its file says nothing."""
        first = _artifacts.find(config())
        os.environ["FAKE_COMPILE_VERSION"] = "2"
        os.utime(self.compiler, (100, 100))
        second = _artifacts.find(config())
        self.compiler.write_text(self.compiler.read_text() + "# built again\n")
        os.utime(self.compiler, (1, 1))
        third = _artifacts.find(config())
        self.assertEqual(len({first, second, third}), 3)
        self.assertEqual(len(self.compiled()), 3)
        os.utime(self.compiler, (10**9, 10**9))
        self.assertEqual(_artifacts.find(config()), third)
        self.assertEqual(len(self.compiled()), 3)

    def test_without_compiler_the_newest(self):
        first = _artifacts.find(config())
        self.compiler.write_text(self.compiler.read_text() + "# built again\n")
        second = _artifacts.find(config())
        os.environ["UNISPARSE_COMPILE"] = ""
        os.utime(first, (2, 2))
        os.utime(second, (1, 1))
        self.assertEqual(_artifacts.find(config()), first)
        first.write_text("")
        self.assertEqual(_artifacts.find(config()), second)
        second.write_text("")
        self.refused("got neither", _artifacts.find, config())

    def test_damaged_entry_is_compiled_anew(self):
        path = _artifacts.find(config())
        whole = path.read_bytes()
        for damaged in (b"", b"junk", b"in"):
            path.write_bytes(damaged)
            self.assertEqual(_artifacts.find(config()), path)
            self.assertEqual(path.read_bytes(), whole)
        self.assertEqual(len(self.compiled()), 4)

    def test_damaged_prepared_file_is_told(self):
        os.environ["UNISPARSE_ARTIFACTS"] = str(TMP / "prepared")
        (TMP / "prepared").mkdir(mode=0o755)
        path = TMP / "prepared" / config().file_name()
        path.write_text("junk")
        status = self.refused(f"{path}: bad artifact: expected inputs, got none", _artifacts.find, config())
        self.assertEqual(status, unisparse.Status.BAD_ARTIFACT)

    def test_leftovers_of_the_killed(self):
        command = [sys.executable, "-c", "import unisparse.prepare as p, unisparse._artifacts as a, json, sys\n"
                   "a.find(p.configuration(json.loads(sys.argv[1])))", json.dumps(BASE)]  # fmt: skip
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent / "python"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(command, env={**environment, "FAKE_COMPILE_KILL": "0.01"}, stdout=subprocess.DEVNULL)
        self.assertEqual(done.returncode, -signal.SIGKILL)
        (left,) = TMP.glob("cache/*/*/.partial-*")
        folder = left.parent
        # Locked by nobody but young: its owner may be about to.
        with mock.patch.object(_cache, "_SWEPT_AFTER_SECONDS", 1e9):
            _artifacts.find(config(sink=2))
        self.assertTrue(left.exists())
        # Locked: at work. The orphaned compiler is done soon, and holds it until then.
        descriptor = os.open(left, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.utime(left, (1, 1))
        _artifacts.find(config(sink=3))
        self.assertTrue(left.exists())
        os.close(descriptor)
        _artifacts.find(config(sink=4))
        self.assertFalse(left.exists())
        self.assertEqual(list(folder.glob(".*")), [])

    def test_leftovers_that_are_gone(self):
        """Another process removes its own between a look and the next: no error."""
        folder = _artifacts.find(config()).parent
        os.symlink("nowhere", folder / ".partial-gone")
        _artifacts.find(config(sink=2))
        self.assertEqual(len(self.compiled()), 2)

    def test_folders_that_cannot_be(self):
        (TMP / "file").write_text("")
        for place in (TMP / "file", TMP / "file" / "below", "/proc/none", "/dev/null/x", "\0"):
            if "\0" in str(place):
                continue  # No variable can hold it.
            with self.subTest(place):
                os.environ["UNISPARSE_CACHE"] = str(place)
                self.assertEqual(self.refused("expected a folder that can be made, got", _artifacts.find, config()), unisparse.Status.BAD_FILE)
        os.environ.update(UNISPARSE_CACHE=str(TMP / "cache"), UNISPARSE_COMPILE=str(TMP / "none"))
        self.refused(f"{TMP / 'none'}: expected a program that starts, got No such file", _artifacts.find, config())
        os.environ["UNISPARSE_COMPILE"] = str(TMP)
        self.refused("expected a program that starts, got", _artifacts.find, config())

    def test_folders_of_others(self):
        folder = TMP / "cache"
        path = _artifacts.find(config())
        self.assertEqual({stat.S_IMODE(p.stat().st_mode) for p in (folder, path.parent, path.parent.parent)}, {0o700})
        for changed in (folder, path.parent):
            changed.chmod(0o707)
            self.refused("expected a folder that others cannot write", _artifacts.find, config())
            changed.chmod(0o700)
        folder.chmod(0o770)
        _cache._warned.clear()
        for private, count in ((True, 0), (False, 1)):
            with warnings.catch_warnings(record=True) as caught, mock.patch.object(_cache, "_is_private_group", lambda found: private):
                warnings.simplefilter("always")
                _artifacts.find(config())
                _artifacts.find(config())
            said = [str(warning.message) for warning in caught if warning.category is UserWarning]  # Others may come from anywhere.
            self.assertEqual(len(said), count, said)
        self.assertIn("its group may write there (mode 770)", said[0])

    def test_cache_of_the_desktop(self):
        os.environ.pop("UNISPARSE_CACHE")
        os.environ["XDG_CACHE_HOME"] = str(TMP / "xdg")
        try:
            self.assertEqual(_cache.folder(), TMP / "xdg" / "unisparse")
        finally:
            os.environ.pop("XDG_CACHE_HOME")

    def test_chips(self):
        os.environ["UNISPARSE_CHIPS"] = "sm_89"
        _artifacts.find(config())
        self.assertEqual([w for w in self.compiled()[0].split() if w.startswith("--chip")], ["--chip=sm_89"])

    def test_prepared_first(self):
        os.environ["UNISPARSE_ARTIFACTS"] = str(TMP / "prepared")
        (TMP / "prepared").mkdir()
        path = TMP / "prepared" / config().file_name()
        path.write_text("in q bf16 4\nout o bf16 4\n")
        self.assertEqual(_artifacts.find(config()), path)
        self.assertEqual(self.compiled(), [])

    def test_neither(self):
        os.environ["UNISPARSE_COMPILE"] = ""
        with self.assertRaises(unisparse.Error) as caught:
            _artifacts.find(config())
        text = str(caught.exception)
        self.assertEqual(caught.exception.status, unisparse.Status.BAD_FILE)
        (line,) = [x for x in text.split("`") if x.startswith("unisparse-compile ")]
        # The line that is printed is the one that would have run.
        os.environ["UNISPARSE_COMPILE"] = str(self.compiler)
        subprocess.run([str(self.compiler), *line.split()[1:]], cwd=TMP, check=True)
        self.assertTrue((TMP / config().file_name()).exists())

    def test_refused(self):
        with self.assertRaises(unisparse.Error) as caught:
            _artifacts.find(config(head_dim=7))
        self.assertEqual("head_dim: expected a multiple of 8, got 7", str(caught.exception))
        # Of many programs the one is named.
        failures = prepare.prepare([config(head_dim=7), config()], TMP / "ahead", ["sm_80"], report=lambda line: None)
        name = config(head_dim=7).file_name()
        self.assertEqual(failures, {name: f"{name}: head_dim: expected a multiple of 8, got 7"})
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
            ({"heads": 2}, "prepare: " + str(spec) + ": entry 0: kv_heads: expected an integer"),
            ("text", 'entry 0: entry: expected an object with heads, kv_heads, head_dim, dtype and options, got "text"'),
        ):
            spec.write_text(json.dumps([entry]))
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            self.assertEqual(done.returncode, 1)
            self.assertIn(message, done.stdout + done.stderr)
            self.assertNotIn("Traceback", done.stderr)
        for text, message in (
            (json.dumps(BASE), f"prepare: {spec}: expected a list of objects, got a JSON object"),
            ("1", f"prepare: {spec}: expected a list of objects, got a JSON 1"),
            ("[" * 100000, f"prepare: {spec}: expected JSON, got"),
            ("{", f"prepare: {spec}: expected JSON, got"),
        ):
            spec.write_text(text)
            done = subprocess.run(command, capture_output=True, text=True, env=environment)
            self.assertEqual((done.returncode, len(done.stderr.splitlines())), (1, 1), done.stderr)
            self.assertIn(message, done.stderr)

    def test_prepare_compiles_what_is_there(self):
        """It may be another compiler's, or for other chips."""
        for chips in (["sm_80"], ["sm_90a"], ["sm_90a"]):
            self.assertEqual(prepare.prepare([config()], TMP / "ahead", chips, report=lambda line: None), {})
        self.assertEqual(len(self.compiled()), 3)
        self.assertEqual([p.name for p in (TMP / "ahead").iterdir()], [config().file_name()])

    def test_without_numpy(self):
        """Neither preparing nor CUDA needs it."""
        spec = TMP / "spec.json"
        spec.write_text(json.dumps([BASE]))
        words = ["prepare", f"--list={spec}", f"--out={TMP / 'ahead'}"]
        script = f"import sys; sys.modules['numpy'] = None; from unisparse import prepare; prepare.main({words[1:]!r})"
        environment = {**os.environ, "PYTHONPATH": str(HERE.parent.parent / "python"), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
        self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()

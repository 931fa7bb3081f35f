# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# REQUIRES: torch, transformers
# RUN: rm -rf %t && env %host_programs HF_HUB_OFFLINE=1 %python %s %t unisparse-compile %obj_root/lib/libunisparse-rt.so
"""benchmarks/accuracy.py from end to end on the CPU, with a small random model: p = 1 gives dense attention's answers, and
the report has what it is for. The rivals' rules against loops and cases made by hand; Gemma's layers against Transformers'."""

import argparse
import json
import math
import os
import pathlib
import subprocess
import sys
import unittest
import zlib

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent  # Out of the path: a test there is called cuda, as a module that torch imports.
ROOT = HERE.parent.parent
sys.path[:1] = [str(ROOT / place) for place in ("python", "benchmarks/language", "benchmarks/gpu")]
os.environ.update(zip(("UNISPARSE_RT", "UNISPARSE_COMPILE"), (sys.argv.pop(), sys.argv.pop())))
TMP = pathlib.Path(sys.argv.pop())

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import gemma
import measure
import pieces
import policies
import questions
import reference
import rivals
import small
import unisparse

LENGTH, VOCABULARY = 1024, 256
SCRIPT = str(ROOT / "benchmarks" / "accuracy.py")


def tokenizer():
    """A token for each byte."""
    letters = {letter: n for n, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(letters, []))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return made


def model_folder(place, heads=2, kv_heads=1, head_dim=64, width=32, inner=48, layers=1):
    """A random model as files; one of its matrices in rows of int8."""
    place.mkdir(parents=True)
    rng, block = np.random.default_rng(3), "blocks.{}."
    shapes = dict(wq=(heads * head_dim, width), wk=(kv_heads * head_dim, width), wv=(kv_heads * head_dim, width), wo=(width, heads * head_dim))
    shapes.update(w1=(inner, width), w3=(inner, width), w2=(width, inner))
    arrays = {"emb.weight": 0.3 * rng.normal(size=(VOCABULARY, width)), "og": np.ones(width)}
    for n in range(layers):
        arrays.update({f"{block.format(n)}{name}.weight": rng.normal(size=shape) * shape[1] ** -0.5 for name, shape in shapes.items()})
        arrays.update({f"{block.format(n)}{name}": np.full(head_dim, 2.0) for name in ("qg", "kg")})
    arrays = {name: x.astype(np.float32) for name, x in arrays.items()}
    whole = arrays["blocks.0.w1.weight"]
    factors = np.abs(whole).max(1) / 127
    arrays["blocks.0.w1.weight"] = np.round(whole / factors[:, None]).astype(np.int8)
    arrays["blocks.0.w1.weight|s"] = factors
    names = sorted(arrays)
    for part in range(2):
        np.savez(place / f"lm-{part}.npz", **{name: arrays[name] for name in names if (names.index(name.split("|")[0]) % 2) == part})
    tokenizer().save(str(place / "tokenizer.json"))
    np.save(place / "heldout.npy", rng.integers(0, VOCABULARY, 4096).astype(np.uint16))
    return place


def run(*words, status=0):
    done = subprocess.run([sys.executable, SCRIPT, *map(str, words)], capture_output=True, text=True)
    if done.returncode != status:
        raise AssertionError(f"{words}: status {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


class EndToEnd(unittest.TestCase):
    POLICIES = "p=1 t=2,s=8,p=.5,last=1 xattention:tau=.5 flexprefill:min_budget=128,gamma=.5"

    def checked(self, report, png, names):
        """The report and the picture of a run."""
        self.assertEqual(list(report["policies"]), names)
        for name, policy in report["policies"].items():
            (found,) = policy["lengths"].values()
            self.assertEqual(set(found["cells"]), {"niah end", "niah anywhere", "fn end", "fn anywhere"})
            for cell in found["cells"].values():
                self.assertEqual(cell["questions"], 4)
                self.assertEqual(cell["right"] + len(cell["missed"]), 4)
            self.assertGreater(found["attention_ms_a_prompt"], 0)
            self.assertEqual(found["density"] == 1, name in ("dense", "p=1"))
            self.assertTrue(0 < found["density"] <= 1 and found["nll"] > 0)
        dense, whole = (report["policies"][name]["lengths"][str(LENGTH)] for name in ("dense", "p=1"))
        self.assertEqual(dense["cells"], whole["cells"])
        self.assertAlmostEqual(dense["nll"], whole["nll"], places=5)
        for name in names[2:]:  # What is left out is missed.
            self.assertGreater(abs(report["policies"][name]["lengths"][str(LENGTH)]["nll"] - dense["nll"]), 1e-4)
        content = png.read_bytes()
        self.assertEqual(content[:8], b"\x89PNG\r\n\x1a\n")
        width, height = (int.from_bytes(content[n : n + 4], "big") for n in (16, 20))
        data = content[content.index(b"IDAT") + 4 : content.index(b"IEND") - 8]
        self.assertEqual(len(zlib.decompress(data)), height * (3 * width + 1))

    def test_measure(self):
        model, out, png = model_folder(TMP / "model"), TMP / "out.json", TMP / "out.png"
        words = ["--device", "cpu", "--lengths", LENGTH, "--questions", 4, "--texts", 1, "--json", out, "--png", png]
        done = run("measure", "--model", model, "--policies", self.POLICIES, *words)
        report = json.loads(out.read_text())
        self.checked(report, png, ["dense", *self.POLICIES.split()])
        self.assertEqual((report["model"], report["layers"], report["heads"], report["kv_heads"]), ("model", 1, 2, 1))
        self.assertEqual(report["skipped"], [])
        self.assertIn("at least 99% of dense's answers", done.stdout)

        # In two steps, with a folder in pieces between them.
        folder = TMP / "prepared"
        chosen = ["--policies", "p=1", "--time-heads", 2, "--chips", "sm_80"]
        run("prepare", folder, "--model", model, "--lengths", LENGTH, "--questions", 4, "--texts", 1, *chosen)
        self.assertEqual(len(list((folder / "sm_80").glob("*.usp"))), 1)
        made = pieces.split(folder, 30000)
        self.assertGreater(len(made), 2)
        for piece in made:
            self.assertLessEqual(sum(x.stat().st_size for x in piece.rglob("*") if x.is_file()), 30000)
        run("run", *made, "--device", "cpu", "--json", out, "--png", png)
        again = json.loads(out.read_text())
        self.checked(again, png, ["dense", "p=1"])
        self.assertEqual(again["policies"]["dense"]["lengths"][str(LENGTH)]["cells"], report["policies"]["dense"]["lengths"][str(LENGTH)]["cells"])
        self.assertIn("parts, got no part", run("run", *made[:-1], "--device", "cpu", status=1).stderr)

    def test_refused(self):
        """One line that says what is wrong."""
        model = model_folder(TMP / "other")
        for words, said in (
            (("measure", "--model", TMP / "none"), "none/tokenizer.json: expected a model's file, got none"),
            (("measure", "--model", model, "--policies", "q=1"), "--policies: expected one of p, relax, top_k"),
            (("measure", "--model", model, "--policies", "minference"), "--policies: expected dense, options of unisparse.attention"),
            (("measure", "--model", model, "--policies", "p=half"), "--policies: expected a number for p in p=half, got half"),
            (("measure", "--model", model, "--lengths", 512), "--lengths: expected room for 12 hidden sentences"),
            (("measure", "--model", model, "--lengths", 8192), "--text: expected more than the"),
            (("measure", "--model", "gemma"), "--text: expected files of prose for Gemma, got none"),
            (("run", TMP / "other", "--device", "cpu"), "expected accuracy.json in what prepare made, got none"),
        ):
            with self.subTest(words):
                error = run(*words, *(["--device", "cpu"] if "measure" in words else []), status=1).stderr
                self.assertIn(said, error)
                self.assertEqual(len(error.splitlines()), 1, error)


class Parts(unittest.TestCase):
    def test_questions(self):
        """A sequence has its length; each answer is the number that was hidden in front of its question."""
        encode, text = lambda x: tokenizer().encode(x).ids, np.full(3000, ord("x"))
        for forms in (questions.CODE, questions.PROSE):
            made = questions.make(encode, text, [1200], 8, 2, forms, prefix=[1])
            place = TMP / f"questions-{len(forms)}-{'niah' in forms}-{'fn' in forms}"
            place.mkdir(parents=True)
            questions.written(place / "questions.json", made)
            np.save(place / "text.npy", text)
            asked = questions.Questions(place)
            self.assertEqual(made, questions.make(encode, text, [1200], 8, 2, forms, prefix=[1]))
            for cell, sequences in asked.cells(1200).items():
                self.assertEqual(sum(len(one.answers) for one in sequences), 8)
                for one in sequences:
                    self.assertEqual((len(one.tokens), one.tokens[0]), (1200, 1))
                    words = tokenizer().decode(one.tokens[1:].tolist())
                    for answer in one.answers:
                        number = tokenizer().decode(one.tokens[answer.start : answer.stop].tolist()).strip()
                        self.assertRegex(number, r"^\d{6}$")
                        self.assertEqual(words[: answer.start].count(number), 1)
                    if cell.endswith("end"):
                        self.assertNotIn("xxxx", words[one.answers[0].start :])
            self.assertEqual(len(asked.cells(1200, 4)["niah end"]), 1)
            self.assertEqual([len(one.tokens) for one in asked.texts(1200)], [1200, 1200])

    def test_right(self):
        """An answer is right when all of its tokens are."""

        class Knowing:
            """Foresees every token but some."""

            def __init__(self, wrong):
                self.wrong = wrong

            def hidden(self, tokens, attend):
                following = tokens.roll(-1, 1)
                for row, place in self.wrong:
                    following[row, place - 1] ^= 1
                return torch.nn.functional.one_hot(following, VOCABULARY).float()

            def logits(self, hidden):
                return hidden

        encode, text = lambda x: tokenizer().encode(x).ids, np.full(3000, ord("x"))
        made = questions.make(encode, text, [1200], 8, 2, questions.CODE)
        begins = made["lengths"]["1200"]["cells"]["fn anywhere"]
        both = [questions.Sequence(text, [], 1200, *one) for one in begins]
        last = both[1].answers[2][-1]
        self.assertEqual(measure.right(Knowing([(0, both[0].answers[1][0]), (1, last), (1, last + 1)]), both, None, "cpu"), [True, False, True, True, True, True, False, True])
        total, tokens = measure.loss(Knowing([]), both, None, "cpu")
        self.assertEqual(tokens, 1200)
        self.assertAlmostEqual(total / tokens, math.log(1 + (VOCABULARY - 1) / math.e), places=5)

    def test_policies(self):
        one = policies.parse("t=16,s=1,p=.7,last=1,c=4x16")
        self.assertEqual((one.kind, one.options), ("unisparse", dict(representatives=16, spread=1, p=0.7, last=1, pooling=(4, 16))))
        self.assertEqual(policies.parse("xattention").options, dict(stride=8, tau=0.9))
        self.assertEqual(policies.parse("flexprefill:gamma=.9").options, dict(gamma=0.9, tau=0.1, min_budget=1024))
        self.assertEqual([p.name for p in policies.parse_all(["p=.9", "dense", "p=.9"])], ["dense", "p=.9"])
        self.assertEqual(policies.parse("reference:t=2,p=.5").options, dict(representatives=2, p=0.5))
        for name in (policies.DEFAULT + " " + policies.GEMMA).split():
            policies.parse(name)

    def test_judge(self):
        """What holds keeps 99% on average at every length; the cheapest first."""

        def made(kind, *lengths):
            cells = lambda right: {cell: dict(right=n, questions=100) for cell, n in zip(("a", "b"), right)}
            return dict(kind=kind, lengths={n: dict(cells=cells(right), accuracy=sum(right) / 200, density=density) for n, density, right in lengths})

        both = lambda density, first, second: [("10", density, first), ("20", density, second)]
        report = dict(lengths=[10, 20], policies=dict(
            dense=made("dense", *both(1, (100, 90), (100, 80))),
            good=made("unisparse", *both(0.3, (99, 90), (99, 80))),
            better=made("unisparse", *both(0.2, (100, 89), (100, 81))),
            weak=made("unisparse", *both(0.1, (100, 90), (100, 70))),
            short=made("unisparse", ("10", 0.1, (100, 90))),
            rival=made("xattention", *both(0.1, (100, 90), (100, 80))),
        ))  # fmt: skip
        judged = measure.judge(report)
        self.assertEqual(judged["holding"], ["better", "good"])
        self.assertEqual(judged["policies"]["weak"]["lengths"]["20"]["least_kept"], (0.875, "b"))
        self.assertEqual(judged["policies"]["rival"]["holds"], True)
        judged["times"] = {name: {"10": dict(ms=ms), "20": dict(ms=ms)} for name, ms in (("good", 1), ("better", 2))}
        self.assertEqual(measure.judge(judged)["holding"], ["good", "better"])

    def test_refused_by_the_compiler(self):
        """A policy without a program is named, and costs no other; one that fails likewise."""
        folder, written = model_folder(TMP / "refusing"), []
        made = questions.make(lambda x: tokenizer().encode(x).ids, np.load(folder / "heldout.npy"), [LENGTH], 4, 1, dict(fn=questions.CODE["fn"]))
        questions.written(folder / "questions.json", made)
        os.replace(folder / "heldout.npy", folder / "text.npy")
        limits = argparse.Namespace(lengths=[LENGTH], questions=4, texts=1, tokens=4 * LENGTH, deadline=math.inf, time_lengths=[], time_heads=2, device="cpu")
        chosen = policies.parse_all(["p=.5", "flexprefill:gamma=0.5", "xattention:stride=3"])
        asked = questions.Questions(folder)
        report = measure.run(small.load(folder, "cpu"), asked, chosen, limits, {}, written.append, lambda line: None, {"p=.5": "no such program"})
        self.assertEqual({n for n, policy in report["policies"].items() if policy["lengths"]}, {"dense", "flexprefill:gamma=0.5"})
        self.assertEqual(report["policies"]["p=.5"]["refused"], "no such program")
        self.assertIn("RuntimeError", report["policies"]["xattention:stride=3"]["failed"])
        self.assertEqual(report["holding"], [])
        lines = measure.table(report)
        self.assertEqual(sum("refused: no such program" in line for line in lines), 1)
        self.assertEqual(len(written), 3)

        limits.deadline = 0
        self.assertEqual(measure.run(None, asked, chosen, limits, {}, written.append, lambda line: None)["skipped"], [p.name for p in chosen])

    def test_windowed(self):
        generator = torch.Generator().manual_seed(1)
        for length in (8, 20, 24):
            q, k, v = (torch.randn(2, heads, length, 4, generator=generator) for heads in (2, 1, 1))
            i, j = torch.arange(length)[:, None], torch.arange(length)
            wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=(j <= i) & (j > i - 8), scale=0.3, enable_gqa=True)
            torch.testing.assert_close(gemma.windowed(q, k, v, 8, 0.3), wanted)

    @torch.no_grad()
    def test_gemma(self):
        """Both kinds of layers, held against Transformers' own attention."""
        torch.manual_seed(2)
        config = transformers.Gemma3TextConfig(
            vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=1, head_dim=16,
            sliding_window=16, query_pre_attn_scalar=16, layer_types=["sliding_attention", "full_attention", "sliding_attention"],
        )  # fmt: skip
        net = transformers.Gemma3ForCausalLM(config).eval()
        ids = torch.randint(3, 64, (2, 70), generator=torch.Generator().manual_seed(3))
        net.set_attn_implementation("eager")
        wanted = net(ids, use_cache=False).logits
        wrapped, layers = gemma.Gemma(net), []
        self.assertEqual((wrapped.layers, wrapped.scale), (1, None))

        def attend(q, k, v, layer, scale):
            layers.append(layer)
            return policies.parse("dense").attend(q, k, v, scale)[0]

        torch.testing.assert_close(wrapped.logits(wrapped.hidden(ids, attend)), wanted, atol=1e-4, rtol=1e-3)
        self.assertEqual(layers, [0])


class Reference(unittest.TestCase):
    def test_is_ours(self):
        """The selection in torch is the compiled one."""
        generator = torch.Generator().manual_seed(4)
        q, k = (torch.randn(2, heads, 1024, 16, generator=generator) for heads in (4, 2))
        q[:, :, 700:710] *= 6
        for options in (dict(p=0.6), dict(p=0.7, representatives=4, spread=8, last=2, sink=2, local=3, pooling=(16, 8)), dict(p=1.0)):
            counts, indices = rivals.selection(reference.mask(q, k, 0.25, **options))
            _, wanted, blocks = unisparse.attention(q, k, k, return_selection=True, **{**policies.PLAIN, **options})
            self.assertTrue(torch.equal(counts, wanted), options)
            self.assertTrue(torch.equal(indices, blocks), options)

    def test_refused(self):
        with self.assertRaisesRegex(ValueError, "expected whole blocks of 128 tokens, got 100"):
            reference.mask(*(torch.zeros(1, 1, 100, 16) for _ in range(2)), 0.25)


class Rivals(unittest.TestCase):
    def inputs(self, length, seed=0, heads=4, kv_heads=2, dim=8):
        generator = torch.Generator().manual_seed(seed)
        return [2 * torch.randn(1, h, length, dim, generator=generator) for h in (heads, kv_heads)]

    def test_selection(self):
        mask = torch.tensor([[1, 0, 0], [1, 0, 1], [0, 0, 0]], dtype=torch.bool)
        counts, indices = rivals.selection(mask)
        self.assertEqual((counts.tolist(), indices.tolist()), ([1, 2, 0], [[0, 0, 0], [0, 2, 0], [0, 0, 0]]))
        self.assertEqual((counts.dtype, indices.dtype), (torch.int32, torch.int32))

    def test_covering(self):
        mass = torch.tensor([[1, 4, 2, 3]])
        for share, wanted in ((0, [1, 0, 0, 0]), (0.1, [1, 0, 0, 0]), (0.11, [1, 1, 0, 0]), (0.5, [1, 1, 0, 0]), (0.51, [1, 1, 0, 1]), (0.81, [1, 1, 1, 1])):
            forced = torch.tensor([[True, False, False, False]])
            self.assertEqual(rivals.covering(mass.double(), forced, share).int().tolist(), [wanted], share)

    def test_xattention(self):
        """Against the antidiagonals' sums, one by one."""
        block, stride, length = 4, 2, 24
        q, k = self.inputs(length)
        rows, groups = length // block, length // stride
        for tau in (0.3, 0.8):
            mask = rivals.xattention(q, k, 0.5, block, stride, tau)
            for head in range(4):
                logits = torch.full((groups, groups), -math.inf)
                for a in range(groups):
                    for b in range(a + 1):
                        pairs = [(a * stride + stride - 1 - i, b * stride + i) for i in range(stride)]
                        logits[a, b] = sum(q[0, head, x] @ k[0, head // 2, y] for x, y in pairs) * 0.5 / stride
                mass = logits.softmax(-1).reshape(rows, block // stride, rows, block // stride).sum((1, 3))
                for r in range(rows):
                    taken = {0, r}
                    for j in sorted(set(range(r + 1)) - taken, key=lambda j: -mass[r, j]):
                        if sum(mass[r, x] for x in taken) >= tau * mass[r].sum():
                            break
                        taken.add(j)
                    self.assertEqual(mask[0, head, r].nonzero()[:, 0].tolist(), sorted(taken))
        every = rivals.xattention(q, k, 0.5, block, stride, 1.1)
        self.assertTrue((every == rivals.candidates(rows, "cpu")).all())
        least = rivals.xattention(q, k, 0.5, block, stride, 0.0)
        self.assertEqual(least.sum(-1)[0, 0].tolist(), [1, 2, 2, 2, 2, 2])

    def test_xattention_finds_a_needle(self):
        """One key block whose keys meet a query block's rows: it is taken first, by that row alone."""
        q, k = torch.zeros(1, 1, 32, 4), torch.zeros(1, 1, 32, 4)
        q[0, 0, 24:28, 0], k[0, 0, 8:12, 0] = 9, 9
        mask = rivals.xattention(q, k, 0.5, 4, 2, 0.5)
        self.assertEqual(mask[0, 0, 6].nonzero()[:, 0].tolist(), [0, 2, 6])

    def test_diagonals(self):
        x = torch.arange(12.0).reshape(1, 1, 3, 4)
        # Row 2 is 8 9 10 11; the diagonal that ends in 10 has 5 and 0.
        self.assertEqual(rivals.diagonal_sums(x).tolist(), [[[8, 9 + 4, 10 + 5 + 0, 11 + 6 + 1]]])

    def test_flexprefill(self):
        """A head whose last queries see one column and one diagonal: these, the first column and the diagonal."""
        block, length = 128, 1024
        rows = length // block
        dim = 64
        q, k = torch.zeros(1, 1, length, dim), torch.zeros(1, 1, length, dim)
        k[0, 0, 300, 0], q[0, 0, :, 0] = 40, 40  # Column 300, in block 2.
        mask = rivals.flexprefill(q, k, 1.0, block, gamma=0.9, tau=0.0, min_budget=256)[0, 0]
        wanted = torch.zeros(rows, rows, dtype=torch.bool)
        # Two columns: the first and that one; two diagonals: the main one, and that of the heaviest distances, 5 blocks back.
        wanted[:, 0] = wanted[:, 2] = True
        wanted |= torch.eye(rows, dtype=torch.bool) | torch.ones(rows, rows).tril(-5).triu(-5).bool()
        self.assertEqual((mask ^ (wanted & rivals.candidates(rows, "cpu"))).sum(), 0, mask.int())

    def test_flexprefill_budget(self):
        q, k = self.inputs(640)
        short = rivals.flexprefill(q, k, 0.3, 128, min_budget=1024)
        self.assertTrue((short == rivals.candidates(5, "cpu")).all())
        # Flat attention needs most tokens for its share: nearly all columns.
        flat = rivals.flexprefill(0 * q, k, 0.3, 128, gamma=0.95, tau=0.0, min_budget=128)
        self.assertTrue((flat == rivals.candidates(5, "cpu")).all())

    def test_flexprefill_aware(self):
        """Where the pooled estimate is what the last queries see, the heaviest blocks of the pooled map are taken."""
        block, length = 32, 256
        rows, dim = length // block, 16
        q, k = torch.zeros(1, 1, length, dim), torch.zeros(1, 1, length, dim)
        for r in range(rows):
            q[0, 0, r * block : (r + 1) * block, r] = 30
            k[0, 0, r * block : (r + 1) * block, r] = 1
        # Row r sees the keys of block r; block 5 asks for block 3 as well as for its own.
        q[0, 0, 5 * block : 6 * block, 3] = 30
        mask = rivals.flexprefill(q, k, 1.0, block, gamma=0.99, tau=1.0, min_budget=32)[0, 0]
        self.assertTrue(mask[5, 3])
        self.assertEqual(mask.sum(-1).tolist(), [1, 2, 2, 2, 2, 3, 2, 2])
        without = rivals.flexprefill(q, k, 1.0, block, gamma=0.99, tau=0.0, min_budget=32)[0, 0]
        self.assertFalse(without[5, 3])


if __name__ == "__main__":
    unittest.main()

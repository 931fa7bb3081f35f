# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# REQUIRES: torch, diffusers
# RUN: rm -rf %t && env %host_programs HF_HUB_OFFLINE=1 %python %s %t
"""Attention of a small, random video transformer by ours: not causal, [B, L, H, D], to itself and to a text; at p = 1 the
video is that of dense attention. Other models by torch's attention alone."""

import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent  # Out of the path: a test there is called cuda, as a module that torch imports.
sys.path[:1] = [str(HERE.parent.parent / "python")]
TMP = pathlib.Path(sys.argv.pop())

import torch
from diffusers import WanTransformer3DModel
from diffusers.models import attention_dispatch

import unisparse
from unisparse.integrations.diffusers import sparse_attention

OPTIONS = dict(block=(32, 32), min_length=64)


def sdpa(*arguments, **options):
    return torch.nn.functional.scaled_dot_product_attention(*arguments, **options)


def qkv(lq=100, lk=130, hq=4, hkv=4, dtype=torch.float32):
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(2, h, n, 16, generator=generator).to(dtype) for h, n in ((hq, lq), (hkv, lk), (hkv, lk))]


class WithDiffusers(unittest.TestCase):
    def setUp(self):
        torch.set_grad_enabled(False)
        torch.manual_seed(3)
        self.addCleanup(torch.set_grad_enabled, True)

    def video(self):
        """180 places of 5 frames, and a text of 80."""
        net = WanTransformer3DModel(
            num_attention_heads=2, attention_head_dim=16, in_channels=4, out_channels=4, text_dim=24, freq_dim=16, ffn_dim=32, num_layers=2
        ).eval()
        inputs = dict(hidden_states=torch.randn(1, 4, 5, 12, 12), timestep=torch.tensor([500]), encoder_hidden_states=torch.randn(1, 80, 24))
        return lambda: net(**inputs).sample

    def test_video(self):
        net = self.video()
        dense = net()
        with sparse_attention(p=1.0, **OPTIONS) as report:
            torch.testing.assert_close(net(), dense, atol=1e-4, rtol=1e-4)
        self.assertEqual((report.sparse, report.fallback), (4, {}))  # Two layers, to itself and to the text.
        with sparse_attention(top_k=1, sink=0, local=0, map_folder=TMP / "maps", most_maps=2, **OPTIONS) as report:
            self.assertFalse(torch.allclose(net(), dense, atol=1e-4))
        self.assertEqual(report.sparse, 4)
        self.assertEqual(sorted(path.name for path in (TMP / "maps").iterdir()), ["0001-180x180.png", "0002-180x80.png"])
        for path, density in (("0001-180x180.png", 1 / 6), ("0002-180x80.png", 1 / 3)):
            self.assertIn(b"density\0" + " ".join([f"{density:.4f}"] * 2).encode(), (TMP / "maps" / path).read_bytes())
        self.assertTrue(torch.equal(net(), dense))

    def test_text_is_short(self):
        net = self.video()
        with sparse_attention(p=1.0, block=(32, 32), min_length=100) as report:
            net()
        self.assertEqual((report.sparse, report.fallback), (2, dict(short=2)))
        self.assertEqual(str(report), "2 sparse, 2 fallback (2 short)")

    def test_other_backends(self):
        """Those that are no form of SDPA are replaced in Diffusers' table, and put back."""
        registry, name = attention_dispatch._AttentionBackendRegistry, attention_dispatch.AttentionBackendName.FLASH
        before, calls = dict(registry._backends), []
        original = registry._backends[name]
        registry._backends[name] = lambda query, key, value, **more: calls.append(more) or sdpa(*(x.transpose(1, 2) for x in (query, key, value))).transpose(1, 2)
        try:
            q, k, v = (x.transpose(1, 2) for x in qkv())
            attend = lambda **more: attention_dispatch.dispatch_attention_fn(q, k, v, backend=name, **more)
            wanted = attend()
            with sparse_attention(p=1.0, **OPTIONS) as report:
                found = attend()
                self.assertEqual(len(calls), 1)
                self.assertEqual((report.sparse, report.fallback), (1, {}))
                attend(attention_kwargs=dict(return_lse=True))
            self.assertEqual((len(calls), report.fallback), (2, dict(return_lse=1)))
            torch.testing.assert_close(found, wanted)
            attend()
            self.assertEqual(len(calls), 3)
        finally:
            registry._backends[name] = original
        self.assertEqual(registry._backends, before)

    def test_means_what_sdpa_means(self):
        for shape, options in (
            (dict(), dict(scale=0.3)),
            (dict(lq=130), dict(is_causal=True)),
            (dict(), dict(is_causal=True)),  # From the top left.
            (dict(hkv=2), dict(enable_gqa=True)),
            (dict(dtype=torch.bfloat16), dict()),
        ):
            with self.subTest(**shape, **options):
                tensors = qkv(**shape)
                wanted = sdpa(*tensors, **options)
                with sparse_attention(p=1.0, **OPTIONS) as report:
                    torch.testing.assert_close(sdpa(*tensors, **options), wanted, atol=1e-5 if wanted.dtype == torch.float32 else 4e-3, rtol=1e-4)
                self.assertEqual(report.sparse, 1)
        layer = torch.nn.MultiheadAttention(32, 2, batch_first=True).eval()
        x = torch.randn(2, 100, 32)
        wanted, _ = layer(x, x, x, need_weights=False)
        with sparse_attention(p=1.0, **OPTIONS) as report, torch.enable_grad(), torch.no_grad():
            layer.train()
            torch.testing.assert_close(layer(x, x, x, need_weights=False)[0], wanted)
        self.assertEqual(report.sparse, 1)

    def test_padding(self):
        """Keys that are there or not, as models with a text have them beside a video: without padding, and sparse."""
        q, k, v = qkv()
        same, other, holes = (torch.ones(2, 130, dtype=torch.bool) for _ in range(3))
        same[:, 90:] = False
        other[0, 70:], other[1, :20] = False, False
        holes[:, 50:60] = False
        for padding, sparse in ((same, 1), (other, 1), (other[:1], 1), (holes, 0)):
            mask = padding[:, None, None]
            wanted = sdpa(q, k, v, mask)
            with sparse_attention(p=1.0, **OPTIONS) as report:
                torch.testing.assert_close(sdpa(q, k, v, attn_mask=mask), wanted)
            self.assertEqual((report.sparse, report.fallback), (sparse, {} if sparse else dict(mask=1)))
        mask = torch.ones(1, 1, 1, 130, dtype=torch.bool)
        with sparse_attention(p=1.0, **OPTIONS) as report:
            for _ in range(2):
                torch.testing.assert_close(sdpa(q, k, v, mask), sdpa(q, k, v))
            mask[..., 100:] = False  # Another mask in the same tensor.
            torch.testing.assert_close(sdpa(q, k, v, mask), sdpa(q, k[:, :, :100], v[:, :, :100]))
            mask[..., 30:] = False
            sdpa(q, k, v, mask)
        self.assertEqual((report.sparse, report.fallback), (6, dict(short=1)))
        with torch.inference_mode(), sparse_attention(p=1.0, **OPTIONS) as report:
            for end in (100, 80):
                mask = torch.ones(1, 1, 1, 130, dtype=torch.bool)
                mask[..., end:] = False
                torch.testing.assert_close(sdpa(q, k, v, mask), sdpa(q, k[:, :, :end], v[:, :, :end]))
        self.assertEqual(report.sparse, 4)

    def test_left_as_it_is(self):
        q, k, v = qkv()
        for arguments, options, reason in (
            ((q, k, v, torch.ones(100, 130, dtype=torch.bool)), {}, "mask"),
            ((q, k, v, torch.zeros(2, 1, 1, 130)), {}, "mask"),
            ((q, k, v), dict(dropout_p=0.5), "dropout"),
            ((k, q, q), dict(is_causal=True), "more queries than keys"),
            ((q[:, :, :10], k, v), {}, "few queries"),
            ((q, k[:, :, :10], v[:, :, :10]), {}, "short"),
            ((q[0], k[0], v[0]), {}, "dimensions"),
            ((q, k[:, :1], v[:, :1]), {}, "sizes"),
            ((q.double(), k.double(), v.double()), {}, "type"),
            ((q.clone().requires_grad_(), k, v), {}, "gradient"),
            ((q.to("meta"), k.to("meta"), v.to("meta")), {}, "device"),
        ):
            with self.subTest(reason), torch.set_grad_enabled(reason == "gradient"):
                torch.manual_seed(1)
                wanted = sdpa(*arguments, **options)
                torch.manual_seed(1)
                with sparse_attention(p=1.0, **OPTIONS) as report:
                    found = sdpa(*arguments, **options)
                self.assertEqual((report.sparse, report.fallback), (0, {reason: 1}))
                self.assertTrue(found.is_meta or torch.equal(found, wanted))

    def test_autocast(self):
        tensors = qkv()
        with torch.autocast("cpu", torch.bfloat16):
            wanted = sdpa(*tensors)
            with sparse_attention(p=1.0, **OPTIONS):
                found = sdpa(*tensors)
        self.assertEqual(found.dtype, torch.bfloat16)
        torch.testing.assert_close(found, wanted, atol=4e-3, rtol=1e-2)

    def test_ends_with_its_context(self):
        before = torch.nn.functional.scaled_dot_product_attention
        with self.assertRaisesRegex(ValueError, "mine"), sparse_attention(p=1.0):
            with sparse_attention(p=1.0, **OPTIONS) as inner:
                sdpa(*qkv())
            self.assertEqual(inner.sparse, 1)
            raise ValueError("mine")
        self.assertIs(torch.nn.functional.scaled_dot_product_attention, before)

    def test_refused(self):
        (TMP / "file").parent.mkdir(parents=True, exist_ok=True)
        (TMP / "file").write_text("")
        for options, message in (
            (dict(p=2), r"^p: expected \[L3\] shares in \[0, 1\], got 2.0$"),
            (dict(min_length="x"), "^min_length: expected an integer of at least 0, got 'x'$"),
            (dict(causal=True), "^causal: expected an option among block, p, .*, got none of them$"),
            (dict(map_folder=TMP / "file"), "^map_folder: expected a folder that can be made, got .*File exists"),
        ):
            with self.assertRaisesRegex(unisparse.Error, message), sparse_attention(**options):
                pass


if __name__ == "__main__":
    unittest.main()

# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
# REQUIRES: torch, transformers
# RUN: env %host_programs HF_HUB_OFFLINE=1 %python %s
"""Transformers' attention by ours: at p = 1 the logits are those of eager attention, whatever mask and cache; what is not
ours is counted by its reason. Models are small and random."""

import os
import pathlib
import sys
import unittest

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent  # Out of the path: a test there is called cuda, as a module that torch imports.
sys.path[:1] = [str(HERE.parent.parent / "python")]

import torch
import transformers
from transformers import DynamicCache, StaticCache

import unisparse
from unisparse.integrations.transformers import register, report

SIZES = dict(
    vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, head_dim=16,
    max_position_embeddings=512, tie_word_embeddings=False, pad_token_id=0, bos_token_id=1, eos_token_id=2, initializer_range=0.2,
)  # fmt: skip
BLOCK = dict(block=(32, 32))


def model(kind="Llama", **options):
    torch.manual_seed(5)
    config = getattr(transformers, f"{kind}Config")(**{**SIZES, **options})
    return getattr(transformers, f"{kind.replace('Text', '')}ForCausalLM")(config).eval()


def tokens(length, batch=1, seed=3):
    return torch.randint(3, 64, (batch, length), generator=torch.Generator().manual_seed(seed))


class WithTransformers(unittest.TestCase):
    def setUp(self):
        grad = torch.set_grad_enabled(False)
        self.addCleanup(torch.set_grad_enabled, grad.prev if hasattr(grad, "prev") else True)
        register(p=1.0, min_length=64, **BLOCK)

    def both(self, net, ids, keep=None, **options):
        """The logits, ours and eager attention's; each with a cache of its own where `cache` makes one."""
        logits, cache = [], options.pop("cache", lambda: None)
        for implementation in ("eager", "unisparse"):
            net.set_attn_implementation(implementation)
            logits.append(net(ids, cache=cache(), **options).logits)
        for x in range(2) if keep is not None else ():
            logits[x] = logits[x][keep.bool()]
        torch.testing.assert_close(logits[1], logits[0], atol=2e-4, rtol=1e-3)
        return logits[1]

    def counted(self, sparse, **fallback):
        found = report("unisparse")
        self.assertEqual((found.sparse, found.fallback), (sparse, {name.replace("_", " "): n for name, n in fallback.items()}))

    def test_families(self):
        for kind, options, sparse, fallback in (
            ("Llama", dict(num_hidden_layers=2), 2, {}),
            ("Qwen2", {}, 1, {}),
            ("Qwen3", {}, 1, {}),
            ("Qwen3", dict(num_hidden_layers=2, use_sliding_window=True, sliding_window=50, max_window_layers=1), 2, {}),
            ("Gemma", {}, 1, {}),
            ("Gemma2", dict(sliding_window=50), 1, {}),
            ("Gemma2", dict(attn_logit_softcapping=1.5, num_hidden_layers=2, sliding_window=50), 2, {}),
            ("Gemma2", dict(attn_logit_softcapping=None, num_hidden_layers=2, sliding_window=50), 2, {}),
            ("Gemma2", dict(attn_logit_softcapping=None, num_hidden_layers=2, sliding_window=500), 2, {}),
            ("Gemma3Text", dict(num_hidden_layers=2, sliding_window=50, layer_types=["sliding_attention", "full_attention"]), 2, {}),
            ("GptOss", dict(num_local_experts=2, num_experts_per_tok=1, layer_types=["full_attention"]), 1, {}),
            ("GptOss", dict(num_local_experts=2, num_experts_per_tok=1, sliding_window=50, layer_types=["sliding_attention"]), 1, {}),
        ):
            with self.subTest(kind, **options):
                register(p=1.0, min_length=64, **BLOCK)
                self.both(model(kind, **options), tokens(150))
                self.counted(sparse, **fallback)

    def test_selects(self):
        """At p < 1 a layer is `attention` with these options."""
        net, ids = model(), tokens(150)
        register(min_length=64, top_k=1, **BLOCK)
        net.set_attn_implementation("unisparse")
        seen = []
        kept = net.model.layers[0].self_attn.o_proj.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
        taken = []
        sdpa = torch.nn.functional.scaled_dot_product_attention
        net(ids)
        net.set_attn_implementation("sdpa")
        torch.nn.functional.scaled_dot_product_attention = lambda q, k, v, **options: taken.append((q, k, v)) or sdpa(q, k, v, **options)
        try:
            net(ids)
        finally:
            torch.nn.functional.scaled_dot_product_attention = sdpa
            kept.remove()
        q, k, v = taken[0]
        wanted = unisparse.attention(q, k, v, top_k=1, dense_below=63, **BLOCK)
        torch.testing.assert_close(seen[0], wanted.transpose(1, 2).reshape(1, 150, -1))
        self.assertFalse(torch.allclose(seen[0], seen[1], atol=1e-3))

    def test_padded_batches(self):
        net = model()
        for lengths, side in (((150, 90), "left"), ((150, 90), "right"), ((100, 150, 0), "left"), ((120, 120), "left")):
            with self.subTest(lengths=lengths, side=side):
                keep = torch.zeros(len(lengths), 150, dtype=torch.long)
                for row, length in zip(keep, lengths):
                    row[150 - length :] = 1 if side == "left" else row[150 - length :]
                    if side == "right":
                        row[:length] = 1
                ids = tokens(150, len(lengths)) * keep
                register(p=1.0, min_length=64, **BLOCK)
                positions = (keep.cumsum(1) - 1).clamp(min=0)
                self.both(net, ids, keep, attention_mask=keep, position_ids=positions)
                self.counted(1)
        keep[:, 20:30] = 0
        keep[:, 5:15] = 1
        register(p=1.0, min_length=64, **BLOCK)
        self.both(net, ids, keep, attention_mask=keep)
        self.counted(0, mask=1)

    def test_static_cache(self):
        """More places than tokens, and no mask: SDPA's causality starts at the top left, and keys behind it are nobody's."""
        net, ids = model(), tokens(300)
        alone = self.both(net, ids)
        self.counted(1)
        cached = self.both(net, ids, cache=lambda: StaticCache(config=net.config, max_cache_len=400))
        self.counted(2)
        torch.testing.assert_close(cached, alone, atol=2e-4, rtol=1e-3)
        # Asked without a mask at all, as by callers that make none.
        q, k, v = (torch.randn(1, h, n, 16, generator=torch.Generator().manual_seed(2)) for h, n in ((4, 300), (2, 400), (2, 400)))
        layer, by_name = net.model.layers[0].self_attn, transformers.AttentionInterface()
        ours, theirs = (by_name[name](layer, q, k, v, None, scaling=0.25)[0] for name in ("unisparse", "sdpa"))
        torch.testing.assert_close(ours, theirs)

    def test_chunks(self):
        net, ids = model(num_hidden_layers=2), tokens(300)
        net.set_attn_implementation("eager")
        whole = net(ids).logits
        net.set_attn_implementation("unisparse")
        for cache in (DynamicCache, lambda: StaticCache(config=net.config, max_cache_len=400)):
            register(p=1.0, min_length=64, **BLOCK)
            past, chunks = cache(), []
            for chunk in ids.split(100, 1):
                chunks.append(net(chunk, cache=past).logits)
            torch.testing.assert_close(torch.cat(chunks, 1), whole, atol=2e-4, rtol=1e-3)
            self.counted(6)
        # Chunks of a padded batch.
        keep = torch.ones(2, 300, dtype=torch.long)
        keep[0, :130] = 0
        ids = tokens(300, 2) * keep
        positions = (keep.cumsum(1) - 1).clamp(min=0)
        net.set_attn_implementation("eager")
        whole = net(ids, attention_mask=keep, position_ids=positions).logits
        net.set_attn_implementation("unisparse")
        register(p=1.0, min_length=64, **BLOCK)
        past, chunks = DynamicCache(), []
        for end in (100, 200, 300):
            part = slice(end - 100, end)
            chunks.append(net(ids[:, part], attention_mask=keep[:, :end], position_ids=positions[:, part], cache=past).logits)
        torch.testing.assert_close(torch.cat(chunks, 1)[keep.bool()], whole[keep.bool()], atol=2e-4, rtol=1e-3)
        self.counted(6)

    def test_generates(self):
        net, ids = model(), tokens(100)
        keep = torch.ones_like(ids)
        wanted = net.generate(ids, attention_mask=keep, max_new_tokens=5, min_new_tokens=5, do_sample=False)
        net.set_attn_implementation("unisparse")
        found = net.generate(ids, attention_mask=keep, max_new_tokens=5, min_new_tokens=5, do_sample=False)
        self.assertTrue(torch.equal(found, wanted))
        self.counted(1, decoding=4)
        self.assertEqual(str(report("unisparse")), "1 sparse, 4 fallback (4 decoding)")

    def test_falls_back(self):
        net, ids = model(), tokens(150)
        self.both(net, ids[:, :60])
        self.counted(0, short_prompt=1)
        register(p=1.0, min_length=200, **BLOCK)
        self.both(net, ids)
        self.counted(0, short_prompt=1)
        # Short in a cache with many places.
        self.both(net, ids, cache=lambda: StaticCache(config=net.config, max_cache_len=400))
        self.counted(0, short_prompt=2)
        register(p=1.0, min_length=64, **BLOCK)
        band = torch.ones(150, 150).tril().triu(-40)[None, None]
        self.both(net, ids, attention_mask=band.log().clamp(min=-1e9))
        self.counted(0, mask=1)
        # Packed sequences by positions.
        register(p=1.0, min_length=64, **BLOCK)
        self.both(net, ids, position_ids=torch.cat([torch.arange(70), torch.arange(80)])[None], use_cache=False)
        self.counted(0, mask=1)
        with torch.enable_grad():
            register(p=1.0, min_length=64, **BLOCK)
            self.both(net, ids)
            self.counted(0, gradient=1)
            torch.manual_seed(1)
            dropping = model(attention_dropout=0.5).train()
            dropping.set_attn_implementation("unisparse")
            dropping(ids)
            self.assertEqual(report("unisparse").fallback, dict(gradient=1, dropout=1))
        register("unisparse-eager", fallback="eager", min_length=200)
        net.set_attn_implementation("unisparse-eager")
        ours = net(ids).logits
        net.set_attn_implementation("eager")
        self.assertTrue(torch.equal(ours, net(ids).logits))
        self.assertEqual(str(report("unisparse-eager")), "0 sparse, 1 fallback (1 short prompt)")

    def test_short_ones_in_a_batch_are_dense(self):
        """Whoever is in a batch with them."""
        register(top_k=1, min_length=100, **BLOCK)
        net, ids = model(), tokens(150, 2)
        keep = torch.ones_like(ids)
        keep[1, :60] = 0
        net.set_attn_implementation("unisparse")
        found = net(ids, attention_mask=keep).logits
        net.set_attn_implementation("eager")
        wanted = net(ids, attention_mask=keep).logits
        torch.testing.assert_close(found[1, 60:], wanted[1, 60:], atol=2e-4, rtol=1e-3)
        self.assertFalse(torch.allclose(found[0], wanted[0], atol=1e-2))

    def test_bidirectional(self):
        torch.manual_seed(5)
        config = transformers.ModernBertConfig(
            **{**SIZES, "head_dim": 8}, global_attn_every_n_layers=1, cls_token_id=1, sep_token_id=2
        )
        net, ids = transformers.ModernBertModel(config).eval(), tokens(150, 2)
        keep = torch.ones_like(ids)
        keep[1, 100:] = 0
        for mask in (None, torch.ones_like(ids), keep):
            register(p=1.0, min_length=64, **BLOCK)
            found = []
            for implementation in ("eager", "unisparse"):
                net.set_attn_implementation(implementation)
                found.append(net(ids, attention_mask=mask).last_hidden_state[(keep if mask is not None else torch.ones_like(ids)).bool()])
            torch.testing.assert_close(found[1], found[0], atol=2e-4, rtol=1e-3)
            self.counted(1)

    def test_compiled(self):
        """The operator is in the graph: at one block a row the fallback gives other logits."""
        register(top_k=1, min_length=64, **BLOCK)
        net, ids = model(), tokens(150)
        net.set_attn_implementation("unisparse")
        wanted = net(ids).logits
        compiled = torch.compile(net, backend="aot_eager", fullgraph=True)
        torch.testing.assert_close(compiled(ids, cache=DynamicCache()).logits, wanted)

    def test_compiled_decoding(self):
        """A static cache's steps, whose lengths are tensors."""
        net, ids = model(), tokens(101)
        net.set_attn_implementation("eager")
        wanted = net(ids).logits[:, -1]
        net.set_attn_implementation("unisparse")
        cache = StaticCache(config=net.config, max_cache_len=128)
        net(ids[:, :100], cache=cache)
        step = torch.compile(net, backend="aot_eager", fullgraph=True)(ids[:, 100:], cache=cache)
        torch.testing.assert_close(step.logits[:, -1], wanted, atol=2e-4, rtol=1e-3)

    def test_mask_is_a_mask_to_others(self):
        """Who looks into it finds the fallback's; who moves it to a device still has its spans."""
        made = transformers.AttentionMaskInterface()["unisparse"](batch_size=1, q_length=100, kv_length=110, q_offset=10, device="cpu")
        self.assertEqual((made.shape, made.dtype), ((1, 1, 100, 110), torch.bool))
        self.assertTrue(torch.equal(made[0, 0], torch.ones(100, 110, dtype=torch.bool).tril(10)))
        self.assertIs(made.to("cpu"), made)

    def test_refused(self):
        for arguments, options, message in (
            ((), dict(fallback="spda"), "fallback: expected an attn_implementation among eager, flash_attention_2,"),
            ((), dict(fallback="unisparse"), "fallback: expected an attn_implementation among"),
            (("sdpa",), {}, "name: expected one that Transformers has no attention of, got 'sdpa'"),
            (("",), {}, "name: expected the name of an attn_implementation, got ''"),
            ((), dict(p=1.5), "p: expected [L3] shares in [0, 1], got 1.5"),
            ((), dict(min_length=-1), "min_length: expected an integer of at least 0, got -1"),
            ((), dict(causal=False), "causal: expected an option among block, p, relax, top_k"),
            ((), dict(pooling=(3, 8)), "pooling: expected [I5] a query factor that divides the query block 128, got 3"),
        ):
            with self.subTest(message):
                with self.assertRaises(unisparse.Error) as caught:
                    register(*arguments, **options)
                self.assertIn(message, str(caught.exception))
        with self.assertRaisesRegex(unisparse.Error, "^name: expected one that was registered: unisparse.*, got 'x'$"):
            report("x")
        net = model().double()
        net.set_attn_implementation("unisparse")
        with self.assertRaisesRegex(unisparse.Error, r"^q: expected \[I1\] float32, float16 or bfloat16, got torch.float64$"):
            net(tokens(150))


if __name__ == "__main__":
    unittest.main()

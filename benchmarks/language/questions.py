# Part of the UniSparse project, under the Apache License v2.0 with LLVM Exceptions.
# See LICENSE for license information.
# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Questions about what is hidden in a long text, and plain text for the loss. Needs NumPy and nothing else: a model's
tokenizer is used where questions are made, and what is made is tokens."""

import json

import numpy as np

WORDS = (
    "amber anchor arrow atlas badge basin beacon birch blade bridge cabin canyon cedar cliff cloud comet coral crane crystal delta "
    "desert eagle ember falcon fern flint forest garden glacier harbor hazel island ivory jasper kettle lagoon lantern lotus maple "
    "marble meadow mirror moss nectar oak olive onyx orchid panda pearl pine planet prairie quartz raven reef river ruby saffron "
    "shadow silver spruce star storm summit swan thunder topaz valley velvet walnut willow winter"
).split()
# What is hidden, what is asked, what follows; {a} and {b} are two words, {number} has six digits.
CODE = {
    "niah": ("\n# The magic number of {a}_{b} is {number}.\n", "\n# The magic number of {a}_{b} is", " {number}"),
    "fn": ("\ndef {a}_{b}():\n    return {number}\n", "\nassert {a}_{b}() ==", " {number}"),
}
PROSE = {
    "niah": ("\nOne of the special magic numbers for {a}-{b} is: {number}.\n", "\nThe special magic number for {a}-{b} is:", " {number}"),
    "magic": ("\nThe magic number of {a}_{b} is {number}.\n", "\nThe magic number of {a}_{b} is", " {number}"),
}
PLACES = ("end", "anywhere")


def hidden_in(rng, encode, form, length, place, hidden, asked):
    """-> pieces [(where in the text as a share, tokens, how many of them are an answer)], in the order they stand in."""
    say, ask, answer = form
    keys = {}  # In the order they are drawn.
    while len(keys) < hidden:
        keys[tuple(WORDS[i] for i in rng.integers(0, len(WORDS), 2))] = "".join(map(str, rng.integers(0, 10, 6)))
    chosen, pieces = set(rng.permutation(hidden)[:asked].tolist()), []
    for n, ((a, b), number) in enumerate(keys.items()):
        words, until = dict(a=a, b=b, number=number), 1.0
        if n in chosen:
            until = 1.0 if place == "end" else rng.uniform(0.15, 1.0)
            # Questions at the end follow one another in any order.
            at = until + 1e-3 * rng.uniform() * (place == "end")
            reply = encode(answer.format(**words))
            pieces.append((at, encode(ask.format(**words)) + reply, len(reply)))
        pieces.append((rng.uniform(0, 0.985 * until), encode(say.format(**words)), 0))
    return sorted(pieces, key=lambda piece: piece[0])


def sample(rng, encode, text, length, form, place, hidden=12, asked=4):
    """-> [where the text begins, [[where a piece stands in it, its tokens, how many at its end are an answer], ...]]."""
    pieces = hidden_in(rng, encode, form, length, place, hidden, asked)
    room = length - sum(len(tokens) for _, tokens, _ in pieces)
    if room < hidden:
        raise SystemExit(f"--lengths: expected room for {hidden} hidden sentences and {asked} questions, got {length} tokens")
    if len(text) <= room:
        raise SystemExit(f"--text: expected more than the {room} tokens of one question's text, got {len(text)}")
    begin = int(rng.integers(0, len(text) - room))
    return [begin, [[min(int(at * room), room), tokens, answer] for at, tokens, answer in pieces]]


def make(encode, text, lengths, questions, texts, forms, prefix=(), seed=7, hidden=12, asked=4):
    """Everything that is asked, as JSON has it: for each length the cells "task place" with their samples, and where the
    plain texts begin. `prefix`: tokens in front of every sequence, counted in its length."""
    result = dict(prefix=list(prefix), lengths={})
    for length in lengths:
        rng, room = np.random.default_rng(seed + length), length - len(prefix)
        cells = {
            f"{task} {place}": [sample(rng, encode, text, room, form, place, hidden, asked) for _ in range(-(-questions // asked))]
            for task, form in forms.items()
            for place in PLACES
        }
        begins = [int(x) for x in rng.integers(0, max(len(text) - room, 1), texts)]
        result["lengths"][str(length)] = dict(cells=cells, text=begins)
    return result


def written(path, made):
    path.write_text(json.dumps(made, separators=(",", ":")))


class Sequence:
    """Tokens [length], and where the answers stand in them: a list of places for each."""

    def __init__(self, text, prefix, length, begin, pieces=()):
        parts, self.answers = [np.array(prefix, np.int64)], []
        room = length - len(prefix) - sum(len(tokens) for _, tokens, _ in pieces)
        body, last, stands = text[begin : begin + room].astype(np.int64), 0, len(prefix)
        for at, tokens, answer in pieces:
            parts += [body[last:at], np.array(tokens, np.int64)]
            stands += at - last + len(tokens)
            last = at
            if answer:
                self.answers.append(range(stands - answer, stands))
        self.tokens = np.concatenate([*parts, body[last:]])
        if len(self.tokens) != length:
            raise SystemExit(f"text.npy: expected {length} tokens from {begin} on, got {len(self.tokens)}: not the text of the questions")


class Questions:
    """What `make` made, with the text it is about."""

    def __init__(self, folder):
        self.made, self.text = json.loads((folder / "questions.json").read_text()), np.load(folder / "text.npy")
        self.lengths = [int(length) for length in self.made["lengths"]]

    def cells(self, length, questions=None):
        """{"task place": sequences}, with at least so many questions, or all of them."""
        result = {}
        for cell, samples in self.made["lengths"][str(length)]["cells"].items():
            result[cell] = sequences = []
            for begin, pieces in samples:
                if questions is None or sum(len(one.answers) for one in sequences) < questions:
                    sequences.append(Sequence(self.text, self.made["prefix"], length, begin, pieces))
        return result

    def plain(self, length):
        """A text of any length, of no question."""
        return Sequence(self.text, self.made["prefix"], length, 0)

    def texts(self, length, most=None):
        begins = self.made["lengths"][str(length)]["text"][:most]
        return [Sequence(self.text, self.made["prefix"], length, begin) for begin in begins]

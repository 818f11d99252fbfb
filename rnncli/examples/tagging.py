"""Tagging: the part of speech of each word, where it depends on the words before and after.

In 我 爱 吃 苹果 (I love to eat apples) the word 爱 is an auxiliary, in 我 爱 西红柿 (I love
tomatoes) it is the verb; 画 is to paint or a painting, 锁 to lock or a lock. Whoever reads from
left to right has to tag 爱 before seeing what follows, and cannot get more than 92.7 % of these
words right. A bidirectional network has read the sentence from its other end too.

Sentences differ in length: `pad` makes a rectangle of them, `pack` leaves the padding out again.

    python -m rnncli.examples.tagging
"""

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from rnncli.config.recipe import Recipe
from rnncli.nn import Batch, Config, Model, pack, pad
from rnncli.nn.optim import UpdateStep, new_slots, update
from rnncli.nn.threads import one_blas_thread

Array = NDArray[Any]

TAGS = ("pronoun", "auxiliary", "verb", "noun", "mark")
PRONOUNS, AUXILIARIES = ("我", "你", "他"), ("爱", "要")
VERBS, NOUNS = ("吃", "画", "锁"), ("苹果", "西红柿", "画", "锁")
WORDS = tuple(dict.fromkeys((*PRONOUNS, *AUXILIARIES, *VERBS, *NOUNS, "，")))

Sentence = list[tuple[str, str]]  # words with their tags


class Lesson(NamedTuple):
    """A trained network and the share of words in new sentences that it tags right."""

    model: Model
    accuracy: float


def sentence(rng: np.random.Generator) -> Sentence:
    """Draw one to four clauses: a pronoun, perhaps an auxiliary, a verb and a noun."""
    words: Sentence = []
    for clause in range(rng.integers(1, 5)):
        if clause:
            words.append(("，", "mark"))
        words.append((rng.choice(PRONOUNS), "pronoun"))
        if rng.random() < 0.5:
            words.append((rng.choice(AUXILIARIES), "auxiliary"))
            words.append((rng.choice(VERBS), "verb"))
        else:
            words.append((rng.choice(AUXILIARIES + VERBS), "verb"))
        words.append((rng.choice(NOUNS), "noun"))
    return words


def batch(sentences: Sequence[Sentence]) -> Batch:
    """Pack sentences of any length as ids of words and tags, (N,) each."""
    words = [np.array([WORDS.index(word) for word, _ in s]) for s in sentences]
    tags = [np.array([TAGS.index(tag) for _, tag in s]) for s in sentences]
    lengths = [len(s) for s in sentences]
    x, y = pack(pad(words), lengths), pack(pad(tags), lengths)
    return Batch(x.data, y.data, x.steps)


def tags(model: Model, work: Batch) -> Array:
    """Pick the likeliest tag of each word: (N,)."""
    scores, _ = model.predict(work.x, model.zero_state(work.steps.B), work.steps)  # (K, N)
    return np.asarray(scores.argmax(axis=0))


def lesson(bidirectional: bool, seed: int = 0, steps: int = 200) -> Lesson:
    """Train an LSTM with Adam on random sentences and try it on 500 others."""
    config = Config(
        inputs=len(WORDS), cell="lstm", hidden=16, embed=8, bidirectional=bidirectional,
        head="tags", outputs=len(TAGS),
    )  # fmt: skip
    recipe = Recipe(optimizer="adam", lr=0.02)
    model, rng = Model.initial(config, seed), np.random.default_rng(seed)
    gradient = model.params.like()
    slots = new_slots(recipe, gradient.flat)
    for step in range(1, steps + 1):
        work = batch([sentence(rng) for _ in range(32)])
        model.gradients(work, model.zero_state(work.steps.B), gradient)
        update(recipe, model.params.flat, gradient.flat, slots, UpdateStep(step, recipe.rate))
    test = batch([sentence(rng) for _ in range(500)])
    return Lesson(model, float(np.mean(tags(model, test) == test.y)))


@one_blas_thread()
def main(arguments: Sequence[str] | None = None) -> None:
    """Train a network that reads forward and one that reads both ways, and compare them."""
    parser = argparse.ArgumentParser(description="Tag words with one and with two directions.")
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the sentences")
    options = parser.parse_args(arguments)
    for label, bidirectional in (("forward", False), ("both ways", True)):
        model, accuracy = lesson(bidirectional, options.seed)
        print(f"{label}: {accuracy:.1%} of the words right")
        for text in ("我 爱 吃 苹果", "我 爱 西红柿", "你 要 画 画"):
            words = text.split()
            work = batch([[(word, "noun") for word in words]])  # tags are not looked at
            marked = (f"{w}/{TAGS[t]}" for w, t in zip(words, tags(model, work), strict=True))
            print("  " + " ".join(marked))


if __name__ == "__main__":
    main()

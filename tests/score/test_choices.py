"""What a model thought of each token, against a sort of the whole vocabulary."""

import math

import numpy as np
import pytest

from rnncli.errors import ConfigError
from rnncli.generation.sampling import generate
from rnncli.generation.text import Sample, read_prefix
from rnncli.lm.network import Network
from rnncli.nn import Config, Model
from rnncli.score.choices import Choice, choices
from rnncli.text.tokenizer import Tokenizer

TOKENIZER = Tokenizer.train(["The cat sat on the mat.", "A dog ran; the cat did not."], "char")
MODEL = Model.initial(Config(len(TOKENIZER), hidden=14, embed=6), 1)
MODEL.params["head.W"][:] *= 8


def chosen(model: Model, sample: Sample, alternatives: int) -> list[Choice]:
    assert sample.start is not None
    before, last = sample.start.before, sample.start.prefix.ids[-1]
    return choices(Network(model), before, last, sample.ids, alternatives)


def test_each_choice_is_what_a_sort_says() -> None:
    prefix = read_prefix(TOKENIZER, "The").ids
    for sample in generate(Network(MODEL), TOKENIZER, "The", num=8, length=25):
        found = chosen(MODEL, sample, 4)
        assert [choice.token for choice in found] == sample.ids
        state = MODEL.zero_state(1)
        read = [*prefix, *sample.ids]
        for at, token in enumerate(read[:-1]):
            z, state = MODEL.step(np.array([token]), state)
            if at < len(prefix) - 1:
                continue
            choice, row = found[at - len(prefix) + 1], z[:, 0].astype(float).tolist()
            total = math.log(math.fsum(math.exp(v) for v in row))
            order = sorted(range(len(row)), key=lambda k: (-row[k], k))
            assert choice.token == read[at + 1]
            assert choice.logprob == pytest.approx(row[choice.token] - total, abs=1e-5)
            assert order[choice.rank - 1] == choice.token
            assert [k for k, _ in choice.alternatives] == order[:4]
            for k, logprob in choice.alternatives:
                assert logprob == pytest.approx(row[k] - total, abs=1e-5)


def test_the_figures_do_not_depend_on_the_batch() -> None:
    """To the last bit, unlike those of the samples themselves."""
    rows = []
    for batch in (1, 30):
        samples = list(generate(Network(MODEL), TOKENIZER, "A ", num=30, length=20, batch=batch))
        rows.append([chosen(MODEL, sample, 2) for sample in samples])
    assert rows[0] == rows[1]
    exact = samples[0].rescored([choice.logprob for choice in rows[0][0]])
    assert exact.token_logprobs == [choice.logprob for choice in rows[0][0]]
    assert exact.logprob == pytest.approx(samples[0].logprob, abs=1e-4)


def test_equal_tokens_rank_by_id_and_all_tokens_are_enough() -> None:
    model = Model.initial(Config(len(TOKENIZER), hidden=4), 0)
    model.params["head.W"][:] = 0
    model.params["head.b"][:] = 0
    (sample,) = generate(Network(model), TOKENIZER, length=1)
    (choice,) = chosen(model, sample, 10_000)
    assert choice.rank == choice.token + 1
    assert [k for k, _ in choice.alternatives] == list(range(len(TOKENIZER)))
    assert chosen(model, sample, 0)[0].alternatives == []
    with pytest.raises(ConfigError, match="alternatives"):
        chosen(model, sample, -1)

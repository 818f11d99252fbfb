"""Baselines against plain sums."""

import numpy as np
import pytest
from test_scoring import DOCUMENTS, TEXTS, split_of, unigram

from rnncli.lm.network import Network
from rnncli.lm.ngram import KneserNey
from rnncli.score.baselines import BASELINES, baseline
from rnncli.score.scoring import score, whole_split

TRAIN = split_of(DOCUMENTS, TEXTS * 3)


def test_baselines_are_what_a_network_of_biases_says() -> None:
    split = split_of(DOCUMENTS, TEXTS)
    V = len(DOCUMENTS)
    uniform = score(DOCUMENTS, whole_split(baseline("uniform", DOCUMENTS, TRAIN), DOCUMENTS, split))
    assert uniform.perplexity == pytest.approx(V - 1)
    counts = dict(zip(DOCUMENTS.vocabulary.tokens, DOCUMENTS.vocabulary.counts, strict=True))
    assert (counts["the"], counts["</s>"], counts["<unk>"]) == (2, 3, 0)
    total = sum(counts.values()) - counts["<s>"] + V - 1
    model = unigram(DOCUMENTS, {t: (c + 1) / total if t != "<s>" else 1e-9
                                for t, c in counts.items() if t != "?"})  # fmt: skip
    counted = baseline("unigram", DOCUMENTS, TRAIN)
    found, expected = (whole_split(p, DOCUMENTS, split) for p in (counted, Network(model)))
    np.testing.assert_allclose(found.nats, expected.nats, rtol=1e-5)
    np.testing.assert_allclose(found.ends, expected.ends, rtol=1e-5)


def test_every_baseline_by_its_name() -> None:
    split = split_of(DOCUMENTS, TEXTS[:2])
    each = {name: baseline(name, DOCUMENTS, TRAIN) for name in BASELINES}
    found = {name: whole_split(p, DOCUMENTS, split).nats for name, p in each.items()}
    for order in (2, 5):
        model = KneserNey.train(TRAIN.ids, TRAIN.starts, len(DOCUMENTS), DOCUMENTS.bos, order)
        np.testing.assert_array_equal(found[f"kn{order}"], model.nats(split.ids, split.starts).nats)
    means = [np.nanmean(found[name]) for name in ("uniform", "kn2", "kn5")]
    assert means == sorted(means, reverse=True)

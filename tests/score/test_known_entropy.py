"""The entropies that eval knows are those that the grammar gives."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from rnncli.config.reading import ReadOptions
from rnncli.data.corpus import documents
from rnncli.data.dataset import Dataset
from rnncli.data.document import Skipped
from rnncli.data.tokenize import tokenize
from rnncli.score.known_entropy import fingerprint, known_entropy
from rnncli.text.pretokenizer import Pretokenizer
from rnncli.text.tokenizer import Tokenizer

CORPORA = Path(__file__).parents[2] / "corpora"
sys.path.insert(0, str(CORPORA))

import make_comments  # noqa: E402
from pcfg import Scorer  # noqa: E402


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """comments.csv as `rnncli tokenize --column body` has it by default."""
    path = tmp_path_factory.mktemp("comments") / "d.npz"
    source = documents([CORPORA / "comments.csv"], ReadOptions(column="body"), Skipped())
    tokenize(source, Pretokenizer(), path)
    return Dataset.open(path)


def test_the_known_entropy_is_that_of_the_grammar(dataset: Dataset) -> None:
    tokenizer, split = dataset.tokenizer, dataset.splits["test"]
    tokens = tokenizer.vocabulary.tokens
    scorer = Scorer(
        make_comments.grammar(), tokenizer.pretokenizer.tokens, tokenizer.vocabulary.index
    )
    nats = 0.0
    for a, b in zip(split.starts[:-1], split.starts[1:], strict=True):
        nats += sum(scorer.score([tokens[i] for i in split.ids[a + 1 : b]])[0])
    count = len(split.ids) - split.units
    assert known_entropy(tokenizer, split.ids) == pytest.approx(nats / count, abs=1e-6)


def test_other_text_and_other_vocabularies_have_none(dataset: Dataset) -> None:
    tokenizer, ids = dataset.tokenizer, dataset.splits["test"].ids
    assert known_entropy(tokenizer, dataset.splits["train"].ids) is not None
    changed = ids.copy()
    changed[5] += 1
    other = Tokenizer.train(["a b c"])
    assert known_entropy(tokenizer, changed) is None
    assert known_entropy(tokenizer, ids[:-1]) is None
    assert known_entropy(other, ids) is None


def test_the_fingerprint_does_not_depend_on_how_ids_are_stored(dataset: Dataset) -> None:
    ids = dataset.splits["test"].ids
    wide = ids.astype(np.uint32)
    assert fingerprint(dataset.tokenizer, wide) == fingerprint(dataset.tokenizer, ids)


def test_what_is_recorded_is_what_is_looked_up(dataset: Dataset, tmp_path: Path) -> None:
    tokenizer, split = dataset.tokenizer, dataset.splits["test"]
    bounds = zip(split.starts[:20], split.starts[1:21], strict=True)
    texts = [tokenizer.decode(split.ids[a:b]) for a, b in bounds]
    texts = [text for text in texts if "<unk>" not in text]
    tokenize(texts, Pretokenizer(), tmp_path / "d.npz", vocabulary=tokenizer, split=(1.0,))
    table = tmp_path / "entropies.json"
    table.write_text('{"old": 1.5}')
    make_comments.record_entropy(str(tmp_path / "d.npz"), table)
    small = Dataset.open(tmp_path / "d.npz")
    ((name, nats, lengths),) = make_comments.scored(small)
    assert (name, len(nats)) == ("train", len(texts))
    key = fingerprint(small.tokenizer, small.splits["train"].ids)
    entropy = pytest.approx(sum(nats) / sum(lengths), abs=1e-6)
    assert json.loads(table.read_text()) == {"old": 1.5, key: entropy}

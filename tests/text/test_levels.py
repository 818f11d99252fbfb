"""The table of levels: nobody else asks a level's name, and a row is all that a level needs."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import rnncli
from rnncli.data.dataset import Dataset
from rnncli.data.document import Skipped
from rnncli.data.spool import Spool
from rnncli.data.tokenize import tokenize
from rnncli.errors import ConfigError
from rnncli.lm.language_model import LanguageModel
from rnncli.nn import Config, Model
from rnncli.text.levels import LEVELS, level_of
from rnncli.text.pretokenizer import UNITS, Pretokenizer
from rnncli.text.tokenizer import Tokenizer
from rnncli.training.recipes import load as preset
from rnncli.training.settings import settings_for

SOURCES = [*Path(rnncli.__file__).parent.rglob("*.py")]


def names_compared(source):
    """The comparisons of something called level with a name: == "word", in ("char", "byte")."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Compare):
            sides = [ast.unparse(side) for side in (node.left, *node.comparators)]
            named = any(repr(name) in side for name in LEVELS for side in sides)
            if named and any(side.split(".")[-1] == "level" for side in sides):
                found.append(ast.unparse(node))
    return found


def test_nobody_compares_a_level_by_name():
    assert names_compared("a.b.level == 'word'\nx = level in ('char', 'byte')\nlevel < 3")[1:]
    assert {
        str(path): found for path in SOURCES if (found := names_compared(path.read_text()))
    } == {}


def test_text_alone_asks_by_its_marks_whether_it_is_a_stream():
    asking = [
        path for path in SOURCES if re.search(r"\b[be]os is (not )?None", path.read_text("utf-8"))
    ]
    assert {path.parent.name for path in asking} == {"text"}


def test_a_level_that_is_none_is_named():
    with pytest.raises(ConfigError, match="level 'syllable' is none of word, char, byte"):
        level_of("syllable")


def test_the_presets_of_each_level_are_there():
    for row in LEVELS.values():
        assert preset(row.preset).settings
        assert preset(row.long_preset).settings


@pytest.mark.parametrize("level", LEVELS)
def test_what_a_level_cuts_is_legal_there(level):
    row = LEVELS[level]
    tokens = Pretokenizer(level, lower=row.lower).tokens("Naïve “café” — don't 中文 👩‍👩‍👧!\n")
    assert tokens
    assert all(map(row.legal, tokens))
    assert not row.legal("a b")
    assert set(row.alphabet) <= {token for token in map(chr, range(256)) if row.legal(token)}


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("level", LEVELS)
def test_a_spool_puts_on_the_marks_that_a_tokenizer_does(tmp_path, level, unit):
    texts = ["The cat sat. It purred.\n", "A cat.\n", "Ça va? Oui."]
    rule = Pretokenizer(level, unit)
    with Spool(tmp_path, rule) as spool:
        segment = spool.fill(texts, Skipped())
        numbers = spool.read_numbers(0, segment.tokens)
        lengths = spool.read_records(0, segment.units)["tokens"]
        names = ["<unk>", "<s>", "</s>", *spool.numbers]
    tokenizer = Tokenizer.train(texts, level, 0, unit=unit, lower=True)
    units = [part for text in texts for part in rule.units(text)]
    expected = [tokenizer.wrap(tokenizer.encode(part)) for part in units]
    ids = [tokenizer.vocabulary.index[names[number]] for number in numbers]
    if not rule.is_stream:  # of which a record is a line
        assert lengths.tolist() == [len(part) for part in expected]
    assert ids == np.concatenate(expected).tolist()


class Joined:
    """Joins tokens by a hyphen."""

    def __init__(self, token, tokens):
        self.token, self.first = token, True

    def feed(self, token_id):
        token = self.token(token_id)
        if token in ("<s>", "</s>"):
            return ""
        self.first, before = False, "" if self.first else "-"
        return before + token

    def flush(self):
        return ""

    def fork(self):
        other = Joined(self.token, None)
        other.first = self.first
        return other


def test_a_new_level_is_a_row(tmp_path, monkeypatch):
    row = LEVELS["word"]._replace(
        cut=lambda text, normal: normal(text).replace("-", " ").split(), decoder=Joined,
        separator="-", length=7, preset="characters", vocab_size=5, lower=False,
    )  # fmt: skip
    monkeypatch.setitem(LEVELS, "syllable", row)
    texts = ["Don-key don-key", "mon-key don-key mon"]
    path = tmp_path / "data.npz"
    tokenize(texts, Pretokenizer("syllable", lower=False), path, split=(1.0,))
    data = Dataset.open(path)
    assert data.tokenizer.vocabulary.tokens == ("<unk>", "<s>", "</s>", "key", "don")
    assert data.splits["train"].ids.tolist() == [1, 0, 3, 4, 3, 2, 1, 0, 3, 4, 3, 0, 2]
    trained = Tokenizer.train(texts, "syllable")
    assert trained.fingerprint == data.tokenizer.fingerprint
    assert trained.decode(trained.encode("don-key")) == "don-key"
    config, _ = settings_for(trained)
    assert config.hidden == preset("characters").settings["hidden"]
    model = Model.initial(Config(len(trained), hidden=4), 0)
    language = LanguageModel(model, trained)
    for sample in rnncli.generate(language, "don", num=3, seed=1, length=5):
        assert set(sample.text.split("-")) <= {"", "key", "don"}

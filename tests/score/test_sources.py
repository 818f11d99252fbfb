"""Lines and splits as sources of scores, and rows of them, for a user of the library."""

import json
import math
from pathlib import Path

import pytest
from commands import TINY, good, sentences

import rnncli
from rnncli.lm.mixture import Mixture
from rnncli.score.baselines import baseline
from rnncli.score.rows import rows
from rnncli.score.score import Score
from rnncli.score.scoring import score
from rnncli.score.sources import Data, Scorer, Text


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    (folder / "text.txt").write_text(sentences(60))
    good("tokenize", folder / "text.txt", "-o", folder / "d.npz", "--split", "0.6,0.2,0.2")
    for name, steps in (("a", 20), ("b", 2)):
        good("train", folder / "d.npz", "-o", folder / f"{name}.npz", *TINY, "--max-steps", steps)
    return folder


def test_a_source_has_the_score_that_evaluate_has(folder: Path) -> None:
    language = rnncli.load(folder / "a.npz")
    scorer = Scorer.of(language)
    data = Data(folder / "d.npz", "valid")
    assert data.score(scorer) == rnncli.evaluate(language, folder / "d.npz", "valid")
    assert score(scorer.tokenizer, data.scored(scorer)) == data.score(scorer)
    text = Text(str(folder / "text.txt"))
    lines = (folder / "text.txt").read_text().splitlines()
    assert text.score(scorer) == rnncli.evaluate(language, lines)


@pytest.mark.parametrize("per", ["line", "document"])
def test_rows_add_up_to_the_score(folder: Path, per: str) -> None:
    scorer = Scorer.of(rnncli.load(folder / "a.npz"))
    sources: list[Text | Data] = [Text(str(folder / "text.txt")), Data(folder / "d.npz", "train")]
    for source in sources if per == "document" else sources[:1]:
        whole = source.score(scorer)
        found = list(rows(source, scorer, per))
        assert math.fsum(row["logprob"] for row in found) == pytest.approx(-whole.nats)
        assert sum(row["tokens"] for row in found) == whole.tokens
        again = list(rows(source, scorer, per, 2.0))
        assert again[0]["logprob"] == pytest.approx(found[0]["logprob"] / math.log(2))


def test_two_models_and_any_predictor_can_be_compared(folder: Path) -> None:
    first, second = (Scorer.of(rnncli.load(folder / f"{name}.npz")) for name in "ab")
    data, tokenizer = Data(folder / "d.npz"), first.tokenizer
    counts = baseline("kn2", tokenizer, data.part(tokenizer, "train"))
    both = Mixture([first.predictor, counts], [0.5, 0.5])
    for other in (second, Scorer(counts, tokenizer), Scorer(both, tokenizer)):
        found = data.contest(first, other)
        a, b = (data.score(one) for one in (first, other))
        assert found.scores == (a, b)
        difference = (a.nats - b.nats) / a.tokens
        assert found.difference.mean == pytest.approx(difference, rel=1e-9)
        assert found.difference.low <= difference <= found.difference.high


def test_a_score_is_json_and_none_is_nothing() -> None:
    figures = Score(2.0, 4, ends=1, ends_expected=1.5).to_json()
    assert json.loads(json.dumps(figures))["ends_expected"] == 1.5
    assert not {"ends", "ends_expected"} & set(Score(2.0, 4).to_json())
    total = Score() + Score(ends=2, ends_expected=0.5) + Score(ends=1, ends_expected=2.0)
    assert (total.ends, total.ends_expected) == (3, 2.5)

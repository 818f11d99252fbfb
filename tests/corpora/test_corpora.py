"""The embedded corpora hold what their README says, and the exact entropy is exact."""

import csv
import io
import itertools
import math
import re
import statistics
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from rnncli.data.dataset import Dataset
from rnncli.data.tokenize import tokenize
from rnncli.text.pretokenizer import Pretokenizer

CORPORA = Path(__file__).parents[2] / "corpora"
sys.path.insert(0, str(CORPORA))

import lexicon  # noqa: E402
import make_comments  # noqa: E402
from pcfg import END, Call, Env, Grammar, Scorer, read_rules  # noqa: E402

SPLIT = Pretokenizer().tokens
PAIRS = {"(": ")", "[": "]", "{": "}", "“": "”", "«": "»", '"': '"', "*": "*"}
TABLES = lexicon.tables()


@pytest.fixture(scope="module")
def text() -> str:
    return (CORPORA / "comments.csv").read_bytes().decode("utf-8")


@pytest.fixture(scope="module")
def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.fixture(scope="module")
def tokens(rows: list[dict[str, str]]) -> list[list[str]]:
    return [SPLIT(row["body"]) for row in rows]


# The file


def test_the_program_writes_the_same_bytes_again(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_comments.py", "-o", str(tmp_path / "again.csv")])
    make_comments.main()
    assert (tmp_path / "again.csv").read_bytes() == text.encode("utf-8")


def test_drawing_asks_the_generator_for_nothing_but_random() -> None:
    class OnlyRandom:
        def __init__(self) -> None:
            self._generator = Random(3)

        def random(self) -> float:
            return self._generator.random()

    assert make_comments.grammar().draw(OnlyRandom()) == make_comments.grammar().draw(Random(3))


def test_the_file_is_a_clean_csv_of_modest_size(text: str, rows: list[dict[str, str]]) -> None:
    assert len(text.encode()) <= 6_000_000
    assert len(rows) >= 20_000
    assert tuple(rows[0]) == make_comments.COLUMNS
    assert [row["id"] for row in rows] == [str(i + 1) for i in range(len(rows))]
    assert all(a["created"] <= b["created"] for a, b in itertools.pairwise(rows))
    assert all(int(row["score"]) > -10 for row in rows)


def test_the_comments_hold_what_makes_csv_hard(text: str) -> None:
    bodies = [row[4] for row in csv.reader(io.StringIO(text, newline=""))]
    for awkward in (",", '"', "\n", "🎉", "👩‍🍳", "Привет", "Γεια", "こんにちは", "大家", "مرحبا"):
        assert sum(awkward in body for body in bodies) >= 20, awkward


def test_the_vocabulary_is_large_with_a_long_tail_that_is_rarely_used(
    tokens: list[list[str]],
) -> None:
    counts = Counter(itertools.chain.from_iterable(tokens))
    words = [word for word in counts if word[-1].isalnum()]
    total = sum(counts.values())
    assert len(words) > 8000
    assert 1_000_000 <= total <= 1_200_000
    assert sum(n for _, n in counts.most_common(1000)) > 0.9 * total
    assert sum(n <= 5 for n in counts.values()) > 0.3 * len(counts)
    assert 45 <= statistics.median(map(len, tokens)) <= 60


# What must be remembered


def test_every_mark_closes_with_its_own_kind(rows: list[dict[str, str]]) -> None:
    seen: Counter[str] = Counter()
    for row in rows:
        open_marks: list[str] = []
        for mark in re.findall(r'[()\[\]{}“”«»"*]', row["body"]):
            if open_marks and mark == PAIRS[open_marks[-1]]:
                seen[open_marks.pop()] += 1
            else:
                assert mark in PAIRS, row
                open_marks.append(mark)
        assert not open_marks, row
    assert all(seen[mark] > 200 for mark in PAIRS), seen


def first_and_last(tokens: list[list[str]], name: str) -> Iterator[tuple[int, int]]:
    """Where the first word of a table stands in each text, and where that word stands last."""
    words = {word.lower() for word in TABLES[name,]}
    for line in tokens:
        first = next((i for i, token in enumerate(line) if token in words), None)
        if first is not None:
            yield first, max(i for i, token in enumerate(line) if token == line[first])


@pytest.mark.parametrize(("name", "share"), [("topic", 0.8), ("person", 0.95), ("place", 0.95)])
def test_what_is_named_first_is_named_again_after_5_to_60_tokens(
    tokens: list[list[str]], name: str, share: float
) -> None:
    gaps = sorted(last - first for first, last in first_and_last(tokens, name))
    assert len(gaps) > share * len(tokens)
    assert gaps[0] >= 4
    tenth, median, ninetieth = (gaps[len(gaps) * k // 10] for k in (1, 5, 9))
    assert tenth < 30
    assert 25 < median < 50
    assert 40 < ninetieth < 70


def test_a_greeting_decides_the_farewell(rows: list[dict[str, str]]) -> None:
    greetings = {greeting: set(TABLES["farewell", greeting]) for greeting in TABLES["greeting",]}
    greeted = 0
    for row in rows:
        for greeting, farewells in greetings.items():
            if row["body"].startswith(greeting):
                greeted += 1
                assert row["body"].endswith(tuple(farewells)), row
    assert greeted > 0.3 * len(rows)
    assert len(set.union(*greetings.values())) == len(greetings)


def test_verbs_agree_with_their_subject_across_the_clause_between(
    rows: list[dict[str, str]],
) -> None:
    singular = {word for key, table in TABLES.items() if key[0] == "noun" for word in table}
    plural = {word for key, table in TABLES.items() if key[0] == "nouns" for word in table}
    adjectives = {word for key, table in TABLES.items() if key[0] == "adj" for word in table}
    verbs = ["is", "are", "has", "have", "was", "were", "refuses", "refuse", "knows", "know"]
    seen, tempted = Counter[bool](), 0
    for row in rows:
        for sentence in re.split(r"(?<=[.!?]) |\n", row["body"].lower()):
            start = re.match(r"(?:[a-z ]+, )?(the|my|that|those|your) (\w+)(?: (\w+))?", sentence)
            if start is None or sentence[start.end(1) :].startswith((" trick", " whole")):
                continue
            _, head, after = start.groups()
            if head in adjectives and after in singular | plural and after not in verbs:
                head = after
            between = re.findall(r"\w+", sentence[start.start(1) :])
            predicates = [i for i, word in enumerate(between) if word in verbs]
            if head not in singular ^ plural or not predicates:
                continue
            many = head in plural
            assert (between[predicates[-1]] in verbs[1::2]) == many, sentence
            seen[many] += 1
            inside = set(between[between.index(head) + 1 : predicates[-1]])
            tempted += bool(inside & ((singular if many else plural) - {head}))
    assert min(seen[True], seen[False]) > 1500
    assert tempted > 400


# The scorer

TOY = """
[comment]
2 <x=colour> <thing>, so <again x>
1 <x=colour> <x2=colour> mix into <blend x x2>
1 a <thing> (<maybe> nothing)

[maybe]
2 -
1 nearly
1 <thing> or

[thing]
3 red
1 boat
1 car's wheel
"""
COLOURS = {"red": 3, "blue": 2, "pale green": 1}
TOY_TABLES: dict[tuple[str, ...], dict[str, int]] = {
    ("colour",): COLOURS,
    **{("again", x): {x: 1} for x in COLOURS},
    **{("blend", x, y): {x: 1, y + y: 2, "mud": 1} for x in COLOURS for y in COLOURS},
}


def every_text(
    grammar: Grammar, parts: tuple[str | Call, ...], env: Env
) -> Iterator[tuple[float, str, Env]]:
    """Brute force: each derivation of `parts` with its probability."""
    if not parts:
        yield 1.0, "", env
        return
    first, rest = parts[0], parts[1:]
    heads: list[tuple[float, str, Env]] = []
    if isinstance(first, str):
        heads = [(1.0, first, env)]
    elif first.key(env) in grammar.tables:
        table = grammar.tables[first.key(env)]
        for word, weight in table.items():
            bound = {**env, first.bind: word} if first.bind else env
            heads.append((weight / sum(table.values()), word, bound))
    else:
        rule = grammar.rules[first.name]
        inner = dict(zip(rule.params, first.key(env)[1:], strict=True))
        for weight, body in zip(rule.weights, rule.bodies, strict=True):
            for p, text, _ in every_text(grammar, body, inner):
                heads.append((p * weight / sum(rule.weights), text, env))
    for p, text, after in heads:
        for q, more, last in every_text(grammar, rest, after):
            yield p * q, text + more, last


def distribution(grammar: Grammar, vocabulary: set[str]) -> dict[tuple[str, ...], float]:
    found: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for p, text, _ in every_text(grammar, (Call(grammar.start),), {}):
        found[tuple(t if t in vocabulary else "<unk>" for t in SPLIT(text))] += p
    return found


def seen_by(grammar: Grammar) -> set[str]:
    texts = every_text(grammar, (Call(grammar.start),), {})
    return {token for _, text, _ in texts for token in SPLIT(text)}


@pytest.mark.parametrize("unknown", [(), ("boat", "mud"), ("red", "blue", "wheel")])
def test_the_score_is_the_sum_over_all_derivations(unknown: tuple[str, ...]) -> None:
    toy = Grammar(read_rules(TOY), TOY_TABLES)
    vocabulary = seen_by(toy) - set(unknown)
    texts = distribution(toy, vocabulary)
    scorer = Scorer(toy, SPLIT, vocabulary)
    assert sum(texts.values()) == pytest.approx(1.0, abs=1e-12)
    assert len(texts) > 30
    for text, p in texts.items():
        assert sum(scorer.score([*text, END])[0]) == pytest.approx(-math.log(p), abs=1e-9)


def test_the_score_of_each_token_is_its_probability_given_those_before_it() -> None:
    toy = Grammar(read_rules(TOY), TOY_TABLES)
    vocabulary = seen_by(toy) - {"blue"}
    texts = distribution(toy, vocabulary)
    scorer = Scorer(toy, SPLIT, vocabulary)
    for text in texts:
        nats, _ = scorer.score([*text, END])
        for i, token in enumerate(text):
            before = sum(p for t, p in texts.items() if t[:i] == text[:i])
            with_it = sum(p for t, p in texts.items() if t[: i + 1] == (*text[:i], token))
            assert nats[i] == pytest.approx(math.log(before / with_it), abs=1e-9)


def test_the_expected_entropy_of_an_unambiguous_grammar_is_that_of_its_texts() -> None:
    blends: dict[tuple[str, ...], dict[str, int]] = {
        ("blend", x, y): {"mud": 1, "soot": 2, "ink": 3} for x in COLOURS for y in COLOURS
    }
    rules = TOY.replace("3 red", "3 sledge").replace("1 <thing> or", "1 all or")
    plain = Grammar(read_rules(rules), {**TOY_TABLES, **blends})
    vocabulary = seen_by(plain) - {"soot", "mud"}
    texts = distribution(plain, vocabulary)
    nats, length = Scorer(plain, SPLIT, vocabulary).expected("comment")
    assert nats == pytest.approx(-sum(p * math.log(p) for p in texts.values()), abs=1e-9)
    assert length == pytest.approx(sum(p * len(text) for text, p in texts.items()), abs=1e-9)


def test_a_text_that_the_grammar_cannot_write_is_refused() -> None:
    toy = Grammar(read_rules(TOY), TOY_TABLES)
    scorer = Scorer(toy, SPLIT, seen_by(toy))
    for text in ("red boat , so blue", "red boat , so", "red boat , so red red", "blue"):
        with pytest.raises(ValueError, match="cannot follow"):
            scorer.score([*text.split(), END])


@pytest.mark.parametrize("size", [5000, 100_000])
def test_fresh_comments_score_the_expected_entropy_within_the_standard_error(
    tokens: list[list[str]], size: int
) -> None:
    counts = Counter(itertools.chain.from_iterable(tokens))
    known = {word for word, _ in counts.most_common(size)}
    scorer = Scorer(make_comments.grammar(), SPLIT, known)
    nats, lengths = [], []
    for row in make_comments.rows(1000, seed=77):
        text = [token if token in known else "<unk>" for token in SPLIT(row[4])] + [END]
        scored, derivations = scorer.score(text)
        assert derivations == 1  # or the expectation would be too high
        nats.append(sum(scored))
        lengths.append(len(text))
    expected, length = scorer.expected("comment")
    assert abs(statistics.mean(nats) - expected) < 4 * statistics.stdev(nats) / 1000**0.5
    assert abs(statistics.mean(lengths) - (length + 1)) < 4 * statistics.stdev(lengths) / 1000**0.5


def test_the_printed_entropy_is_that_of_the_data_file(
    rows: list[dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "comments.npz"
    tokenize([row["body"] for row in rows[:600]], Pretokenizer(), path, vocab_size=800)
    make_comments.print_entropy(str(path))
    lines = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines()}
    dataset = Dataset.open(path)
    for name, split in dataset.splits.items():
        documents, tokens, nats, error, perplexity = map(float, lines[name])
        assert documents == len(split.rows)
        assert tokens == len(split.ids) - len(split.rows)  # all but <s>
        assert perplexity == pytest.approx(math.exp(nats), abs=1e-3)
        if name != "train":  # whose own rare words made the vocabulary
            assert abs(nats - float(lines["expected"][2])) < 5 * error
    assert float(lines["all"][0]) == 600


# The lyrics


def test_the_lyrics_are_songs_in_stanzas_and_sing_of_parting() -> None:
    text = (CORPORA / "lyrics_zh.txt").read_bytes().decode("utf-8")
    assert len(re.findall(r"[\u4e00-\u9fff]", text)) >= 10_000
    assert text.endswith("\n")
    assert "\n\n\n" not in text
    assert all(line == line.strip() for line in text.splitlines())
    assert text.count("不分开") >= 60
    assert text.count("分开") - text.count("不分开") >= 60
    titles = re.findall(r"^《.+》$", text, flags=re.M)
    assert len(titles) == len(set(titles)) >= 40
    stanzas = Counter(text.split("\n\n"))
    assert sum(n > 1 for n in stanzas.values()) >= 30  # choruses return

"""Make comments.csv, a comment section that nobody wrote, or print its exact entropy.

    python make_comments.py [-o comments.csv]
    python make_comments.py --entropy data.npz
    python make_comments.py --record data.npz

The words are in lexicon.py, the sentences in comments.grammar, the mathematics in pcfg.py.
Drawing needs the standard library alone and gives the same bytes on every platform;
the entropy needs rnncli, for it is the entropy of the text as that tokenises it.
"""

import argparse
import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

from lexicon import HANDLES, tables
from pcfg import Grammar, Scorer, read_rules

HERE = Path(__file__).parent
SEED = 20261
COMMENTS = 20_000
COLUMNS = ("id", "created", "author", "score", "body")


def grammar() -> Grammar:
    """The grammar of the comments."""
    return Grammar(read_rules((HERE / "comments.grammar").read_text(encoding="utf-8")), tables())


def tidy(text: str) -> str:
    """Capitals after full stops, no doubled spaces: nothing here changes a lower-cased token."""
    text = re.sub(r" +([,.!?;:]|$)", r"\1", re.sub(r"  +", " ", text))
    starts = r"(?:^|(?<=[.!?:] )|(?<=\n))[\"“«*]?[a-z]"
    return re.sub(starts, lambda match: match[0].upper(), text)


def rows(count: int = COMMENTS, seed: int = SEED) -> Iterator[tuple[str, ...]]:
    """The rows of the file, without the header."""
    rng, around = Random(seed), Random(seed + 1)  # bodies do not depend on the other columns
    source = grammar()
    names = [part.split() for part in HANDLES]
    clock = datetime(2024, 1, 1, 6, 0)
    for number in range(1, count + 1):
        clock += timedelta(seconds=int(600.0 / (1.05 - around.random())))
        author = "_".join(part[int(around.random() * len(part))] for part in names)
        score = int(2.0 / (1.002 - around.random())) - int(5 * around.random())
        yield (str(number), clock.isoformat(sep=" "), author, str(score), tidy(source.draw(rng)))


def csv_text(count: int = COMMENTS) -> str:
    """The whole file."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(rows(count))
    return out.getvalue()


def figures(nats: Sequence[float], lengths: Sequence[int]) -> tuple[float, float]:
    """Mean nats a token over documents, and its standard error (of a ratio of two sums)."""
    tokens, n = sum(lengths), len(nats)
    mean = sum(nats) / tokens
    rest = sum((a - mean * b) ** 2 for a, b in zip(nats, lengths, strict=True))
    return mean, math.sqrt(rest * n / max(n - 1, 1)) / tokens


def rounded(mean: float, error: float) -> tuple[str, str, str]:
    """Nats, standard error and perplexity, as printed."""
    return f"{mean:.4f}", f"{error:.4f}", f"{math.exp(mean):.3f}"


def scored(dataset: Any) -> Iterator[tuple[str, list[float], list[int]]]:
    """For each split of a data file its name, and for each text -ln p and the tokens."""
    known = dataset.tokenizer.vocabulary
    scorer = Scorer(grammar(), dataset.tokenizer.pretokenizer.tokens, known.index)
    for name, split in dataset.splits.items():
        ids, starts = split.ids.tolist(), split.starts.tolist()
        texts = [[known.tokens[i] for i in ids[a + 1 : b]] for a, b in pairwise(starts)]
        yield name, [sum(scorer.score(text)[0]) for text in texts], [len(text) for text in texts]


def print_entropy(data: str) -> None:
    """The exact entropy of each split of a data file made from comments.csv."""
    from rnncli.data.dataset import Dataset

    dataset = Dataset.open(data)
    everything: tuple[list[float], list[int]] = ([], [])
    line = "{:8} {:>10} {:>9} {:>11} {:>10} {:>11}".format
    print(line("split", "documents", "tokens", "nats/token", "std.error", "perplexity"))
    for name, nats, lengths in [*scored(dataset), ("all", *everything)]:
        if name != "all":
            everything[0].extend(nats)
            everything[1].extend(lengths)
        mean, error = figures(nats, lengths)
        print(line(name, len(nats), sum(lengths), *rounded(mean, error)))
    known = dataset.tokenizer
    scorer = Scorer(grammar(), known.pretokenizer.tokens, known.vocabulary.index)
    total, length = scorer.expected(scorer.grammar.start)
    mean = total / (length + 1)  # one more token: the end
    print(line("expected", "-", f"{length + 1:.2f}", *rounded(mean, 0.0)))


def record_entropy(data: str, path: Path) -> None:
    """Put the entropy of each split into a file, that in which `rnncli eval` looks it up."""
    from rnncli.data.dataset import Dataset
    from rnncli.score.known_entropy import fingerprint

    dataset = Dataset.open(data)
    known = json.loads(path.read_text("utf-8"))
    for name, nats, lengths in scored(dataset):
        key = fingerprint(dataset.tokenizer, dataset.splits[name].ids)
        known[key] = round(sum(nats) / sum(lengths), 6)
    path.write_text(json.dumps(known, indent=0, sort_keys=True) + "\n", "utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make comments.csv, or print its entropy.")
    parser.add_argument("-o", "--output", default=str(HERE / "comments.csv"), help="file to write")
    parser.add_argument("--entropy", metavar="DATA.npz", help="data file made from comments.csv")
    parser.add_argument("--record", metavar="DATA.npz", help="let rnncli eval know its entropy")
    options = parser.parse_args()
    if options.record:
        record_entropy(options.record, HERE.parent / "rnncli" / "score" / "known_entropy.json")
    elif options.entropy:
        print_entropy(options.entropy)
    else:
        Path(options.output).write_text(csv_text(), encoding="utf-8", newline="")


if __name__ == "__main__":
    main()

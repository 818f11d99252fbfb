"""Freeze what rnncli writes: `python tests/frozen/make_files.py`, which was done at commit 8144a51.

Writes two small texts, data files of them for every level and unit, models with their runs, and
what each run is a few steps later; SHA256 lists them all as `sha256sum` does. Run it again only for
a new format of files: what it wrote before is what users have.
"""

import hashlib
import os
import random
import shlex
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent

# file: the words after `rnncli`, without `-o file`; they are run in this folder.
DATA = {
    "word-document": "tokenize comments.csv --vocab-size 40 --split 0.8,0.1,0.1",
    "word-sentence": "tokenize comments.csv --column body --unit sentence --seed 3",
    "word-stream": "tokenize story.txt --whole-file --no-lower --min-count 2",
    "char-document": "tokenize comments.csv --level char --split 0.8,0.2",
    "char-sentence": "tokenize comments.csv --level char --unit sentence --lower --split 1",
    "char-stream": "tokenize story.txt --whole-file --level char --vocab-size 30",
    "byte-document": "tokenize story.txt --level byte --limit 60",
    "byte-sentence": "tokenize comments.csv --level byte --unit sentence --limit 50 --seed 1",
    "byte-stream": "tokenize story.txt --whole-file --level byte",
    "reused": "tokenize story.txt --vocab char-document.npz --limit 40",
}
MODELS = {  # gru is carried, asgd averages; lstm was killed after its first validation
    "lstm": "train char-document.npz --cell lstm --hidden 10 --embed 10 --layers 2 --tied "
            "--dropout 0.1 --variational --optimizer adam --lr 0.01 --loss mean --batch 8 "
            "--bptt 16 --valid-every 120 --max-steps 100000",
    "gru": "train word-sentence.npz --cell gru --hidden 10 --embed 8 --optimizer muon "
           "--loss mean --batching consecutive --random-bptt --reset 0.1 --batch 4 --bptt 16 "
           "--max-steps 40",
    "asgd": "train char-stream.npz --cell lstm --hidden 10 --proj 8 --embed 0 --layer-norm "
            "--optimizer asgd --loss mean --trigger 1 --lr 2 --schedule divide-on-plateau "
            "--batch 4 --bptt 16 --valid-every 5 --max-steps 77",
    "from": "train char-sentence.npz --from lstm.npz --optimizer nesterov --lr 0.1 --loss time "
            "--dropout-weight 0.2 --schedule step --batch 8 --bptt 16 --max-steps 20",
}  # fmt: skip
LATER = {  # the same runs, later
    "lstm": "train char-document.npz --resume --max-steps 130",
    "gru": "train word-sentence.npz --resume --max-steps 70",
    "asgd": "train char-stream.npz --resume --max-steps 86",
    "from": "train char-sentence.npz --from lstm.npz --resume --max-steps 30",
}

FILES = (*DATA, *MODELS, *(f"{name}-later" for name in LATER))


def sentences(count: int, seed: int) -> list[str]:
    """Make sentences with words in common; some hold what is hard to cut into tokens."""
    rng = random.Random(seed)
    who = ["the cat", "My aunt", "a dog", "The old man", "Zoë", "Dr. Li", "nobody"]
    does = ["sees", "likes", "didn't like", "can't find", "eats", "paints", "won't forget"]
    end = [".", ".", ".", "!", "?", "...", " :-)", " \N{SPARKLES}", "。"]
    rare = ["", "", "", "", " at 12:30", ", e.g. for 1,000.50", ' ("so what")', " 猫が好き",
            " http://a.example/x?y=1", " \N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}", " @home #cats",
            " née Zoe\N{COMBINING DIAERESIS}", " well-known", "\u00a0…"]  # fmt: skip
    return [
        f"{rng.choice(who)} {rng.choice(does)} {rng.choice(who)}{rng.choice(rare)}{rng.choice(end)}"
        for _ in range(count)
    ]


def texts() -> dict[str, str]:
    """Make 120 comments as CSV, some of several lines and one blank, and a story of 150 lines."""
    rng = random.Random(7)
    pool = iter(sentences(400, seed=1))
    rows = ["id,body"]
    for number in range(120):
        joint = rng.choice([" ", " ", " ", "\n", "\n\n"])
        body = joint.join(next(pool) for _ in range(rng.choice([1, 1, 2, 3])))
        body = "  " if number == 50 else body.replace('"', '""')
        rows.append(f'{number},"{body}"')
    lines = sentences(150, seed=2)
    lines[10::25] = [""] * len(lines[10::25])
    return {"comments.csv": "\n".join(rows) + "\n", "story.txt": "\n".join(lines) + "\n"}


def rnncli(words: str, output: str) -> subprocess.Popen:
    """Start `rnncli words -o output` in this folder."""
    command = [sys.executable, "-m", "rnncli", *shlex.split(words), "-o", output]
    environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    return subprocess.Popen(command, cwd=HERE, env=environment)


def done(words: str, output: str) -> None:
    if rnncli(words, output).wait():
        raise SystemExit(f"rnncli {words} failed.")


def killed(words: str, output: str) -> None:
    """Kill the training when its first save is there, long before the second is due."""
    (HERE / output).unlink(missing_ok=True)
    with rnncli(words, output) as process:
        while process.poll() is None and not (HERE / output).exists():
            time.sleep(0.001)
        process.kill()
    for lock in HERE.glob(".*.rnncli-lock-*"):
        lock.unlink()


def main() -> None:
    for name, text in texts().items():
        (HERE / name).write_text(text, "utf-8", newline="")
    for name, words in DATA.items():
        done(words, f"{name}.npz")
    for name, words in MODELS.items():
        (killed if name == "lstm" else done)(f"{words} --overwrite", f"{name}.npz")
        (HERE / f"{name}-later.npz").write_bytes((HERE / f"{name}.npz").read_bytes())
        done(LATER[name], f"{name}-later.npz")
    names = [*texts(), *(f"{name}.npz" for name in FILES)]
    lines = [
        f"{hashlib.sha256((HERE / name).read_bytes()).hexdigest()}  {name}\n" for name in names
    ]
    (HERE / "SHA256").write_text("".join(lines))


if __name__ == "__main__":
    main()

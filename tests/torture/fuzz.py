"""Generated input for what reads or writes strangers' bytes, for as long as one likes.

python tests/torture artefact tokenizer sampler
"""

import time
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import regex
from damage import small_model
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from tally import Tally, one_line

from rnncli.config.network import Config
from rnncli.errors import ArtefactError, ConfigError, DataError
from rnncli.files import artefact as artefacts
from rnncli.generation.sampling import generate
from rnncli.lm.network import Network
from rnncli.nn import Model
from rnncli.text.tokenizer import Tokenizer

TEXTS = ["the cat sat on the mat.", "Café, naïve: 12 dogs!", "a cat and a dog", "it's 'odd'"]


def _for(seconds: float, strategy: Any, test: Callable[[Any], None]) -> Tally:
    """Try `test` on generated values for so long; it fails by any exception."""
    tally, end, rounds = Tally(), time.monotonic() + seconds, 0
    while not rounds or (time.monotonic() < end and len(tally.failures) < 10):
        rounds += 1

        @seed(rounds)
        @settings(max_examples=50, deadline=None, database=None, phases=[Phase.generate],
                  suppress_health_check=list(HealthCheck))  # fmt: skip
        @given(strategy)
        def one(value: Any) -> None:
            if tally.reached >= 20 and time.monotonic() > end:
                return
            try:
                test(value)
                tally.check(True, "")
            except Exception as error:
                tally.check(False, f"{value!r:.200}: {error!r:.300}")

        one()
    return tally


def artefact(seconds: int, folder: Path) -> Tally:
    """The reader of files: any bytes, and pieces of a good file put together."""
    small_model(folder / "good.npz")
    good = (folder / "good.npz").read_bytes()
    piece = st.tuples(st.integers(0, len(good)), st.integers(0, len(good)))
    parts = st.lists(st.one_of(st.binary(max_size=40), piece), max_size=6)
    path = folder / "x.npz"

    def test(value: list[Any]) -> None:
        content = b"".join(p if isinstance(p, bytes) else good[p[0] : p[1]] for p in value)
        path.write_bytes(content)
        try:
            artefacts.read(path)
        except ArtefactError as error:
            one_line(error, path)
            return
        assert content == good

    return _for(seconds, parts, test)


def tokenizer(seconds: int, folder: Path) -> Tally:
    """Any text through each rule: ids in range, the same again, and text that encodes the same."""
    made = {level: Tokenizer.train(TEXTS, level) for level in ("word", "char", "byte")}
    texts = st.text(st.one_of(st.characters(), st.sampled_from("the cat <s></s>\u0301\u200d '")))

    def test(value: tuple[str, str]) -> None:
        level, text = value
        try:
            ids = made[level].encode(text).tolist()
        except (DataError, UnicodeEncodeError):
            return
        assert all(0 <= i < len(made[level]) for i in ids)
        assert made[level].encode(text).tolist() == ids
        made[level].decode(ids)
        if level == "byte":
            assert made[level].decode(ids) == unicodedata.normalize("NFC", text)

    return _for(seconds, st.tuples(st.sampled_from(list(made)), texts), test)


def sampler(seconds: int, folder: Path) -> Tally:
    """Any pattern: every text matches it as a whole, or one line says why there is none."""
    words = Tokenizer.train(TEXTS, "char")
    model = Model.initial(Config(len(words), hidden=4), 0, np.float32)
    atoms = st.sampled_from([*"act .é^$()x", "\\", "\\w", "\\d", "[a-t]", "(?:the|cat)", "(?=a)"])
    times = st.sampled_from(["", "", "?", "*", "+", "{2}", "{1,3}", "|", "*?", "++"])
    pattern = st.lists(st.tuples(atoms, times), min_size=1, max_size=5).map(
        lambda parts: "".join(a + b for a, b in parts)
    )

    def test(value: tuple[str, int, str]) -> None:
        source, number, prefix = value
        try:
            drawn = list(
                generate(Network(model), words, prefix, length=12, match=source, seed=number, num=2)
            )
        except ConfigError as error:
            one_line(error)
            return
        for sample in drawn:
            if sample.stopped in ("match", "end"):
                assert regex.fullmatch(source, sample.text), sample
            else:
                assert regex.fullmatch(source, sample.text, partial=True), sample

    return _for(seconds, st.tuples(pattern, st.integers(0, 9), st.sampled_from(["", "the "])), test)

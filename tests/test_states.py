"""A text that is left and gone on with is the text that was never left."""

from pathlib import Path

import numpy as np
import pytest

from rnncli import artefacts, states
from rnncli.errors import ArtefactError, DataError
from rnncli.nn import Config, Model
from rnncli.reading import Reader
from rnncli.sampling import Filters, generate
from rnncli.texts import Past, Sample
from rnncli.tokenizer import Tokenizer

TEXTS = ["The cat sat on the mat.", "A dog ran; (the cat) didn't."]


def model_of(tokenizer: Tokenizer, seed: int = 1, cell: str = "lstm") -> Model:
    model = Model.initial(Config(len(tokenizer), cell=cell, hidden=14, embed=6), seed)
    model.params["head.W"][:] *= 8
    return model


def kept(path: Path, sample: Sample, reader: Reader, tokenizer: Tokenizer) -> Past:
    states.save(path, states.after(reader, sample), reader, tokenizer)
    return states.load(path, reader, tokenizer)


@pytest.mark.parametrize("level", ["word", "char", "byte"])
@pytest.mark.parametrize("unit", ["document", "stream"])
@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_text_in_pieces_is_the_text_in_one(
    level: str, unit: str, cell: str, tmp_path: Path
) -> None:
    """Without chance; and with chance the rest is that of the whole text as a prefix."""
    tokenizer = Tokenizer.train(TEXTS, level, unit=unit)
    model, greedy = model_of(tokenizer, cell=cell), Filters(temperature=0)
    options = {"stop_at_end": False, "filters": greedy}
    for prefix in ("", "The cat"):
        (whole,) = generate(model, tokenizer, prefix, length=24, **options)
        past, ids, text = None, [], ""
        for _ in range(4):
            given = "" if past else prefix
            (part,) = generate(model, tokenizer, given, length=6, past=past, **options)
            past = kept(tmp_path / "s.npz", part, Reader(model), tokenizer)
            ids, text = ids + part.ids, text + part.text
        assert ids == whole.ids
        if level != "byte":  # a byte at the end of a part may be half a character
            assert text == whole.text
        assert past.ids[past.lead :][-24:] == whole.ids


def test_the_rest_of_a_text_is_drawn_as_after_the_same_prefix(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(TEXTS, "char")
    model = model_of(tokenizer)
    (first,) = generate(model, tokenizer, "The", length=9, seed=4, stop_at_end=False)
    past = kept(tmp_path / "s.npz", first, Reader(model), tokenizer)
    options = {"num": 12, "length": 20, "seed": 7}
    on = [s.ids for s in generate(model, tokenizer, past=past, **options)]
    whole = [s.ids for s in generate(model, tokenizer, "The" + first.text, **options)]
    assert on == whole
    more = [s.ids for s in generate(model, tokenizer, " cat", past=past, **options)]
    whole = [s.ids for s in generate(model, tokenizer, "The" + first.text + " cat", **options)]
    assert more == whole
    assert more != on


def test_what_was_cut_off_and_the_end_are_not_kept(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(TEXTS, "char")
    model = model_of(tokenizer)
    (whole,) = generate(model, tokenizer, "The", length=30, stop_at_end=False)
    stop = whole.text[12:14]
    (cut,) = generate(model, tokenizer, "The", length=30, stop_at_end=False, stop=[stop])
    past = kept(tmp_path / "s.npz", cut, Reader(model), tokenizer)
    assert tokenizer.decode(past.ids[past.lead :]) == "The" + cut.text
    assert tokenizer.eos is not None
    model.params["head.b"][tokenizer.eos] = 50
    (ended,) = generate(model, tokenizer, "The", min_length=3)
    past = kept(tmp_path / "s.npz", ended, Reader(model), tokenizer)
    assert (ended.ids[-1], len(past.ids)) == (tokenizer.eos, 1 + 3 + 3)
    assert tokenizer.eos not in past.ids


def test_another_models_state_is_refused_with_both_hashes(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(TEXTS)
    one, two = (model_of(tokenizer, seed) for seed in (1, 2))
    (sample,) = generate(one, tokenizer)
    states.save(tmp_path / "s.npz", states.after(Reader(one), sample), Reader(one), tokenizer)
    for reader in (Reader(two), Reader(one, [(two, 0.5)])):
        names = [states.name(r, tokenizer)[:12] for r in (Reader(one), reader)]
        with pytest.raises(DataError, match=rf"\({names[0]}\), not of this one \({names[1]}\)"):
            states.load(tmp_path / "s.npz", reader, tokenizer)


def test_a_mixture_has_a_state_of_its_own(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(TEXTS, "char")
    one, mix = model_of(tokenizer, 1), [(model_of(tokenizer, 2, "gru"), 0.4)]
    options = {"mix": mix, "filters": Filters(temperature=0), "stop_at_end": False}
    (whole,) = generate(one, tokenizer, "A", length=20, **options)
    (first,) = generate(one, tokenizer, "A", length=8, **options)
    past = kept(tmp_path / "s.npz", first, Reader(one, mix), tokenizer)
    (rest,) = generate(one, tokenizer, length=12, past=past, **options)
    assert first.text + rest.text == whole.text


def test_a_state_that_does_not_fit_its_model_is_damaged(tmp_path: Path) -> None:
    tokenizer = Tokenizer.train(TEXTS)
    reader, path = Reader(model_of(tokenizer)), tmp_path / "s.npz"
    (sample,) = generate(reader.models[0], tokenizer)
    states.save(path, states.after(reader, sample), reader, tokenizer)
    good = artefacts.read(path, "state")
    h = good.arrays["0.h"]
    for change in (
        {"ids": None}, {"ids": good.arrays["ids"][:0]}, {"ids": good.arrays["ids"] + 99},
        {"ids": good.arrays["ids"].astype(np.int64)}, {"0.h": None}, {"0.c": None},
        {"0.h": h[:, :-1]}, {"0.h": h.astype(np.float64)}, {"0.h": h * np.float32(np.nan)},
    ):  # fmt: skip
        arrays = {k: v for k, v in {**good.arrays, **change}.items() if v is not None}
        artefacts.write(path, "state", good.header, arrays)
        with pytest.raises(ArtefactError, match="damaged"):
            states.load(path, reader, tokenizer)
    artefacts.write(path, "state", {**good.header, "lead": 2}, good.arrays)
    with pytest.raises(ArtefactError, match="damaged"):
        states.load(path, reader, tokenizer)

"""The lessons hold: what their docstrings say is what comes out."""

import contextlib
import runpy
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from rnncli.examples import cosine, memory_cell, tagging, vanishing


def test_the_memory_cell_gives_the_answers_worked_out_by_hand():
    answers = memory_cell.answers([(1, 1), (1, 1), (2, 2)])
    assert answers.tolist() == [[4, 4], [12, 12], [32, 32]]


def test_the_memory_cell_prints_its_table(capsys):
    memory_cell.main()
    assert capsys.readouterr().out.splitlines() == [
        "step 1: input (1, 1), output (4, 4)",
        "step 2: input (1, 1), output (12, 12)",
        "step 3: input (2, 2), output (32, 32)",
    ]


def test_a_window_of_the_cosine_is_followed_by_the_next_point():
    x, y = cosine.windows(first=7, count=3)
    points = np.cos(np.arange(7, 20) / 100)
    assert x.shape == (10, 3)
    for k in range(3):
        assert x[:, k] == pytest.approx(points[k : k + 10], abs=1e-6)
        assert y[k] == pytest.approx(points[k + 10], abs=1e-6)


def test_the_cosine_is_forecast_and_drawn(tmp_path, capsys):
    picture = tmp_path / "cosine.svg"
    cosine.main(["--seed", "0", "--plot", str(picture)])
    before, after = (float(line.split()[-1]) for line in capsys.readouterr().out.splitlines()[1:])
    assert before > 0.5
    assert after < 0.025
    lines = ElementTree.parse(picture).getroot().findall("{http://www.w3.org/2000/svg}polyline")
    assert len(lines) == 2
    truth, said = (
        np.array([p.split(",") for p in e.attrib["points"].split()], np.float64) for e in lines
    )
    assert truth.shape == said.shape == (1000, 2)
    pixels = (300 / 2 - 20) / 1.1  # of an amplitude of 1
    assert np.sqrt(np.mean((truth - said)[:, 1] ** 2)) / pixels == pytest.approx(after, abs=0.001)


def test_the_words_of_a_sentence_decide_its_tags():
    rng, known = np.random.default_rng(0), {}
    for _ in range(3000):
        words, tags = zip(*tagging.sentence(rng), strict=True)
        assert known.setdefault(words, tags) == tags
    assert len({len(words) for words in known}) > 4  # ragged


def test_reading_both_ways_tags_what_reading_forward_cannot(capsys):
    tagging.main(["--seed", "0"])
    out = capsys.readouterr().out.splitlines()
    forward, both = (float(line.split()[-5].rstrip("%")) for line in (out[0], out[4]))
    # A reader from the left guesses: the likelier tag of a word is wrong in 0.2 + 0.1 words a
    # clause, 0.75 of the 10.25 words of a sentence. So 92.7 %, give or take the luck of the test.
    assert 90 < forward < 94
    assert both > 99
    assert out[6].split() == ["我/pronoun", "爱/verb", "西红柿/noun"]
    assert out[7].split() == ["你/pronoun", "要/auxiliary", "画/verb", "画/noun"]


def test_the_gradient_of_an_rnn_dies_within_tens_of_steps_and_that_of_gated_cells_does_not(capsys):
    vanishing.main(["--seed", "0"])
    head, *rows = (line.split() for line in capsys.readouterr().out.splitlines())
    assert head == ["lag", *map(str, vanishing.LAGS)]
    share = {cell: [float(value) for value in values] for cell, *values in rows}
    # Text and recipe are the same. That gated cells reach over the text is what lets them learn
    # that its last token repeats the first.
    assert share["rnn"][-1] < 1e-3
    assert share["gru"][-1] > 0.01
    assert share["lstm"][-1] > 0.01
    assert all(values[0] == 1 for values in share.values())


def test_a_text_ends_with_the_kind_that_it_begins_with():
    ids = vanishing.texts(np.random.default_rng(0))
    assert ids.shape == (33, 16)
    assert np.array_equal(ids[0], ids[-1])
    assert set(ids[0]) == {1, 2, 3, 4}
    assert set(np.unique(ids[1:-2])) == {5, 6, 7}


@pytest.mark.parametrize("name", ["memory_cell", "cosine", "tagging", "vanishing"])
def test_every_lesson_runs_as_a_module_and_explains_itself(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"] if name != "memory_cell" else [name])
    monkeypatch.delitem(sys.modules, f"rnncli.examples.{name}")
    with contextlib.suppress(SystemExit):  # argparse has shown its help
        runpy.run_module(f"rnncli.examples.{name}", run_name="__main__")
    assert len(capsys.readouterr().out.splitlines()) >= 3

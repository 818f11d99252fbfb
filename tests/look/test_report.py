"""The report page without a browser: its HTML, and each figure in it by another way."""

import base64
import json
import math
import re
from collections import Counter
from html.parser import HTMLParser
from importlib import resources

import numpy as np
import pytest
from commands import good, refused, run, sentences
from networks import language_model, random_params

from rnncli.data.dataset import Dataset
from rnncli.generation.generate import generate
from rnncli.lm.language_model import LanguageModel, load
from rnncli.look import report
from rnncli.look.report import activity, learning, weights
from rnncli.nn import Model, Steps, gradient_by_lag
from rnncli.score.evaluate import evaluate
from rnncli.score.surprisal import Token
from rnncli.text.tokenizer import Tokenizer

TEXT = 'The cat sees "a dog (the old dog) at home" by the river. </script><b>&amp; zebra.'
CHARTS = ("loss", "rate", "norm", "clip", "unit", "lag", "singular", "eigen", "parts", "work",
          "times")  # fmt: skip
VOID = {"meta", "link", "input", "br"}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Data, a gru and an lstm of two layers with their logs, and their page."""
    folder = tmp_path_factory.mktemp("report")
    (folder / "t.txt").write_text(sentences(150))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz", "-q")
    for name, more in (("gru", ()), ("lstm", ("--layers", 2, "--clip", 0.02, "--embed", 5))):
        good("train", folder / "d.npz", "-o", folder / f"{name}.npz", "--cell", name, "--hidden", 7,
             "--batch", 4, "--bptt", 8, "--max-steps", 220, "--valid-every", 50, "-q",
             "--metrics", folder / f"{name}.jsonl", *more)  # fmt: skip
    done = good("report", folder / "gru.npz", folder / "lstm.npz", "--text", TEXT, "-o",
                folder / "r.html", "--metrics", folder / "gru.jsonl",
                "--metrics", folder / "lstm.jsonl")  # fmt: skip
    assert f"{(folder / 'r.html').stat().st_size:,} bytes" in done.err
    return folder


class Page(HTMLParser):
    """What there is in a page; every tag that is opened has to be closed in its place."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.all = [], Counter(), [], []
        self.scripts, self.words, self.nameless = [], "", []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags[tag] += 1
        self.all.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        if tag == "script":
            self.scripts.append("")
        if tag in ("select", "input") and "label" not in self.open:
            self.nameless.append(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "script":
            self.scripts[-1] += data
        elif self.open and self.open[-1] != "style":
            self.words += data


@pytest.fixture(scope="module")
def page(files):
    return Page((files / "r.html").read_text("utf-8"))


@pytest.fixture(scope="module")
def models(page):
    return json.loads(page.scripts[0])["models"]


# --- the page ---


def test_the_html_is_whole_and_every_chart_has_its_place(page):
    assert [page.tags[tag] for tag in ("html", "head", "body", "main", "h1")] == [1] * 5
    assert len(set(page.ids)) == len(page.ids)
    assert {f"{name}-chart" for name in CHARTS} | {"text", "heat", "cells"} <= set(page.ids)
    for tag, attrs in page.all:
        for name in ("aria-labelledby", "aria-describedby", "for"):
            assert set((attrs.get(name) or "").split()) <= set(page.ids), (tag, attrs)
        if tag == "a":
            assert attrs["href"].removeprefix("#") in page.ids
    assert ("html", {"lang": "en"}) in page.all
    assert page.nameless == []
    assert len(page.scripts) == 2


def test_what_the_script_asks_for_is_in_the_page(page):
    """Every id that the script looks up, and every series colour, is there."""
    wanted = set(re.findall(r'\$\("([\w-]+)"\)', page.scripts[1]))
    assert len(wanted) > 20
    assert wanted <= set(page.ids)


def test_nothing_in_the_page_leads_out_of_it(files):
    text = (files / "r.html").read_text("utf-8")
    allowed = text.replace('"http://www.w3.org/2000/svg"', "")  # a name, not an address
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", allowed) == []
    assert re.findall(r"\b(?:src|srcset|action|@import|fetch|XMLHttpRequest|WebSocket)\s*[=(]",
                      allowed) == []  # fmt: skip
    assert "url(" not in allowed
    policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
    assert f'http-equiv="Content-Security-Policy" content="{policy}; img-src data:"' in text


def test_text_from_outside_stays_text(page, models):
    assert page.tags["b"] == 0
    words = "".join(space + token for space, token in models[0]["text"]["tokens"])
    assert words == TEXT + " </s>"


def test_the_charts_are_said_in_words(page, models):
    for model in models:
        last = model["curves"]["valid"][-1][1]
        assert f"{model['name']}: validation from" in page.words
        assert f"to {last:.3f} nats a token" in page.words
    assert "layer 2: all of 7 units in i, f, o, g, c, h." in page.words


# --- its figures ---


def both(files, models):
    return [(load(files / f"{name}.npz"), model)
            for name, model in zip(("gru", "lstm"), models, strict=True)]  # fmt: skip


def test_the_surprise_is_what_eval_counts(files, models):
    for language, model in both(files, models):
        score = evaluate(language, [TEXT])
        nats = model["text"]["nats"]
        assert len(nats) == score.tokens
        assert sum(nats) == pytest.approx(score.nats, rel=1e-3)
        assert model["text"]["known"].count(0) == score.oov > 0
        assert model["text"]["full"] == pytest.approx(math.log(len(language.tokenizer)), rel=0.05)
        units = len(model["layers"]) * 7 * (2 if "c" in model["layers"][0]["series"] else 1)
        assert model["chance"] == pytest.approx(
            math.sqrt(2 * math.log(2 * units) / len(nats)), rel=0.05
        )


def test_the_alternatives_are_the_likeliest_tokens(files, models):
    for language, model in both(files, models):
        tokenizer = language.tokenizer
        state, read = language.model.zero_state(1), tokenizer.bos
        for best, number in zip(model["text"]["best"], tokenizer.encode(TEXT), strict=False):
            z, state = language.model.step(np.array([read]), state)
            p = np.exp(z[:, 0].astype(float))
            p /= p.sum()
            p[tokenizer.bos] = 0  # never written
            order = sorted(range(len(p)), key=lambda k: -p[k])[:5]
            assert [chance for _, chance in best] == pytest.approx(p[order].tolist(), rel=1e-3)
            assert best[0][0] == tokenizer.token(order[0])
            read = int(number)


def unpacked(series, units):
    rows = np.frombuffer(base64.b64decode(series["data"]), np.uint8).reshape(units, -1)
    return series["low"] + rows / 255 * (series["high"] - series["low"])


def test_the_heat_maps_are_the_engines_states(files, models):
    for language, model in both(files, models):
        tokenizer = language.tokenizer
        state = language.model.zero_state(1)
        _, state = language.model.features(np.array([tokenizer.bos]), state, Steps.dense(1, 1))
        for t, number in enumerate([*tokenizer.encode(TEXT), tokenizer.eos]):
            _, state = language.model.features(np.array([number]), state, Steps.dense(1, 1))
            for k, layer in enumerate(model["layers"]):
                assert sorted(layer["units"]) == list(range(7))
                for name, part in (("h", state.h), ("c", state.c)):
                    if part is not None:
                        series = layer["series"][name]
                        shown = unpacked(series, 7)[:, t]
                        step = (series["high"] - series["low"]) / 255
                        assert np.abs(shown - part[k, layer["units"], 0]).max() <= 0.51 * step


def test_a_large_model_keeps_the_page_small():
    """Fewer units are shown, and those that are spoken of are among them."""
    config = language_model("lstm", hidden=200, layers=2)
    model = Model(config, random_params(config, np.random.default_rng(0)))
    ids = np.random.default_rng(1).integers(0, 9, 120)
    tokens = [Token(" ", "a(b)"[k % 4], True, 1.0, ()) for k in range(120)]
    passage = activity.Passage([ids], np.ones(120, bool), tokens, [0])
    found = activity.states(model, passage, room=60_000)
    size = sum(len(s["data"]) for layer in found["layers"] for s in layer["series"].values())
    assert 20_000 < size <= 60_000 * 4 / 3 + 100
    for row in found["follows"]:
        for k, series, unit, _ in row["units"]:
            assert unit in found["layers"][k]["units"], (k, series, unit)


def test_a_text_is_followed_by_hand():
    words = ["a", '"', "b", "(", "c", "[", "d", "]", ")", '"', "e"]
    tokens = [Token(" ", word, True, 1.0, ()) for word in words]
    tokens += [Token("", "</s>", True, 1.0, ()), Token("\n", "x", True, 1.0, ())]
    passage = activity.Passage([], np.ones(13, bool), tokens, [0, 12])
    found = activity.features(passage)
    assert found["inside quotation marks"].tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0]
    assert found["inside brackets"].tolist() == [0, 0, 0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0]
    assert found["place in the line"].tolist() == [*range(1, 13), 0]
    assert found["the line ends next"].tolist() == [0] * 10 + [1, 1, 0]


def test_correlation_is_pearsons(files):
    rng = np.random.default_rng(0)
    values, feature = rng.standard_normal((5, 40)), rng.standard_normal(40)
    values[2] = 3.0
    found = activity.correlation(values, feature)
    for k in (0, 1, 3, 4):
        assert found[k] == pytest.approx(np.corrcoef(values[k], feature)[0, 1])
    assert found[2] == 0
    own = activity.correlation(values[:, 1:], values[:, :-1])
    assert own[0] == pytest.approx(np.corrcoef(values[0, 1:], values[0, :-1])[0, 1])


def test_what_chance_would_reach_is_hardly_more_than_it_reaches():
    """200 random units of a layer along 300 tokens, against a random feature."""
    rng = np.random.default_rng(3)
    best = [
        np.abs(
            activity.correlation(rng.standard_normal((200, 300)), rng.standard_normal(300))
        ).max()
        for _ in range(20)
    ]
    bound = math.sqrt(2 * math.log(2 * 200) / 300)
    assert np.mean(best) < bound < 1.25 * np.mean(best)


def test_a_unit_that_is_a_feature_is_found():
    rng = np.random.default_rng(2)
    tokens = [Token(" ", '"' if rng.random() < 0.2 else "x", True, 1.0, ()) for _ in range(80)]
    passage = activity.Passage([], np.ones(80, bool), tokens, [0])
    h = rng.standard_normal((6, 80)) * 0.1
    h[4] -= activity.features(passage)["inside quotation marks"]
    (row, *_) = activity._follows([{"h": h}], passage)
    assert row["units"][0][:3] == (0, "h", 4)
    assert row["units"][0][3] < -0.9


def test_the_curves_are_those_of_the_log(files, models):
    for name, model in zip(("gru", "lstm"), models, strict=True):
        rows = [json.loads(line) for line in (files / f"{name}.jsonl").read_text().splitlines()]
        steps = [row for row in rows if row["kind"] == "step"]
        valid = [row for row in rows if row["kind"] == "valid"]
        curves = model["curves"]
        assert [step for step, _ in curves["train"]] == [row["step"] for row in steps]
        for key, of in (("nats", "train"), ("rate", "rate"), ("norm", "norm")):
            values = [value for _, value in curves[of]]
            assert values == pytest.approx([row[key] for row in steps], rel=1e-3)
        assert [v for _, v in curves["valid"]] == pytest.approx(
            [r["nats"] for r in valid], rel=1e-3
        )
        limit = {"gru": 1.0, "lstm": 0.02}[name]
        assert curves["clip"] == limit
        told = [share for _, share in curves["clipped"]]
        assert sum(told) > 0
        assert sum(told) / len(told) == sum(row["norm"] > limit for row in steps) / len(steps)


def test_long_logs_are_thinned_to_means():
    log = [{"kind": "step", "step": k, "nats": float(k % 7), "norm": 1.0, "rate": 0.1}
           for k in range(1, 6001)]  # fmt: skip
    curves = learning.curves({"history": [], "recipe": None}, log)
    assert len(curves["train"]) == learning.POINTS
    assert curves["train"][0] == [10, pytest.approx(sum(k % 7 for k in range(1, 11)) / 10)]
    assert curves["train"][-1][0] == 6000
    assert curves["clip"] is None
    assert curves["clipped"] == []


def test_rows_without_a_figure_are_passed_over():
    log = [{"kind": "step", "step": 1, "norm": 2.0}, {"kind": "step", "step": 2, "norm": None},
           {"kind": "step", "step": 3, "norm": math.nan, "nats": 1.0}]  # fmt: skip
    curves = learning.curves({"history": [], "recipe": {"clip": 1.0, "clip_by": "norm"}}, log)
    assert (curves["norm"], curves["train"]) == ([[1, 2.0]], [[3, 1.0]])
    assert curves["clipped"] == [[1, 1.0]]


def test_samples_come_from_the_log_where_they_are_in_it(files):
    language = load(files / "gru.npz")
    log = [{"kind": "sample", "step": 1000, "prefix": "the", "text": " cat"}]
    assert learning.samples(language.predictor(), language.tokenizer, log) == [
        {"when": "step 1,000", "prefix": "the", "text": " cat"}
    ]
    now = learning.samples(language.predictor(), language.tokenizer, [])
    written = generate(language, temperature=0.5, num=2, length=60)
    assert [row["text"] for row in now[:2]] == [sample.text for sample in written]


def test_the_lag_is_measured_over_windows_of_the_text(files, models):
    for language, model in both(files, models):
        tokenizer = language.tokenizer
        ids = np.array([tokenizer.bos, *tokenizer.encode(TEXT), tokenizer.eos], np.int64)
        assert model["lag"] == pytest.approx(gradient_by_lag(language.model, ids), rel=1e-3)


def test_spectra_agree_with_norm_and_trace(files, models):
    for language, model in both(files, models):
        H = 7
        gates = len(model["spectra"]) // len(model["layers"])
        for row in model["spectra"]:
            Wh = language.model.params[f"rnn.{row['layer']}.fwd.Wh"]
            k = "ifog".index(row["gate"]) if gates == 4 else "rzn".index(row["gate"])
            block = Wh[k * H : (k + 1) * H].astype(float)
            squares = sum(s * s for s in row["singular"])
            assert squares == pytest.approx((block * block).sum(), rel=1e-3)
            assert sum(re for re, _ in row["eigen"]) == pytest.approx(np.trace(block), abs=2e-2)


def test_neighbours_point_the_same_way(files, models):
    for language, model in both(files, models):
        params, index = language.model.params, language.tokenizer.vocabulary.index
        first = "embed.W" if "embed.W" in params else "rnn.0.fwd.Wx"
        tables = {"input": params[first], "output layer": params["head.W"]}
        assert [part["table"] for part in model["neighbours"]] == list(tables)
        for part in model["neighbours"]:
            rows = tables[part["table"]].astype(float)
            unit = {t: rows[k] / math.sqrt(rows[k] @ rows[k]) for t, k in index.items()}
            assert len(part["rows"]) > 5
            for row in part["rows"]:
                near = {t: float(unit[t] @ unit[row["token"]]) for t in index}
                for t in ("<unk>", "<s>", "</s>", row["token"]):
                    del near[t]
                best = sorted(near.values(), reverse=True)[: len(row["near"])]
                assert [value for _, value in row["near"]] == pytest.approx(best, abs=2e-3)
                for token, value in row["near"]:
                    assert near[token] == pytest.approx(value, abs=2e-3)


@pytest.mark.parametrize("settings", [{}, {"how": "one-hot"}, {"how": "tied"}, {"layers": 3}])
def test_parts_add_up(settings):
    config = language_model("gru", **settings)
    model = Model(config, random_params(config, np.random.default_rng(0)))
    rows = weights.parts(model)
    assert sum(row["parameters"] for row in rows) == model.params.flat.size
    H, V, E, L = config.hidden, config.inputs, config.embed, config.layers
    matrices = L * 3 * H * H + (L - 1) * 3 * H * H + V * H + (3 * H * E if E else 0)
    assert sum(row["work"] for row in rows) == matrices
    assert all(row["microseconds"] >= 0 for row in weights.times(model))


@pytest.mark.parametrize("batching", ["sentences", "consecutive"])
def test_state_is_carried_from_text_to_text_where_it_was_in_training(files, tmp_path, batching):
    """Over a whole split: the nats are those of `eval`, the last state the engine's."""
    good("train", files / "d.npz", "-o", tmp_path / "m.npz", "--hidden", 5, "--batching", batching,
         "--batch", 2, "--bptt", 8, "--max-steps", 30, "-q")  # fmt: skip
    language, data = load(tmp_path / "m.npz"), Dataset.open(files / "d.npz")
    assert language.carried == (batching == "consecutive")
    texts = report.data_texts(data, language.tokenizer, "test", 10_000)
    passage = activity.passage(language.predictor(), language.tokenizer, texts, 10_000)
    assert sum(token.nats for token in passage.tokens) == pytest.approx(
        evaluate(language, data).nats, rel=1e-4
    )
    part = data.splits["test"]
    ids = part.ids if language.carried else part.ids[part.starts[-2] :]
    model = language.model
    top, _ = model.features(ids.astype(int), model.zero_state(1), Steps.dense(len(ids), 1))
    layer = activity.states(model, passage, 10**6)["layers"][0]
    shown = unpacked(layer["series"]["h"], 5)[:, -1]
    assert np.abs(shown - top[layer["units"], -1]).max() <= 0.51 * 2 / 255


# --- the command ---


def test_a_model_reads_data_or_what_it_writes_itself(files, tmp_path):
    out = tmp_path / "r.html"
    good("report", files / "gru.npz", "--data", files / "d.npz", "--tokens", 60, "-o", out, "-q")
    (model,) = json.loads(Page(out.read_text("utf-8")).scripts[0])["models"]
    data = Dataset.open(files / "d.npz")
    part = data.splits["test"]
    wanted = [data.tokenizer.token(int(k)) for k in part.ids if k != data.tokenizer.bos][:60]
    assert [token for _, token in model["text"]["tokens"]][:40] == wanted[:40]
    assert model["curves"]["rate"] == []
    assert model["curves"]["train"]  # of the history
    good("report", files / "gru.npz", "--tokens", 30, "-o", out)
    (model,) = json.loads(Page(out.read_text("utf-8")).scripts[0])["models"]
    assert 2 <= len(model["text"]["tokens"]) <= 30


def test_models_that_cut_text_differently_read_the_same_text(tmp_path, files):
    good("tokenize", files / "t.txt", "-o", tmp_path / "c.npz", "--whole-file", "--level", "char",
         "-q")  # fmt: skip
    good("train", tmp_path / "c.npz", "-o", tmp_path / "c-model.npz", "--hidden", 6, "--max-steps",
         3, "-q")  # fmt: skip
    out = tmp_path / "r.html"
    good("report", tmp_path / "c-model.npz", files / "gru.npz", "--text", "the cat", "-o", out)
    models = json.loads(Page(out.read_text("utf-8")).scripts[0])["models"]
    assert [len(m["text"]["tokens"]) for m in models] == [7, 3]
    assert models[0]["text"]["nats"][0] is None  # a stream does not predict its first token
    assert json.dumps(models).count("NaN") == 0


def test_what_cannot_be_reported_on_is_refused_in_one_line(files, tmp_path):
    out = tmp_path / "r.html"
    words = ("report", files / "gru.npz", "-o", out)
    assert "too little text" in refused(*words, "--text", " ")
    good("tokenize", files / "t.txt", "-o", tmp_path / "d.npz", "--vocab-size", 9, "-q")
    assert "vocabulary is not the model's" in refused(*words, "--data", tmp_path / "d.npz")
    (tmp_path / "log").write_text('{"kind": "step", "step": 1}\nnonsense\n')
    assert "log, line 2: not a line of" in refused(*words, "--metrics", tmp_path / "log")
    assert "a data file, but a model" in refused("report", files / "d.npz", "-o", out)
    assert "this file is read" in refused("report", files / "gru.npz", "-o", files / "gru.npz")
    assert not out.exists()
    for wrong in (("--text", "a", "--data", files / "d.npz"), ("--split", "test"),
                  ("--metrics", "a", "--metrics", "b")):  # fmt: skip
        assert run(*words, *wrong).code == 2


def test_markup_in_names_and_samples_stays_text():
    tokenizer = Tokenizer.train(["a b c a b"], "word", 8, unit="document")
    config = language_model("rnn-relu", inputs=len(tokenizer))
    model = Model(config, random_params(config, np.random.default_rng(0)))
    language = LanguageModel(model, tokenizer)
    found = {
        "file": "<b>x.npz", "config": config.to_json(), "history": [],
        "data": {"hash": "", "inputs": []},
        "parameters": {"count": model.params.flat.size},
        "tokenizer": {"size": len(tokenizer), "signature": tokenizer.signature},
    }  # fmt: skip
    text = "</script><b>--><!--"
    log = [{"kind": "sample", "step": 1, "prefix": text, "text": text}]
    page = Page(
        report.build([report.Source(found, language, language.predictor(), log)] * 2, ["a b c"])
    )
    assert page.tags["b"] == 0
    assert "no validation was recorded" in page.words
    models = json.loads(page.scripts[0])["models"]
    assert [m["name"] for m in models] == ["<b>x (1)", "<b>x (2)"]
    assert models[0]["samples"] == [{"when": "step 1", "prefix": text, "text": text}]


# --- the colours ---


def colours(theme):
    css = (resources.files("rnncli.look.report") / "page.css").read_text("utf-8")
    block = css.split(theme)[1].split("}")[0]
    return dict(re.findall(r"--([\w-]+): ([^;]+);", block))


def rgb(text):
    if text.startswith("#"):
        return np.array([int(text[k : k + 2], 16) for k in (1, 3, 5)], float)
    return np.array(text.split(), float)


def contrast(a, b):
    """WCAG 2.2, contrast ratio."""

    def light(c):
        c = c / 255
        c = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
        return c @ [0.2126, 0.7152, 0.0722]

    low, high = sorted((light(a), light(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", [":root {", ':root[data-theme="dark"] {'])
def test_everything_can_be_read_in_both_themes(theme):
    c = colours(theme)
    paper, card, ink = rgb(c["paper"]), rgb(c["card"]), rgb(c["ink"])
    most = float(c["most"])
    for ground in (paper, card):
        assert contrast(ink, ground) > 7
        assert contrast(rgb(c["muted"]), ground) > 4.5
    for name in ("hot", "cool"):
        assert contrast(ink, most * rgb(c[name]) + (1 - most) * card) > 4.5, name
    for k in range(6):
        assert contrast(rgb(c[f"s{k}"]), card) > 3, k

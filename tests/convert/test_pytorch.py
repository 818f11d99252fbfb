"""Models to PyTorch's form and back; models of others: the same outputs, or one line that says why.

Against files that PyTorch and the official writer made (tests/frozen). That the layout is
PyTorch's, test_torch_frozen.py shows, and test_torch_live.py where PyTorch is installed.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from commands import good, refused, run

from rnncli.config.network import Config
from rnncli.convert import foreign, pytorch
from rnncli.errors import ArtefactError, ConfigError, DataError
from rnncli.files import safetensors
from rnncli.lm import language_model
from rnncli.nn import Model, Steps
from rnncli.text.tokenizer import Tokenizer

DATA = Path(__file__).parents[1] / "frozen"
TEXTS = ['The cat\'s "hat" is on the mat.', "A <b> dog, ß and 猫."]
NETWORKS = {
    "lstm": {"cell": "lstm", "layers": 2, "embed": 5},
    "lstm-one-hot": {"cell": "lstm"},
    "lstm-projected": {"cell": "lstm", "proj": 3, "embed": 5, "layers": 2},
    "gru": {"cell": "gru", "layers": 3, "embed": 4, "dropout": 0.1},
    "gru-tied": {"cell": "gru", "embed": 6, "tied": True},
    "rnn": {"cell": "rnn"},
    "rnn-relu": {"cell": "rnn", "activation": "relu", "embed": 2},
}


def language(seed=0, dtype=np.float32, **settings):
    """A model with a little vocabulary and a history, none of its numbers zero."""
    tokenizer = Tokenizer.train(TEXTS)
    model = Model.initial(Config(len(tokenizer), hidden=6, **settings), dtype=dtype)
    rng = np.random.default_rng(seed)
    model.params.flat[:] = 0.7 * rng.standard_normal(model.params.flat.shape)
    history = [{"step": 3, "epoch": 0, "train": 2.5, "valid": 2.25}]
    return language_model.LanguageModel(model, tokenizer, True, {"hash": "ab"}, history)


def logits(model, ids):
    """(V, T) along one sequence."""
    return model.predict(np.array(ids), model.zero_state(1), Steps.dense(len(ids), 1))[0]


def rewritten(path, change):
    """The file with other tensors, or other metadata."""
    tensors, metadata = safetensors.read(path)
    change(tensors, metadata)
    safetensors.write(path, tensors, metadata)


@pytest.fixture
def ours(tmp_path):
    """A file of ours."""
    pytorch.save(tmp_path / "m.safetensors", language(cell="gru", embed=6, tied=True))
    return tmp_path / "m.safetensors"


# --- ours, there and back ---


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", NETWORKS)
def test_there_and_back_is_the_same_file(name, dtype, tmp_path):
    before = language(dtype=dtype, **NETWORKS[name])
    language_model.save(tmp_path / "before.npz", before)
    pytorch.save(tmp_path / "m.safetensors", before)
    language_model.save(tmp_path / "after.npz", pytorch.load(tmp_path / "m.safetensors"))
    assert (tmp_path / "after.npz").read_bytes() == (tmp_path / "before.npz").read_bytes()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"cell": "gru-before"}, "gru-before"),
        ({"cell": "lstm", "layer_norm": True}, "layer_norm"),
        ({"cell": "rnn", "layers": 2, "residual": True}, "residual"),
        ({"cell": "gru", "layers": 2, "top": 3}, "equally wide"),
        ({"cell": "rnn", "activation": "identity"}, "not identity"),
    ],
)
def test_what_pytorch_cannot_say_is_refused_with_the_reason(settings, reason, tmp_path):
    with pytest.raises(ConfigError, match=reason):
        pytorch.save(tmp_path / "m", language(**settings))
    assert not list(tmp_path.iterdir())


def test_what_pytorch_has_trained_since_comes_back(ours):
    """Both biases count then; their sum is ours but in the gru's candidate."""
    before = pytorch.load(ours).model

    def change(tensors, metadata):
        tensors["rnn.bias_hh_l0"] += 0.25
        tensors["rnn.bias_ih_l0"] -= 0.125

    rewritten(ours, change)
    after = pytorch.load(ours).model
    H = before.config.hidden
    shift = np.repeat([0.125, 0.125, -0.125], H)
    np.testing.assert_allclose(
        after.params["rnn.0.fwd.b"], before.params["rnn.0.fwd.b"] + shift, atol=1e-6
    )
    np.testing.assert_allclose(
        after.params["rnn.0.fwd.bn"], before.params["rnn.0.fwd.bn"] + 0.25, atol=1e-6
    )


def test_shared_weights_may_be_left_out_but_not_differ(ours):
    model = pytorch.load(ours).model
    rewritten(ours, lambda tensors, metadata: tensors.pop("decoder.weight"))
    assert np.array_equal(pytorch.load(ours).model.params.flat, model.params.flat)

    def change(tensors, metadata):
        tensors["decoder.weight"] = tensors["encoder.weight"] + 1

    rewritten(ours, change)
    with pytest.raises(ArtefactError, match="differ"):
        pytorch.load(ours)


def _about(change):
    def apply(tensors, metadata):
        about = json.loads(metadata["rnncli"])
        change(about)
        metadata["rnncli"] = json.dumps(about)

    return apply


def _config(**settings):
    return _about(lambda about: about["config"].update(settings))


DAMAGE = {
    "metadata are not": [
        lambda t, m: m.update(rnncli="{"), lambda t, m: m.update(rnncli="[1]"),
        lambda t, m: m.update(rnncli="[" * 100_000),
        _about(lambda a: a.pop("config")), _about(lambda a: a.update(config=[])),
        _about(lambda a: a["vocabulary"][0].append(3)), _about(lambda a: a.pop("vocabulary")),
        _about(lambda a: a["vocabulary"][0].append("\ud800")),
        _about(lambda a: a["vocabulary"][1].append(1 << 70)),
    ],
    "hidden must be": [_config(hidden=0)],
    "layer_norm": [_config(layer_norm=True)],
    "no language model": [_config(head="tags", outputs=3, tied=False)],
    "too few or too small": [_config(hidden=(1 << 24) - 1, tied=False)],
    "is needed": [
        _config(hidden=5, tied=False),
        _config(cell="rnn"),
        lambda t, m: t.update(extra=np.zeros(3)), lambda t, m: t.pop("rnn.bias_hh_l0"),
        lambda t, m: t.update({"rnn.bias_hh_l0": t["rnn.bias_hh_l0"][:, None]}),
    ],
    "not all finite": [lambda t, m: t["rnn.bias_hh_l0"].fill(np.nan)],
    "do not belong together": [_about(lambda a: a["tokenizer"].update(hash="0"))],
    "counts do not fit": [_about(lambda a: a["vocabulary"][1].append(1))],
    "history": [_about(lambda a: a.update(history=[{"step": "x"}]))],
}  # fmt: skip


@pytest.mark.parametrize("fault", DAMAGE)
def test_a_damaged_file_of_ours_is_refused(fault, ours):
    whole = ours.read_bytes()
    for change in DAMAGE[fault]:
        ours.write_bytes(whole)
        rewritten(ours, change)
        with pytest.raises(ArtefactError, match=fault):
            pytorch.load(ours)


# --- models of others ---


def expected(name):
    """The tokens, ids and logits that PyTorch computed for a frozen file."""
    case = json.loads(safetensors.read(DATA / f"{name}.safetensors")[1]["expected"])
    return case["tokens"], case["ids"], np.array(case["logits"]).T


@pytest.mark.parametrize(("name", "close"), [("char_lstm", 1e-6), ("char_gru", 1e-12)])
def test_a_character_model_of_others_gives_its_outputs(name, close):
    tokens, ids, wanted = expected(name)
    found = foreign.load(DATA / f"{name}.safetensors", tokens)
    assert found.tokenizer.vocabulary.tokens == ("<unk>", *tokens)
    assert found.tokenizer.signature == "char+nfc:stream:v1"
    ours = logits(found.model, [k + 1 for k in ids])
    np.testing.assert_allclose(ours[1:], wanted, atol=close)
    assert (ours[0] < wanted.max(axis=0) - 99).all()  # <unk> takes no probability from them


def test_a_character_model_of_others_writes_through_the_commands(tmp_path):
    tokens, *_ = expected("char_gru")
    (tmp_path / "v.json").write_text(json.dumps({token: k for k, token in enumerate(tokens)}))
    good("convert", DATA / "char_gru.safetensors", tmp_path / "m.npz", "--vocab",
         tmp_path / "v.json")  # fmt: skip
    text = good("sample", tmp_path / "m.npz", "--prefix", "ab", "--length", 50).out
    assert len(text) == 53
    assert set(text) <= set(tokens)
    assert "gru" in good("convert", tmp_path / "m.npz", tmp_path / "n.safetensors").err
    good("convert", tmp_path / "n.safetensors", tmp_path / "n.npz")
    assert (tmp_path / "n.npz").read_bytes() == (tmp_path / "m.npz").read_bytes()


def test_words_with_ends_are_documents_and_rows_follow_their_tokens(tmp_path):
    before = language(cell="gru", embed=4)
    tokens = before.tokenizer.vocabulary.tokens
    order = np.random.default_rng(0).permutation(len(tokens))
    theirs = pytorch.to_torch(before.model.config, before.model.params)
    for name in ("encoder.weight", "decoder.weight", "decoder.bias"):
        theirs[name] = theirs[name][order]
    safetensors.write(tmp_path / "m", theirs, {})
    after = foreign.load(tmp_path / "m", [tokens[k] for k in order])
    assert after.tokenizer.signature == "word+lower+nfc:document:v1"
    ids = [after.tokenizer.vocabulary.index[tokens[k]] for k in (1, 5, 3)]
    found, wanted = logits(after.model, ids), logits(before.model, [1, 5, 3])
    back = [after.tokenizer.vocabulary.index[token] for token in tokens]
    np.testing.assert_array_equal(found[back], wanted)


def lstm(V=5, E=3, H=2, layers=1, prefix="rnn."):
    """The recurrent tensors of others."""
    rng, out = np.random.default_rng(0), {}
    for layer in range(layers):
        out[f"{prefix}weight_ih_l{layer}"] = rng.standard_normal((4 * H, H if layer else E or V))
        out[f"{prefix}weight_hh_l{layer}"] = rng.standard_normal((4 * H, H))
    return out


def around(V=5, E=3, H=2, encoder="encoder.weight", decoder="decoder"):
    out = {f"{decoder}.weight": np.ones((V, H)), f"{decoder}.bias": np.ones(V)}
    return out | ({encoder: np.full((V, E), 2.0)} if encoder else {})


@pytest.mark.parametrize("encoder", ["encoder.weight", "emb.weight", "model.net.table.weight", ""])
@pytest.mark.parametrize("decoder", ["fc", "linear", "head", "module.out.0"])
def test_names_may_differ(encoder, decoder):
    E = 3 if encoder else 0
    tensors = lstm(E=E, layers=2, prefix="module.x.") | around(5, E, 2, encoder, decoder)
    named, config = foreign.recognised(tensors, "m")
    assert config == Config(5, cell="lstm", hidden=2, layers=2, embed=E)
    assert not named["rnn.bias_hh_l1"].any()  # bias=False
    assert named["decoder.weight"].max() == 1
    assert not encoder or named["encoder.weight"].max() == 2


def test_matrices_of_one_shape_are_told_apart_by_bias_then_by_name():
    both = around(E=2)
    for tensors in (both, {k: v for k, v in both.items() if k != "decoder.bias"}):
        named, _ = foreign.recognised(lstm(E=2) | tensors, "m")
        assert named["decoder.weight"].max() == 1


def test_equal_embedding_and_output_are_shared():
    tensors = around(E=2) | {"encoder.weight": np.ones((5, 2))}
    assert foreign.recognised(lstm(E=2) | tensors, "m")[1].tied


STRANGE = {
    r"found: none": around(),
    r"found: a\., b\.": lstm(prefix="a.") | lstm(prefix="b.") | around(),
    "backwards": lstm() | around() | {"rnn.weight_ih_l0_reverse": np.ones((8, 3))},
    "weight_hh_l0": {"rnn.weight_ih_l0": np.ones((8, 3))} | around(),
    "are no lstm": lstm() | around() | {"rnn.weight_hh_l0": np.ones((8, 5))},
    r"found: nothing": lstm(),
    r"extra.weight \(3,\)": lstm() | around() | {"extra.weight": np.ones(3)},
    r"more.weight": lstm() | around() | {"more.weight": np.ones((3, 3)), "more.bias": np.ones(3)},
    r"embed2": lstm() | around() | {"embed2.weight": np.ones((5, 3))},
    "below 101": lstm() | around() | {"rnn.weight_ih_l99999": np.ones((8, 2))},
}


@pytest.mark.parametrize("fault", STRANGE)
def test_what_is_no_recurrent_language_model_is_refused(fault):
    with pytest.raises(ArtefactError, match=fault):
        foreign.recognised(STRANGE[fault], "m")


def test_tensors_that_do_not_fit_one_another_are_refused(tmp_path):
    for bad in (lstm(E=4) | around(), lstm(E=0, V=4) | around(E=0, encoder="")):
        safetensors.write(tmp_path / "m", bad, {})
        with pytest.raises(ArtefactError, match=r"rnn\.weight_ih_l0"):
            foreign.load(tmp_path / "m", list("abcde"))


BAD_TOKENS = {
    "5 rows, the vocabulary 4": (list("abcd"), {}),
    "twice": (list("abcda"), {}),
    "or an empty one": (["a", "b", "c", "d", ""], {}),
    "level word": (["a", "b", "c", "d", "e f"], {}),
    "level char": (["a", "b", "c", "d", "ef"], {"level": "char"}),
    "unit document needs <s> and </s>": (list("abcde"), {"unit": "document"}),
}


@pytest.mark.parametrize("fault", BAD_TOKENS)
def test_a_vocabulary_that_does_not_fit_is_refused(fault, tmp_path):
    tokens, options = BAD_TOKENS[fault]
    safetensors.write(tmp_path / "m", lstm() | around(), {})
    with pytest.raises(DataError, match=fault):
        foreign.load(tmp_path / "m", tokens, **options)


def test_a_vocabulary_is_lines_or_json(tmp_path):
    wanted = ["b", "a", " "]
    forms = {
        "v.txt": "b\na\n \n", "list.json": '["b", "a", " "]',
        "ids.json": '{"a": 1, " ": 2, "b": 0}',
        "tokens.json": '{"0": "b", "2": " ", "1": "a"}',
    }  # fmt: skip
    for name, text in forms.items():
        (tmp_path / name).write_text(text)
        assert foreign.read_tokens(tmp_path / name) == wanted
    bad = ["[1]", "{", '{"a": 0, "b": 2}', '{"a": 0, "b": "c"}', "3", '["\\ud800"]', "[" * 100_000]
    for text in bad:
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(DataError, match="neither a list"):
            foreign.read_tokens(tmp_path / "bad.json")
    (tmp_path / "v.txt").write_bytes(b"\xff\n")
    with pytest.raises(DataError, match="line 1: byte 0xff at offset 0 is not utf-8"):
        foreign.read_tokens(tmp_path / "v.txt")


# --- the command ---


def test_wrong_use_of_convert_is_said_and_nothing_is_written(ours, tmp_path):
    vocab = tmp_path / "v.txt"
    vocab.write_text("a\n")
    wrong = [
        (ours, tmp_path / "x.safetensors"), (ours, tmp_path / "x.onnx"),
        (ours, tmp_path / "x.npz", "--level", "char"),
        (tmp_path / "x.npz", tmp_path / "y.safetensors", "--vocab", vocab),
    ]  # fmt: skip
    for words in wrong:
        assert run("convert", *words).code == 2
    tensors, _ = safetensors.read(ours)
    safetensors.write(tmp_path / "bare.safetensors", tensors, {})
    line = refused("convert", tmp_path / "bare.safetensors", tmp_path / "x.npz")
    assert "--vocab" in line
    assert "No such file" in refused("convert", ours, tmp_path / "x.npz", "--vocab", "none.txt")
    language_model.save(tmp_path / "n.npz", language(cell="gru-before"))
    line = refused("convert", tmp_path / "n.npz", tmp_path / "x.safetensors")
    assert "gru-before" in line
    assert not list(tmp_path.glob("x.*"))

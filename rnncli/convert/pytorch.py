"""Models in PyTorch's names and layout, there and back: the one place that knows both.

A network is named as in PyTorch's word_language_model: `encoder` (nn.Embedding; none for a one-hot
input), `rnn` (nn.LSTM, nn.GRU or nn.RNN), `decoder` (nn.Linear). PyTorch stacks the gates i f g o
and r z n and keeps two biases, of which only the gru's candidate needs both; ours are i f o g and
r z n with one bias `b`, and `bn` for that candidate. In a file of ours vocabulary, rule and
configuration stand in the metadata, so that nothing is lost; in one of others' the configuration is
read off names and shapes, and the vocabulary comes from elsewhere.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import GATES, Config
from rnncli.errors import ArtefactError, ConfigError, DataError, shown
from rnncli.files import safetensors
from rnncli.lm.language_model import LanguageModel, from_parts, to_header
from rnncli.nn.model import Model, shapes
from rnncli.nn.params import Params
from rnncli.nn.transfer import carried_over, match
from rnncli.text.pretokenizer import BOS, EOS, UNK, Pretokenizer
from rnncli.text.tokenizer import Tokenizer, Vocabulary

Array = NDArray[Any]

BLOCKS = {"lstm": (0, 1, 3, 2), "gru": (0, 1, 2), "rnn": (0,)}  # its own inverse
SUFFIXES = {"fwd": "", "bwd": "_reverse"}
OURS = "rnncli"  # the entry of the metadata that is ours
NEVER = 100.0  # nats below the least likely token: what no text of the original ever held

_RECURRENT = re.compile(r"(.*?)((?:weight|bias)_(?:ih|hh|hr)_l\d+(?:_reverse)?)")
_INPUT = re.compile(r"emb|encod|wte|lookup", re.IGNORECASE)


# --- names and layout ---


def no_form(config: Config) -> str:
    """Why PyTorch has no module for a configuration; empty when it has one."""
    reasons = {
        "nn.GRU resets after the recurrent matmul, gru-before before it": config.cell
        == "gru-before",
        "its recurrent modules have no layer_norm": config.layer_norm,
        "its recurrent modules have no residual": config.residual,
        "the layers of its recurrent modules are equally wide (top)": bool(config.top),
        "nn.RNN has tanh and relu, not identity": config.cell == "rnn"
        and config.activation == "identity",
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def to_torch(config: Config, ours: Mapping[str, Array]) -> dict[str, Array]:
    """A state dict from our parameters: its second bias is zero but for the gru's candidate."""
    H, theirs = config.hidden, {}
    for layer, direction in _places(config):
        name, end = f"rnn.{layer}.{direction}.", f"_l{layer}{SUFFIXES[direction]}"
        Wx = ours[name + "Wx"].T if _one_hot(config, layer) else ours[name + "Wx"]
        theirs[f"rnn.weight_ih{end}"] = _reordered(config.cell, Wx)
        theirs[f"rnn.weight_hh{end}"] = _reordered(config.cell, ours[name + "Wh"])
        theirs[f"rnn.bias_ih{end}"] = _reordered(config.cell, ours[name + "b"])
        theirs[f"rnn.bias_hh{end}"] = np.zeros_like(ours[name + "b"])
        if config.cell == "gru":
            theirs[f"rnn.bias_hh{end}"][2 * H :] = ours[name + "bn"]
        if config.proj:
            theirs[f"rnn.weight_hr{end}"] = ours[name + "Wp"]
    if config.embed:
        theirs["encoder.weight"] = ours["embed.W"]
    if "head.b" in ours:
        theirs["decoder.weight"] = ours["embed.W" if config.tied else "head.W"]
        theirs["decoder.bias"] = ours["head.b"]
    return theirs


def from_torch(config: Config, theirs: Mapping[str, Array]) -> dict[str, Array]:
    """Our parameters from a state dict whose names and shapes are those of `to_torch`."""
    H, ours = config.hidden, {}
    for layer, direction in _places(config):
        name, end = f"rnn.{layer}.{direction}.", f"_l{layer}{SUFFIXES[direction]}"
        Wx = _reordered(config.cell, theirs[f"rnn.weight_ih{end}"])
        ours[name + "Wx"] = Wx.T if _one_hot(config, layer) else Wx
        ours[name + "Wh"] = _reordered(config.cell, theirs[f"rnn.weight_hh{end}"])
        b = _reordered(config.cell, theirs[f"rnn.bias_ih{end}"])
        b_h = _reordered(config.cell, theirs[f"rnn.bias_hh{end}"])
        added = 2 * H if config.cell == "gru" else len(b)
        b[:added] += b_h[:added]
        ours[name + "b"] = b
        if config.cell == "gru":
            ours[name + "bn"] = b_h[2 * H :]
        if config.proj:
            ours[name + "Wp"] = theirs[f"rnn.weight_hr{end}"]
    if config.embed:
        ours["embed.W"] = theirs["encoder.weight"]
    if "decoder.bias" in theirs:
        ours["head.b"] = theirs["decoder.bias"]
        if not config.tied:
            ours["head.W"] = theirs["decoder.weight"]
    return ours


def _places(config: Config) -> list[tuple[int, str]]:
    directions = list(SUFFIXES)[: config.directions]
    return [(layer, direction) for layer in range(config.layers) for direction in directions]


def _one_hot(config: Config, layer: int) -> bool:
    return layer == 0 and not config.embed and config.head != "values"


def _reordered(cell: str, stacked: Array) -> Array:
    blocks = np.split(stacked, len(BLOCKS[cell]))
    return np.concatenate([blocks[k] for k in BLOCKS[cell]])


# --- files ---


def save(path: str | Path, language: LanguageModel) -> None:
    """Write a language model as a .safetensors file; `load` gives the same one back.

    ConfigError, with the reason, for a network that PyTorch has no form of.
    """
    reason = no_form(language.model.config)
    if reason:
        raise ConfigError(f"this network has no form in PyTorch: {reason}.")
    vocabulary = language.tokenizer.vocabulary
    about = to_header(language)
    about["vocabulary"] = [list(vocabulary.tokens), vocabulary.counts.tolist()]
    text = json.dumps(about, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    tensors = to_torch(language.model.config, language.model.params)
    safetensors.write(path, tensors, {"format": "pt", OURS: text})


def load(
    path: str | Path, tokens: Sequence[str] | None = None, *, level: str = "", unit: str = ""
) -> LanguageModel:
    """The language model of a .safetensors file: one of ours, or one that others have trained.

    `tokens` are those of the rows of others' embedding and output, in order; `level` (word or char)
    and `unit` say how text is cut, where the tokens do not. Raises ArtefactError, which names the
    file, when names or shapes are not those of a recurrent language model, and DataError when the
    tokens do not fit.
    """
    tensors, metadata = safetensors.read(path)
    where = shown(path, 300)
    if tokens is None and OURS not in metadata:
        raise ArtefactError(f"{where}: no vocabulary in it. Give its tokens with --vocab.")
    dtype = np.result_type(np.float32, *(value.dtype for value in tensors.values()))
    tensors = {name: value.astype(dtype, copy=False) for name, value in tensors.items()}
    if tokens is None:
        return _ours(tensors, metadata[OURS], where)
    named, config = recognised(tensors, where)
    if len(tokens) != config.inputs:
        rows = f"{config.inputs:,} rows, the vocabulary {len(tokens):,} tokens"
        raise DataError(f"{where}: its output has {rows}.")
    model = _model(config, named, where)
    return _with_tokens(model, tokens, level, unit)


def _ours(tensors: dict[str, Array], text: str, where: str) -> LanguageModel:
    """A model that `save` has written, and that PyTorch may have trained since."""
    try:
        header = json.loads(text)
        tokens, counts = header.pop("vocabulary")
        config = Config.from_json(header["config"])
        vocabulary = Vocabulary(tuple(tokens), np.array(counts, np.int64))
        arrays = vocabulary.to_arrays()
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        raise ArtefactError(f"{where}: damaged: its metadata are not as they should be.") from None
    except ConfigError as error:
        raise ArtefactError(f"{where}: damaged: {error}") from None
    if config.tied and "encoder.weight" in tensors:
        output = tensors.setdefault("decoder.weight", tensors["encoder.weight"])
        if not np.array_equal(output, tensors["encoder.weight"]):
            raise ArtefactError(f"{where}: encoder and decoder share their weights (tied), but "
                                "encoder.weight and decoder.weight differ.")  # fmt: skip
    model = _model(config, tensors, where)
    return from_parts(header, {**arrays, **model.params}, where)


def _model(config: Config, theirs: Mapping[str, Array], where: str) -> Model:
    """A model from tensors in PyTorch's names: exactly those that the configuration has."""
    layout = shapes(config)
    if no_form(config) or config.head != "tokens":
        raise ArtefactError(f"{where}: damaged: {no_form(config) or 'no language model'}.")
    if sum(map(math.prod, layout.values())) > sum(value.size for value in theirs.values()):
        raise ArtefactError(f"{where}: its tensors are too few or too small for its configuration.")
    dtype = next(iter(theirs.values())).dtype
    wanted = to_torch(config, Params(layout, dtype))
    for name in sorted(wanted.keys() | theirs.keys()):
        there, here = (part[name].shape if name in part else None for part in (theirs, wanted))
        if there != here:
            raise ArtefactError(f'{where}: tensor "{shown(name)}" is {there or "missing"}, but '
                                f"{here or 'none'} is needed.")  # fmt: skip
    params = Params(layout, dtype)
    for name, values in from_torch(config, theirs).items():
        params[name][:] = values
    if not np.isfinite(params.flat).all():
        raise ArtefactError(f"{where}: its parameters are not all finite.")
    return Model(config, params)


# --- what others have trained ---


def recognised(theirs: Mapping[str, Array], where: str) -> tuple[dict[str, Array], Config]:
    """Others' tensors under PyTorch's usual names, and the configuration that their shapes show.

    The recurrent tensors go by their suffix (weight_ih_l0 ...). Of the other matrices the output
    has a bias of its own or, without one, no name like an embedding's; missing biases are zero.
    nn.RNN is taken for the tanh one: nothing in the file says.
    """
    found = {name: _RECURRENT.fullmatch(name) for name in theirs}
    modules = sorted({match[1] for match in found.values() if match})
    if len(modules) != 1:
        listed = ", ".join(shown(name) for name in modules) or "none"
        raise ArtefactError(f"{where}: one nn.LSTM, nn.GRU or nn.RNN is needed (found: {listed}).")
    named = {f"rnn.{match[2]}": theirs[name] for name, match in found.items() if match}
    if any(name.endswith("_reverse") for name in named):
        raise ArtefactError(f"{where}: bidirectional; a language model cannot read backwards.")
    others = [name for name, match in found.items() if not match]
    Wx, Wh = (named.get(f"rnn.weight_{kind}_l0", np.zeros(0)) for kind in ("ih", "hh"))
    if Wx.ndim != 2 or Wh.ndim != 2 or not Wh.size:
        raise ArtefactError(f"{where}: its first layer has no weight_ih_l0 or no weight_hh_l0.")
    projection = named.get("rnn.weight_hr_l0")
    H = Wh.shape[1] if projection is None else projection.shape[-1]
    kinds = [cell for cell in BLOCKS if len(Wx) == GATES[cell] * H]
    if not kinds:
        raise ArtefactError(f"{where}: {len(Wx)} rows for {H} units are no lstm, gru or rnn.")
    layers = 1 + max(int(re.findall(r"_l(\d+)", name)[0]) for name in named)

    tables = [name for name in others if theirs[name].ndim == 2]
    biased = [name for name in tables if _bias(name) in theirs]
    heads = biased or [name for name in tables if not _INPUT.search(name)]
    encoders = [name for name in tables if name not in heads]
    biases = [_bias(name) for name in heads if _bias(name) in theirs]
    strange = sorted(set(others) - {*heads, *encoders, *biases})
    if len(heads) != 1 or len(encoders) > 1 or strange:
        listed = ", ".join(f"{shown(name)} {theirs[name].shape}" for name in sorted(others))
        raise ArtefactError(
            f"{where}: beside the recurrent module one output layer is needed, and at most one "
            f"embedding (found: {listed or 'nothing'})."
        )
    named["decoder.weight"] = theirs[heads[0]]
    V = len(theirs[heads[0]])
    zeros = {"decoder.bias": V}
    if biases:
        named["decoder.bias"] = theirs[biases[0]]
    if encoders:
        named["encoder.weight"] = theirs[encoders[0]]
    for layer in range(min(layers, 100)):
        zeros |= {f"rnn.bias_{kind}_l{layer}": len(Wx) for kind in ("ih", "hh")}
    for name, length in zeros.items():
        named.setdefault(name, np.zeros(length, Wx.dtype))
    try:
        config = Config(
            V, cell=kinds[0], hidden=H, layers=layers,
            embed=named["encoder.weight"].shape[1] if encoders else 0,
            proj=0 if projection is None else len(projection),
            tied=bool(encoders) and np.array_equal(theirs[encoders[0]], theirs[heads[0]]),
        )  # fmt: skip
    except ConfigError as error:
        raise ArtefactError(f"{where}: {error}") from None
    return named, config


def _bias(name: str) -> str:
    return re.sub(r"weight$", "bias", name)


def _with_tokens(model: Model, tokens: Sequence[str], level: str, unit: str) -> LanguageModel:
    """The model with its rows in our order: special tokens first, `<unk>` always."""
    text = [token for token in tokens if token not in (UNK, BOS, EOS)]
    if not level:
        level = "char" if all(len(token) == 1 for token in text) else "word"
    if not unit:
        unit = "document" if {BOS, EOS} <= set(tokens) else "stream"
    rule = Pretokenizer(
        level, unit, level == "word" and all(token == token.lower() for token in text)
    )
    missing = [token for token in rule.specials[1:] if token not in tokens]
    if missing:
        raise DataError(f"unit {unit} needs {' and '.join(missing)} in the vocabulary. Use stream.")
    if len(set(tokens)) != len(tokens) or "" in tokens:
        twice = next((t for t in tokens if not t or list(tokens).count(t) > 1), "")
        raise DataError(f'the vocabulary has the token "{shown(twice)}" twice, or an empty one.')
    ordered = (*rule.specials, *(token for token in tokens if token not in rule.specials))
    vocabulary = Vocabulary(ordered, np.zeros(len(ordered), np.int64))
    try:
        Vocabulary.from_arrays(vocabulary.to_arrays(), rule, "vocabulary")
    except ArtefactError as error:
        raise DataError(f"these tokens make no vocabulary of level {level}: {error}") from None
    rows = match(tokens, ordered).rows
    model = carried_over(model, rows)
    if rows[0] < 0:
        bias = model.params["head.b"]
        bias[0] = bias[1:].min() - NEVER
    return LanguageModel(model, Tokenizer(rule, vocabulary))


def read_tokens(path: str | Path) -> list[str]:
    """The tokens of a file, in the order of their ids: one a line, or, in a .json file, a list, or
    an object of token to id or id to token."""
    where = shown(path, 300)
    try:
        text = Path(path).read_text("utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{where}: not UTF-8 text.") from None
    if Path(path).suffix != ".json":
        return text.removesuffix("\n").split("\n")
    try:
        values = json.loads(text)
        if isinstance(values, dict):
            pairs = list(values.items())
            if all(type(token) is str for token in values.values()):
                pairs = [(token, int(number)) for number, token in values.items()]
            if sorted(number for _, number in pairs) != list(range(len(pairs))):
                raise ValueError
            values = [token for token, _ in sorted(pairs, key=lambda pair: pair[1])]
        if not isinstance(values, list) or {*map(type, values)} != {str}:
            raise ValueError
        json.dumps(values, ensure_ascii=False).encode()  # no half of a surrogate pair
    except (ValueError, TypeError, RecursionError):
        raise DataError(
            f"{where}: neither a list of tokens, nor an object that gives the ids from 0 on."
        ) from None
    return values

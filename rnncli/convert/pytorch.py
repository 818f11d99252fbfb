"""Models in PyTorch's names and layout, there and back: the one place that knows both.

A network is named as in PyTorch's word_language_model: `encoder` (nn.Embedding; none for a one-hot
input), `rnn` (nn.LSTM, nn.GRU or nn.RNN), `decoder` (nn.Linear). PyTorch stacks the gates i f g o
and r z n and keeps two biases, of which only the gru's candidate needs both; the engine has i f o g
and r z n with one bias `b`, and `bn` for that candidate. In a file that `save` writes, vocabulary,
pre-tokenizer and configuration are in the metadata, so that nothing is lost.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.errors import ArtefactError, ConfigError, shown
from rnncli.files import safetensors
from rnncli.lm.language_model import LanguageModel, from_parts, to_header
from rnncli.nn.cells.table import CELLS
from rnncli.nn.layout import layout, shapes
from rnncli.nn.model import Model
from rnncli.nn.params import Params
from rnncli.text.vocabulary import Vocabulary

Array = NDArray[Any]

SUFFIXES = {"fwd": "", "bwd": "_reverse"}
OURS = "rnncli"  # the entry of the metadata that has all but the parameters


def no_form(config: Config) -> str:
    """Say why PyTorch has no module for a configuration; empty when it has one."""
    reasons = {
        "nn.GRU resets after the recurrent matmul, gru-before before it": config.cell
        == "gru-before",
        f"it has no cell {config.cell}": not CELLS[config.cell].torch_gates,
        "its recurrent modules have no layer_norm": config.layer_norm,
        "its recurrent modules have no residual": config.residual,
        "the layers of its recurrent modules are equally wide (top)": bool(config.top),
        "nn.RNN has tanh and relu, not identity": config.cell == "rnn"
        and config.activation == "identity",
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def to_torch(config: Config, ours: Mapping[str, Array]) -> dict[str, Array]:
    """Make a state dict of parameters: its second bias is zero but for the gru's candidate."""
    H, theirs = config.hidden, {}
    for layer, direction in _places(config):
        name, end = f"rnn.{layer}.{direction}.", f"_l{layer}{SUFFIXES[direction]}"
        Wx = ours[name + "Wx"].T if config.one_hot and layer == 0 else ours[name + "Wx"]
        theirs[f"rnn.weight_ih{end}"] = _to_theirs(config, Wx)
        theirs[f"rnn.weight_hh{end}"] = _to_theirs(config, ours[name + "Wh"])
        theirs[f"rnn.bias_ih{end}"] = _to_theirs(config, ours[name + "b"])
        theirs[f"rnn.bias_hh{end}"] = np.zeros_like(ours[name + "b"])
        if name + "bn" in ours:
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
    """Make parameters of a state dict whose names and shapes are those of `to_torch`."""
    H, ours, specs = config.hidden, {}, layout(config)
    for layer, direction in _places(config):
        name, end = f"rnn.{layer}.{direction}.", f"_l{layer}{SUFFIXES[direction]}"
        Wx = _to_ours(config, theirs[f"rnn.weight_ih{end}"])
        ours[name + "Wx"] = Wx.T if config.one_hot and layer == 0 else Wx
        ours[name + "Wh"] = _to_ours(config, theirs[f"rnn.weight_hh{end}"])
        b = _to_ours(config, theirs[f"rnn.bias_ih{end}"])
        b_h = _to_ours(config, theirs[f"rnn.bias_hh{end}"])
        added = 2 * H if name + "bn" in specs else len(b)
        b[:added] += b_h[:added]
        ours[name + "b"] = b
        if name + "bn" in specs:
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


def _to_theirs(config: Config, stacked: Array) -> Array:
    cell = CELLS[config.cell]
    return _reordered(stacked, cell.gates, cell.torch_gates)


def _to_ours(config: Config, stacked: Array) -> Array:
    cell = CELLS[config.cell]
    return _reordered(stacked, cell.torch_gates, cell.gates)


def _reordered(stacked: Array, gates: str, wanted: str) -> Array:
    """Reorder the blocks of rows that belong to gates.

    Example: rows 1 2 3 4 of the gates "ifog", wanted "ifgo" -> 1 2 4 3
    """
    blocks = np.split(stacked, len(gates))
    return np.concatenate([blocks[gates.index(gate)] for gate in wanted])


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


def load(path: str | Path) -> LanguageModel:
    """Read a language model that `save` has written, and that PyTorch may have trained since.

    Raises ArtefactError, which names the file, when it is not one, or its names and shapes are not
    those of its configuration.
    """
    tensors, metadata = read(path)
    where = shown(path, 300)
    if OURS not in metadata:
        raise ArtefactError(f"{where}: no vocabulary in it. Give its tokens with --vocab.")
    try:
        header = json.loads(metadata[OURS])
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
    model = model_of(config, tensors, where)
    return from_parts(header, {**arrays, **model.params}, where)


def read(path: str | Path) -> tuple[dict[str, Array], dict[str, str]]:
    """Read the tensors of a .safetensors file, in float32 or wider, and its metadata."""
    tensors, metadata = safetensors.read(path)
    dtype = np.result_type(np.float32, *(value.dtype for value in tensors.values()))
    return {name: value.astype(dtype, copy=False) for name, value in tensors.items()}, metadata


def model_of(config: Config, theirs: Mapping[str, Array], where: str) -> Model:
    """Build a model from tensors in PyTorch's names: exactly those that the configuration has.

    `where` names the file in an ArtefactError.
    """
    wanted_shapes = shapes(config)
    if no_form(config) or not config.is_language_model:
        raise ArtefactError(f"{where}: damaged: {no_form(config) or 'no language model'}.")
    if sum(map(math.prod, wanted_shapes.values())) > sum(value.size for value in theirs.values()):
        raise ArtefactError(f"{where}: its tensors are too few or too small for its configuration.")
    dtype = next(iter(theirs.values())).dtype
    wanted = to_torch(config, Params(wanted_shapes, dtype))
    for name in sorted(wanted.keys() | theirs.keys()):
        there, here = (part[name].shape if name in part else None for part in (theirs, wanted))
        if there != here:
            raise ArtefactError(f'{where}: tensor "{shown(name)}" is {there or "missing"}, but '
                                f"{here or 'none'} is needed.")  # fmt: skip
    params = Params(wanted_shapes, dtype)
    for name, values in from_torch(config, theirs).items():
        params[name][:] = values
    if not np.isfinite(params.flat).all():
        raise ArtefactError(f"{where}: its parameters are not all finite.")
    return Model(config, params)

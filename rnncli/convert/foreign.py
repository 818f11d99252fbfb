"""Recurrent language models that others have trained, from the names and shapes of their tensors.

The configuration is read off the tensors; the vocabulary comes from elsewhere.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.config.network import Config
from rnncli.convert import pytorch
from rnncli.errors import ArtefactError, ConfigError, DataError, shown
from rnncli.files.lines import text_lines
from rnncli.lm.language_model import LanguageModel
from rnncli.nn.cells.table import CELLS
from rnncli.nn.model import Model
from rnncli.nn.transfer import carried_over, match
from rnncli.text.levels import level_of
from rnncli.text.pretokenizer import Pretokenizer
from rnncli.text.specials import BOS, EOS, UNK
from rnncli.text.tokenizer import Tokenizer
from rnncli.text.vocabulary import Vocabulary

Array = NDArray[Any]

LONGEST = 1 << 28  # bytes of a line of a vocabulary: JSON may have it all in one
NEVER = 100.0  # nats below the least likely token: what no text of the original ever held

_RECURRENT = re.compile(r"(.*?)((?:weight|bias)_(?:ih|hh|hr)_l\d+(?:_reverse)?)")
_INPUT = re.compile(r"emb|encod|wte|lookup", re.IGNORECASE)


def load(
    path: str | Path, tokens: Sequence[str], *, level: str = "", unit: str = ""
) -> LanguageModel:
    """Read the language model of a .safetensors file that others have trained.

    `tokens` are those of the rows of its embedding and output, in order; `level` (word or char)
    and `unit` say how text is cut, where the tokens do not. Raises ArtefactError, which names the
    file, when names or shapes are not those of a recurrent language model, and DataError when the
    tokens do not fit.
    """
    tensors, _ = pytorch.read(path)
    where = shown(path, 300)
    named, config = recognised(tensors, where)
    if len(tokens) != config.inputs:
        rows = f"{config.inputs:,} rows, the vocabulary {len(tokens):,} tokens"
        raise DataError(f"{where}: its output has {rows}.")
    return _with_tokens(pytorch.model_of(config, named, where), tokens, level, unit)


def recognised(theirs: Mapping[str, Array], where: str) -> tuple[dict[str, Array], Config]:
    """Put others' tensors under PyTorch's usual names, and read the configuration off their shapes.

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
    kinds = [name for name, cell in CELLS.items() if len(Wx) == len(cell.torch_gates) * H]
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
    """Sort the rows of a model as a `Vocabulary` has them: special tokens first, `<unk>` always."""
    text = [token for token in tokens if token not in (UNK, BOS, EOS)]
    if not level:
        level = "char" if all(len(token) == 1 for token in text) else "word"
    if not unit:
        unit = "document" if {BOS, EOS} <= set(tokens) else "stream"
    lower = level_of(level).lower and all(token == token.lower() for token in text)
    rule = Pretokenizer(level, unit, lower)
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
    """Return the tokens of a file in the order of their ids.

    A file holds one a line; a .json file a list, or an object of token to id or id to token.
    """
    where, lines = shown(path, 300), text_lines(str(path), limit=LONGEST)
    if Path(path).suffix != ".json":
        return [line.removesuffix("\n") for line in lines]
    text = "".join(lines)
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

"""State files: where a model stands after a text, to go on from there another time.

One .npz: the ids that were read, and the state of every layer after all of them but the last. It
belongs to the model that wrote it, or to the mixture, and to no other.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli import __version__, artefacts
from rnncli.errors import ArtefactError, DataError
from rnncli.nn import State
from rnncli.reading import Reader
from rnncli.texts import Past, Sample
from rnncli.tokenizer import Tokenizer

Array = NDArray[Any]


def after(reader: Reader, sample: Sample) -> Past:
    """The past that a sample's text makes with its own: what is cut off, and </s>, is left out."""
    past = sample.past
    assert past is not None
    states = past.states
    if sample.body:
        _, states = reader.read([*past.ids[-1:], *sample.body[:-1]], states)
    return Past([*past.ids, *sample.body], past.lead, states)


def save(path: str | Path, past: Past, reader: Reader, tokenizer: Tokenizer) -> None:
    """Write a state file, whole or not at all."""
    arrays: dict[str, Array] = {"ids": np.asarray(past.ids, np.uint32)}
    for k, state in enumerate(past.states):
        arrays[f"{k}.h"] = state.h
        if state.c is not None:
            arrays[f"{k}.c"] = state.c
    header = {"writer": f"rnncli {__version__}", "model": name(reader, tokenizer),
              "lead": past.lead}  # fmt: skip
    artefacts.write(path, "state", header, arrays)


def load(path: str | Path, reader: Reader, tokenizer: Tokenizer) -> Past:
    """The past of a state file; DataError if another model wrote it, ArtefactError if damaged."""
    artefact = artefacts.read(path, "state")
    header, arrays, where = artefact.header, artefact.arrays, str(path)
    wrote, own = header.get("model"), name(reader, tokenizer)
    if wrote != own:
        raise DataError(f"{where}: the state of another model ({str(wrote)[:12]}), not of this one "
                        f"({own[:12]}).")  # fmt: skip
    ids, lead = arrays.get("ids"), header.get("lead")
    if (
        ids is None or ids.dtype != np.uint32 or ids.ndim != 1 or not len(ids)
        or int(ids.max()) >= len(tokenizer) or lead not in (0, 1)
    ):  # fmt: skip
        raise ArtefactError(f"{where}: damaged: it holds no ids of the model.")
    states = []
    for k, like in enumerate(reader.start()):
        state = State(arrays.get(f"{k}.h", like.h[:0]), arrays.get(f"{k}.c"))
        for one, other in zip(state, like, strict=True):
            if (one is None) != (other is None) or (
                one is not None and other is not None
                and (one.shape != other.shape or one.dtype != other.dtype
                     or not np.isfinite(one).all())
            ):  # fmt: skip
                raise ArtefactError(f"{where}: damaged: its state is not that of the model.")
        states.append(state)
    return Past(ids.tolist(), lead, tuple(states))


def name(reader: Reader, tokenizer: Tokenizer) -> str:
    """SHA-256 (hex) of all that a state depends on: vocabulary, settings and parameters."""
    digest = hashlib.sha256(tokenizer.hash.encode())
    for model in reader.models:
        digest.update(json.dumps(model.config.to_json(), sort_keys=True).encode())
        digest.update(np.ascontiguousarray(model.params.flat).data)
    return digest.hexdigest()

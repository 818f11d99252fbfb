"""Freeze what PyTorch computes: `python tests/frozen/make_torch_reference.py` (needs torch).

Writes torch_cells.npz, torch_models.npz and torch_optimizers.npz beside this file. Each member of
them is one case: all its numbers as one float64 vector. The member "manifest" holds JSON that says,
for each case, its configuration (fields of `rnncli.config.network.Config`, of `Recipe` for a rule)
and the names and shapes of the arrays in the vector. The loss of bare cells is half the sum of
squares of their outputs and last states.
"""

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

V, E, D, H, P = 7, 4, 4, 3, 2
LENGTHS = (2, 6, 1, 3, 4)

CELLS: dict[str, dict[str, Any]] = {
    "rnn-tanh": {"cell": "rnn", "activation": "tanh"},
    "rnn-relu": {"cell": "rnn", "activation": "relu"},
    "lstm": {"cell": "lstm"},
    "lstm-projected": {"cell": "lstm", "proj": P},
    "gru": {"cell": "gru"},
}


class MuonByGate:
    """torch's Muon, in float64, for the lstm's weights gate by gate, and AdamW for the rest."""

    def __init__(self, learned, muon, adam):
        self.stacked = learned[1:3]  # after the embedding: weight_ih, weight_hh
        self.gates = [w.detach().chunk(4) for w in self.stacked]  # views: steps change the weights
        self.rules = [
            torch.optim.Muon([gate for gates in self.gates for gate in gates], **muon),
            torch.optim.AdamW([learned[0], *learned[3:]], **adam),
        ]
        self.learned = learned

    def zero_grad(self):
        for value in self.learned:
            value.grad = None

    def step(self):
        for w, gates in zip(self.stacked, self.gates, strict=True):
            for gate, gradient in zip(gates, w.grad.chunk(4), strict=True):
                gate.grad = gradient
        with mock.patch.object(torch.Tensor, "bfloat16", torch.Tensor.double):
            for rule in self.rules:
                rule.step()


# Our recipe, and what makes the same of torch.
OPTIMIZERS: dict[str, tuple[dict[str, Any], Any, dict[str, Any]]] = {
    "sgd": ({"lr": 0.5}, torch.optim.SGD, {"lr": 0.5}),
    "sgd-decayed": (
        {"optimizer": "sgd", "lr": 0.5, "weight_decay": 0.1},
        torch.optim.SGD,
        {"lr": 0.5, "weight_decay": 0.1},
    ),
    "momentum": ({"lr": 0.1, "momentum": 0.8}, torch.optim.SGD, {"lr": 0.1, "momentum": 0.8}),
    "nesterov": (
        {"lr": 0.1, "momentum": 0.8},
        torch.optim.SGD,
        {"lr": 0.1, "momentum": 0.8, "nesterov": True},
    ),
    "adagrad": ({"lr": 0.1}, torch.optim.Adagrad, {"lr": 0.1, "eps": 1e-10}),
    "adadelta": (
        {"lr": 1.0, "rho": 0.8},
        torch.optim.Adadelta,
        {"lr": 1.0, "rho": 0.8, "eps": 1e-6},
    ),
    "rmsprop": (
        {"lr": 0.01, "decay": 0.9, "epsilon": 1e-6},
        torch.optim.RMSprop,
        {"lr": 0.01, "alpha": 0.9, "eps": 1e-6},
    ),
    "adam": (
        {"lr": 0.02, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6},
        torch.optim.Adam,
        {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6},
    ),
    "adamw": (
        {"lr": 0.02, "beta1": 0.8, "beta2": 0.95, "weight_decay": 0.3},
        torch.optim.AdamW,
        {"lr": 0.02, "betas": (0.8, 0.95), "weight_decay": 0.3, "eps": 1e-8},
    ),
    "muon": (
        {"lr": 0.02, "momentum": 0.7, "weight_decay": 0.3},
        MuonByGate,
        {
            "muon": {
                "lr": 0.02,
                "momentum": 0.7,
                "weight_decay": 0.3,
                "adjust_lr_fn": "match_rms_adamw",
            },
            "adam": {"lr": 0.02, "betas": (0.9, 0.999), "weight_decay": 0.3, "eps": 1e-8},
        },
    ),
}
STEPS, CLIP = 10, 0.25


def recurrent(config, width):
    """The torch module of a configuration whose first layer reads vectors of this width."""
    if config["cell"] == "rnn":
        module, extra = nn.RNN, {"nonlinearity": config["activation"]}
    elif config["cell"] == "lstm":
        module, extra = nn.LSTM, {"proj_size": config.get("proj", 0)}
    else:
        module, extra = nn.GRU, {}
    return module(
        width,
        config["hidden"],
        config["layers"],
        bidirectional=config.get("bidirectional", False),
        dtype=torch.float64,
        **extra,
    )


def run(rnn, x, lengths, state):
    """A ragged batch through a module: padded outputs and a tuple of last states."""
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    out, after = rnn(packed, state if len(state) == 2 else state[0])
    y, _ = pad_packed_sequence(out)
    return y, after if isinstance(after, tuple) else (after,)


def drawn(module, seed):
    """Fill a module's parameters, larger than its own start, so that nothing is nearly linear."""
    generator = torch.Generator().manual_seed(seed)
    for value in module.parameters():
        with torch.no_grad():
            value.copy_(0.6 * torch.randn(value.shape, generator=generator, dtype=value.dtype))
    return generator


def first_state(config, B, generator):
    k = config["layers"] * (2 if config.get("bidirectional") else 1)
    widths = [config.get("proj") or config["hidden"], config["hidden"]]
    widths = widths if config["cell"] == "lstm" else widths[:1]
    return [
        torch.randn(k, B, w, generator=generator, dtype=torch.float64).requires_grad_()
        for w in widths
    ]


def collected(named, gradients_of):
    """Everything as arrays, with `grad.NAME` for each tensor whose gradient is wanted."""
    arrays = {name: np.asarray(value.detach()) for name, value in named.items()}
    arrays |= {f"grad.{name}": np.asarray(named[name].grad) for name in gradients_of}
    return {name: np.asarray(value, np.float64) for name, value in arrays.items()}


def cell_case(config, lengths, seed):
    """Layers of one cell over a real input."""
    rnn = recurrent(config, config["inputs"])
    generator = drawn(rnn, seed)
    T, B = max(lengths), len(lengths)
    x = torch.randn(T, B, config["inputs"], generator=generator, dtype=torch.float64)
    x.requires_grad_()
    state = first_state(config, B, generator)
    y, after = run(rnn, x, lengths, state)
    loss = sum((part**2).sum() for part in (y, *after)) / 2
    loss.backward()
    named = {"x": x} | dict(zip(("h0", "c0"), state, strict=False))
    named |= {f"rnn.{name}": value for name, value in rnn.named_parameters()}
    wanted = list(named)
    named |= {"lengths": torch.tensor(lengths), "y": y, "loss": loss}
    named |= dict(zip(("h_n", "c_n"), after, strict=False))
    return collected(named, wanted)


class LanguageModel(nn.Module):
    """encoder (or a one-hot input), rnn, decoder (its weights those of the encoder if tied)."""

    def __init__(self, config):
        super().__init__()
        self.V = config["inputs"]
        if config["embed"]:
            self.encoder = nn.Embedding(self.V, config["embed"], dtype=torch.float64)
        self.rnn = recurrent(config, config["embed"] or self.V)
        width = config.get("proj") or config["hidden"]
        self.decoder = nn.Linear(width, self.V, dtype=torch.float64)
        if config.get("tied"):
            self.decoder.weight = self.encoder.weight

    def nats(self, ids, targets, lengths, state):
        """-log p of each target, in a padded array that is 0 outside the sequences; last states."""
        x = self.encoder(ids) if hasattr(self, "encoder") else one_hot(ids, self.V).double()
        y, after = run(self.rnn, x, lengths, state)
        nats = cross_entropy(self.decoder(y).flatten(0, 1), targets.flatten(), reduction="none")
        inside = torch.arange(len(ids))[:, None] < torch.tensor(lengths)
        return nats.reshape(ids.shape) * inside, after


def model_case(config, lengths, seed):
    """A language model: mean cross-entropy over all tokens of a ragged batch."""
    model = LanguageModel(config)
    generator = drawn(model, seed)
    shape = (max(lengths), len(lengths))
    ids, targets = torch.randint(config["inputs"], (2, *shape), generator=generator)
    state = first_state(config, len(lengths), generator)
    nats, after = model.nats(ids, targets, lengths, state)
    loss = nats.sum() / sum(lengths)
    loss.backward()
    named = dict(zip(("h0", "c0"), state, strict=False)) | dict(model.named_parameters())
    wanted = list(named)
    named |= {"ids": ids, "targets": targets, "lengths": torch.tensor(lengths)}
    named |= {"nats": nats, "loss": loss} | dict(zip(("h_n", "c_n"), after, strict=False))
    return collected(named, wanted)


def optimizer_case(config, lengths, seed, rule, options):
    """Where it starts, and losses, norms and last weights of updates with a clipped gradient.

    The norm is cut to CLIP exactly: torch's own helper divides by the norm + 1e-6. The second bias
    of the lstm is zero and stays so: two biases would learn twice as fast as one.
    """
    model = LanguageModel(config)
    generator = drawn(model, seed)
    for name, value in model.named_parameters():
        if "bias_hh" in name:
            value.requires_grad_(False).zero_()
    learned = [p for p in model.parameters() if p.requires_grad]
    start = {n: p.detach().clone() for n, p in model.named_parameters()}
    batches = torch.randint(
        config["inputs"], (STEPS, 2, max(lengths), len(lengths)), generator=generator
    )
    start |= {"batches": batches, "lengths": torch.tensor(lengths)}
    state = [torch.zeros_like(part) for part in first_state(config, len(lengths), generator)]
    rule = rule(learned, **options)
    losses, norms = [], []
    for ids, targets in batches:
        rule.zero_grad()
        loss = model.nats(ids, targets, lengths, state)[0].sum() / sum(lengths)
        loss.backward()
        gradients = [p.grad for p in learned]
        norm = torch.nn.utils.get_total_norm(gradients)
        for gradient in gradients:
            gradient *= min(1.0, CLIP / norm)
        rule.step()
        losses.append(loss.detach())
        norms.append(norm)
    end = dict(model.named_parameters())
    end |= {"losses": torch.stack(losses), "norms": torch.stack(norms)}
    return collected(start, []), collected(end, [])


def cell_cases():
    cases = {}
    for seed, ((name, cell), layers, both) in enumerate(
        product(CELLS.items(), (1, 2, 3), (False, True))
    ):
        config = {"inputs": D, "hidden": H, "layers": layers, "bidirectional": both, **cell}
        config |= {"head": "values", "outputs": 1}
        directions = "both" if both else "one"
        cases[f"{name}-{layers}-{directions}"] = config, cell_case(config, LENGTHS, seed)
    return cases


def model_cases():
    cases = {}
    for seed, ((name, cell), how) in enumerate(
        product(CELLS.items(), ("one-hot", "embedded", "tied"))
    ):
        width = cell.get("proj", H)
        embed = {"one-hot": 0, "embedded": E, "tied": width}[how]
        config = {"inputs": V, "hidden": H, "layers": 2, "embed": embed, **cell}
        config["tied"] = how == "tied"
        cases[f"{name}-{how}"] = config, model_case(config, LENGTHS, 100 + seed)
    return cases


def optimizer_cases():
    config = {"inputs": V, "hidden": H, "embed": E, "cell": "lstm", "layers": 1}
    cases = {}
    for name, (recipe, rule, options) in OPTIMIZERS.items():
        recipe = {"optimizer": name, "clip": CLIP} | recipe
        start, end = optimizer_case(config, LENGTHS, 7, rule, options)
        cases["start"] = config, start  # the same for all
        cases[name] = recipe, end
    return cases


def save(path, cases):
    manifest = {
        name: {"config": config, "arrays": [[n, list(a.shape)] for n, a in arrays.items()]}
        for name, (config, arrays) in cases.items()
    }
    vectors = {
        name: np.concatenate([a.ravel() for a in arrays.values()])
        for name, (_, arrays) in cases.items()
    }
    text = json.dumps({"torch": torch.__version__, "cases": manifest}, separators=(",", ":"))
    np.savez(path, manifest=np.frombuffer(text.encode(), np.uint8), **vectors)
    print(f"{path.name}: {len(cases)} cases, {path.stat().st_size:,} bytes", file=sys.stderr)


if __name__ == "__main__":
    torch.set_num_threads(1)
    here = Path(__file__).parent
    save(here / "torch_cells.npz", cell_cases())
    save(here / "torch_models.npz", model_cases())
    save(here / "torch_optimizers.npz", optimizer_cases())

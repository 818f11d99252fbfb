"""Settings of `rnncli train`: the network (`Config`), its training (`Recipe`), its `Samples`.

The fields are options of `rnncli train` and keys of presets and YAML files; those of `Config` and
`Recipe` stand as JSON in every model file. What other commands can be set to stands beside what it
sets: `Filters`, `Constraints`, `ReadOptions`, `Pretokenizer`. Plain data without numpy, so that
`--help` is quick.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from typing import Any, Self, get_args, get_origin, get_type_hints

from rnncli.errors import ConfigError, shown

CELLS = ("lstm", "gru", "gru-before", "rnn")  # each is a file of nn/cells
INPUTS = ("one-hot", "embedding", "values")  # each is a file of nn/inputs; see Config.input
HEADS = {  # each is a file of nn/heads -> what it predicts: the next token, a class, or values
    "tokens": "next token", "tags": "class", "values": "values",
}  # fmt: skip
RATES = {  # a learning rate that usually works
    "sgd": 1.0, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.1, "adadelta": 1.0,
    "rmsprop": 0.002, "adam": 0.004, "adamw": 0.004, "muon": 0.01, "asgd": 1.0,
}  # fmt: skip
MOMENTA = {"muon": 0.95}  # and 0.9 of the other rules
SCHEDULES = (
    "constant", "linear", "cosine", "step", "exponential", "halve-on-rise", "divide-on-plateau",
)  # fmt: skip


def setting(
    default: Any,
    text: str,
    *,
    choices: tuple[str, ...] = (),
    least: float | None = None,
    below: float | None = None,
    above: float | None = None,
) -> Any:
    """A field with its explanation and the values that it takes."""
    limits = {"choices": choices, "least": least, "below": below, "above": above}
    return field(default=default, metadata={"help": text, **limits})


@dataclass(frozen=True)
class Settings:
    """Fields that know their limits."""

    def __post_init__(self) -> None:
        for entry in fields(self):
            value, limits = getattr(self, entry.name), entry.metadata
            if value is None or not limits:
                continue
            name, choices = entry.name, limits["choices"]
            if choices and value not in choices:
                listed = ", ".join(choices)
                raise ConfigError(f'{name} "{shown(value)}" is not one of {listed}.')
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{name} must be a number, not {value}.")
            least, below, above = (limits[k] for k in ("least", "below", "above"))
            if least is not None and value < least:
                raise ConfigError(f"{name} must be {least} or more, not {value}.")
            if below is not None and value >= below:
                raise ConfigError(f"{name} must be below {below}, not {value}.")
            if above is not None and value <= above:
                raise ConfigError(f"{name} must be above {above}, not {value}.")

    def to_json(self) -> dict[str, Any]:
        """All fields, as JSON holds them."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`; unknown keys and wrong types are a ConfigError."""
        hints = get_type_hints(cls)
        out: dict[str, Any] = {}
        for key, value in values.items():
            if key not in hints:
                raise ConfigError(f'there is no setting "{shown(key)}".')
            kinds = get_args(hints[key]) or (hints[key],)
            if get_origin(hints[key]) is tuple:  # JSON and YAML have lists
                if not isinstance(value, list | tuple) or {type(v) for v in value} - {kinds[0]}:
                    raise ConfigError(f"{key} takes a list of texts, not {shown(repr(value))}.")
                out[key] = tuple(value)
                continue
            if float in kinds and type(value) is int:
                value = float(value)
            if type(value) not in kinds:
                wanted = " or ".join("null" if k is type(None) else k.__name__ for k in kinds)
                raise ConfigError(f"{key} takes {wanted}, not {shown(repr(value))}.")
            out[key] = value
        for entry in fields(cls):
            if entry.default is MISSING and entry.name not in out:
                raise ConfigError(f"{entry.name} is missing.")
        return cls(**out)


@dataclass(frozen=True)
class Config(Settings):
    """The architecture of a network, and how its parameters start.

    inputs: V, the number of token ids; or, with `head` "values", the width D of a real input.
    outputs: K of the heads "tags" and "values"; a "tokens" head has one output a token.
    """

    inputs: int = field(metadata={})
    cell: str = setting(
        "lstm", "Kind of cell; gru resets after the recurrent matmul, gru-before before it.",
        choices=CELLS,
    )  # fmt: skip
    hidden: int = setting(256, "Units of each layer.", least=1, below=1 << 24)
    layers: int = setting(1, "Recurrent layers above one another.", least=1, below=101)
    top: int = setting(0, "Units of the top layer (0: as --hidden).", least=0, below=1 << 24)
    embed: int = setting(
        0, "Width of the token embedding; 0 for a one-hot input.", least=0, below=1 << 24
    )
    proj: int = setting(0, "lstm: width that the output is projected to; 0 for none.", least=0)
    bidirectional: bool = setting(False, "Read in both directions (not for language models).")
    activation: str = setting(
        "tanh", "Activation of cell rnn.", choices=("tanh", "relu", "identity")
    )
    residual: bool = setting(False, "Add each layer's input to its output.")
    layer_norm: bool = setting(False, "Layer normalisation inside the cell (Ba et al. 2016).")
    head: str = setting("tokens", "What is predicted.", choices=tuple(HEADS))
    outputs: int = setting(0, "Outputs of the heads tags and values.", least=0)
    last_only: bool = setting(False, "Predict after the last step only (tags and values).")
    tied: bool = setting(False, "Output layer and embedding share their weights.")
    dropout: float = setting(
        0.0, "Dropout between layers, on the embedding and on the top output.", least=0, below=1
    )
    dropout_in: float | None = setting(
        None, "Dropout on the embedding, where it differs.", least=0, below=1
    )
    dropout_out: float | None = setting(
        None, "Dropout on the top output, where it differs.", least=0, below=1
    )
    dropout_embed: float = setting(
        0.0, "Dropout of whole tokens of the embedding.", least=0, below=1
    )
    dropout_weight: float = setting(0.0, "Dropout of recurrent weights.", least=0, below=1)
    variational: bool = setting(False, "One dropout mask a sequence, not one a step.")
    activation_reg: float = setting(0.0, "AR: weight of the mean square output.", least=0)
    temporal_reg: float = setting(0.0, "TAR: weight of its mean square change.", least=0)
    init: str = setting(
        "default", "How weights start.",
        choices=("default", "fan", "uniform", "normal", "glorot"),
    )  # fmt: skip
    init_scale: float = setting(
        0.1, "Half-width of init uniform, standard deviation of init normal.", least=0
    )
    forget_bias: float = setting(1.0, "lstm: where the forget gate's bias starts.")

    def __post_init__(self) -> None:
        super().__post_init__()
        faults = {
            "inputs must be 1 or more.": self.inputs < 1,
            "top needs two layers or more, no proj and no residual.": bool(self.top)
            and (self.layers == 1 or self.proj > 0 or self.residual),
            "proj is for the lstm, and must be below hidden.": bool(self.proj)
            and (self.cell != "lstm" or self.proj >= self.hidden),
            "a language model cannot read backwards: the backward direction sees the token that "
            "is to be predicted. Leave out bidirectional.": self.is_language_model
            and self.bidirectional,
            "a language model predicts after every step: last_only is for tags and values.": (
                self.is_language_model and self.last_only
            ),
            f"head {self.head} needs outputs of 1 or more.": not self.is_language_model
            and self.outputs < 1,
            f"tied needs an embedding as wide as the top output ({self.width}), not "
            f"{self.embed}. Leave out embed, or use no-tied.": self.tied
            and (not self.is_language_model or self.embed != self.width),
            "dropout_embed needs an embedding.": bool(self.dropout_embed) and not self.embed,
        }
        for fault, present in faults.items():
            if present:
                raise ConfigError(fault)

    @property
    def one_hot(self) -> bool:
        """Whether token ids enter the first layer as they are, without an embedding."""
        return self.input == "one-hot"

    @property
    def is_language_model(self) -> bool:
        """Whether the head predicts the next token."""
        return HEADS[self.head] == "next token"

    @property
    def input(self) -> str:
        """What enters the first layer: a name in INPUTS."""
        if HEADS[self.head] == "values":
            return "values"
        return "embedding" if self.embed else "one-hot"

    @property
    def input_dropout(self) -> float:
        """The dropout on what enters the first layer."""
        return self.dropout if self.dropout_in is None else self.dropout_in

    @property
    def output_dropout(self) -> float:
        """The dropout on the top output."""
        return self.dropout if self.dropout_out is None else self.dropout_out

    def units(self, layer: int) -> int:
        """H of a layer, from 0."""
        return self.top if self.top and layer == self.layers - 1 else self.hidden

    @property
    def state_width(self) -> int:
        """P: the width of one direction's hidden state in the widest layer."""
        return self.proj or max(self.hidden, self.top)

    @property
    def directions(self) -> int:
        """S: 1 or 2."""
        return 2 if self.bidirectional else 1

    @property
    def width(self) -> int:
        """S*P: the width of the top output."""
        return self.directions * (self.proj or self.units(self.layers - 1))

    @property
    def classes(self) -> int:
        """The number of outputs of the head."""
        return self.inputs if self.is_language_model else self.outputs


@dataclass(frozen=True)
class Recipe(Settings):
    """How a network is trained."""

    batching: str = setting(
        "auto",
        "consecutive: streams side by side, state carried from batch to batch; random: windows in "
        "random order; mixed: whole units, short and long together; sentences: units of like "
        "lengths; auto: consecutive for a stream, else mixed (or sentences, if loss is not token).",
        choices=("auto", "consecutive", "random", "mixed", "sentences"),
    )
    batch: int = setting(32, "Sequences side by side.", least=1, below=1 << 24)
    bptt: int = setting(
        64, "Steps that the gradient flows back (truncated BPTT).", least=1, below=1 << 24
    )
    reset: float = setting(
        0.0, "Share of the carried states that are reset at each batch.", least=0, below=1
    )
    shards: int = setting(
        2, "Parts of a batch that are computed side by side; rounding and dropout depend on it.",
        least=1, below=1025,
    )  # fmt: skip
    random_bptt: bool = setting(
        False, "Lengths vary around bptt, and with loss mean the rate with them (AWD-LSTM)."
    )
    optimizer: str = setting("adam", "Update rule.", choices=tuple(RATES))
    lr: float | None = setting(
        None, "Learning rate; the default depends on the optimizer.", least=0
    )
    momentum: float | None = setting(
        None, "momentum, nesterov, muon: share of the velocity kept (default: 0.9; muon: 0.95).",
        least=0, below=1,
    )  # fmt: skip
    decay: float = setting(0.99, "rmsprop: share of the mean square kept.", least=0, below=1)
    rho: float = setting(0.9, "adadelta: share of the mean squares kept.", least=0, below=1)
    beta1: float = setting(0.9, "adam: share of the mean kept.", least=0, below=1)
    beta2: float = setting(0.999, "adam: share of the mean square kept.", least=0, below=1)
    epsilon: float = setting(1e-8, "adam, rmsprop: keeps the divisor from zero.", above=0)
    weight_decay: float = setting(
        0.0, "L2: share of the weights added to the gradient; adamw, muon: taken off at each step, "
        "times the rate.", least=0,
    )  # fmt: skip
    schedule: str = setting("linear", "How the learning rate changes.", choices=SCHEDULES)
    warmup: float = setting(0.0, "Share of the run in which the rate rises.", least=0, below=1)
    factor: float = setting(0.5, "What the schedule multiplies the rate by.", above=0)
    every: int = setting(1, "step: epochs between factors.", least=1)
    after: int = setting(
        0, "step, exponential: epochs that are not counted; the first factor comes at the end of "
        "the next (step: of the next `every`).", least=0,
    )  # fmt: skip
    wait: int = setting(
        0, "divide-on-plateau: validations without gain that pass before each factor.", least=0
    )
    floor: float = setting(0.0, "linear, cosine: share of the rate left at the end.", least=0)
    clip: float = setting(1.0, "Largest norm of the gradient; 0 for no limit.", least=0)
    clip_by: str = setting(
        "norm", "Clip the whole norm or each element.", choices=("norm", "element")
    )
    loss: str = setting(
        "token",
        "How tokens weigh in the gradient. token: all of an epoch alike; mean: each batch alike, "
        "whatever its number of tokens; time: summed over time, mean over sequences; sum.",
        choices=("token", "mean", "time", "sum"),
    )
    trigger: int = setting(5, "asgd: validations without gain before averaging.", least=0)
    epochs: int | None = setting(None, "Passes over the training split.", least=1)
    max_steps: int | None = setting(None, "Updates at most.", least=1)
    max_time: float | None = setting(None, "Time at most; the schedule is fitted to it.", above=0)
    valid_every: int | None = setting(
        None,
        "Steps between validations; 0: the end of each epoch (default: the first epoch's steps, "
        "1000 at most).",
        least=0,
    )
    patience: int = setting(0, "Validations without gain that end the run; 0: never.", least=0)
    on_divergence: str = setting(
        "rollback",
        "When the loss is no longer finite: rollback to the last good model, with half the rate "
        "and a fresh optimizer; or stop.",
        choices=("rollback", "stop"),
    )
    retries: int = setting(3, "Rollbacks at most; one more divergence ends the run.", least=0)
    seed: int = setting(0, "Seed of everything that is random.", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.random_bptt and self.batching != "consecutive":
            raise ConfigError("random_bptt needs consecutive batching.")

    def shared_by(self, ranks: int) -> Recipe:
        """The same with shards that this number of ranks can share alike."""
        if ranks > self.batch:
            raise ConfigError(
                f"{ranks} ranks cannot share a batch of {self.batch}. Use --batch {ranks} or more, "
                "or fewer ranks."
            )
        return replace(self, shards=-(-self.shards // ranks) * ranks)

    @property
    def kept(self) -> float:
        """The share of the velocity that is kept."""
        return MOMENTA.get(self.optimizer, 0.9) if self.momentum is None else self.momentum

    @property
    def rate(self) -> float:
        """The learning rate before the schedule."""
        return RATES[self.optimizer] if self.lr is None else self.lr


@dataclass(frozen=True)
class Samples(Settings):
    """What a network writes while it is trained: shown, and of no effect on the training."""

    sample_every: str | int | None = setting(
        None, "Write text as it learns: every N steps, or every N epochs (40e)."
    )
    sample_prefix: tuple[str, ...] = setting((), "What those texts begin with; may be repeated.")
    sample_length: int = setting(50, "Tokens of those texts.", least=1)
    sample_temperature: float = setting(
        0.8, "Temperature of those texts; 0 for the likeliest token.", least=0
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        every = self.sample_every
        if every is not None and not re.fullmatch(r"[1-9][0-9]*e?", str(every)):
            raise ConfigError(
                f"sample_every takes steps (500) or epochs (40e), not {shown(str(every))}."
            )

    def due(self, *, step: int = 0, epoch: int = 0) -> bool:
        """Whether texts are due after this step, or at the end of this epoch (both from 1)."""
        every = str(self.sample_every or "")
        count = epoch if every.endswith("e") else step
        return bool(every) and count > 0 and count % int(every.rstrip("e")) == 0

"""The network: which cell, how wide and deep, its dropout, and how its parameters start.

`Config` stands as JSON in every model file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from rnncli.config.settings import Settings, setting
from rnncli.errors import ConfigError

CELLS = ("lstm", "gru", "gru-before", "rnn")  # each is a file of nn/cells
INPUTS = ("one-hot", "embedding", "values")  # each is a file of nn/inputs; see Config.input
HEADS = {  # each is a file of nn/heads -> what it predicts: the next token, a class, or values
    "tokens": "next token", "tags": "class", "values": "values",
}  # fmt: skip


@dataclass(frozen=True)
class Config(Settings):
    """The architecture of a network, and how its parameters start.

    inputs: V, the number of token ids; or, with `head` "values", the width D of a real input.
    outputs: K of the heads "tags" and "values"; a "tokens" head has one output a token.
    """

    inputs: int = field(metadata={})
    cell: str = setting(
        "network", "lstm",
        "Kind of cell; gru resets after the recurrent matmul, gru-before before it.",
        choices=CELLS,
    )  # fmt: skip
    hidden: int = setting("network", 256, "Units of each layer.", least=1, below=1 << 24)
    layers: int = setting("network", 1, "Recurrent layers above one another.", least=1, below=101)
    top: int = setting(
        "network", 0, "Units of the top layer (0: as --hidden).", least=0, below=1 << 24
    )
    embed: int = setting(
        "network", 0, "Width of the token embedding; 0 for a one-hot input.", least=0, below=1 << 24
    )
    proj: int = setting(
        "network", 0, "lstm: width to which each output is projected; 0: no projection.", least=0
    )
    bidirectional: bool = setting(
        "network", False, "Read in both directions (not for language models)."
    )
    activation: str = setting(
        "network", "tanh", "Activation of cell rnn.", choices=("tanh", "relu", "identity")
    )
    residual: bool = setting("network", False, "Add each layer's input to its output.")
    layer_norm: bool = setting(
        "network", False, "Layer normalisation inside the cell (Ba et al. 2016)."
    )
    head: str = setting("network", "tokens", "What is predicted.", choices=tuple(HEADS))
    outputs: int = setting("network", 0, "Outputs of the heads tags and values.", least=0)
    last_only: bool = setting(
        "network", False, "Predict after the last step only (tags and values)."
    )
    tied: bool = setting("network", False, "Output layer and embedding share their weights.")
    dropout: float = setting(
        "dropout",
        0.0,
        "Dropout between layers, on the embedding and on the top output.",
        least=0,
        below=1,
    )
    dropout_in: float | None = setting(
        "dropout", None, "Dropout on the embedding [as --dropout].", least=0, below=1
    )
    dropout_out: float | None = setting(
        "dropout", None, "Dropout on the top output [as --dropout].", least=0, below=1
    )
    dropout_embed: float = setting(
        "dropout", 0.0, "Dropout of whole tokens of the embedding.", least=0, below=1
    )
    dropout_weight: float = setting(
        "dropout", 0.0, "Dropout of recurrent weights.", least=0, below=1
    )
    variational: bool = setting("dropout", False, "One dropout mask a sequence, not one a step.")
    activation_reg: float = setting(
        "dropout", 0.0, "Weight in the loss of the mean squared top output (AR).", least=0
    )
    temporal_reg: float = setting(
        "dropout",
        0.0,
        "Weight in the loss of its mean squared change from step to step (TAR).",
        least=0,
    )
    init: str = setting(
        "first weights", "default", "Distribution of the first weights.",
        choices=("default", "fan", "uniform", "normal", "glorot"),
    )  # fmt: skip
    init_scale: float = setting(
        "first weights",
        0.1,
        "Half-width of --init uniform, standard deviation of --init normal.",
        least=0,
    )
    forget_bias: float = setting(
        "first weights", 1.0, "lstm: first value of the forget gate's bias."
    )

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

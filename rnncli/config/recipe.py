"""The training: batches, optimizer, schedule and limits.

`Recipe` stands as JSON in every model file that holds its run.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rnncli.config.settings import Settings, setting
from rnncli.errors import ConfigError

RATES = {  # a learning rate that usually works
    "sgd": 1.0, "momentum": 0.1, "nesterov": 0.1, "adagrad": 0.1, "adadelta": 1.0,
    "rmsprop": 0.002, "adam": 0.004, "adamw": 0.004, "muon": 0.01, "asgd": 1.0,
}  # fmt: skip
MOMENTA = {"muon": 0.95}  # and 0.9 of the other rules
SCHEDULES = (
    "constant", "linear", "cosine", "step", "exponential", "halve-on-rise", "divide-on-plateau",
)  # fmt: skip


@dataclass(frozen=True)
class Recipe(Settings):
    """How a network is trained."""

    batching: str = setting(
        "batches",
        "auto",
        "consecutive: streams side by side, state carried from batch to batch; random: windows in "
        "random order; mixed: whole units, short and long together; sentences: units of like "
        "lengths; auto: consecutive for a stream, else mixed (or sentences, if loss is not token).",
        choices=("auto", "consecutive", "random", "mixed", "sentences"),
    )
    batch: int = setting("batches", 32, "Sequences side by side.", least=1, below=1 << 24)
    bptt: int = setting(
        "batches",
        64,
        "Steps that the gradient flows back (truncated BPTT).",
        least=1,
        below=1 << 24,
    )
    reset: float = setting(
        "batches",
        0.0,
        "Share of the carried states that start from zero at each batch.",
        least=0,
        below=1,
    )
    shards: int = setting(
        "batches", 2,
        "Parts of a batch that are computed side by side; rounding and dropout depend on it.",
        least=1, below=1025,
    )  # fmt: skip
    random_bptt: bool = setting(
        "batches",
        False,
        "Vary the length of windows around --bptt, and the rate with it except for --loss token "
        "(AWD-LSTM).",
    )
    optimizer: str = setting("optimizer", "adam", "Update rule.", choices=tuple(RATES))
    lr: float | None = setting(
        "optimizer", None, "Learning rate; each optimizer has a default of its own.", least=0
    )
    momentum: float | None = setting(
        "optimizer", None,
        "momentum, nesterov, muon: share of the velocity that is kept [0.9; muon 0.95].",
        least=0, below=1,
    )  # fmt: skip
    decay: float = setting(
        "optimizer",
        0.99,
        "rmsprop: share of the mean squared gradient that is kept.",
        least=0,
        below=1,
    )
    rho: float = setting(
        "optimizer", 0.9, "adadelta: share of the mean squares that is kept.", least=0, below=1
    )
    beta1: float = setting(
        "optimizer", 0.9, "adam: share of the mean gradient that is kept.", least=0, below=1
    )
    beta2: float = setting(
        "optimizer",
        0.999,
        "adam: share of the mean squared gradient that is kept.",
        least=0,
        below=1,
    )
    epsilon: float = setting(
        "optimizer", 1e-8, "adam, rmsprop: term that keeps the divisor from zero.", above=0
    )
    weight_decay: float = setting(
        "optimizer", 0.0,
        "L2: share of the weights added to the gradient; adamw, muon: taken off at each step, "
        "times the rate.", least=0,
    )  # fmt: skip
    schedule: str = setting(
        "schedule", "linear", "How the learning rate changes.", choices=SCHEDULES
    )
    warmup: float = setting(
        "schedule", 0.0, "Share of the run in which the rate rises.", least=0, below=1
    )
    factor: float = setting("schedule", 0.5, "What the schedule multiplies the rate by.", above=0)
    every: int = setting("schedule", 1, "step: epochs between factors.", least=1)
    after: int = setting(
        "schedule", 0,
        "step, exponential: epochs that are not counted; the first factor comes at the end of "
        "the next (step: of the next `every`).", least=0,
    )  # fmt: skip
    wait: int = setting(
        "schedule",
        0,
        "divide-on-plateau: validations without gain before each factor.",
        least=0,
    )
    floor: float = setting(
        "schedule", 0.0, "linear, cosine: share of the rate left at the end.", least=0
    )
    clip: float = setting(
        "optimizer", 1.0, "Largest norm of the gradient; 0 for no limit.", least=0
    )
    clip_by: str = setting(
        "optimizer", "norm", "Clip the whole norm or each element.", choices=("norm", "element")
    )
    loss: str = setting(
        "batches",
        "token",
        "How tokens weigh in the gradient. token: all of an epoch alike; mean: each batch alike, "
        "whatever its number of tokens; time: summed over time, mean over sequences; sum.",
        choices=("token", "mean", "time", "sum"),
    )
    trigger: int = setting(
        "optimizer", 5, "asgd: validations without gain before averaging.", least=0
    )
    epochs: int | None = setting(
        "limits",
        None,
        "Passes over the training split [without any limit: about 12 million tokens, 40 passes at "
        "most].",
        least=1,
    )
    max_steps: int | None = setting("limits", None, "Updates at most.", least=1)
    max_time: float | None = setting(
        "limits",
        None,
        "Time at most, such as 90s or 10m; the schedule is fitted to it.",
        above=0,
        kind="time",
    )
    valid_every: int | None = setting(
        "limits",
        None,
        "Steps between validations; 0: the end of each epoch [the first epoch's steps, 1000 at "
        "most].",
        least=0,
    )
    patience: int = setting(
        "limits", 0, "Validations without gain that end the run; 0: never.", least=0
    )
    on_divergence: str = setting(
        "limits",
        "rollback",
        "What to do when the loss is no longer finite. rollback: go back to the last good model, "
        "with half the rate and a fresh optimizer; stop: end with an error.",
        choices=("rollback", "stop"),
    )
    retries: int = setting(
        "limits", 3, "Rollbacks at most; one more divergence ends the run.", least=0
    )
    seed: int = setting("limits", 0, "Seed of everything that is random.", least=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.random_bptt and self.batching != "consecutive":
            raise ConfigError("random_bptt needs consecutive batching.")

    def shared_by(self, ranks: int) -> Recipe:
        """Return the same with shards that this number of ranks can share alike."""
        if ranks > self.batch:
            raise ConfigError(
                f"{ranks} ranks cannot share a batch of {self.batch}. Use --batch {ranks} or more, "
                "or fewer ranks."
            )
        return replace(self, shards=-(-self.shards // ranks) * ranks)

    @property
    def kept(self) -> float:
        """Return the share of the velocity that is kept."""
        return MOMENTA.get(self.optimizer, 0.9) if self.momentum is None else self.momentum

    @property
    def rate(self) -> float:
        """Return the learning rate before the schedule."""
        return RATES[self.optimizer] if self.lr is None else self.lr


@dataclass(frozen=True)
class Running(Settings):
    """What `rnncli train` begins with, and what it writes beside the model."""

    preset: str | None = setting(
        "settings", None, "Named settings, such as a recipe from the literature."
    )
    start: str | None = setting(
        "start", None, "Model file to begin with: its network, and what it has learned of each "
        "token.", kind="file", flag="--from",
    )  # fmt: skip
    resume: bool = setting(
        "start", False, "Go on from what the last save left; where there is nothing, start."
    )
    overwrite: bool = setting("output", False, "Replace the output file, if there is one.")
    plan: bool = setting(
        "output", False, "Do not train: say what it will cost, by a few steps measured here."
    )
    metrics: str | None = setting("output", None, "Log to write (JSON Lines).", kind="file")
    tensorboard: str | None = setting(
        "output", None, "Folder for TensorBoard's event files (extra: rnncli[tensorboard]).",
        kind="file", metavar="DIR",
    )  # fmt: skip
    json: bool = setting("output", False, "Print the --plan as JSON on standard output.")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.json and not self.plan:
            raise ConfigError("--json is for --plan; a run is logged with --metrics.")

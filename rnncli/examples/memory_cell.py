"""A recurrent network with no training at all: what its state remembers, followed by hand.

Two inputs, two hidden units, two outputs; every weight is 1, every bias 0, nothing is squashed. So
each hidden unit adds up the two inputs and the two hidden units of the step before, and each output
adds up the two hidden units:

    step  input    hidden state               output
    1     (1, 1)   1 + 1 + 0 + 0 = 2          2 + 2   = 4
    2     (1, 1)   1 + 1 + 2 + 2 = 6          6 + 6   = 12
    3     (2, 2)   2 + 2 + 6 + 6 = 16         16 + 16 = 32

Steps 1 and 2 see the same input and answer differently: that is memory.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from rnncli.nn import Config, Model, Steps
from rnncli.nn.threads import one_blas_thread


def network() -> Model:
    """Build the network of the table above."""
    config = Config(inputs=2, cell="rnn", activation="identity", hidden=2, head="values", outputs=2)
    model = Model.initial(config)
    for values in model.params.values():
        values[:] = 0 if values.ndim == 1 else 1  # biases are vectors
    return model


def answers(inputs: list[tuple[float, float]]) -> NDArray[Any]:
    """Compute the two outputs after each step: (T, 2)."""
    model = network()
    x = np.array(inputs, model.dtype).T  # (2, T): a column a step
    outputs, _ = model.predict(x, model.zero_state(B=1), Steps.dense(T=len(inputs), B=1))
    return outputs.T


@one_blas_thread()
def main() -> None:
    """Print the table."""
    inputs = [(1.0, 1.0), (1.0, 1.0), (2.0, 2.0)]
    for step, (x, y) in enumerate(zip(inputs, answers(inputs), strict=True), 1):
        print(f"step {step}: input ({x[0]:g}, {x[1]:g}), output ({y[0]:g}, {y[1]:g})")


if __name__ == "__main__":
    main()

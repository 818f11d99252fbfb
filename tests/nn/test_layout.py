"""What is known of a parameter stands in its `Spec`, and nobody takes its name apart."""

import ast
from pathlib import Path

import pytest
from networks import random_configuration

import rnncli
from rnncli.config import recipe
from rnncli.config.network import Config
from rnncli.nn import Model, cost
from rnncli.nn.cells.table import CELLS
from rnncli.nn.heads.table import HEADS
from rnncli.nn.inputs.table import INPUTS
from rnncli.nn.layout import layout
from rnncli.nn.optim import RULES
from rnncli.nn.schedules import SCHEDULES

ROOT = Path(rnncli.__file__).parent
KNOWS = ("nn/layout.py", "nn/params.py", "convert/")  # may look into a name
PIECES = {"embed", "rnn", "head", "Wx", "Wh", "Wp", "gh", "gx", "gc", "fwd", "bwd"}
READERS = {"split", "rsplit", "partition", "rpartition", "startswith", "endswith", "removeprefix",
           "removesuffix", "find", "index"}  # fmt: skip


def test_parameters_and_operations_beside_worked_numbers():
    config = Config(10, cell="gru", hidden=4, embed=3, layers=2)
    first, second = 12 * 3 + 12 * 4 + 12 + 4, 12 * 4 + 12 * 4 + 12 + 4
    counts = cost.parameters(config)
    assert counts == {"embedding": 30, "recurrent": first + second, "output": 10 * 4 + 10}
    assert sum(counts.values()) == len(Model.initial(config).params.flat)
    # a product with n weights: n multiplications and n additions, forward and twice backward
    assert cost.flops(config) == {
        "recurrent": 6 * (12 * 3 + 12 * 4 + 12 * 4 + 12 * 4), "output": 6 * 40
    }  # fmt: skip
    one_hot = Config(10, cell="lstm", hidden=4, proj=2)
    assert cost.flops(one_hot) == {"recurrent": 6 * (16 * 2 + 2 * 4), "output": 6 * 20}
    tied = Config(10, cell="rnn", hidden=4, embed=4, tied=True)
    assert cost.parameters(tied) == {"embedding": 40, "recurrent": 36, "output": 10}
    assert cost.flops(tied) == {"recurrent": 6 * 32, "output": 6 * 40}


@pytest.mark.parametrize("seed", range(20))
def test_costs_hold_every_parameter_once_and_products_are_those_of_the_matrices(seed):
    config, _, _ = random_configuration(seed)
    params, found = Model.initial(config).params, cost.costs(config)
    assert sum(part.parameters for part in found) == params.flat.size
    looked_up = sum(
        params[name].size for name, spec in layout(config).items() if spec.looked_up
    )  # fmt: skip
    work = sum(value.size for value in params.values() if value.ndim == 2) - looked_up
    work += params["embed.W"].size if config.tied else 0
    assert sum(part.products for part in found) == work


@pytest.mark.parametrize("seed", range(20))
def test_blocks_divide_the_rows_and_tables_have_a_row_a_token(seed):
    config, _, _ = random_configuration(seed)
    for name, spec in layout(config).items():
        assert spec.shape[0] % spec.blocks == 0, name
        assert (len(spec.shape) == 2) == (spec.role in ("weights", "projection")), name
        if spec.tokens:
            assert spec.shape[0] == config.inputs, name


def name_readers(tree):
    """The lines that look into a parameter's name, or put one of a recurrent layer together."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            words = [a.value for a in ast.walk(node) if isinstance(a, ast.Constant)]
            texts = [word.strip(".") for word in words if isinstance(word, str)]
            dot = words == ["."] and node.func.attr != "index"
            if node.func.attr in READERS and (dot or PIECES & set(texts)):
                yield node.lineno
        if isinstance(node, ast.Constant) and str(node.value).startswith("rnn."):
            yield node.lineno


def test_nobody_takes_a_name_apart():
    planted = 'a = name.split(".")\nb = name.startswith("rnn.")\nc = p[f"rnn.{k}.fwd.Wx"]\n'
    assert set(name_readers(ast.parse(planted))) == {1, 2, 3}
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith(KNOWS):
            assert not list(name_readers(ast.parse(path.read_text("utf-8")))), place


@pytest.mark.parametrize(
    ("folder", "table", "shared"),
    [
        ("cells", CELLS, {"cell"}),
        ("inputs", INPUTS, {"input"}),
        ("heads", HEADS, {"head", "linear", "softmax"}),
    ],
)
def test_a_cell_an_input_and_a_head_is_a_file_and_a_name_in_the_settings(folder, table, shared):
    files = {path.stem for path in (ROOT / "nn" / folder).glob("*.py")}
    assert files - shared - {"__init__", "table"} == {name.replace("-", "_") for name in table}


def test_rules_and_schedules_are_those_of_the_settings():
    assert list(RULES) == list(recipe.RATES)
    assert tuple(SCHEDULES) == recipe.SCHEDULES


def test_the_facts_of_a_cell_agree():
    for name, cell in CELLS.items():
        assert set(cell.gates) <= set(cell.series), name
        assert sorted(cell.torch_gates) in ([], sorted(cell.gates)), name
        assert cell.n_states == 1 + ("c" in cell.series), name
        spec = cell.parameters(5, 5, Config(3, cell=name))["Wh"]
        assert (spec.shape, spec.blocks) == ((5 * len(cell.gates), 5), len(cell.gates)), name


def test_no_other_module_names_a_cell():
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if place.startswith(("nn/", "training/", "lm/", "look/", "generation/", "score/")):
            texts = {node.value for node in ast.walk(ast.parse(path.read_text("utf-8")))
                     if isinstance(node, ast.Constant) and isinstance(node.value, str)}  # fmt: skip
            assert not texts & {"lstm", "gru", "gru-before"}, place


def test_only_heads_and_inputs_know_their_parameters():
    """What is behind the top output is the head's alone: a head need not be W and b."""
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).as_posix()
        if not place.startswith(("nn/heads/", "convert/")):
            assert "head.W" not in path.read_text("utf-8"), place
        if not place.startswith(("nn/inputs/", "nn/stack.py", "convert/")):
            assert "embed.W" not in path.read_text("utf-8"), place

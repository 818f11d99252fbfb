"""Who may import whom: the house as its imports have it."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rnncli

ROOT = Path(rnncli.__file__).parent
SOURCES = {
    ".".join(("rnncli", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"):
        path for path in ROOT.rglob("*.py")
}  # fmt: skip
CORE = {"numpy", "click", "regex", "yaml"}
EXTRAS = {"torch", "mpi4py", "matplotlib", "tensorboardX"}
TABLE = {  # a package or a module at the top -> what of ours it imports; and errors
    "errors":     "",
    "version":    "",
    "config":     "",
    "text":       "",
    "files":      "",
    "parallel":   "",
    "data":       "seeds config text files parallel nn",
    "nn":         "seeds config",
    "lm":         "version config text files data nn",
    "training":   "seeds config text files parallel data nn lm score",
    "generation": "seeds config text nn lm",
    "score":      "version seeds config text files data nn lm",
    "convert":    "config text files nn lm",
    "look":       "config text files data nn lm training generation score",
    "cli":        "version config text files parallel data nn lm training generation score "
                  "convert look",
    "examples":   "config nn",
    "__main__":   "cli",
    "rnncli":     "version config text data nn lm training generation score",
    "seeds":      "",
}  # fmt: skip


def imports(name, *, top=False):
    """The modules that a module imports; with `top` only those loaded along with it."""
    path = SOURCES[name]
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in _nodes(ast.parse(path.read_text("utf-8")), top):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.rsplit(".", node.level - 1)[0] if node.level > 1 else package
                base = f"{above}.{base}".rstrip(".")
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                found.add(whole if whole in SOURCES else base)
    return found


def _nodes(tree, top):
    """All statements, or those that run at import: none in functions, none for the type checker."""
    for node in ast.iter_child_nodes(tree):
        if top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if top and isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _nodes(node, top)


def users(*packages):
    """The modules that import one of these packages, anywhere in them."""
    return {
        name for name in SOURCES
        if any(found == p or found.startswith(p + ".") for found in imports(name) for p in packages)
    }  # fmt: skip


def calls(*names):
    """The modules that call one of these functions of numpy."""
    out = set()
    for module, path in SOURCES.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in names:
                value = ast.unparse(node.value)
                out |= {module} if value in ("np", "numpy") else set()
    return out


def room(module):
    """`rnncli.text.tokenizer` -> text"""
    return [*module.split("."), "rnncli"][1]


def test_the_imports_are_found():
    assert "rnncli.nn.packed" in imports("rnncli.nn.cells.lstm")
    assert "rnncli.lm.language_model" in imports("rnncli.cli.sample")
    assert "rnncli.lm.language_model" not in imports("rnncli.cli.sample", top=True)
    assert {"rnncli.files.artefact", "rnncli.nn.model"} <= imports(
        "rnncli.lm.language_model", top=True
    )
    assert room("rnncli.nn.cells") == room("rnncli.nn") == "nn"
    assert len(SOURCES) > 25


def test_each_room_imports_what_the_table_says_and_nothing_else():
    found = {room(name): set() for name in SOURCES}
    for name in SOURCES:
        ours = {room(m) for m in imports(name) if m.split(".")[0] == "rnncli"}
        found[room(name)] |= ours - {room(name), "errors"}
    assert found == {name: set(row.split()) for name, row in TABLE.items()}


def test_no_package_takes_the_name_of_what_rnncli_offers():
    assert not set(rnncli.__all__) & {room(name) for name in SOURCES}


def test_a_package_loads_nothing_of_ours_before_it_is_used():
    heavy = {name for name, path in SOURCES.items() if path.name == "__init__.py"
             and imports(name, top=True) & set(SOURCES) - {"rnncli.version"}}  # fmt: skip
    assert heavy == {"rnncli.cli", "rnncli.look.report"}


@pytest.mark.parametrize("module", ["parallel.processes", "parallel.mpi", "data.tokenize"])
def test_the_engine_is_not_loaded_with_what_does_without_it(module):
    probe = f"import sys, rnncli.{module}\nprint(*(m for m in sys.modules if m[:9] == 'rnncli.nn'))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
    command = [sys.executable, "-c", probe]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert not {"rnncli.nn.model", "rnncli.nn.cells"} & set(done.stdout.split())


def test_nobody_but_the_command_line_knows_click():
    assert users("click") <= {name for name in SOURCES if name.startswith("rnncli.cli")}


def test_nobody_imports_the_command_line():
    inside = {name for name in SOURCES if name.startswith("rnncli.cli")}
    assert users("rnncli.cli") - inside == {"rnncli.__main__"}


def test_yaml_is_read_by_the_recipes_alone():
    assert users("yaml") == {"rnncli.training.recipes"}


def test_the_engine_needs_numpy_the_settings_and_the_errors_only():
    engine = {name for name in SOURCES if name == "rnncli.nn" or name.startswith("rnncli.nn.")}
    allowed = (
        engine
        | {"numpy", "numpy.typing"}
        | {f"rnncli.{name}" for name in ("config.network", "config.recipe", "errors", "seeds")}
    )
    for name in engine:
        foreign = imports(name) - allowed
        assert {m.split(".")[0] for m in foreign} <= set(sys.stdlib_module_names), name


def test_settings_and_errors_need_nothing():
    for name in [*(name for name in SOURCES if room(name) == "config"), "rnncli.errors"]:
        loaded = {m.split(".")[0] for m in imports(name)}
        assert loaded <= set(sys.stdlib_module_names) | {"rnncli"}, name


def test_arrays_are_read_and_written_by_the_artefacts_alone():
    assert calls("load", "save", "savez", "savez_compressed", "memmap", "fromfile") <= {
        "rnncli.files.artefact"
    }
    assert not users("pickle", "marshal", "shelve")


def test_no_import_goes_in_a_circle():
    graph = {name: imports(name, top=True) & set(SOURCES) - {name} for name in SOURCES}
    done, path = set(), []

    def visit(name):
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            path.append(name)
            for found in sorted(graph[name]):
                visit(found)
            path.pop()
            done.add(name)

    for name in sorted(SOURCES):
        visit(name)


def test_only_the_core_dependencies_are_loaded_with_a_module():
    for name in SOURCES:
        loaded = {m.split(".")[0] for m in imports(name, top=True)}
        assert loaded <= set(sys.stdlib_module_names) | CORE | {"rnncli"}, name
        whole = {m.split(".")[0] for m in imports(name)}
        assert whole <= set(sys.stdlib_module_names) | CORE | EXTRAS | {"rnncli"}, name


def test_every_module_says_what_it_is():
    for name, path in SOURCES.items():
        assert ast.get_docstring(ast.parse(path.read_text("utf-8"))), name


def test_words_that_puzzle_a_reader_do_not_occur():
    puzzling = re.compile(r"\b(told|hears|so many|of ours|anew)\b", re.IGNORECASE)
    kinds = {".py", ".md", ".yaml", ".html", ".js"}
    for path in (one for one in ROOT.rglob("*") if one.suffix in kinds):
        found = puzzling.search(path.read_text("utf-8"))
        assert not found, (path.name, found)

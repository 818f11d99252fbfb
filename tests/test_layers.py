"""Who may import whom: the house as its imports have it."""

import ast
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


def test_the_imports_are_found():
    assert "rnncli.nn.packed" in imports("rnncli.nn.cells")
    assert "rnncli.checkpoint" in imports("rnncli.cli.sample")
    assert "rnncli.checkpoint" not in imports("rnncli.cli.sample", top=True)
    assert {"rnncli.artefacts", "rnncli.nn.model"} <= imports("rnncli.checkpoint", top=True)
    assert len(SOURCES) > 25


def test_nobody_but_the_command_line_knows_click():
    assert users("click") <= {name for name in SOURCES if name.startswith("rnncli.cli")}


def test_nobody_imports_the_command_line():
    inside = {name for name in SOURCES if name.startswith("rnncli.cli")}
    assert users("rnncli.cli") - inside == {"rnncli.__main__"}


def test_yaml_is_read_by_presets_alone():
    assert users("yaml") == {"rnncli.presets"}


def test_the_engine_needs_numpy_the_settings_and_the_errors_only():
    engine = {name for name in SOURCES if name == "rnncli.nn" or name.startswith("rnncli.nn.")}
    allowed = engine | {"numpy", "numpy.typing", "rnncli.config", "rnncli.errors"}
    for name in engine:
        foreign = imports(name) - allowed
        assert {m.split(".")[0] for m in foreign} <= set(sys.stdlib_module_names), name


def test_settings_and_errors_need_nothing():
    assert {m for m in imports("rnncli.config") if m.startswith("rnncli")} == {"rnncli.errors"}
    assert {m.split(".")[0] for m in imports("rnncli.config") | imports("rnncli.errors")} <= (
        set(sys.stdlib_module_names) | {"rnncli"}
    )


@pytest.mark.parametrize(
    ("room", "never"),
    [
        ("tokenizer", {"nn", "batches", "dataset", "artefacts"}),
        ("corpus", {"nn", "batches", "dataset", "artefacts", "tokenizer"}),
        ("batches", {"nn.model", "training", "dataset", "artefacts"}),
        ("training", {"artefacts", "checkpoint", "dataset", "tokenizer"}),
        ("sampling", {"artefacts", "checkpoint", "dataset", "training"}),
        ("evaluation", {"artefacts", "checkpoint", "dataset", "training"}),
        ("artefacts", {"nn", "tokenizer", "dataset", "checkpoint", "training"}),
    ],
)
def test_a_room_does_not_know_what_its_docstring_says_it_does_not(room, never):
    reached, new = set(), {f"rnncli.{room}"}
    while new:
        reached |= new
        new = {m for name in new for m in imports(name) if m in SOURCES} - reached - {"rnncli"}
    assert not reached & {f"rnncli.{name}" for name in never}


def test_arrays_are_read_and_written_by_the_artefacts_alone():
    assert calls("load", "save", "savez", "savez_compressed", "memmap", "fromfile") <= {
        "rnncli.artefacts"
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

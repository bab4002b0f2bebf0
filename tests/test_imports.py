"""Which layer may import which, read from the source; and what importing loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "hpo").rglob("*.py"))

# From the top. Those in one row may import each other, except in the row of four.
LAYERS = [
    ["hpo.cli"],
    ["hpo.service"],
    ["hpo.study"],
    ["hpo.compare", "hpo.finale"],
    ["hpo.runner"],
    ["hpo.engine", "hpo.held_out", "hpo.publishing", "hpo.watch"],
    ["hpo.result"],
    ["hpo.reuse"],
    ["hpo.report"],
    ["hpo.coordinator"],
    ["hpo.final", "hpo.stage"],
    ["hpo.asking", "hpo.datasets", "hpo.frozen"],
    ["hpo.spec"],
    ["hpo.functional", "hpo.studyfile", "hpo.schema"],
    ["hpo.search", "hpo.execute", "hpo.track", "hpo.train"],
    ["hpo.failures", "hpo.trainable"],
    ["hpo.bundle", "hpo.checkpoints", "hpo.space"],
    [
        *("hpo.records", "hpo.home", "hpo.metric_log", "hpo.seeds", "hpo.settings"),
        *("hpo.assignments", "hpo.budget", "hpo.crew", "hpo.endings", "hpo.guards", "hpo.ledger"),
        *("hpo.limits", "hpo.losses", "hpo.packing", "hpo.process", "hpo.progress"),
        *("hpo.trials", "hpo.urls", "hpo.snapshot"),
        *("hpo.final_settings", "hpo.formats", "hpo.opener", "hpo.repeated", "hpo.run_lock"),
        *("hpo.differences", "hpo.files", "hpo.standing", "hpo.lock", "hpo.lazy", "hpo.errors"),
    ],
]
APART = ["hpo.search", "hpo.execute", "hpo.track", "hpo.train"]
RANK = {package: rank for rank, row in enumerate(LAYERS) for package in row}

# Who may import the libraries that are slow or heavy.
HOLDERS = {
    "optuna": ["hpo.search"],
    "psycopg": ["hpo.search"],
    "torch": ["hpo.train"],
    "ray": ["hpo.execute", "hpo.service"],
    "mlflow": ["hpo.track"],
    "upath": ["hpo.checkpoints"],
}
TRAIN_NEEDS = {"torch", "numpy", "pydantic", "pydantic_core", "safetensors"}
TRAIN_NEEDS_LATE = {"sklearn", "scipy", "pandas", "pyarrow"}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): ast.parse(path.read_text()) for path in FILES}


def package(module: str) -> str:
    """The folder or file directly in `hpo/`."""
    return ".".join(module.split(".")[:2])


def named(node: ast.AST, module: str) -> Iterator[str]:
    """The modules that one statement or call imports."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, f"{module} has a relative import"
        for alias in node.names:
            whole = f"{node.module}.{alias.name}"
            yield whole if whole in MODULES else str(node.module)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
        "lazy",
        "importlib.import_module",
        "import_module",
        "__import__",
    ):
        yield from (a.value for a in node.args if isinstance(a, ast.Constant))


def all_imports(module: str) -> set[str]:
    """Everywhere in the file: inside functions and for type checkers, too."""
    return {found for node in ast.walk(MODULES[module]) for found in named(node, module)}


def imports_at_import(module: str) -> set[str]:
    """Only what importing the file itself imports."""
    found: set[str] = set()
    todo: list[ast.AST] = list(MODULES[module].body)
    while todo:
        node = todo.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Call)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse
            continue
        found |= set(named(node, module))
        todo += ast.iter_child_nodes(node)
    return found


def test_the_files_are_those_of_this_checkout():
    import hpo

    assert Path(hpo.__file__).parent == ROOT / "hpo"
    assert len(FILES) > 50


def test_every_package_has_a_layer():
    assert {package(module) for module in MODULES} - {"hpo"} == set(RANK)


@pytest.mark.parametrize("module", sorted(set(MODULES) - {"hpo"}))
def test_imports_go_downward(module):
    here = package(module)
    for other in {package(found) for found in all_imports(module) if found.startswith("hpo.")}:
        if other == here:
            continue
        assert RANK[here] <= RANK[other], f"{module} imports {other}, which lies above it"
        assert not (here in APART and other in APART), f"{module} imports its neighbour {other}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_heavy_libraries_are_imported_in_their_folder_only(module):
    for found in {name.split(".")[0] for name in all_imports(module)} & HOLDERS.keys():
        assert package(module) in HOLDERS[found], f"{module} imports {found}"


@pytest.mark.parametrize("library", HOLDERS)
def test_and_there_they_are_imported(library):
    assert any(library in {n.split(".")[0] for n in all_imports(module)} for module in MODULES)


@pytest.mark.parametrize("module", sorted(m for m in MODULES if package(m) == "hpo.train"))
def test_training_needs_few_libraries(module):
    libraries = {name.split(".")[0] for name in all_imports(module)} - {"hpo"}
    foreign = libraries - sys.stdlib_module_names
    assert foreign <= TRAIN_NEEDS | TRAIN_NEEDS_LATE
    at_once = {name.split(".")[0] for name in imports_at_import(module)}
    assert not at_once & TRAIN_NEEDS_LATE


def test_no_module_imports_itself_around_a_corner():
    """Strongly connected components of one, by Tarjan's algorithm."""
    edges = {m: sorted(imports_at_import(m) & MODULES.keys() - {m}) for m in MODULES}
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    cycles = []

    def visit(module: str) -> None:
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in edges[module]:
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            component = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(component) > 1:
                cycles.append(component)

    for module in edges:
        if module not in index:
            visit(module)
    assert cycles == []
    assert sum(map(len, edges.values())) > 100


@pytest.mark.parametrize(
    ("module", "without"),
    [
        ("hpo", ["torch", "ray", "optuna", "mlflow", "numpy", "pydantic"]),
        ("hpo.studyfile", ["torch", "ray", "optuna", "mlflow"]),
        ("hpo.spec", ["torch", "ray", "optuna", "mlflow"]),
        ("hpo.reuse.loading", ["ray", "optuna", "mlflow", "torch"]),
        ("hpo.train.builtin", ["torch", "numpy", "ray", "optuna", "mlflow"]),
        ("hpo.train.drivers.single", ["ray", "optuna", "mlflow", "sklearn", "pandas"]),
    ],
)
def test_importing_does_not_load(module, without):
    code = f"import sys, {module}; print([m for m in {without} if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")


def test_a_study_file_is_checked_without_loading_them():
    study = ROOT / "studies" / "digits.yaml"
    code = (
        "import sys\nfrom hpo import studyfile\n"
        f"assert studyfile.load({str(study)!r}).name == 'digits'\n"
        "print([m for m in ('torch', 'ray', 'optuna', 'mlflow', 'numpy') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (ran.stdout.strip(), ran.stderr) == ("[]", "")

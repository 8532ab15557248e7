"""The arrows between layers: flows -> pipeline, editing -> schemas; Prefect in flows/scheduled, torch in editing; and
the floors within pipeline and within editing."""

import ast
import contextlib
import subprocess
import sys
from collections.abc import Iterable
from graphlib import TopologicalSorter
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
OURS = {"schemas", "pipeline", "editing", "flows"}
MAY_IMPORT = {
    "schemas": {"schemas"},
    "pipeline": {"schemas", "pipeline"},
    "editing": {"schemas", "editing"},
    "flows": OURS,
}
# From the ground up: each imports only what stands before it. Where files of a folder serve its subfolders, or are
# served by them, each has a floor of its own.
FLOORS = {
    "pipeline": (
        "storage",
        "sources/__init__", "sources/statements", "sources/entities", "sources/sparql", "sources/dump",
        "sources/sample", "sources/wikibase_api", "sources/staging",
        "timelines", "changes", "memberships", "questions", "snapshots", "incremental", "build",
        "exchange", "publishing",
    ),
    "editing": (
        "busy_cores", "threads", "options", "registry", "progress", "facts", "snapshot", "models", "forward",
        "training", "scoring", "small_world", "metrics", "tracing",
        "editors/presets", "editors/__init__", "editors/trained", "editors/located", "editors/prompted",
        "editors/unedited", "editors/sequential", "editors/foreign_edit", "editors/saved_edit",
        "runs", "judging", "report", "edited", "evaluation",
    ),
}  # fmt: skip
ONLY_IN = {
    "prefect": "flows/scheduled",
    "prefect_dask": "flows/scheduled",
    "torch": "editing",
    "transformers": "editing",
    "peft": "editing",
}
# What a bare GPU machine has, beside the standard library.
EDITING_LIBRARIES = {
    "torch", "transformers", "peft", "safetensors", "numpy", "pyarrow", "tokenizers", "huggingface_hub",
    "accelerate", "matplotlib", "lm_eval", "jinja2", "pandas",
}  # fmt: skip


def imported(path: Path) -> set[str]:
    """Modules that a file imports, also inside functions; `from package import name` is package.name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def tops(modules: set[str]) -> set[str]:
    return {module.partition(".")[0] for module in modules}


def floor_of(layer: str, file: str) -> int:
    """The floor on which a module stands; file: its path within the layer, without `.py`."""
    found = [number for number, place in enumerate(FLOORS[layer]) if file == place or file.startswith(f"{place}/")]
    assert found, f"{layer}/{file}.py has no floor yet: give it one in FLOORS"
    return found[0]


def file_of(module: str) -> str:
    """The file of `chronofacts.layer.….name`, where `name` may be a module or stand in one; without layer and `.py`."""
    _, layer, *parts = module.split(".")
    for end in (len(parts), len(parts) - 1):
        path = Path(*parts[:end]) if end > 0 else Path()
        if end > 0 and (ROOT / layer / path).with_suffix(".py").is_file():
            return str(path)
        if (ROOT / layer / path / "__init__.py").is_file():
            return str(path / "__init__")
    raise AssertionError(f"{module} is nowhere")


FILES = [path for layer in sorted(OURS) for path in sorted((ROOT / layer).rglob("*.py"))]
EVERYWHERE = [
    *FILES,
    *(path for folder in ("tests", "benchmarks", "docs", "data") for path in sorted((ROOT / folder).rglob("*.py"))),
    ROOT / "chronofacts" / "__init__.py",
    ROOT / "chronofacts" / "interface.py",
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_layer_may(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    modules = imported(path)
    ours = {module.split(".")[1] for module in modules if module.startswith("chronofacts.")}
    used = tops(modules)
    assert ours & OURS <= MAY_IMPORT[layer]
    place = f"{path.relative_to(ROOT)}"
    assert not {package for package, home in ONLY_IN.items() if package in used and not place.startswith(f"{home}/")}
    if layer == "editing":
        assert used - {"chronofacts"} - set(sys.stdlib_module_names) <= EDITING_LIBRARIES


GPU_MACHINE = ("torch", "transformers", "peft", "safetensors", "numpy", "pyarrow")
"""All that a machine with a GPU need hold, beside what these want themselves."""
HIDE = """
import sys
class Hiding:
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in %r else self.finder.find_spec(name, path, target)
    def __getattr__(self, name):
        return getattr(self.finder, name)
sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""
STARTS = """
import chronofacts.editing.runs.experiment, chronofacts.editing.report, chronofacts.editing.runs.trace_run
import benchmarks.gpu.run, benchmarks.gpu.section, benchmarks.gpu.shapes, benchmarks.gpu.as_trained
from chronofacts.editing.editors import EDITORS, read_editor_settings
for name in EDITORS:
    read_editor_settings(name, {}, 0)
"""


def wanted_by(names: Iterable[str]) -> set[str]:
    """These distributions and all that they want, without extras, by their normalised names."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        found.add(name)
        with contextlib.suppress(PackageNotFoundError):  # wanted on other systems
            wanted = [Requirement(line) for line in requires(name) or ()]
            waiting += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def test_editing_and_its_gpu_script_start_where_only_their_own_libraries_are_installed() -> None:
    """A machine with a GPU has torch and its company, and nothing of the pipeline."""
    there = wanted_by(GPU_MACHINE)
    packages = packages_distributions()
    hidden = {top for top, names in packages.items() if not {canonicalize_name(name) for name in names} & there}
    hidden -= {"chronofacts", *sys.stdlib_module_names}
    assert {"duckdb", "prefect", "msgspec", "datasets", "matplotlib", "pytest", "gguf"} <= hidden
    code = HIDE % (hidden,) + STARTS
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("layer", FLOORS)
def test_no_folder_imports_what_stands_above_it(layer: str) -> None:
    against = []
    for path in sorted((ROOT / layer).rglob("*.py")):
        file = str(path.relative_to(ROOT / layer).with_suffix(""))
        if file == "__init__":
            continue
        floor = floor_of(layer, file)
        for module in imported(path):
            if module.startswith(f"chronofacts.{layer}."):
                target = file_of(module)
                if target != "__init__" and floor_of(layer, target) > floor:
                    against.append(f"{file} imports {target}")
    assert not against


@pytest.mark.parametrize("layer", sorted(OURS))
def test_no_modules_import_each_other_in_a_circle(layer: str) -> None:
    graph = {}
    for path in sorted((ROOT / layer).rglob("*.py")):
        file = str(path.relative_to(ROOT / layer).with_suffix(""))
        ours = {module for module in imported(path) if module.startswith(f"chronofacts.{layer}.")}
        graph[file] = {file_of(module) for module in ours} - {file}
    tuple(TopologicalSorter(graph).static_order())  # CycleError names the circle


def test_what_is_ours_is_imported_as_a_part_of_chronofacts() -> None:
    """Beside the installed package there is no `pipeline` or `data`; here there is, and would be a second copy."""
    bare = {str(path.relative_to(ROOT)): tops(imported(path)) & {*OURS, "data"} for path in EVERYWHERE}
    assert not {path: names for path, names in bare.items() if names}


def test_importing_chronofacts_loads_nothing_heavy() -> None:
    heavy = ["torch", "transformers", "peft", "prefect", "datasets", "duckdb", "pyarrow", "numpy", "importlib.metadata"]
    code = f"import sys, chronofacts; print(sorted(set({heavy}) & set(sys.modules)))"
    # Without what the environment's .pth files import at every start.
    path = f"import sys; sys.path.insert(0, {str(ROOT)!r}); "
    done = subprocess.run([sys.executable, "-S", "-c", path + code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_public_names_are_there_and_those_of_the_data_load_neither_torch_nor_prefect() -> None:
    data = "ChronoFactsError Edit Snapshot load_catalogue read_facts read_manifest read_table verify"
    code = (
        f"import sys, chronofacts; print([name for name in {data.split()} if getattr(chronofacts, name) is None], "
        "sorted({'torch', 'prefect'} & set(sys.modules))); "
        "print([name for name in chronofacts.__all__ if getattr(chronofacts, name) is None], 'prefect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[:2] == ["[] []", "[] False"]


def test_help_loads_none_of_the_heavy_libraries() -> None:
    heavy = ["torch", "transformers", "peft", "prefect", "datasets", "duckdb", "pyarrow", "pandas"]
    code = (
        "import sys; from chronofacts.flows.cli import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        f"print(sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_several_tests_use_lies_in_no_test() -> None:
    files = [file for folder in ("tests", "benchmarks", "docs") for file in (ROOT / folder).rglob("*.py")]
    borrowed = {str(file.relative_to(ROOT)) for file in files for name in imported(file) if ".test_" in name}
    assert len(files) > 200 and borrowed == set()


def test_the_data_side_loads_neither_torch_nor_prefect() -> None:
    code = (
        "import sys; import chronofacts.flows.refresh, chronofacts.pipeline.snapshots.verify; "
        "print({'torch', 'peft', 'transformers', 'prefect'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

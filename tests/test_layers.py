"""The arrows between layers: flows -> pipeline, editing -> schemas; Prefect in flows, torch in editing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"schemas", "pipeline", "editing", "flows"}
MAY_IMPORT = {
    "schemas": {"schemas"},
    "pipeline": {"schemas", "pipeline"},
    "editing": {"schemas", "editing"},
    "flows": OURS,
}
ONLY_IN = {"prefect": "flows", "torch": "editing", "transformers": "editing", "peft": "editing"}
# What a bare GPU machine has, beside the standard library.
EDITING_LIBRARIES = {
    "torch", "transformers", "peft", "safetensors", "numpy", "pyarrow", "tokenizers", "huggingface_hub",
    "accelerate", "matplotlib", "lm_eval", "jinja2",
}  # fmt: skip


def imports(path: Path) -> set[str]:
    """Top-level packages that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found


FILES = [path for layer in sorted(OURS) for path in sorted((ROOT / layer).rglob("*.py"))]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_layer_may(path: Path) -> None:
    layer = path.relative_to(ROOT).parts[0]
    used = imports(path)
    assert used & OURS <= MAY_IMPORT[layer]
    assert not {package for package, home in ONLY_IN.items() if package in used and home != layer}
    if layer == "editing":
        assert used - OURS - set(sys.stdlib_module_names) <= EDITING_LIBRARIES


def test_help_loads_none_of_the_heavy_libraries() -> None:
    heavy = ["torch", "transformers", "peft", "prefect", "datasets", "duckdb", "pyarrow", "pandas"]
    code = (
        "import sys; from flows.cli import app; from typer.testing import CliRunner; "
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0; "
        f"print(sorted(set({heavy}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_data_side_loads_no_torch() -> None:
    code = (
        "import sys; import flows.refresh, pipeline.verify; print({'torch', 'peft', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"

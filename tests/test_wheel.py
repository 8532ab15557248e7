"""The wheel as a stranger gets it: one name in site-packages, and everything works from any folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import made_once

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `wheel/*.whl` and `venv`, where it is installed beside the libraries of this environment."""
    return made_once(tmp_path_factory, "installed", build_and_install)


def build_and_install(folder: Path) -> None:
    run(ROOT, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder / "wheel"))
    run(ROOT, sys.executable, "-m", "venv", "--without-pip", str(folder / "venv"))
    packages = next((folder / "venv").glob("lib/python*/site-packages"))
    # A line that is a folder is only searched: .pth files in it, such as that of an editable install, are not read.
    folders = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "libraries.pth").write_text("\n".join(sorted(folders)) + "\n", encoding="utf-8")
    with zipfile.ZipFile(next((folder / "wheel").glob("*.whl"))) as wheel:
        wheel.extractall(packages)


def run(folder: Path, *words: str, fails: bool = False) -> str:
    """What a program prints; outside the repository it is started without the paths of this process."""
    outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    environment = dict(os.environ) if folder == ROOT else outside
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode != 0) == fails, done.stderr
    return done.stderr if fails else done.stdout


@pytest.fixture
def python(installed: Path) -> str:
    return str(installed / "venv" / "bin" / "python")


@pytest.fixture
def empty(tmp_path: Path, own_prefect_home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with nothing of ours in or above it, and a Prefect of its own."""
    monkeypatch.setenv("PREFECT_HOME", str(own_prefect_home))
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_the_wheel_holds_one_package_and_no_more_data_than_it_reads(installed: Path) -> None:
    with zipfile.ZipFile(next((installed / "wheel").glob("*.whl"))) as wheel:
        names = wheel.namelist()
    assert {name.partition("/")[0].partition("-")[0] for name in names} == {"chronofacts"}
    assert len({name.partition("/")[0] for name in names}) == 2  # and its dist-info
    assert {name.removeprefix("chronofacts/data/") for name in names if name.startswith("chronofacts/data/")} == {
        "relations.toml", "cutoffs.toml", "models.toml",
        "sample/SHA256SUMS", "sample/sample.json", "sample/sample.nt.gz",
    }  # fmt: skip
    modules = {str(path.relative_to(ROOT / "chronofacts")) for path in our_modules()}
    assert modules <= {name.removeprefix("chronofacts/") for name in names}
    assert {"chronofacts/py.typed", "chronofacts/editing/report/page.html"} <= set(names)


def our_modules() -> list[Path]:
    layers = ("schemas", "pipeline", "editing", "flows")
    return [ROOT / "chronofacts" / path.relative_to(ROOT) for layer in layers for path in (ROOT / layer).rglob("*.py")]


def test_the_installed_package_is_the_one_that_is_imported(python: str, empty: Path) -> None:
    printed = run(empty, python, "-c", "import chronofacts; print(chronofacts.__file__, chronofacts.__version__)")
    assert printed.startswith(str(Path(python).parents[1])), printed
    for name in ("pipeline", "editing", "flows", "schemas"):
        assert "ModuleNotFoundError" in run(empty, python, "-c", f"import {name}", fails=True)


def test_the_sample_is_refreshed_from_an_empty_folder(python: str, empty: Path) -> None:
    words = ["refresh", "--source", "sample", "--since", "2024-06-01", "--as-of", "2025-01-01", "--relations", "P6,P35"]
    run(empty, python, "-W", "ignore", "-m", "chronofacts.flows.cli", *words, "--out", "S")
    assert pq.read_table(empty / "S" / "edits").num_rows > 0


def test_the_program_is_named_chronofacts_and_explains_itself(installed: Path, python: str, empty: Path) -> None:
    entry = next((installed / "venv").glob("lib/python*/site-packages/chronofacts-*/entry_points.txt"))
    assert "chronofacts = chronofacts.flows.program:main" in entry.read_text(encoding="utf-8")
    assert "--quick" in run(empty, python, "-m", "chronofacts", "demo", "--help")


def test_a_source_distribution_can_be_built_into_the_same_wheel(installed: Path, tmp_path: Path) -> None:
    run(ROOT, sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", str(tmp_path))
    shutil.unpack_archive(next(tmp_path.glob("*.tar.gz")), tmp_path / "unpacked", filter="data")
    source = next((tmp_path / "unpacked").iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "again")],
        cwd=source, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, again = (next(folder.glob("*.whl")) for folder in (installed / "wheel", tmp_path / "again"))
    with zipfile.ZipFile(first) as one, zipfile.ZipFile(again) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())

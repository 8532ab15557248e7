"""Release the version that pyproject.toml names: check, build, look into what was built, tag. Sends nothing anywhere.

Usage: python .ci/release.py [--no-tests]. Refuses a tree with changes, a version that is tagged already, and a
CHANGELOG without that version and its day. What is built lies in dist/; docs/releasing.md says what follows.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"


def run(*words: str) -> str:
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)  # noqa: S603 - our own words
    if done.returncode:
        sys.exit(f"release: {' '.join(words)} failed\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def check_tree(version: str) -> None:
    """Ends the program where the repository is not one to release from."""
    if run("git", "status", "--porcelain"):
        sys.exit("release: there are changes that are not committed; commit or stash them")
    if run("git", "tag", "--list", f"v{version}"):
        sys.exit(f"release: v{version} is tagged already; set another version in pyproject.toml")
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    heading = next((line for line in changes.splitlines() if line.startswith("## ")), "")
    if not re.fullmatch(rf"## {re.escape(version)} \(\d{{4}}-\d\d-\d\d\)", heading):
        sys.exit(f"release: CHANGELOG.md begins with '{heading}', not with '## {version} (YYYY-MM-DD)'; rename it")


def build(version: str) -> list[Path]:
    """The wheel and the source archive, both with the metadata of this version and the code inside."""
    for old in DIST.glob("chronofacts-*"):
        old.unlink()
    run(sys.executable, "-m", "hatchling", "build", "-d", str(DIST))
    wheel, archive = DIST / f"chronofacts-{version}-py3-none-any.whl", DIST / f"chronofacts-{version}.tar.gz"
    with zipfile.ZipFile(wheel) as opened:
        check_metadata(opened.read(f"chronofacts-{version}.dist-info/METADATA"), version, wheel)
        tops = {name.partition("/")[0] for name in opened.namelist()}
        if tops != {"chronofacts", f"chronofacts-{version}.dist-info"}:
            sys.exit(f"release: {wheel.name} puts {', '.join(sorted(tops))} into site-packages")
    with tarfile.open(archive) as opened_archive:
        member = opened_archive.extractfile(f"chronofacts-{version}/PKG-INFO")
        check_metadata(member.read() if member else b"", version, archive)
    if find_spec("twine"):
        run(sys.executable, "-m", "twine", "check", "--strict", str(wheel), str(archive))
    return [wheel, archive]


def check_metadata(content: bytes, version: str, file: Path) -> None:
    """What an index shows: name, version, licence, and README as Markdown."""
    told = message_from_bytes(content)
    wanted = {"Name": "chronofacts", "Version": version, "License-Expression": "Apache-2.0"}
    wrong = [f"{key} is {told[key]!r}" for key, value in wanted.items() if told[key] != value]
    if told["Description-Content-Type"] != "text/markdown" or "# ChronoFacts" not in str(told.get_payload()):
        wrong.append("README is not its description")
    if wrong:
        sys.exit(f"release: {file.name}: {'; '.join(wrong)}")


def main() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    check_tree(version)
    if "--no-tests" not in sys.argv[1:]:
        run("make", "check", "test")
    made = build(version)
    run("git", "tag", "--annotate", f"v{version}", "--message", f"ChronoFacts {version}")
    print("\n".join(f"built {path.relative_to(ROOT)}" for path in made))
    print(f"tagged v{version}; next: git push origin v{version}, and docs/releasing.md")


if __name__ == "__main__":
    main()

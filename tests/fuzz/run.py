"""Coverage-guided fuzzing of `tests/fuzz/targets.py` by Atheris: python -m tests.fuzz.run TARGET [SECONDS]

Begins with the corpus, and writes what broke beside the working folder as `crash-…`; put it into the corpus.
Needs the extra `fuzz`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["chronofacts"]):
    from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    name, seconds = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 60
    with tempfile.TemporaryDirectory(prefix="corpus-") as grown:
        words = [f"-max_total_time={seconds}", "-max_len=65536", "-rss_limit_mb=4096", "-timeout=20", grown]
        atheris.Setup([sys.argv[0], *words, str(CORPUS / name)], TARGETS[name])
        atheris.Fuzz()


if __name__ == "__main__":
    main()

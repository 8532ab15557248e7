"""Verdicts of a judge, read from a file of anybody, checked by their hashes, and kept in the run they are about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from chronofacts.editing.judging.items import hash_prompt, list_items, read_scores
from chronofacts.schemas.documents import Unreadable, parse_json
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import lock_file, replace_file
from chronofacts.schemas.parquet import read_checked
from chronofacts.schemas.texts import read_text

__all__ = ["FOLDER", "VERDICTS", "Imported", "import_verdicts", "read_verdicts"]

FOLDER = "judge"
"""Of a run, where verdicts are kept."""
LARGEST = 512 << 20
"""Bytes of a file of verdicts."""
YES, NO = ("yes", "right", "correct", "true", "1"), ("no", "wrong", "incorrect", "false", "0")
VERDICTS = pa.schema(
    [
        pa.field("prompt_hash", pa.string()),  # of `items.hash_prompt`
        pa.field("judge", pa.string()),
        pa.field("right", pa.bool_()),  # null: the judge did not say
    ]
)


class Imported(NamedTuple):
    """What became of the lines of a file."""

    judges: Mapping[str, int]
    """Judge -> answers that it judged, of this run."""
    others: int
    """Verdicts about answers that this run does not have."""
    unclear: int
    """Verdicts that say neither yes nor no."""
    repeated: int
    """Verdicts of the file that a later line of it replaces."""
    before: int
    """Verdicts of these judges that the run had from earlier files."""
    replaced: int
    """Of these, those about answers that the file judges again."""


def import_verdicts(file: Path, run: Path) -> Imported:
    """Read verdicts and keep those about answers of the run in `run/judge`.

    file: JSON lines of question, gold, answer, verdict, judge and prompt_hash. Of two verdicts of one judge about one
    answer the later counts, within the file and of one file after another. Raises BadInput for a line that is none,
    for a hash that is not that of its own question, gold and answer, and where no verdict is about the run;
    CheckFailed where the judge's earlier verdicts are damaged.
    """
    if not (run / "run.json").is_file():
        raise BadInput(f"--out {run} is no run (it has no run.json); name the run whose answers were judged")
    asked = {item.prompt_hash for table in read_scores(run) for item in list_items(table)}
    found: dict[tuple[str, str], bool | None] = {}
    others = unclear = repeated = 0
    for number, line in _read_lines(file):
        prompt_hash, judge, right = _read_line(line, f"{file}, line {number}")
        if prompt_hash not in asked:
            others += 1
            continue
        repeated += (judge, prompt_hash) in found
        found[judge, prompt_hash] = right
    if not found:
        raise BadInput(
            f"{file} has no verdict about an answer of {run} ({others} about others); export its items again, "
            f"`chronofacts export {run} --format judge`, and judge those"
        )
    unclear = sum(right is None for right in found.values())
    by_judge: dict[str, dict[str, bool | None]] = {}
    for (judge, prompt_hash), right in found.items():
        by_judge.setdefault(judge, {})[prompt_hash] = right
    before, replaced = _keep(by_judge, run / FOLDER)
    judges = {judge: len(verdicts) for judge, verdicts in sorted(by_judge.items())}
    return Imported(judges, others, unclear, repeated, before, replaced)


def _keep(by_judge: Mapping[str, Mapping[str, bool | None]], folder: Path) -> tuple[int, int]:
    """Write verdicts beside those of earlier files; (how many of these judges there were, of these how many replaced).

    All earlier ones are read first, so that a damaged file changes nothing.
    """
    folder.mkdir(exist_ok=True)
    with lock_file(folder / ".lock", remove=True):  # of two imports at once neither loses the other's
        files = {judge: folder / f"{hashlib.sha256(judge.encode()).hexdigest()[:16]}.parquet" for judge in by_judge}
        earlier = {judge: _read_kept(file) if file.is_file() else {} for judge, file in files.items()}
        for judge, file in files.items():
            rows = [
                {"prompt_hash": prompt_hash, "judge": judge, "right": right}
                for prompt_hash, right in sorted({**earlier[judge], **by_judge[judge]}.items())
            ]
            with replace_file(file) as part:
                pq.write_table(pa.Table.from_pylist(rows, schema=VERDICTS), part)
    replaced = sum(len(earlier[judge].keys() & by_judge[judge].keys()) for judge in by_judge)
    return sum(map(len, earlier.values())), replaced


def read_verdicts(run: Path) -> pa.Table:
    """All verdicts that a run keeps (`VERDICTS`), maybe none. Raises CheckFailed for a damaged file."""
    parts = [VERDICTS.empty_table()]
    parts += [_read_file(file) for file in sorted((run / FOLDER).glob("*.parquet"))]
    return pa.concat_tables(parts)


def _read_kept(file: Path) -> dict[str, bool | None]:
    """hash -> verdict"""
    table = _read_file(file)
    return dict(zip(table["prompt_hash"].to_pylist(), table["right"].to_pylist(), strict=True))


def _read_file(file: Path) -> pa.Table:
    return read_checked(file, "remove it, and import the verdicts again").select(VERDICTS.names).cast(VERDICTS)


def _read_lines(file: Path) -> Iterable[tuple[int, str]]:
    try:
        if file.stat().st_size > LARGEST:
            raise BadInput(f"{file} has more than {LARGEST >> 20} MB; give a file of verdicts")
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror})") from error
    return [(number, line) for number, line in enumerate(read_text(file).split("\n"), 1) if line.strip()]


def _read_line(line: str, where: str) -> tuple[str, str, bool | None]:
    """(hash, judge, verdict)"""
    try:
        row = parse_json(line)
    except Unreadable as error:
        raise BadInput(f"{where} is not JSON ({error}); verdicts are JSON lines") from error
    if not isinstance(row, dict):
        raise BadInput(f"{where}: an object is expected, found a {type(row).__name__}")
    texts = {name: _text(row, name, where) for name in ("question", "answer", "judge", "prompt_hash")}
    gold = row.get("gold")
    if not isinstance(gold, list) or not all(isinstance(name, str) for name in gold):
        raise BadInput(f"{where}: gold should be the list of right answers, as exported")
    if not texts["judge"].strip():
        raise BadInput(f"{where}: judge is empty; say who judged, and which version")
    if texts["prompt_hash"] != hash_prompt(texts["question"], gold, texts["answer"]):
        raise BadInput(
            f"{where}: prompt_hash {texts['prompt_hash'][:20]!r} is not that of its question, gold and answer: "
            "something in the line was changed after the export, or another prompt was judged"
        )
    if "verdict" not in row:
        raise BadInput(f"{where}: the field verdict is missing; it is yes or no")
    return texts["prompt_hash"], " ".join(texts["judge"].split())[:200], _read_verdict(row["verdict"])


def _text(row: Mapping[str, Any], name: str, where: str) -> str:
    if not isinstance(row.get(name), str):
        found = json.dumps(row.get(name), ensure_ascii=False)[:40]
        raise BadInput(f"{where}: {name} should be a text, found {found}")
    return str(row[name])


def _read_verdict(verdict: object) -> bool | None:
    word = str(verdict).strip().strip(".!").casefold()
    return True if word in YES else False if word in NO else None

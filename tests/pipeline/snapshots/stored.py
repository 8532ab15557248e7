"""A folder that a store takes for a snapshot."""

from __future__ import annotations

import datetime
from pathlib import Path

from chronofacts.schemas.files import sha256_of
from chronofacts.schemas.manifest import FileEntry, SnapshotManifest


def snapshot_of(folder: Path, day: datetime.date, content: bytes = b"rows") -> Path:
    """A folder that looks like a snapshot to the store: two files, a manifest with their sums, a card."""
    out = folder / f"{day}-{content.hex()[:8]}"
    for name in ("edits/edits-test.parquet", "questions/edit-test.parquet"):
        (out / name).parent.mkdir(parents=True)
        (out / name).write_bytes(content + name.encode())
    manifest = SnapshotManifest(
        name="small",
        since=datetime.date(2021, 1, 1),
        as_of=day,
        language="en",
        source="sample",
        source_day=day,
        source_detail="",
        retrieved_at=datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC),
        code_version="0",
        catalogue_hash="",
        relations=(),
        seed=0,
        files={path.relative_to(out).as_posix(): FileEntry(1, sha256_of(path)) for path in out.rglob("*.parquet")},
    )
    (out / "manifest.json").write_text(manifest.as_json())
    (out / "README.md").write_text("a card\n")
    return out

"""A published snapshot from the Hub into the user's cache.

Leaves out: the cache itself (huggingface_hub's own, `HF_HOME`).
"""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import snapshot_download

from chronofacts.pipeline.publishing.errors import hub_errors
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.ids import is_hub_repo
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES

__all__ = ["download_snapshot"]

WANTED = ["README.md", "manifest.json", *(f"{name}/*.parquet" for name in SNAPSHOT_TABLES)]


def download_snapshot(repo: str, revision: str | None = None, endpoint: str | None = None) -> Path:
    """The folder of a snapshot that was published as ORG/NAME; what is in the cache is not fetched again.

    revision: a tag (`2025-01-01`), branch or commit; None: the newest. Raises BadInput for a name that is none, and for
    a dataset that is no snapshot, and as `hub_errors`.
    """
    if not is_hub_repo(repo):
        raise BadInput(f"{repo!r} is neither a snapshot folder nor a dataset on the Hub (ORG/NAME)")
    with hub_errors(repo):
        folder = snapshot_download(
            repo, repo_type="dataset", revision=revision, endpoint=endpoint, allow_patterns=WANTED
        )
    read_manifest(Path(folder))
    return Path(folder)

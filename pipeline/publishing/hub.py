"""Publishing a snapshot to the Hugging Face Hub: one atomic commit that follows a plan, and a tag.

The order is: verify the snapshot; read what the repository holds; plan; send the files; commit them all at
once on the parent that was planned for; read every file back; only then name the commit by a tag, the
snapshot's `as_of`. Stopped anywhere, publishing again takes up what is missing: large files that arrived are
not sent again, a commit that arrived is not made twice, and a tag stands only on what was read back.
Tokens come from the Hub's own login or environment and are never part of a message.
Leaves out: the plan (`pipeline.publishing.plan`), and what the files hold (`pipeline.publishing.contents`).
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError

from chronofacts.pipeline.publishing.contents import (
    BASE_ANSWERS,
    BaseAnswers,
    ExperimentReport,
    LocalFile,
    Previous,
    compose,
    data_files,
    late_files,
)
from chronofacts.pipeline.publishing.errors import HeadMoved, HubUnavailable, check_endpoint, hub_errors
from chronofacts.pipeline.publishing.plan import (
    PublicationPlan,
    RemoteFile,
    RemoteState,
    is_published,
    lacks_later,
    plan_publication,
)
from chronofacts.pipeline.snapshots.verify import require_valid
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.files import sha256_of, temporary_folder
from chronofacts.schemas.ids import is_hub_repo
from chronofacts.schemas.manifest import read_manifest
from chronofacts.schemas.parquet import check_unpacked, check_values, read_parquet
from chronofacts.schemas.tables import EDITS, conform

__all__ = ["PublishSettings", "Published", "check_options", "commit_files", "publish", "read_back"]

log = logging.getLogger("chronofacts.publish")

_MOST_BYTES = 2 << 30
_SNAPSHOT_TAG = re.compile(r"\d{4}-\d{2}-\d{2}")
_EDITS_FILE = re.compile(r"edits/[a-z-]+\.parquet")


@dataclass(frozen=True, slots=True)
class PublishSettings:
    """How to publish; the endpoint is the Hub's own unless named here or in HF_ENDPOINT."""

    endpoint: str | None = None
    private: bool = False
    force_tag: bool = False
    dry_run: bool = False
    attempts: int = 4
    """How often a Hub that is busy or unreachable is tried, with waits of 1, 2, 4 … seconds between."""


DEFAULTS = PublishSettings()


@dataclass(frozen=True, slots=True)
class Published:
    """What was done: the plan, and the address and commit under which the snapshot now lies."""

    plan: PublicationPlan
    url: str
    commit: str


def check_options(repo: str, settings: PublishSettings = DEFAULTS) -> HfApi:
    """A client for the Hub that the options name; asks nothing yet.

    Raises BadInput for a repository or an address that cannot be one, and when a login is needed and missing.
    """
    if not is_hub_repo(repo):
        raise BadInput(f"--repo {repo!r} is not of the form ORG/NAME")
    api = HfApi(endpoint=settings.endpoint)
    check_endpoint(api.endpoint)
    if settings.dry_run:
        return api
    try:
        token = get_token()
    except OSError as error:
        raise BadInput(
            f"the Hub's token file cannot be read ({error.strerror}: {error.filename}); make it yours, or set HF_TOKEN"
        ) from error
    if token is None:
        raise BadInput("you are not logged in to the Hub; run `hf auth login` or set HF_TOKEN")
    return api


def publish(
    snapshot: Path,
    repo: str,
    settings: PublishSettings = DEFAULTS,
    check: Callable[[Path], None] = require_valid,
    wait: Callable[[float], None] = time.sleep,
    reports: Sequence[ExperimentReport] = (),
    base_answers: Sequence[BaseAnswers] = (),
) -> Published:
    """Publish a snapshot folder as the dataset `repo` (ORG/NAME), tagged with its `as_of`.

    check: verifies the snapshot before anything is sent. reports, base_answers: of experiments on it and of unedited
    models, published beside it; where they come later, the tag stays.
    Raises BadInput for wrong options, a missing login or a tag that stands on something else; CheckFailed
    when the snapshot is not sound, the Hub serves other bytes than were sent, or another publication went on
    at the same time; HubUnavailable when the Hub did not answer in any of the attempts.
    """
    api = check_options(repo, settings)
    check(snapshot)
    moved = False
    for attempt in range(1, settings.attempts + 1):
        try:
            return _publish_once(api, snapshot, repo, settings, reports, base_answers)
        except HeadMoved:
            if moved:
                raise CheckFailed(
                    f"{repo} changed twice while this snapshot was published; publish again when nobody else does"
                ) from None
            moved = True
            log.info("%s has changed since it was read; planning again", repo)
        except HubUnavailable as error:
            if attempt == settings.attempts:
                raise
            log.info("%s; trying again (%d of %d)", error, attempt + 1, settings.attempts)
            wait(2.0 ** (attempt - 1))
    raise CheckFailed(f"{repo} changed while this snapshot was published; publish again")


def _publish_once(
    api: HfApi,
    snapshot: Path,
    repo: str,
    settings: PublishSettings,
    reports: Sequence[ExperimentReport],
    base_answers: Sequence[BaseAnswers],
) -> Published:
    tag = str(read_manifest(snapshot).as_of)
    url = f"{api.endpoint}/datasets/{repo}"
    plan, remote = _plan(api, snapshot, repo, url, settings.force_tag, reports, base_answers)
    if settings.dry_run:
        return Published(plan, url, remote.tagged_commit)
    if plan.create_repo:
        with hub_errors(repo):
            api.create_repo(repo, repo_type="dataset", private=settings.private, exist_ok=True)
        plan, remote = _plan(api, snapshot, repo, url, settings.force_tag, reports, base_answers)
    if plan.is_no_op:
        return Published(plan, f"{url}/tree/{tag}", remote.tagged_commit)
    commit = remote.head
    if plan.commits:
        log.info("sending %d files to %s", len(plan.add) + len(plan.replace), repo)
        with hub_errors(repo):
            commit = api.create_commit(
                repo,
                _operations(plan),
                commit_message=plan.title,
                repo_type="dataset",
                parent_commit=plan.parent,
                num_threads=2,
            ).oid
    files = {**plan.add, **plan.replace, **plan.keep}
    log.info("reading %d files back", len(files))
    read_back(api, repo, commit, files)
    if plan.tag_step != "keep":  # reports that came later leave the tag where it stands
        _set_tag(api, plan, commit)
        _check_tag(api, repo, tag, commit, files)
    return Published(plan, f"{url}/tree/{tag}", commit)


def _plan(
    api: HfApi,
    snapshot: Path,
    repo: str,
    url: str,
    force_tag: bool,
    reports: Sequence[ExperimentReport],
    base_answers: Sequence[BaseAnswers],
) -> tuple[PublicationPlan, RemoteState]:
    """The plan for what the repository holds now, and that; three requests when there is nothing to do."""
    manifest = read_manifest(snapshot)
    tag, data = str(manifest.as_of), data_files(snapshot)
    remote = read_state(api, repo, tag)
    title = f"Snapshot {tag}: what changed since {manifest.since}"
    later = late_files(snapshot, manifest.as_of, reports, base_answers)
    there_already, newest = is_published(data, remote), max(remote.tags, default="")
    if there_already and not force_tag and not (tag == newest and lacks_later(later, remote)):
        return plan_publication({**data, **later}, repo, tag, title, remote), remote
    earlier = [other for other in remote.tags if other < tag]
    previous = Previous(earlier[-1], _edits_at(api, repo, earlier[-1])) if earlier else None
    of_another = remote.tagged is not None and not there_already  # whose answers go when the tag moves
    there = {
        name: file.sha256
        for name, file in (remote.files or {}).items()
        if name.startswith(f"{BASE_ANSWERS}{tag}-") and not of_another
    }
    files = compose(snapshot, data, repo, url, earlier, previous, reports, base_answers, there)
    return plan_publication(files, repo, tag, title, remote, force_tag), remote


def read_state(api: HfApi, repo: str, tag: str) -> RemoteState:
    """What the repository holds now: its head, its snapshots, and what stands under `tag`."""
    with hub_errors(repo):
        head, files = commit_files(api, repo, "main")
        if not head:
            return RemoteState()
        refs = api.list_repo_refs(repo, repo_type="dataset")
        tags = tuple(sorted(ref.name for ref in refs.tags if _SNAPSHOT_TAG.fullmatch(ref.name)))
        if tag not in tags:
            return RemoteState(head, files, tags)
        commit, tagged = commit_files(api, repo, tag)
        return RemoteState(head, files, tags, commit, tagged)


def commit_files(api: HfApi, repo: str, revision: str, repo_type: str = "dataset") -> tuple[str, dict[str, RemoteFile]]:
    """The commit that a revision stands on, and its files; empty when there is no such repository."""
    ask = api.model_info if repo_type == "model" else api.dataset_info
    try:
        info = ask(repo, revision=revision, files_metadata=True)
    except RepositoryNotFoundError as error:
        if error.response.status_code != 404:  # hidden or gated, and not absent
            raise
        return "", {}
    files = {
        sibling.rfilename: RemoteFile(
            sibling.size or 0, sibling.blob_id or "", sibling.lfs.sha256 if sibling.lfs else ""
        )
        for sibling in info.siblings or []
    }
    return info.sha or "", files


def _edits_at(api: HfApi, repo: str, tag: str) -> pa.Table | None:
    """`EDITS` of an earlier snapshot; null when it has none or has another layout."""
    with temporary_folder("publish") as folder, hub_errors(repo):
        try:
            _, files = commit_files(api, repo, tag)
            paths = [
                Path(api.hf_hub_download(repo, name, repo_type="dataset", revision=tag, local_dir=folder))
                for name in sorted(files)
                if _EDITS_FILE.fullmatch(name)
            ]
        except EntryNotFoundError as error:
            if isinstance(error, FileNotFoundError):  # the client's word for "not reachable, not in the cache"
                raise
            return None
        if not paths:
            log.warning("the edits of %s are not there", tag)
            return None
        try:  # somebody else may have put them there
            for path in paths:
                check_unpacked(path, _MOST_BYTES // len(paths))
            edits = pa.concat_tables([conform(read_parquet(path), EDITS, f"edits of {tag}") for path in paths])
            check_values(edits, "edits", paths[0].parent)
        except CheckFailed as error:
            log.warning("the edits of %s are not compared: %s", tag, error)
            return None
        return edits


def _operations(plan: PublicationPlan) -> list[CommitOperationAdd | CommitOperationDelete]:
    sent = sorted({**plan.add, **plan.replace}.items())
    return [
        *(CommitOperationAdd(path_in_repo=name, path_or_fileobj=file.content) for name, file in sent),
        *(CommitOperationDelete(path_in_repo=name) for name in plan.delete),
    ]


def read_back(api: HfApi, repo: str, commit: str, files: Mapping[str, LocalFile], repo_type: str = "dataset") -> None:
    """Download every file of a commit, one at a time, and compare its sha256.

    Raises CheckFailed for the first that differs.
    """
    with temporary_folder("publish") as folder, hub_errors(repo):
        for name, file in sorted(files.items()):
            try:
                got = Path(api.hf_hub_download(repo, name, repo_type=repo_type, revision=commit, local_dir=folder))
                differs = sha256_of(got) != file.sha256
                got.unlink()
            except EntryNotFoundError as error:
                if isinstance(error, FileNotFoundError):
                    raise
                differs = True
            if differs:
                raise CheckFailed(
                    f"{repo} serves other bytes of {name} at {commit[:12]} than were sent; "
                    "publish again, and tell the Hub if that does not help"
                )


def _set_tag(api: HfApi, plan: PublicationPlan, commit: str) -> None:
    with hub_errors(plan.repo):
        if plan.tag_step == "move":
            api.delete_tag(plan.repo, tag=plan.tag, repo_type="dataset")
        api.create_tag(
            plan.repo, tag=plan.tag, tag_message=plan.title, revision=commit, repo_type="dataset", exist_ok=True
        )


def _check_tag(api: HfApi, repo: str, tag: str, commit: str, files: Mapping[str, LocalFile]) -> None:
    """Raises CheckFailed unless the tag stands on the commit and the Hub lists every file's own sum there."""
    with hub_errors(repo):
        found, listed = commit_files(api, repo, tag)
    wrong = sorted(name for name, file in files.items() if name not in listed or not listed[name].holds(file))
    if found != commit or wrong:
        raise CheckFailed(
            f"the tag {tag} of {repo} does not stand on what was sent ({', '.join(wrong) or found[:12]}); "
            "publish again with --force-tag"
        )

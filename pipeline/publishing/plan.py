"""What publishing would write: pure, from the files of a snapshot and what the repository holds now.

A tag never moves unless it is asked for, and `main` never goes back to an older snapshot. Reports of experiments and
base answers that come later than their snapshot, or that differ from those there, are written to `main`, where its tag
stays; of a snapshot that is no longer the newest these files alone, since the card is the newest one's.
Leaves out: reading from the Hub, and writing to it (`pipeline.publishing.hub`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from chronofacts.pipeline.publishing.contents import ADDED_LATER, LocalFile, is_ours
from chronofacts.schemas.errors import BadInput

__all__ = ["PublicationPlan", "RemoteFile", "RemoteState", "is_published", "lacks_later", "plan_publication"]


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file as the Hub lists it."""

    size: int
    git_oid: str
    """sha1 of the git blob; of a large file, of its pointer."""
    sha256: str
    """of a large file's content; empty for one that lies in git itself."""

    def holds(self, local: LocalFile) -> bool:
        same = self.sha256 == local.sha256 if self.sha256 else self.git_oid == local.git_oid
        return same and self.size == local.size


@dataclass(frozen=True, slots=True)
class RemoteState:
    """What a repository holds: the head of `main` (empty: no such repository), and its snapshots."""

    head: str = ""
    files: Mapping[str, RemoteFile] | None = None
    tags: tuple[str, ...] = ()
    """Tags that name snapshots, sorted."""
    tagged_commit: str = ""
    """The commit under this snapshot's own tag, if the tag is there."""
    tagged: Mapping[str, RemoteFile] | None = None
    """The files of that commit."""


@dataclass(frozen=True, slots=True)
class PublicationPlan:
    """Everything that publishing will write, in the order of the fields; nothing when `is_no_op`."""

    repo: str
    create_repo: bool
    parent: str
    title: str
    add: Mapping[str, LocalFile]
    replace: Mapping[str, LocalFile]
    delete: tuple[str, ...]
    keep: Mapping[str, LocalFile]
    tag: str
    tag_step: str
    """`create`, `move` or `keep`."""

    @property
    def commits(self) -> bool:
        return bool(self.add or self.replace or self.delete)

    @property
    def is_no_op(self) -> bool:
        return not self.commits and self.tag_step == "keep"

    def lines(self) -> list[str]:
        """The plan for a person: one line per step and file, with sizes and sums."""
        if self.is_no_op:
            return [f"nothing to do: {self.repo} holds this snapshot under the tag {self.tag}"]
        lines = [f"create   {self.repo}"] if self.create_repo else []
        for step, files in (("add", self.add), ("replace", self.replace)):
            lines += [f"{step:8} {name}  {f.size} bytes  sha256 {f.sha256}" for name, f in sorted(files.items())]
        lines += [f"delete   {name}" for name in self.delete]
        if self.keep:
            lines.append(f"keep     {len(self.keep)} files that are the same")
        if self.commits:
            size = sum(f.size for f in (*self.add.values(), *self.replace.values()))
            lines.append(f"commit   {self.title!r} on {self.parent or 'the first commit'}: {size} bytes in all")
        lines.append(f"tag      {self.tag} ({self.tag_step})")
        return lines


def plan_publication(
    files: Mapping[str, LocalFile], repo: str, tag: str, title: str, remote: RemoteState, force_tag: bool = False
) -> PublicationPlan:
    """What must be written so that `repo` holds `files` under `tag`.

    files: everything to publish. Of what the repository has besides, only Parquet files of our tables are
    deleted, and where the tag moves, the reports and base answers of the snapshot it stood on; what others put there
    stays.
    Raises BadInput when the tag stands on other data and force_tag is not given, or when the repository
    holds a newer snapshot.
    """
    if is_published(files, remote) and not force_tag:
        return _with_late_reports(files, repo, tag, title, remote)
    if remote.tagged is not None and not force_tag:
        raise BadInput(
            f"the tag {tag} of {repo} stands on another snapshot of that day; "
            "give --force-tag to move it to this one, or publish to another --repo"
        )
    if newer := [other for other in remote.tags if other > tag]:
        raise BadInput(
            f"{repo} already holds {newer[-1]}, which is newer than this snapshot of {tag}; "
            "publish it to another --repo"
        )
    there = remote.files or {}
    of_another = () if is_published(files, remote) or remote.tagged is None else late_folders(tag)
    plan = PublicationPlan(
        repo=repo,
        create_repo=not remote.head,
        parent=remote.head,
        title=title,
        delete=tuple(
            sorted(name for name in there if name not in files and (is_ours(name) or name.startswith(of_another)))
        ),
        tag=tag,
        tag_step="create" if remote.tagged is None else "move",
        **_split(files, there),
    )
    if not plan.commits and remote.tagged_commit == remote.head:
        return replace(plan, tag_step="keep")
    return plan


def late_folders(tag: str) -> tuple[str, ...]:
    """How the names of this snapshot's reports and base answers begin."""
    return tuple(f"{folder}{tag}-" for folder in ADDED_LATER)


def lacks_later(files: Mapping[str, LocalFile], remote: RemoteState) -> bool:
    """Whether `main` has not every report and all base answers among these files, as they are."""
    there = remote.files or {}
    return any(
        name.startswith(ADDED_LATER) and not (name in there and there[name].holds(file)) for name, file in files.items()
    )


def _with_late_reports(
    files: Mapping[str, LocalFile], repo: str, tag: str, title: str, remote: RemoteState
) -> PublicationPlan:
    """Nothing, or the reports and base answers that are not there as they are, and the card that names the newest's."""
    nothing = PublicationPlan(repo, False, remote.head, title, {}, {}, (), files, tag, "keep")
    if not lacks_later(files, remote):
        return nothing
    if tag != max(remote.tags):
        files = {name: file for name, file in files.items() if name.startswith(ADDED_LATER)}
    return replace(nothing, title=f"Experiments on the snapshot {tag}", **_split(files, remote.files or {}))


def _split(files: Mapping[str, LocalFile], there: Mapping[str, RemoteFile]) -> dict[str, Any]:
    """The files to `add`, to `replace` and to `keep`."""
    keep = {name: file for name, file in files.items() if name in there and there[name].holds(file)}
    return {
        "add": {name: file for name, file in files.items() if name not in there},
        "replace": {name: file for name, file in files.items() if name in there and name not in keep},
        "keep": keep,
    }


def is_published(data: Mapping[str, LocalFile], remote: RemoteState) -> bool:
    """Whether the tag stands on this snapshot: the same Parquet files and manifest, and no other Parquet.

    The card may differ, since a later version of this program may write it otherwise.
    """
    if remote.tagged is None:
        return False
    ours = {name: file for name, file in data.items() if is_ours(name) or name == "manifest.json"}
    if {name for name in remote.tagged if is_ours(name)} - set(ours):
        return False
    return all(name in remote.tagged and remote.tagged[name].holds(file) for name, file in ours.items())

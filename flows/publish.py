"""The flows `publish` and `publish-adapter`: a snapshot to a dataset of the Hub, an adapter to a model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from huggingface_hub.utils.tqdm import disable_progress_bars
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from chronofacts.pipeline.publishing.adapter import PublishedAdapter
from chronofacts.pipeline.publishing.adapter import publish_adapter as send_to_model
from chronofacts.pipeline.publishing.contents import ExperimentReport
from chronofacts.pipeline.publishing.errors import HubUnavailable
from chronofacts.pipeline.publishing.hub import Published, PublishSettings
from chronofacts.pipeline.publishing.hub import publish as publish_snapshot

__all__ = ["publish", "publish_adapter"]


def _is_worth_a_retry(task: Any, run: Any, state: Any) -> bool:
    """Only a Hub that is busy or away may answer otherwise later."""
    return isinstance(state.result(raise_on_failure=False), HubUnavailable)


_RETRIED: dict[str, Any] = {
    "cache_policy": NO_CACHE, "retries": 2, "retry_delay_seconds": [10, 60], "retry_condition_fn": _is_worth_a_retry,
}  # fmt: skip


@task(name="publish-snapshot", **_RETRIED)
def send(snapshot: Path, repo: str, settings: PublishSettings, reports: Sequence[ExperimentReport]) -> Published:
    return publish_snapshot(snapshot, repo, settings, reports=reports)


@task(name="publish-adapter-files", **_RETRIED)
def send_adapter(
    adapter: Path, snapshot: Path, repo: str, base_model: str, settings: PublishSettings
) -> PublishedAdapter:
    return send_to_model(adapter, snapshot, repo, base_model, settings)


@flow(name="publish", validate_parameters=False)
def publish(
    snapshot: Path,
    repo: str,
    endpoint: str | None = None,
    private: bool = False,
    force_tag: bool = False,
    dry_run: bool = False,
    reports: Sequence[ExperimentReport] = (),
) -> Published:
    """Publish a snapshot as the dataset ORG/NAME, in one commit with its day as tag; does nothing when it is there.

    endpoint: address of the Hub; by default HF_ENDPOINT or huggingface.co. private: of a repository that is
    made. force_tag: move a tag that stands on another snapshot of that day. dry_run: only plan.
    reports: of experiments on it, which are published beside it and linked from its card.
    Raises as `pipeline.publishing.hub.publish`.
    """
    disable_progress_bars()  # of every file; the log tells of the steps
    published = send(snapshot, repo, PublishSettings(endpoint, private, force_tag, dry_run), reports)
    if not dry_run:
        lines = "\n".join(published.plan.lines())
        create_markdown_artifact(
            f"[{repo} at {published.plan.tag}]({published.url})\n\n```text\n{lines}\n```",
            key="published",
            description=f"What was sent to {repo}",
        )
    return published


@flow(name="publish-adapter", validate_parameters=False)
def publish_adapter(
    adapter: Path,
    snapshot: Path,
    repo: str,
    base_model: str = "",
    endpoint: str | None = None,
    private: bool = False,
    dry_run: bool = False,
) -> PublishedAdapter:
    """Publish RUN/adapters/EDITOR as the PEFT model ORG/NAME; parameters and errors as
    `pipeline.publishing.adapter`."""
    disable_progress_bars()
    return send_adapter(adapter, snapshot, repo, base_model, PublishSettings(endpoint, private, dry_run=dry_run))

"""Publish: a snapshot to a dataset of the Hub, an adapter to a model. A plan alone is made once, without retries."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from huggingface_hub.utils.tqdm import disable_progress_bars

from chronofacts.pipeline.publishing.adapter import PublishedAdapter
from chronofacts.pipeline.publishing.adapter import publish_adapter as send_adapter
from chronofacts.pipeline.publishing.contents import BaseAnswers, ExperimentReport
from chronofacts.pipeline.publishing.hub import Published, PublishSettings
from chronofacts.pipeline.publishing.hub import publish as send_snapshot
from chronofacts.schemas.manifest import read_manifest

log = logging.getLogger("chronofacts.publish")

__all__ = ["publish", "publish_adapter"]


def publish(
    snapshot: Path,
    repo: str,
    settings: PublishSettings,
    reports: Sequence[ExperimentReport] = (),
    base_answers: Sequence[BaseAnswers] = (),
) -> Published:
    """Publish a snapshot as the dataset ORG/NAME, in one commit with its day as tag; does nothing when it is there.

    reports: of experiments on it, which are published beside it and linked from its card. base_answers: of unedited
    models, a config of the dataset.
    Raises as `pipeline.publishing.hub.publish`.
    """
    disable_progress_bars()  # of every file; the log tells of the steps
    if read_manifest(snapshot).curated:
        log.info("the facts of %s were written by hand and not read from Wikidata; its card says so", snapshot)
    return send_snapshot(snapshot, repo, _once_if_dry(settings), reports=reports, base_answers=base_answers)


def publish_adapter(
    adapter: Path, snapshot: Path, repo: str, base_model: str, settings: PublishSettings
) -> PublishedAdapter:
    """Publish RUN/adapters/EDITOR as the PEFT model ORG/NAME; parameters and errors as
    `pipeline.publishing.adapter`."""
    disable_progress_bars()
    return send_adapter(adapter, snapshot, repo, base_model, _once_if_dry(settings))


def _once_if_dry(settings: PublishSettings) -> PublishSettings:
    return replace(settings, attempts=1) if settings.dry_run else settings

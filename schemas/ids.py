"""Ids of others: Wikidata's of items and properties, and the Hugging Face Hub's of repositories."""

from __future__ import annotations

import re

__all__ = ["PID", "QID", "is_hub_model", "is_hub_repo", "is_pid", "is_qid"]

QID = "Q[1-9][0-9]{0,11}"
"""An item, as a pattern that Python and DuckDB read alike."""
PID = "P[1-9][0-9]{0,9}"
"""A property."""
_QID, _PID = re.compile(QID), re.compile(PID)
_HUB_NAME = r"[A-Za-z0-9][\w.-]*"
_HUB_REPO = re.compile(f"{_HUB_NAME}/{_HUB_NAME}", re.ASCII)
_HUB_MODEL = re.compile(f"{_HUB_NAME}(/{_HUB_NAME})?", re.ASCII)


def is_qid(text: object) -> bool:
    return isinstance(text, str) and _QID.fullmatch(text) is not None


def is_pid(text: object) -> bool:
    return isinstance(text, str) and _PID.fullmatch(text) is not None


def is_hub_repo(text: str) -> bool:
    """ORG/NAME"""
    return _HUB_REPO.fullmatch(text) is not None


def is_hub_model(text: str) -> bool:
    """ORG/NAME, or the bare name of one of the Hub's first models (`gpt2`)."""
    return _HUB_MODEL.fullmatch(text) is not None

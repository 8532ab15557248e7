"""Secrets taken out of texts that a person or a log reads."""

from __future__ import annotations

import os
import re
import sys

__all__ = ["redact"]

# Tokens of the Hub, what follows "Bearer", and the user and password of an address.
_SECRET = re.compile(r"hf_[A-Za-z0-9_]{4,}|(?<=Bearer )[^\s,'\"]+|(?<=://)[^/\s@]+(?=@)")


def redact(text: str) -> str:
    """The text with everything that is or looks like a token or a password replaced by `***`."""
    token = _hub_token()
    if token:
        text = text.replace(token, "***")
    return _SECRET.sub("***", text)


def _hub_token() -> str | None:
    """The token that the Hub's client sends. Its slow import is left to who sends something."""
    client = sys.modules.get("huggingface_hub")
    return client.get_token() if client else os.environ.get("HF_TOKEN")

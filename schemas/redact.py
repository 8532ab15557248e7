"""Secrets taken out of texts that a person or a log reads."""

from __future__ import annotations

import os
import re
import sys

from chronofacts.schemas.addresses import hidden_parts

__all__ = ["hub_token", "redact"]

# Tokens of the Hub, what follows "Bearer" or "Basic", the user and password of an address, and what its query calls
# a key: a net below `schemas.addresses`, which knows the secrets that this process was given.
_SECRET = re.compile(
    r"hf_[A-Za-z0-9_]{4,}"
    r"|(?<=Bearer )[^\s,'\"]+|(?<=Basic )[A-Za-z0-9+/=]{6,}"
    r"|(?<=://)[^/\s@]+(?=@)"
    r"|(?<=:/)[^/\s@]+(?=@)"  # an address that was taken for a path
)
_IN_A_QUERY = re.compile(
    r"([?&][\w.-]*(?:key|token|secret|password|passwd|pwd|auth|sig(?:nature)?|credential)[\w.-]*=)[^&\s'\"<>)]+", re.I
)
_VARIABLES = ("CHRONOFACTS_WEBHOOK", "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Whose values are secrets."""


def redact(text: str) -> str:
    """The text with everything that is or looks like a token or a password replaced by `***`."""
    for secret in (hub_token(), *map(os.environ.get, _VARIABLES), *hidden_parts()):
        if secret:
            text = text.replace(secret, "***")
    return _IN_A_QUERY.sub(r"\1***", _SECRET.sub("***", text))


def hub_token() -> str | None:
    """The token that the Hub's client sends; none where its file may not be read. The client's slow import is left to
    who sends something."""
    client = sys.modules.get("huggingface_hub")
    try:
        token: str | None = client.get_token() if client else os.environ.get("HF_TOKEN")
    except OSError:
        return None
    return token

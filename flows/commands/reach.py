"""Whether the Hub can be reached, found out in seconds: its clients try for minutes, in dozens of lines."""

from __future__ import annotations

import os
import socket
import threading
import urllib.request
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.models import named_models

__all__ = ["require_hub", "require_model"]

_PATIENCE_S = 4.0
_OFFLINE = "HF_HUB_OFFLINE"
_HUB = "https://huggingface.co"


def require_hub(endpoint: str) -> None:
    """Raises CheckFailed where nothing answers at the Hub's address."""
    if os.environ.get(_OFFLINE):
        return  # the client says so itself
    if (why := _why_unreached(endpoint)) is not None:
        raise CheckFailed(f"the Hub at {endpoint} cannot be reached ({why}); check the network, or --endpoint")


def require_model(name: str, revision: str | None = None) -> None:
    """Raises BadInput for a model of the Hub that is not in the cache here while the Hub cannot be reached.

    Where it is in the cache, the Hub's clients are told not to ask.
    """
    named = None if Path(name).exists() else named_models().get(name)
    if Path(name).exists() or name == "small-world" or name.lower().endswith(".gguf"):
        return
    if named is not None and named.hub is None:
        return
    endpoint = os.environ.get("HF_ENDPOINT", _HUB)
    if os.environ.get(_OFFLINE) or (why := _why_unreached(endpoint)) is None:
        return
    os.environ[_OFFLINE] = "1"
    from huggingface_hub import constants, try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    constants.HF_HUB_OFFLINE = True  # read from the environment once, when it was first imported

    on_hub, kept = (named.hub or name) if named is not None else name, None
    with suppress(HFValidationError):
        kept = try_to_load_from_cache(on_hub, "config.json", revision=revision or (named and named.revision) or None)
    if not isinstance(kept, str):
        raise BadInput(
            f"the model {name!r} is neither a folder nor in the Hub's cache here, and the Hub at {endpoint} cannot be "
            f"reached ({why}); check the network, or take a folder, a GGUF file, small-world or "
            f"{', '.join(named_models())}"
        )


def _why_unreached(address: str) -> str | None:
    """Why nothing answers at an address within seconds; None where something does, or a proxy stands between."""
    parts = urlsplit(address)
    if urllib.request.getproxies().get(parts.scheme):
        return None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found: list[str | None] = [f"no answer within {_PATIENCE_S:.0f} s"]

    def connect() -> None:
        try:
            with socket.create_connection((parts.hostname or "", port), timeout=_PATIENCE_S):
                found[0] = None
        except OSError as error:
            found[0] = error.strerror or str(error)

    # The look-up of a name has no time-out of its own.
    attempt = threading.Thread(target=connect, daemon=True)
    attempt.start()
    attempt.join(_PATIENCE_S)
    return found[0]

"""Which Prefect server the user's settings name, found without importing Prefect.

Without one a command is a process of its own: it calls plain functions, and neither starts a server nor writes a
database. With one the same functions run as flows, so that the server shows them.
Leaves out: Prefect's other places for settings (`.env`, `prefect.toml`), which a worker reads by itself.
"""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from chronofacts.schemas.documents import read_toml
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.redact import redact

__all__ = ["NamedServer", "answers", "named_server", "require_prefect", "use_named_server"]

_VARIABLE = "PREFECT_API_URL"
_PATIENCE_S = 3.0


class NamedServer(NamedTuple):
    """The API's address, and where it is named."""

    api: str
    named_by: str


def named_server() -> NamedServer | None:
    """The server of PREFECT_API_URL in the environment, else in Prefect's active profile."""
    if address := os.environ.get(_VARIABLE):
        return NamedServer(address, _VARIABLE)
    home = Path(os.environ.get("PREFECT_HOME") or Path.home() / ".prefect").expanduser()
    file = Path(os.environ.get("PREFECT_PROFILES_PATH") or home / "profiles.toml")
    try:
        profiles = read_toml(file)
    except (OSError, ValueError):
        return None
    name = os.environ.get("PREFECT_PROFILE") or profiles.get("active")
    chosen = profiles.get("profiles", {}).get(name, {})
    address = chosen.get(_VARIABLE) if isinstance(chosen, dict) else None
    return NamedServer(str(address), f"{_VARIABLE} of the Prefect profile {name!r}") if address else None


def use_named_server() -> NamedServer | None:
    """The server that the user's settings name, which answers; None where they name none.

    Raises BadInput where it does not answer, or Prefect is not installed.
    """
    server = named_server()
    if server is None:
        return None
    require_prefect(f"{server.named_by} is set; unset it to work without a server, or")
    if not answers(server.api):
        raise BadInput(
            f"no Prefect server answers at {redact(server.api)} ({server.named_by}); start it "
            "(prefect server start), or work without one: "
            + ("unset PREFECT_API_URL" if server.named_by == _VARIABLE else "prefect config unset PREFECT_API_URL")
        )
    return server


def require_prefect(why: str) -> None:
    """Raises BadInput where Prefect is not installed; why: begins the sentence."""
    if find_spec("prefect") is None:
        raise BadInput(f"{why} install Prefect with: pip install 'chronofacts[flows]'")


def answers(api: str) -> bool:
    """Whether a server is there: it may refuse, if only it speaks."""
    try:
        with urllib.request.urlopen(f"{api.rstrip('/')}/health", timeout=_PATIENCE_S):  # noqa: S310 - the user's own
            return True
    except urllib.error.HTTPError:
        return True
    except (OSError, ValueError):
        return False

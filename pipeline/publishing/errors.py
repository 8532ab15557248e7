"""What the Hub's client raises, as one line with the fix, without tokens.

Leaves out: retries (`pipeline.publishing.hub`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OfflineModeIsEnabled

from chronofacts.schemas.errors import BadInput, CheckFailed, ChronoFactsError
from chronofacts.schemas.redact import redact

__all__ = ["HeadMoved", "HubUnavailable", "check_endpoint", "hub_errors"]

# The root of everything that the client's HTTP library raises, whichever of its versions is installed.
_HTTP_ERROR: type[Exception] = HfHubHTTPError.__bases__[0]
_BUSY = {408, 409, 425, 429, 500, 502, 503, 504}
_SHOWN = 300  # characters of what a server says


class HubUnavailable(ChronoFactsError):
    """The Hub is busy or cannot be reached; the same call may well succeed later."""


class HeadMoved(ChronoFactsError):
    """Somebody else has committed since the repository was read (the Hub's 412)."""


def check_endpoint(endpoint: str) -> None:
    """Raises BadInput for an address to which a token must not be sent."""
    parts = urlsplit(endpoint)
    local = parts.hostname in {"localhost", "127.0.0.1", "::1"}
    if parts.username or parts.password:
        raise BadInput("--endpoint holds a user name or password; give the address alone and log in by `hf auth login`")
    if not parts.hostname or parts.scheme not in {"https", "http"}:
        raise BadInput(f"--endpoint {redact(endpoint)!r} is not an address; give one like https://huggingface.co")
    if parts.scheme == "http" and not local:
        raise BadInput(f"--endpoint {endpoint} would send your token unencrypted; use https")


@contextmanager
def hub_errors(repo: str) -> Iterator[None]:
    """What the client raises inside becomes an error of ours: one line, with the fix."""
    try:
        yield
    except ChronoFactsError:
        raise
    except Exception as error:
        ours = _translate(error, repo)
        if ours is None:
            raise
        raise ours from None  # the client's own text may hold request headers


def _translate(error: Exception, repo: str) -> ChronoFactsError | None:
    """The error to raise instead; null for one that is not the Hub's."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, HfHubHTTPError):
            return _translate_reply(cause, repo)
        if isinstance(cause, OfflineModeIsEnabled):
            return BadInput("HF_HUB_OFFLINE is set, so the Hub is not asked; unset it")
        if isinstance(cause, HFValidationError):
            return BadInput(f"--repo {repo!r} is not a name that the Hub takes: {_short(str(cause))}")
    if unreached := [cause for cause in causes if isinstance(cause, (_HTTP_ERROR, LocalEntryNotFoundError))]:
        return HubUnavailable(
            f"the Hub cannot be reached ({_short(str(causes[-1]) or type(unreached[-1]).__name__)}); try again later"
        )
    if isinstance(error, (ValueError, OSError)):
        return CheckFailed(f"{repo} on the Hub: {_short(str(error))}; run the same again")
    return None


def _causes(error: BaseException | None) -> list[BaseException]:
    """The error and all that it was raised from: the client wraps what an upload raises."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__
    return found


def _translate_reply(error: HfHubHTTPError, repo: str) -> ChronoFactsError:
    status = error.response.status_code
    said = f": {_short(error.server_message)}" if error.server_message else ""
    if status == 401:
        return BadInput(
            f"the Hub does not take your login for {repo} (401{said}); check the name, and run `hf auth login` or set "
            "HF_TOKEN"
        )
    if status == 403:
        return BadInput(f"your token may not write to {repo} (403{said}); make one that may, and run `hf auth login`")
    if status == 404:
        return BadInput(
            f"{repo} is not there, or is hidden from your login (404{said}); check the name and the endpoint"
        )
    if status == 412:
        return HeadMoved(f"{repo} changed while this snapshot was published (412); publish again")
    if status in _BUSY:
        return HubUnavailable(f"the Hub is busy ({status}{said}); try again later")
    return CheckFailed(f"the Hub refused to change {repo} ({status}{said})")


def _short(text: str) -> str:
    flat = " ".join(redact(text).split())
    return flat if len(flat) <= _SHOWN else flat[:_SHOWN] + " …"

"""Addresses with secrets, messages that quote them, and configurations of others that say where secrets go."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.attack_families import Attack, Broken, expect_refused
from chronofacts.flows.configuration import TRUSTED_ONLY, read_configuration
from chronofacts.flows.settings import RefreshSettings
from chronofacts.pipeline.build import SnapshotSettings
from chronofacts.pipeline.sources.sparql.endpoint_source import EndpointSettings, open_endpoint
from chronofacts.schemas.addresses import PASSED, hide, reveal
from chronofacts.schemas.dates import parse_day
from chronofacts.schemas.redact import redact

__all__ = ["attacks"]

SECRET = "S3cretW0rd"
ADDRESSES = (
    "http://user:{}@127.0.0.1:9/sparql",
    "http://{}@127.0.0.1:9/sparql",
    "http://user:{}%40x@127.0.0.1:9/sparql",
    "http://a@b:{}@127.0.0.1:9/sparql",
    "http://127.0.0.1:9/sparql?api_key={}",
    "http://127.0.0.1:9/sparql?key={}&graph=x",
    "http://127.0.0.1:9/sparql?{}",
    "http://127.0.0.1:9/sparql?x={}%20y",
    "http://127.0.0.1:9/sparql?default-graph-uri=x&token={}",
    "http://127.0.0.1:9/sparql#{}",
    "https://user:{}@[::1]:9/sparql?pwd={}",
)
MESSAGES = (
    "Max retries exceeded with url: {}",
    "401 for Authorization: Bearer {}",
    "Authorization: Basic {}",
    "GET /sparql?api_key={}&x=1 refused",
    "https://me:{}@host/x and more",
    "?access_token={}",
    "&Signature={}",
)


def attacks(folder: Path) -> Iterator[Attack]:
    for address in ADDRESSES:
        whole = address.replace("{}", SECRET)
        for what, attack in (("shown", _shown), ("in settings", _settings), ("in a recording", _recorded)):
            yield Attack(f"{what}: {address}", partial(_alone, partial(attack, folder, whole)))
        for message in () if "%" in address else MESSAGES:  # there the word alone is a part of the secret
            yield Attack(f"quoted: {message} of {address}", partial(_alone, partial(_quoted, whole, message)))
    for address in (
        "http://[::1",
        "http://",
        "http://u:{}@",
        "http://u:{}@h:99999999/",
        "http://é..x/?k={}",
        "http://a b/?k={}",
    ):
        yield Attack(f"no address: {address}", partial(_alone, partial(_refused, address.replace("{}", SECRET))))
    for key in sorted(TRUSTED_ONLY):
        for number, text in enumerate(
            (f'[publish]\n{key} = "http://evil"', f'[serve]\nset = ["{key}=http://evil"]', f'[x]\n"{key.upper()}" = 1')
        ):
            yield Attack(f"a folder's file: {text!r}", partial(_configured, folder / f"{key}-{number}", text))


def _alone(attack) -> str:  # type: ignore[no-untyped-def]
    """What one attack hides is not known to the next."""
    before = os.environ.pop(PASSED, None)
    try:
        return attack()  # type: ignore[no-any-return]
    finally:
        os.environ.pop(PASSED, None)
        if before is not None:
            os.environ[PASSED] = before


def _refused(address: str) -> str:
    met = expect_refused(lambda: hide(address))
    return _without_secret(met)


def _shown(folder: Path, address: str) -> str:
    public = hide(address)
    if reveal(public) != address and "#" not in address:
        raise Broken(f"the host is not asked by {address}")
    return _without_secret(public)


def _quoted(address: str, message: str) -> str:
    hide(address)
    return _without_secret(redact(message.replace("{}", SECRET)) + redact(f"at {address}"))


def _settings(folder: Path, address: str) -> str:
    days = parse_day("2021-01-01", "since"), parse_day("2022-01-01", "as_of")
    settings = RefreshSettings(address, folder / "new", SnapshotSettings(*days))
    return _without_secret(repr(settings))


def _recorded(folder: Path, address: str) -> str:
    raw = folder / f"raw-{abs(hash(address))}"
    source = open_endpoint(address, EndpointSettings(raw=raw))
    source.abandon()
    found = " ".join(str(path) + path.read_text() for path in raw.rglob("*") if path.is_file())
    return _without_secret(f"{source.name} {found}")


def _configured(folder: Path, text: str) -> str:
    folder.mkdir(exist_ok=True)
    (folder / "chronofacts.toml").write_text(text)
    options = {"publish": dict.fromkeys(TRUSTED_ONLY, "x"), "serve": {"set": "set_"}, "x": {}}
    with contextlib.chdir(folder):
        return expect_refused(lambda: read_configuration(None, options))


def _without_secret(text: str) -> str:
    if SECRET in text:
        raise Broken(f"the secret is in {text[:200]!r}")
    return text[:200]

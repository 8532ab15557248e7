"""Secrets: none reaches a text that is shown."""

import pytest

from chronofacts.schemas.redact import redact


def test_tokens_and_passwords_are_cut_out_of_any_text() -> None:
    text = "Authorization: Bearer abc.def, hf_abcdefghijkl at https://me:pass@host/x"
    assert redact(text) == "Authorization: Bearer ***, *** at https://***@host/x"


def test_the_token_that_is_used_is_cut_out_whatever_it_looks_like(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "no-common-form")
    assert redact("sent no-common-form along") == "sent *** along"

"""Ids: what Wikidata and the Hub give out passes, and nothing else."""

import pytest

from chronofacts.schemas.ids import is_hub_model, is_hub_repo, is_pid, is_qid


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (
            is_qid,
            ["Q1", "Q42", "Q123456789012"],
            ["", "Q", "Q0", "Q042", "q42", "P42", "Q4\n", "Q1234567890123", "Q٤"],
        ),
        (is_pid, ["P6", "P1308"], ["P0", "Q6", "P6/", "P12345678901", "P٦"]),
        (is_hub_repo, ["me/facts", "a.b-c/d_e"], ["facts", "me/", "/facts", "me/a/b", "-me/facts", "mé/facts"]),
        (is_hub_model, ["gpt2", "me/model"], ["", "me/", "./model", "../model", "a b"]),
    ],
)
def test_an_id_is_told_from_what_only_looks_like_one(check, good: list[str], bad: list[str]) -> None:
    assert all(map(check, good))
    assert not any(map(check, bad))

"""`--since` by the model that is to be brought up to date."""

import datetime
import tomllib

import pytest

from chronofacts.schemas.cutoffs import CUTOFFS_PATH, known_until, parse_since
from chronofacts.schemas.errors import BadInput


def test_a_model_stands_for_the_first_day_after_its_stated_month() -> None:
    assert parse_since("model:llama-2") == datetime.date(2022, 10, 1)
    assert parse_since("model:gpt2") == datetime.date(2018, 1, 1)
    assert parse_since("2021-05-03") == datetime.date(2021, 5, 3)


def test_every_model_of_the_table_has_a_month_and_says_where_it_is_stated() -> None:
    for name, entry in tomllib.loads(CUTOFFS_PATH.read_text(encoding="utf-8")).items():
        assert known_until(name).day == 1
        assert entry["stated_in"]


def test_an_unknown_model_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"llama-3\.1"):
        parse_since("model:llama-3-1")

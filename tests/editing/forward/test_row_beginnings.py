"""Texts read after their own beginnings give the logits and gradients of texts read as a whole."""

from __future__ import annotations

from functools import wraps
from typing import Any

import pytest
import torch

from chronofacts.editing.editors.located import key_value
from chronofacts.editing.editors.located.key_value import LocatedSettings, find_facts, optimise_deltas
from chronofacts.editing.forward.row_beginnings import read_beginnings
from chronofacts.editing.models.architecture import output_matrices
from tests.editing.editors.made_edits import made_edits
from tests.editing.models.families import CONFIGS, tiny, tiny_tokenizer

ROWS = [tuple(range(5, 5 + length)) for length in (9, 14, 11)]
BEGUN = [2, 9, 5]


@pytest.mark.parametrize("family", sorted(CONFIGS))
def test_the_rest_of_a_row_ends_in_the_logits_of_the_whole_row(family: str) -> None:
    model = tiny(family)
    found = read_beginnings(model, ROWS, BEGUN)
    assert found is not None
    chosen = torch.tensor([2, 0])
    rests = torch.tensor([ROWS[2][5:], ROWS[0][2:8]])
    with torch.no_grad():
        read = model(input_ids=rests, **found.reading(chosen, 6)).logits
        expected = [model(input_ids=torch.tensor([row])).logits[0, -6:] for row in (ROWS[2], ROWS[0][:8])]
    assert torch.allclose(read, torch.stack(expected), atol=1e-5)


def test_reading_on_leaves_the_beginnings_as_they_are() -> None:
    model, rows = tiny("llama"), torch.tensor([1])
    found = read_beginnings(model, ROWS, BEGUN)
    assert found is not None
    rest = torch.tensor([ROWS[1][9:]])
    with torch.no_grad():
        first, second = (model(input_ids=rest, **found.reading(rows, 5)).logits for _ in range(2))
    assert torch.equal(first, second)


def test_rows_without_a_beginning_and_models_that_read_none_are_left_to_be_read_whole() -> None:
    model = tiny("llama")
    assert read_beginnings(model, ROWS, [2, 0, 5]) is None
    assert read_beginnings(torch.nn.Linear(2, 2), ROWS, BEGUN) is None
    model.forward = _without_mask(model.forward)
    assert read_beginnings(model, ROWS, BEGUN) is None


def _without_mask(forward: Any) -> Any:
    """A model that looks at padding: what it reads after a shorter beginning is something else."""

    @wraps(forward)
    def looking_everywhere(*given: Any, attention_mask: Any = None, position_ids: Any = None, **named: Any) -> Any:
        return forward(*given, **named)

    return looking_everywhere


@pytest.mark.parametrize("position", ["subject", "prompt"])
def test_values_are_those_that_are_found_on_whole_texts(position: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokenizer = tiny("llama"), tiny_tokenizer()
    module = dict(model.named_modules())[output_matrices(model)[1]]
    settings = LocatedSettings(value_steps=6, value_rate=0.1)
    facts = find_facts(model, tokenizer, made_edits(), settings, apart=False, position=position)
    quickly = optimise_deltas(model, module, facts, settings, enough=0.0)
    monkeypatch.setattr(key_value, "read_beginnings", lambda *_: None)
    slowly = optimise_deltas(model, module, facts, settings, enough=0.0)
    assert torch.allclose(quickly, slowly, atol=1e-5)
    assert float(quickly.norm()) > 0.01

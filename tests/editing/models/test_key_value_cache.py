"""Keys and values with room for what is written next."""

from __future__ import annotations

import pytest
import torch

from chronofacts.editing.models.key_value_cache import ROOM, after_cache, cache_of, copy_rows, make_room, select_rows
from tests.editing.models.families import CONFIGS, tiny

PROMPT, WRITTEN = 5, 2 * ROOM + 3
LEAVING = {3: [0, 2, 3], ROOM + 1: [1, 2], 2 * ROOM: [1]}
"""Step -> rows that go on."""


@pytest.mark.parametrize("family", sorted(CONFIGS))
@torch.inference_mode()
def test_with_room_every_step_reads_what_it_would_read_without(family: str) -> None:
    model = tiny(family)
    ids = (torch.arange(4 * (PROMPT + WRITTEN)).view(4, -1) * 7 + 3) % 90
    found = []
    for roomy in (True, False):
        output = model(input_ids=ids[:, :PROMPT], use_cache=True, **after_cache(model, None))
        rows, logits = ids, []
        for step in range(WRITTEN):
            cache = cache_of(output)
            if roomy:
                make_room(cache)
            if step in LEAVING:
                select_rows(cache, LEAVING[step], ids.device)
                rows = rows[LEAVING[step]]
            new = rows[:, PROMPT + step, None]
            output = model(input_ids=new, use_cache=True, **after_cache(model, cache))
            logits.append(output.logits[:, -1])
        assert cache_of(output).get_seq_length() == PROMPT + WRITTEN
        found.append(torch.cat(logits))
    torch.testing.assert_close(*found)


@torch.inference_mode()
def test_a_copy_of_a_cache_with_room_is_written_to_alone() -> None:
    model = tiny("llama")
    ids = torch.arange(12).view(2, 6)
    cache = cache_of(model(input_ids=ids[:1, :4], use_cache=True, **after_cache(model, None)))
    make_room(cache)
    copied = copy_rows(cache, 2, ids.device)
    model(input_ids=ids[:, 4:5], use_cache=True, **after_cache(model, copied))
    assert (cache.get_seq_length(), copied.get_seq_length()) == (4, 5)
    read = model(input_ids=ids[:1, 4:5], use_cache=True, **after_cache(model, cache)).logits
    torch.testing.assert_close(read, model(input_ids=ids[:1, :5]).logits[:, -1:])


@torch.inference_mode()
def test_rows_may_be_chosen_and_repeated_in_every_way_that_a_cache_knows() -> None:
    model, ids = tiny("llama"), torch.arange(24).view(3, 8)
    for choose, rows in (
        (lambda cache: cache.batch_select_indices(torch.tensor([True, False, True])), [0, 2]),
        (lambda cache: cache.batch_select_indices(torch.tensor([2, 1])), [2, 1]),
        (lambda cache: cache.batch_repeat_interleave(2), [0, 0, 1, 1, 2, 2]),
    ):
        cache = cache_of(model(input_ids=ids[:, :6], use_cache=True, **after_cache(model, None)))
        make_room(cache)
        model(input_ids=ids[:, 6:7], use_cache=True, **after_cache(model, cache))
        choose(cache)
        read = model(input_ids=ids[rows, 7:], use_cache=True, **after_cache(model, cache)).logits
        torch.testing.assert_close(read, model(input_ids=ids[rows]).logits[:, -1:])


def test_what_is_no_cache_of_ours_is_left_alone() -> None:
    make_room(None)
    make_room(((torch.zeros(1), torch.zeros(1)),))

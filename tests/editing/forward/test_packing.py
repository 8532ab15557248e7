"""Texts in one row: what each token sees, where it is scored, and that nothing else is read."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from chronofacts.editing.forward.packing import label_logits, pack, pack_groups, pack_in_rows, pad_rows
from chronofacts.editing.models.encoding import Encoded

TOKENS = st.lists(st.integers(3, 6), min_size=3, max_size=7)
TEXTS = st.lists(TOKENS, min_size=1, max_size=6).flatmap(
    lambda several: st.tuples(st.just(several), st.tuples(*(st.integers(1, len(ids) - 1) for ids in several)))
)


def texts(drawn: tuple[list[list[int]], tuple[int, ...]]) -> list[Encoded]:
    return [Encoded(tuple(ids), start, len(ids)) for ids, start in zip(*drawn, strict=True)]


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_a_packed_token_sees_its_own_text_up_to_itself_and_nothing_else(drawn) -> None:
    several = texts(drawn)
    for layout in (pack, pack_in_rows(4), pack_in_rows(9)):
        batch = layout(several, True, "cpu")
        length = batch.ids.shape[1]
        for text, index in zip(several, batch.token_index, strict=True):
            row, own = int(index[0]) // length, index % length
            assert batch.ids.flatten()[index].tolist() == list(text.ids[:-1])
            assert batch.position_ids.flatten()[index].tolist() == list(range(len(text.ids) - 1))
            for depth, position in enumerate(own):
                seen = torch.nonzero(batch.mask[row, 0, position]).flatten().tolist()
                assert seen == sorted(own[: depth + 1].tolist())


@settings(max_examples=60, deadline=None)
@given(TEXTS)
def test_every_answer_token_is_asked_for_once_whatever_the_layout(drawn) -> None:
    several = texts(drawn)
    wanted = sorted(
        (text.ids[:place], text.ids[place]) for text in several for place in range(text.start, len(text.ids))
    )
    for layout in (pack, pack_in_rows(4), pad_rows):
        batch = layout(several, True, "cpu")
        numbered = torch.arange(batch.scored_positions.numel())[None, :, None]  # what stands for a position's logits
        asked = batch.scored_positions[0][label_logits(batch, numbered)[:, 0]].tolist()
        before = {
            int(slot): text.ids[: depth + 1]
            for text, index in zip(several, batch.token_index, strict=True)
            for depth, slot in enumerate(index)
        }
        assert sorted((before[slot], label) for slot, label in zip(asked, batch.labels.tolist(), strict=True)) == wanted
        assert len(set(batch.scored_positions[0].tolist())) == batch.scored_positions.numel()


def test_a_beginning_that_texts_share_is_read_once_and_nothing_is_padding() -> None:
    several = [Encoded((1, 5, 6, 7, 8), 3, 4), Encoded((1, 5, 6, 9), 3, 4), Encoded((1, 5, 6, 7, 4), 3, 4)]
    assert pack(several, True, "cpu").ids.tolist() == [[1, 5, 6, 7]]
    assert pad_rows(several, True, "cpu").ids.shape == (3, 4)


def test_rows_are_of_like_length_and_texts_that_begin_alike_share_one() -> None:
    several = [Encoded((first, *range(10, 17), last, 3), 3, 9) for last in (20, 21, 22) for first in (4, 5)]
    batch = pack_in_rows(11)(several, True, "cpu")
    assert batch.ids.shape == (2, 11)
    assert [index[0] // 11 for index in batch.token_index] == [0, 1] * 3


def test_groups_have_a_row_each_and_scored_positions_of_their_own() -> None:
    groups = [[Encoded((1, 5, 6, 7), 2, 3)], [Encoded((1, 5, 8, 3, 4), 3, 4), Encoded((1, 9, 3, 4), 2, 3)]]
    batch = pack_groups(groups, "cpu")
    assert batch is not None
    assert batch.ids.tolist() == [[1, 5, 6, 0, 0, 0], [1, 5, 8, 3, 9, 3]]
    assert [sorted(row) for row in batch.labels.tolist()] == [[-100, -100, 6, 7], [3, 3, 4, 4]]
    assert all(len(set(row)) == len(row) for row in batch.scored_positions.tolist())
    assert (batch.scored_positions // batch.ids.shape[1]).tolist() == [[0] * 4, [1] * 4]


def test_two_answers_to_one_prompt_cannot_share_a_position_in_a_group() -> None:
    assert pack_groups([[Encoded((1, 5, 6), 2, 3), Encoded((1, 5, 7), 2, 3)]], "cpu") is None

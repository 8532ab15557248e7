"""Tokens that steer a model (a text's end, a turn, a thought): which they are, and text in which none of them is meant.

A tokenizer names some as special, its backend others, the generation config the one that ends a turn. One list serves
both uses: what ends a turn is found in it, and the spelling of one in a name is read as plain text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

__all__ = ["ControlTokens", "control_tokens", "encode_plain", "plain_tokens", "turn_ends"]

MARKED = re.compile(r"[<\[{|].*[>\]}|]", re.DOTALL)
"""How an added token is spelled that is no word: `<think>`, `[INST]`, `<|im_end|>`."""
_known: WeakKeyDictionary[Any, tuple[int, ControlTokens]] = WeakKeyDictionary()


@dataclass(frozen=True)
class ControlTokens:
    ids: Mapping[str, int]
    """Spelling -> token."""
    unbidden: re.Pattern[str] | None
    """Spellings that the backend takes for the token also where it is asked to split special tokens."""

    def spells_one(self, text: str) -> bool:
        return any(spelling in text for spelling in self.ids)

    def parts(self, text: str) -> Iterator[str]:
        """The text in parts of which none has such a spelling whole."""
        begin = at = 0
        while self.unbidden is not None and (found := self.unbidden.search(text, at)):
            at = found.start() + 1
            yield text[begin:at]
            begin = at
        yield text[begin:]


def control_tokens(tokenizer: Any, ends: Sequence[int] = ()) -> ControlTokens:
    """Of a tokenizer, and of the ids that end a turn by the model's generation config."""
    if not ends and (known := _known.get(tokenizer)) and known[0] == len(tokenizer):
        return known[1]
    ids = {spelling: int(tokenizer.convert_tokens_to_ids(spelling)) for spelling in tokenizer.all_special_tokens}
    for number, token in getattr(tokenizer, "added_tokens_decoder", {}).items():
        if token.special or MARKED.fullmatch(token.content):
            ids[token.content] = int(number)
    for end in ends:
        if 0 <= end < len(tokenizer) and (spelling := str(tokenizer.decode([end]))).strip():
            ids.setdefault(spelling, end)
    ids = {spelling: number for spelling, number in ids.items() if len(spelling) > 1}
    found = ControlTokens(ids, _compile_names(tokenizer, ids))
    if not ends:
        _known[tokenizer] = len(tokenizer), found
    return found


def turn_ends(model: Any) -> tuple[int, ...]:
    """Ids that end what the model says, by its generation config."""
    ends = getattr(getattr(model, "generation_config", None), "eos_token_id", None)
    return tuple(ends) if isinstance(ends, list | tuple) else (() if ends is None else (int(ends),))


def plain_tokens(tokenizer: Any, text: str, tokens: ControlTokens) -> tuple[list[int], list[tuple[int, int]]]:
    """The text's tokens, without BOS, and where each lies; none of them is a control token. Needs a fast tokenizer."""
    ids, spans, begin = list[int](), list[tuple[int, int]](), 0
    for part in tokens.parts(text):
        found = tokenizer(part, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
        ids += found["input_ids"]
        spans += [(begin + start, begin + end) for start, end in found["offset_mapping"]]
        begin += len(part)
    return ids, spans


def encode_plain(tokenizer: Any, texts: Sequence[str], tokens: ControlTokens) -> list[list[int]]:
    """Each text's tokens, without BOS; none of them is a control token."""
    parts = [[part for part in tokens.parts(text) if part] or [""] for text in texts]
    flat = [part for several in parts for part in several]
    if not flat:
        return []
    ids = iter(tokenizer(flat, add_special_tokens=False, split_special_tokens=True)["input_ids"])
    return [[one for _ in several for one in next(ids)] for several in parts]


def _compile_names(tokenizer: Any, ids: Mapping[str, int]) -> re.Pattern[str] | None:
    spellings = list(ids)
    read = tokenizer(spellings, add_special_tokens=False, split_special_tokens=True)["input_ids"] if spellings else []
    found = [spelling for spelling, tokens in zip(spellings, read, strict=True) if ids[spelling] in tokens]
    longest_first = sorted(found, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, longest_first))) if found else None

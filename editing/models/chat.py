"""A prompt as a user's turn of a conversation, for models that were tuned to answer in one.

`ChatTokenizer` takes the tokenizer's place, and `encoding.encode`, through which every prompt goes that is trained,
scored, told in context or looked up in a store, puts the template around it. The answer is the assistant's turn, and
the token that ends that turn ends the answer. Leaves out system prompts, earlier turns (examples before a question
stay in the user's one turn) and tools.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from jinja2 import TemplateError

from chronofacts.schemas.errors import BadInput

__all__ = ["Chat", "ChatTokenizer", "Marks", "chatting", "plain_tokenizer"]

Chat = Literal["auto", "yes", "no"]
"""Whether prompts go through the chat template; `auto`: where the tokenizer has one."""

QUESTION = re.compile(r"(?P<before>(?:(?!Q: ).*\n)*)Q: (?P<question>.*) A:")
"""A question in its marks, after lines that have none (a day)."""
WORDS, ANSWER = "words of the user", "words of the assistant"
DATE = "26 Jul 2024"
"""For templates that tell the date (Llama 3): their own fallback, so that a prompt is the same on every day."""


@dataclass(frozen=True)
class Marks:
    """A prompt as the model reads it, and where in it each token lies."""

    text: str
    spans: Sequence[tuple[int, int]]
    """Of each token, without what stands before every text (BOS): begin and end in characters."""
    begin: int
    """Where the prompt's own words begin in the text."""
    end: int


class ChatTokenizer:
    """The tokenizer behind a chat template; but for prompts it is the tokenizer itself."""

    def __init__(self, tokenizer: Any) -> None:
        self.plain = tokenizer
        opened = self._render([{"role": "user", "content": WORDS}], opened=True)
        self.head, found, self.tail = opened.partition(WORDS)
        if not found:
            raise BadInput("the model's chat template does not show what the user says; take --set chat=no")
        closed = self._render([{"role": "user", "content": WORDS}, {"role": "assistant", "content": ANSWER}])
        before, found, rest = closed.partition(ANSWER)
        self.seam = before[len(opened) :] if found and before.startswith(opened) else ""
        """What stands between the opened turn of the assistant and its first word."""
        self._special = sorted(self.plain.all_special_tokens, key=len, reverse=True)
        ends = [one for one in self._ids(rest, special=True) if one in self.plain.all_special_ids] if found else []
        self.eos_token_id = ends[0] if ends else self.plain.eos_token_id
        """Ends the assistant's turn, which for some models is not what ends a text."""

    def __getattr__(self, name: str) -> Any:
        if name == "plain":  # while it is copied there is none yet
            raise AttributeError(name)
        return getattr(self.plain, name)

    def __call__(self, *given: Any, **named: Any) -> Any:
        return self.plain(*given, **named)

    def __len__(self) -> int:
        return len(self.plain)

    def tokens(self, prompts: Sequence[str], after: Sequence[str]) -> list[list[int]]:
        """Of each prompt, opened for the assistant, and of what is said after that."""
        found = []
        for prompt, said in zip(prompts, after, strict=True):
            words = spoken(prompt)
            if any(token in words or token in said for token in self._special):
                parts = ((self.head, True), (words, False), (self.tail, True), (said, False))
                found.append([one for text, special in parts for one in self._ids(text, special)])
            else:
                found.append(self._ids(f"{self.head}{words}{self.tail}{said}", special=True))
        return found

    def marks(self, prompt: str) -> Marks:
        """The prompt in the template, and where its tokens lie."""
        words, spans, begin = spoken(prompt), list[tuple[int, int]](), 0
        whole = f"{self.head}{words}{self.tail}"
        apart = ((self.head, True), (words, False), (self.tail, True))
        for text, special in apart if any(token in words for token in self._special) else ((whole, True),):
            found = self.plain(
                text, add_special_tokens=False, split_special_tokens=not special, return_offsets_mapping=True
            )
            spans += [(begin + start, begin + end) for start, end in found["offset_mapping"]]
            begin += len(text)
        return Marks(whole, spans, len(self.head), len(self.head) + len(words))

    def _ids(self, text: str, special: bool) -> list[int]:
        """special: whether a special token's spelling is that token, or plain text."""
        return list(self.plain(text, add_special_tokens=False, split_special_tokens=not special)["input_ids"])

    def _render(self, turns: Sequence[dict[str, str]], opened: bool = False) -> str:
        options = {"date_string": DATE, "enable_thinking": False}  # templates that know neither leave them out
        try:
            return str(self.plain.apply_chat_template(turns, tokenize=False, add_generation_prompt=opened, **options))
        except (TemplateError, ValueError, TypeError, KeyError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise BadInput(f"the model's chat template cannot be used ({reason}); take --set chat=no") from error


def chatting(tokenizer: Any, wanted: Chat, name: str) -> Any:
    """The tokenizer, behind its chat template where that is wanted.

    Raises BadInput where a template is wanted and `name` has none, or has one that cannot be used.
    """
    template = getattr(tokenizer, "chat_template", None)
    if wanted == "no" or (wanted == "auto" and not template):
        return tokenizer
    if not template:
        raise BadInput(f"the model {name!r} has no chat template; take --set chat=no, or one tuned for conversation")
    return ChatTokenizer(tokenizer)


def plain_tokenizer(tokenizer: Any) -> Any:
    """The tokenizer itself, for those who put templates around prompts on their own."""
    return tokenizer.plain if isinstance(tokenizer, ChatTokenizer) else tokenizer


def spoken(prompt: str) -> str:
    """What a user would say: the question without the marks `Q:` and `A:`, which examples before it keep."""
    marked = QUESTION.fullmatch(prompt)
    return f"{marked['before']}{marked['question']}".strip() if marked else prompt.strip()

"""A prompt as a user's turn of a conversation, for models that were tuned to answer in one.

`ChatTokenizer` takes the tokenizer's place, and `encoding.encode`, through which every prompt goes that is trained,
scored, told in context or looked up in a store, puts the template around it. The answer is the assistant's turn, and
the token that ends that turn ends the answer. Examples before a question, and facts told as examples, are earlier
turns of the conversation, as in lm-evaluation-harness (`fewshot_as_multiturn`): a model goes on answering as it sees
itself answer there. Leaves out system prompts and tools.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from os.path import commonprefix
from typing import Any, Literal

from chronofacts.editing.models.chat_rendering import render_conversations
from chronofacts.editing.models.control_tokens import control_tokens, encode_plain, plain_tokens
from chronofacts.schemas.errors import BadInput

__all__ = ["Chat", "ChatTokenizer", "Marks", "plain_tokenizer", "with_chat"]

log = logging.getLogger("chronofacts.models")

Chat = Literal["auto", "yes", "no"]
"""Whether prompts go through the chat template; `auto`: where the tokenizer has one."""

QUESTION = re.compile(r"(?P<before>(?:(?!Q: ).*\n)*)Q: (?P<question>.*) A:")
"""A question in its marks, after lines that have none (a day)."""
EXAMPLE = re.compile(r"((?:(?!Q: ).*\n)*Q: .* A:) (.+)\n")
"""A question and its answer, each in one line, after lines that have no marks."""
MARK = re.compile(r"^Q: ", re.MULTILINE)
WORDS, ANSWER, NEXT = "words of the user", "words of the assistant", "next words of the user"
DATE = "26 Jul 2024"
"""`chat_rendering.DAY`, for templates that are handed a date in words."""
THOUGHT = re.compile(r"(?P<open><(?P<tag>\w+)>|\[(?P<word>[A-Z]+)\])\s*")
"""What a template opens in the assistant's name, and the answer must not stand in."""


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

    def __init__(self, tokenizer: Any, ends: Sequence[int] = ()) -> None:
        """ends: tokens that end a turn by the model's generation config."""
        self.plain = tokenizer
        asked = [{"role": "user", "content": WORDS}]
        opened, closed = self._render((asked, True), ([*asked, {"role": "assistant", "content": ANSWER}], False))
        self.head, found, self.tail = opened.partition(WORDS)
        if not found:
            raise BadInput("the model's chat template does not show what the user says; take --set chat=no")
        before, found, rest = closed.partition(ANSWER)
        self.seam = before[len(opened) :] if found and before.startswith(opened) else ""
        """What stands between the opened turn of the assistant and its first word."""
        if found and not before.startswith(opened):
            common = commonprefix([opened, before])  # noqa: RUF071, since these are texts and no paths
            self.tail += _close_thought(opened[len(common) :])
        self.between = self._find_between()
        """What stands between an earlier answer and the user's next words; empty: the template shows no such turns."""
        self.turn_length = len(self._ids(f"{self.tail}{self.seam}{self.between}", special=True))
        """Tokens that the template needs for an earlier question and its answer."""
        self._control = control_tokens(tokenizer, ends)
        ended = [one for one in self._ids(rest, special=True) if one in self._control.ids.values()] if found else []
        self.eos_token_id = ended[0] if ended else self.plain.eos_token_id
        """Ends the assistant's turn, which for some models is not what ends a text."""

    @property
    def form(self) -> tuple[str, str, str, str, int | None]:
        """What the template makes of every prompt, and so of every score."""
        return self.head, self.tail, self.seam, self.between, self.eos_token_id

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
        return [
            [
                one
                for text, special in self._pieces([*self._parts(prompt), (said, False)])
                for one in self._ids(text, special)
            ]
            for prompt, said in zip(prompts, after, strict=True)
        ]

    def marks(self, prompt: str) -> Marks:
        """The prompt in the template, and where its tokens lie."""
        parts, spans, begin = self._parts(prompt), list[tuple[int, int]](), 0
        whole = "".join(text for text, _ in parts)
        for text, special in self._pieces(parts):
            if special:
                found = self.plain(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
            else:
                _, found = plain_tokens(self.plain, text, self._control)
            spans += [(begin + start, begin + end) for start, end in found]
            begin += len(text)
        words = len(whole) - len(self.tail)
        return Marks(whole, spans, words - len(parts[-2][0]), words)

    def _parts(self, prompt: str) -> list[tuple[str, bool]]:
        """(text, whether it is the template's own) in turn, from the template's beginning to the assistant's turn."""
        examples, question = _split_examples(prompt) if self.between else ([], prompt)
        earlier = [
            part
            for asked, answer in examples
            for part in (
                (spoken(asked), False),
                (f"{self.tail}{self.seam}", True),
                (answer, False),
                (self.between, True),
            )
        ]
        return [(self.head, True), *earlier, (spoken(question), False), (self.tail, True)]

    def _pieces(self, parts: Sequence[tuple[str, bool]]) -> Sequence[tuple[str, bool]]:
        """What is encoded together: all of it, unless words spell a control token, which is then plain text."""
        spelled = any(self._control.spells_one(text) for text, own in parts if not own)
        return parts if spelled else [("".join(text for text, _ in parts), True)]

    def _find_between(self) -> str:
        turns = [{"role": "user", "content": WORDS}, {"role": "assistant", "content": ANSWER}]
        try:
            (whole,) = self._render(([*turns, {"role": "user", "content": NEXT}], True))
        except BadInput:  # one question is all that it takes
            return ""
        begin, end = f"{self.head}{WORDS}{self.tail}{self.seam}{ANSWER}", f"{NEXT}{self.tail}"
        return whole[len(begin) : -len(end)] if whole.startswith(begin) and whole.endswith(end) else ""

    def _ids(self, text: str, special: bool) -> list[int]:
        """special: whether a special token's spelling is that token, or plain text."""
        if not special:
            return encode_plain(self.plain, [text], self._control)[0]
        return list(self.plain(text, add_special_tokens=False)["input_ids"])

    def _render(self, *conversations: tuple[Sequence[dict[str, str]], bool]) -> list[str]:
        """Each conversation as text: its turns, and whether the assistant's next one is opened."""
        try:
            template = self.plain.get_chat_template()
        except ValueError as error:  # several templates, and none for plain conversation
            raise BadInput(f"the model's chat template cannot be used ({error}); take --set chat=no") from error
        named = {"date_string": DATE, "enable_thinking": False}  # templates that know neither leave them out
        told = [{"messages": turns, "add_generation_prompt": opened} for turns, opened in conversations]
        return render_conversations(template, told, self.plain.special_tokens_map | named)


def _close_thought(opened: str) -> str:
    """What ends a thought that the template opens in every turn, and the answer then follows; said once in the log."""
    thought = THOUGHT.search(opened)
    if thought is None:
        log.warning("the chat template opens the assistant's turn otherwise than it shows one; answers may not fit")
        return ""
    close = f"</{thought['tag']}>" if thought["tag"] else f"[/{thought['word']}]"
    log.warning("the chat template opens a thought in every turn; it is closed, and answers follow without one")
    return f"\n{close}\n\n"


def with_chat(tokenizer: Any, wanted: Chat, name: str, ends: Sequence[int] = ()) -> Any:
    """The tokenizer, behind its chat template where that is wanted. ends: see `ChatTokenizer`.

    Raises BadInput where a template is wanted and `name` has none, or has one that cannot be used.
    """
    template = getattr(tokenizer, "chat_template", None)
    if wanted == "no" or (wanted == "auto" and not template):
        return tokenizer
    if not template:
        raise BadInput(f"the model {name!r} has no chat template; take --set chat=no, or one tuned for conversation")
    return ChatTokenizer(tokenizer, ends)


def plain_tokenizer(tokenizer: Any) -> Any:
    """The tokenizer itself, for those who put templates around prompts on their own."""
    return tokenizer.plain if isinstance(tokenizer, ChatTokenizer) else tokenizer


def spoken(prompt: str) -> str:
    """What a user would say: the question without the marks `Q:` and `A:`, which examples before it keep."""
    marked = QUESTION.fullmatch(prompt)
    return f"{marked['before']}{marked['question']}".strip() if marked else prompt.strip()


def _split_examples(prompt: str) -> tuple[list[tuple[str, str]], str]:
    """The examples before a question or a cloze, each as (its prompt, its answer), and the prompt after them.

    No examples where a later line is marked otherwise (thinking aloud).
    """
    examples, begin = [], 0
    while found := EXAMPLE.match(prompt, begin):
        examples.append((found[1], found[2]))
        begin = found.end()
    rest = prompt[begin:]
    return (examples, rest) if QUESTION.fullmatch(rest) or not MARK.search(rest) else ([], prompt)

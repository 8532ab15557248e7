"""Which edits a prompt is told, in what words, and how they stand before it within the model's context.

`in_context`, `ike`, `rag` and `mello` share it: they differ in how the facts are found and in what else is shown.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from chronofacts.editing.editors.prompted.retrieval import Retriever
from chronofacts.editing.editors.prompted.subject_index import SubjectIndex
from chronofacts.editing.models.chat import ChatTokenizer
from chronofacts.editing.models.context_facts import prepend_facts, render_fact
from chronofacts.editing.models.encoding import form_of, prompt_length
from chronofacts.editing.models.load import context_length
from chronofacts.schemas.errors import BadInput

__all__ = [
    "Choice",
    "Context",
    "FactChooser",
    "FactForm",
    "check_count",
    "form_for",
    "state",
    "tell",
    "worked_examples",
]

FactForm = Literal["auto", "question", "cloze"]
Choice = Literal["subject", "similar", "subject-only"]
Row = dict[str, Any]

DEMONSTRATIONS = (
    ("The capital of Kazakhstan is Astana.", "Which city is the capital of Kazakhstan?", "Astana"),
    ("The author of Don Quixote is Miguel de Cervantes.", "Who wrote Don Quixote?", "Miguel de Cervantes"),
    ("The headquarters of the International Olympic Committee is in Lausanne.",
     "In which city is the International Olympic Committee based?", "Lausanne"),
    ("The discoverer of penicillin is Alexander Fleming.", "Who discovered penicillin?", "Alexander Fleming"),
)  # fmt: skip
"""(a fact, a question in other words, its answer). Each is answered by its fact, which IKE's are not all. Which ones
stand here decides how often a small model copies (`benchmarks/editors_real_model.md`)."""


def check_count(editor: str, option: str, value: int, least: int = 1) -> None:
    """Raises BadInput for a number below the least."""
    if value < least:
        raise BadInput(f"editor {editor}: {option} = {value}; it must be at least {least}")


def form_for(tokenizer: Any, form: FactForm) -> str:
    """How a fact is told: auto is a statement to a model that chats, else a question with its answer."""
    if form != "auto":
        return form
    return "cloze" if isinstance(tokenizer, ChatTokenizer) else "question"


def tell(row: Row, form: str, tokenizer: Any) -> str:
    """One edit in words, a statement with its full stop where the model chats."""
    end = "." if isinstance(tokenizer, ChatTokenizer) else ""
    if form == "cloze" and row["cloze"]:
        return f"{render_fact(row['cloze'], 'cloze', row['target_new']).removesuffix(end)}{end}"
    return render_fact(row["prompt"], form_of(row["prompt"]), row["target_new"])


def state(row: Row) -> str:
    """The fact in words, as it is embedded: its statement, or its question and the answer."""
    return f"{row['cloze'] or row['prompt']} {row['target_new']}"


def worked_examples(tokenizer: Any, form: str, count: int | None = None) -> list[str]:
    """Facts with a question that each answers, in lines. None: all of them for a model that chats, and no others."""
    most = len(DEMONSTRATIONS) if isinstance(tokenizer, ChatTokenizer) else 0
    shown = DEMONSTRATIONS[: most if count is None else count]
    asked = [(fact, render_fact(question, "question", answer)) for fact, question, answer in shown]
    return [f"{fact}\n{line}" if form == "cloze" else line for fact, line in asked]


class FactChooser:
    """The edits whose subject a question names, and those most like it in letters."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self._subjects = SubjectIndex([[row["subject_label"], *(row["subject_aliases"] or ())] for row in rows])
        self._retriever = Retriever([row["prompt"] for row in rows])

    def choose(self, prompt: str, most: int, choice: Choice) -> list[int]:
        """Indices of at most so many edits, the most fitting first."""
        likeness = self._retriever.likeness(prompt)
        named = [] if choice == "similar" else self._subjects.find_named(prompt)
        named.sort(key=lambda index: -likeness[index])
        alike = [] if choice == "subject-only" else self._retriever.nearest(prompt, most)
        return list(dict.fromkeys([*named, *(index for index, _ in alike)]))[:most]


@dataclass(frozen=True)
class Context:
    """The room that a model's context leaves before a question."""

    tokenizer: Any
    length: int | None
    """Tokens; None: no bound."""
    room: int
    """Tokens that are left for the answer."""
    separator: str

    @classmethod
    def of(cls, model: Any, tokenizer: Any, rows: Sequence[Row], room: int, separator: str) -> Context:
        """room: at least; more where an edit's answer is longer."""
        return cls(tokenizer, context_length(model), max(room, _longest_answer(tokenizer, rows)), separator)

    def put_before(self, prompt: str, examples: Sequence[str], facts: Sequence[str]) -> str:
        """The prompt behind examples and facts; where these do not fit, the first go first, examples before facts.

        Without facts, or without room for one, the prompt as it is.
        """
        before = [*examples, *facts]

        def fits(begin: int) -> bool:
            whole = prepend_facts(before[begin:], prompt, self.separator)
            return self.length is None or prompt_length(self.tokenizer, whole) + self.room <= self.length

        begin = bisect_left(range(len(before)), True, key=fits) if facts else len(before)
        return prepend_facts(before[begin:], prompt, self.separator)


def _longest_answer(tokenizer: Any, rows: Sequence[Row]) -> int:
    """In tokens, of the new and the old answers, and the space and the end around them."""
    answers = sorted({answer for row in rows for answer in (row["target_new"], row["target_old"]) if answer})
    return max((len(ids) for ids in tokenizer(answers)["input_ids"]), default=0) + 2 if answers else 0

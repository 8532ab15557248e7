"""Edit a model that is already in memory, ask it, undo or keep the edit: what notebooks and `chronofacts edit` use.

    with edit(model, tokenizer, edits, LoraSettings(rank=8)) as edited:
        edited.generate("Who is the chief executive of Acme?")
        edited.save("acme")
    # the model is as before, bit for bit

**The form of prompts.** A model is taught and asked in one form, here and in every experiment: a model with a chat
template gets the question as the user's turn, any other `Q: … A:`; the beginning of a sentence goes to it as it is.
`prompt_text` gives that text for those who call the model themselves.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self, overload

import pyarrow as pa

from chronofacts.editing.busy_cores import sleep_beside_others
from chronofacts.editing.editors import REPLAY, EditBatch, EditedModel, EditorSettings, read_editor_settings
from chronofacts.editing.editors.presets import with_preset
from chronofacts.editing.editors.saved_edit import CARD, load_edit, merge_edit, read_card
from chronofacts.editing.models.chat import Chat, ChatTokenizer, spoken, with_chat
from chronofacts.editing.models.control_tokens import turn_ends
from chronofacts.editing.models.encoding import encode, form_of, render
from chronofacts.editing.models.load import context_length, model_hash, save_model
from chronofacts.editing.options import check_fields, parse_options
from chronofacts.editing.registry import all_editors, load_editor
from chronofacts.editing.runs.run_folder import write_json
from chronofacts.editing.scoring import generate
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import check_out, create_folder
from chronofacts.schemas.tables import SENTENCES

__all__ = ["Edited", "answer", "edit", "load", "prompt_text", "resolve_editor"]

MAX_TOKENS = 32


@dataclass
class Edited:
    """An edited model. As a context it undoes the edit at its end, whatever happens in between."""

    change: EditedModel
    tokenizer: Any
    card: dict[str, Any]
    """What `save` writes beside the change."""
    undone: bool = False

    @property
    def model(self) -> Any:
        """The edited model, in eval mode; `generate` gives it prompts in the form that it was taught."""
        if self.undone:
            raise BadInput("the edit was undone; make it again, or work within the `with` block")
        return self.change.model

    @property
    def report(self) -> dict[str, Any]:
        """The editor's own figures: steps, loss, trained parameters."""
        return dict(self.change.report)

    @overload
    def generate(  # type: ignore[overload-overlap]  # a text is a sequence of texts, too
        self, prompts: str, max_tokens: int = MAX_TOKENS
    ) -> str: ...
    @overload
    def generate(self, prompts: Sequence[str], max_tokens: int = MAX_TOKENS) -> list[str]: ...
    def generate(self, prompts: str | Sequence[str], max_tokens: int = MAX_TOKENS) -> str | list[str]:
        """The greedy answer to a question or to each of several, with any editor; nothing is sampled.

        An answer ends with its line, the model's own end or after `max_tokens`. Raises BadInput for a prompt that is
        longer than the context.
        """
        several = [prompts] if isinstance(prompts, str) else list(prompts)
        answers = answer(self.model, self.tokenizer, several, max_tokens)
        return answers[0] if isinstance(prompts, str) else answers

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write just the change and its card into a new folder, which `load` and `experiment --load` read.

        Raises BadInput for a folder that is not empty, and for an editor that changes nothing.
        """
        out = Path(folder)
        check_out(out)
        with create_folder(out) as unfinished:
            self.change.save(unfinished)
            if not any(unfinished.iterdir()):
                raise BadInput(f"the editor {self.card['editor']} changes nothing, so that there is nothing to save")
            write_json(unfinished / CARD, self.card)
        return out

    def merge(self, folder: str | os.PathLike[str] | None = None) -> Any:
        """The edit within the model's own weights: an ordinary model, also saved where a new folder is named.

        `undo` still restores the base. Raises BadInput for an edit beside the weights (p-tuning, in-context, memory).
        """
        _ = self.model  # raises where the edit was undone
        if folder is not None:
            check_out(Path(folder))
        self.change = merge_edit(self.change)
        if folder is not None:
            with create_folder(Path(folder)) as unfinished:
                save_model(self.change.model, self.tokenizer, unfinished)
        return self.change.model

    def undo(self) -> Any:
        """The model as it was before, bit for bit; a second time does nothing."""
        if not self.undone:
            self.undone = True
            self.change.base = self.change.undo()
        return self.change.base

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.undo()


@sleep_beside_others()
def edit(
    model: Any,
    tokenizer: Any,
    edits: pa.Table,
    editor: str | Any = "lora",
    *,
    sentences: pa.Table | None = None,
    chat: Chat = "auto",
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Edited:
    """Teach a model some edits, and hand it back edited.

    edits: `tables.EDITS`. editor: its name (`lora`, `lora+replay`), its settings (`LoraSettings(rank=8)`), or both in
    `EditorSettings`. sentences: `tables.SENTENCES`, which replay needs. chat: whether prompts go through the
    tokenizer's chat template; auto: where it has one. Raises BadInput for an unknown editor and for edits that it
    cannot make; then the model is as before.
    """
    chosen, speaking = resolve_editor(editor, seed), speaking_tokenizer(tokenizer, chat, model)
    base = {"base_model_hash": model_hash(model), "base_model": str(getattr(model.config, "_name_or_path", ""))}
    batch = EditBatch(edits, SENTENCES.empty_table() if sentences is None else sentences, progress=progress)
    about = {
        "edit_ids": edits["edit_id"].to_pylist(),
        "edits": edits.select(["edit_id", "prompt", "target_new", "target_old"]).to_pylist(),
    }
    change = chosen.method.edit(model.eval(), speaking, batch, chosen.settings)
    card = {
        "editor": chosen.name,
        "config": asdict(chosen.settings),
        "report": dict(change.report),
        **base,
        "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        "chat": isinstance(speaking, ChatTokenizer),
        **about,
        "trained_prompts": sorted(change.trained_prompts),
    }
    return Edited(change, speaking, card)


def load(model: Any, tokenizer: Any, folder: str | os.PathLike[str], chat: Chat = "auto") -> Edited:
    """The model with an edit that `Edited.save` or an experiment wrote. Raises as `saved_edit.load_edit`, and BadInput
    where the arguments stand in another order."""
    if not isinstance(folder, str | os.PathLike):
        raise BadInput(
            f"load takes a model, its tokenizer and the edit's folder, in this order; the last is {folder!r:.60}"
        )
    speaking = speaking_tokenizer(tokenizer, chat, model)
    return Edited(load_edit(model, speaking, Path(folder)), speaking, read_card(Path(folder)))


@sleep_beside_others()
def answer(model: Any, tokenizer: Any, prompts: Sequence[str], max_tokens: int = MAX_TOKENS) -> list[str]:
    """Greedy answers of any model, also of one that rewrites its prompts. Raises BadInput for a prompt too long."""
    texts = [render(text, form_of(text)) for text in prompts]
    if hasattr(model, "rewrite"):
        texts = model.rewrite(texts)
    encoded = encode(tokenizer, texts, ["x"] * len(texts), context_length(model))
    return generate(model, tokenizer, [row.prompt for row in encoded], max_tokens)


def prompt_text(tokenizer: Any, prompt: str, chat: Chat = "auto") -> str:
    """A question or the beginning of a sentence as an edited model reads it; without what begins every text (BOS)."""
    speaking, text = speaking_tokenizer(tokenizer, chat), render(prompt, form_of(prompt))
    return f"{speaking.head}{spoken(text)}{speaking.tail}" if isinstance(speaking, ChatTokenizer) else text


def speaking_tokenizer(tokenizer: Any, chat: Chat, model: Any = None) -> Any:
    """The tokenizer behind its chat template, where that is wanted; one with something to pad with.

    model: whose generation config may name what ends a turn.
    """
    if isinstance(tokenizer, ChatTokenizer):
        return tokenizer
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token
    return with_chat(tokenizer, chat, str(getattr(tokenizer, "name_or_path", "")), turn_ends(model))


def resolve_editor(editor: str | Any, seed: int = 0) -> EditorSettings:
    """An editor by its name or by its settings. Raises BadInput where nothing has such a name or such settings."""
    if isinstance(editor, EditorSettings):
        return editor
    if isinstance(editor, str):
        return read_editor_settings(editor, {}, seed)
    for name, home in all_editors().items():
        module = home.partition(":")[0]
        if not type(editor).__module__.startswith(module.rpartition(".")[0] or module):
            continue  # so that no other editor's libraries are loaded
        found = load_editor(name)()
        if type(editor) is found.Settings:
            check_fields(editor, name)
            settings = _fill_preset(name, editor)
            return EditorSettings(f"{name}{REPLAY}" if getattr(settings, "replay", False) else name, found, settings)
    raise BadInput(
        f"{editor!r} is neither the name of an editor nor its settings; names are {', '.join(all_editors())}"
    )


def _fill_preset(name: str, settings: Any) -> Any:
    """What the preset says, where the settings have their defaults."""
    preset = getattr(settings, "preset", None)
    if preset is None:
        return settings
    texts = with_preset(name, {"preset": preset})
    wanted = parse_options(type(settings), texts, f"editor {name}")
    defaults = {one.name: one.default for one in fields(settings) if one.default is not MISSING}
    untouched = [key for key in texts if getattr(settings, key) == defaults.get(key)]
    return replace(settings, **{key: getattr(wanted, key) for key in untouched})

"""What the editors of other toolkits get wrong, one test each; the sources are in their code and their issues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.forward.hidden_state_cache import HiddenStateCache
from chronofacts.editing.models.blocks import find_blocks
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.scoring import generate, teacher_force
from chronofacts.editing.training import TrainingSettings, train
from tests.editing.editors.made_edits import FACTS, QUICK, made_batch, says
from tests.editing.models.families import tiny, tiny_tokenizer
from tests.editing.training_examples import EXAMPLES, adapted

TOKENIZER = tiny_tokenizer()
ASKED = [f"Q: Who is the mayor of {town}? A:" for town, _ in FACTS]


def edit(editor: str, options: dict[str, str], model: Any, tokenizer: Any = TOKENIZER) -> Any:
    chosen = read_editor_settings(editor, options, 0)
    return chosen.method.edit(model, tokenizer, made_batch(), chosen.settings)


def test_the_default_adapter_can_be_built_and_holds_all_facts_of_one_edit() -> None:
    """Elsewhere the default is an AdaLoRA that cannot be built, and a batch is so many edits each rolled back."""
    edited = edit("lora", {"learning_rate": "5e-3", "steps": "120"}, tiny("llama"))
    encoded = encode(TOKENIZER, ASKED, [name for _, name in FACTS])
    assert generate(edited.model, TOKENIZER, [one.prompt for one in encoded], 20) == [name for _, name in FACTS]


@pytest.mark.parametrize("editor", ["lora", "p-tuning", "finetune"])
def test_dropout_is_off_once_an_edit_is_made(editor: str) -> None:
    edited = edit(editor, QUICK[editor], tiny("gpt2"))  # its config has dropout of 0.1
    assert any(isinstance(part, torch.nn.Dropout) and part.p for part in edited.model.modules())
    assert torch.equal(says(edited.model), says(edited.model))
    assert not any(part.training for part in edited.model.modules())


def test_layers_below_the_edited_one_are_read_once_and_not_in_every_step() -> None:
    model, read = tiny("llama"), {0: 0, 2: 0}
    for layer in read:
        block = find_blocks(model)[1][layer]
        block.mlp.register_forward_hook(lambda part, given, out, layer=layer: read.update({layer: read[layer] + 1}))
    edit("lora", {"layers": "2", "steps": "40", "stop_loss": "0"}, model)
    assert read[0] < 12 and read[2] >= 40


def test_a_base_in_bfloat16_is_edited_by_adapters_in_float32() -> None:
    edited = edit("lora", {"steps": "3"}, tiny("llama").to(torch.bfloat16))
    kinds = {("lora" in name, parameter.dtype) for name, parameter in edited.model.named_parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    assert bool(torch.isfinite(says(edited.model)).all())


def test_the_loss_counts_the_answer_and_its_end_and_no_token_of_the_prompt() -> None:
    model, counted = tiny("llama"), []
    model.lm_head.register_forward_hook(lambda part, given, out: counted.append(out.shape[0] * out.shape[1]))
    edit("finetune", {"steps": "6", "wordings": "prompt", "stop_loss": "0"}, model)
    rows = encode(TOKENIZER, ASKED, [name for _, name in FACTS])
    assert counted[-1] == sum(len(row.ids) - row.start for row in rows)


def test_a_pad_token_that_is_the_end_of_text_hides_no_end_that_is_taught() -> None:
    """Elsewhere labels are masked where the id is that of padding, and with it the end of every answer."""
    shared = tiny_tokenizer()
    shared.pad_token = shared.eos_token
    weights = []
    for tokenizer in (TOKENIZER, shared):
        edited = edit("lora", {"steps": "4"}, tiny("llama"), tokenizer)
        weights.append(torch.cat([p.flatten() for p in edited.model.parameters() if p.requires_grad]))
    assert torch.equal(*weights)


def test_every_token_of_an_answer_is_predicted_from_those_before_it() -> None:
    """FT-L elsewhere predicts all of them from the prompt's last position, so that only the first can be said."""
    edited = edit("finetune", {"preset": "ft", "steps": "300", "learning_rate": "1e-2"}, tiny("llama"))
    encoded = encode(TOKENIZER, ASKED, [name for _, name in FACTS])
    assert min(row.end - row.start for row in encoded) > 3
    assert all(one.greedy_match for one in teacher_force(edited.model, encoded, 8))


def test_the_last_and_smaller_batch_is_trained_too() -> None:
    store = HiddenStateCache(1 << 20)
    settings = TrainingSettings(steps=3, batch_size=5, learning_rate=1e-3)
    assert len(EXAMPLES) == 12
    train(adapted(layers=range(2, 3)), EXAMPLES, settings, cache=store)
    assert store.computed == 12


@pytest.mark.parametrize("editor", ["lora", "freeze", "finetune"])
def test_a_pass_over_fewer_wordings_than_a_batch_holds_is_a_whole_one(editor: str) -> None:
    """So that one fact alone is trained as often as each of many."""
    chosen = read_editor_settings(editor, {"epochs": "3", "stop_loss": "0", "batch": "64"}, 0)
    edited = chosen.method.edit(tiny("llama"), TOKENIZER, made_batch(FACTS[:1]), chosen.settings)
    assert edited.report["edit_wordings"] < chosen.settings.batch and edited.report["steps"] == 3


@pytest.mark.parametrize("editor", QUICK)
def test_an_editor_prints_nothing_writes_nothing_and_leaves_chance_alone(
    editor: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    model, state = tiny("llama"), torch.get_rng_state()
    edit(editor, QUICK[editor], model)
    assert torch.equal(torch.get_rng_state(), state)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr().out == ""


def test_texts_are_turned_to_tokens_once_and_not_in_every_step() -> None:
    class Counting:
        calls = 0

        def __getattr__(self, name: str) -> Any:
            return getattr(TOKENIZER, name)

        def __len__(self) -> int:
            return len(TOKENIZER)

        def __call__(self, *given: Any, **named: Any) -> Any:
            self.calls += 1
            return TOKENIZER(*given, **named)

    calls = []
    for steps in ("2", "20"):
        counting = Counting()
        edit("lora", {"steps": steps, "stop_loss": "0"}, tiny("llama"), counting)
        calls.append(counting.calls)
    assert calls[0] == calls[1]

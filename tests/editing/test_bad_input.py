"""What can be wrong with a model, a fact or a machine, one by one: told in a line with the mend, or done right."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from chronofacts.editing.editors import read_editor_settings
from chronofacts.editing.editors.located.key_value import LocatedSettings, find_facts, optimise_deltas
from chronofacts.editing.models.architecture import output_matrices
from chronofacts.editing.models.encoding import encode
from chronofacts.editing.models.load import load_model, model_hash, save_model
from chronofacts.editing.models.out_of_memory import in_parts
from chronofacts.editing.runs.experiment import run_experiment
from chronofacts.editing.runs.settings import read_settings
from chronofacts.editing.scoring import generate
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.schemas.errors import BadInput
from tests.editing.editors.made_edits import QUICK, made_batch, made_edits
from tests.editing.invented_world import write_invented
from tests.editing.models.families import tiny, tiny_tokenizer

TOKENIZER = tiny_tokenizer()
LEARN = {"steps": "150", "learning_rate": "5e-3"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of random weights."""
    place = tmp_path_factory.mktemp("model")
    save_model(tiny("llama"), TOKENIZER, place)
    return place


def learn(tokenizer: Any, town: str, mayor: str) -> str:
    """What a model says about the town after it was taught its mayor."""
    chosen = read_editor_settings("finetune", LEARN, 0)
    edited = chosen.method.edit(tiny("llama"), tokenizer, made_batch([(town, mayor)]), chosen.settings)
    (asked,) = encode(tokenizer, [f"Q: Who is the mayor of {town}? A:"], ["x"])
    return generate(edited.model, tokenizer, [asked.prompt], 24)[0]


def test_a_snapshot_without_edits_is_told(tmp_path: Path, folder: Path) -> None:
    snapshot = write_invented(tmp_path / "S", facts=12, edits=4, people=10)
    pq.write_table(load_snapshot(snapshot).edits.slice(0, 0), snapshot / "edits" / "part.parquet")
    with pytest.raises(BadInput, match="has no edits"):
        run_experiment(snapshot, str(folder), read_settings(["lora"], {}), tmp_path / "R")
    assert not (tmp_path / "R").exists()


@pytest.mark.parametrize("editor", ["lora", "finetune", "freeze", "p-tuning", "rome", "memit"])
def test_an_edit_longer_than_the_context_is_named_and_the_base_restored(editor: str) -> None:
    model, chosen = tiny("llama"), read_editor_settings(editor, QUICK[editor], 0)
    before, wanted = model_hash(model), [parameter.requires_grad for parameter in model.parameters()]
    with pytest.raises(BadInput, match=r"mayor of Linz.* more than the model's context of \d+"):
        chosen.method.edit(model, TOKENIZER, made_batch([("Linz", "Ada " * 60)]), chosen.settings)
    assert model_hash(model) == before
    assert [parameter.requires_grad for parameter in model.parameters()] == wanted


def test_a_run_with_a_fact_longer_than_the_context_names_it_and_leaves_nothing(tmp_path: Path, folder: Path) -> None:
    snapshot = write_invented(tmp_path / "S", facts=12, edits=4, people=10)
    edits = load_snapshot(snapshot).edits
    long = ["Ada " * 60, *edits["target_new"].to_pylist()[1:]]
    place = edits.column_names.index("target_new")
    changed = edits.set_column(place, edits.schema.field("target_new"), [long])
    pq.write_table(changed, snapshot / "edits" / "part.parquet")
    with pytest.raises(BadInput, match="more than the model's context"):
        run_experiment(snapshot, str(folder), read_settings(["lora"], {"cache": "none"}), tmp_path / "R")
    assert not (tmp_path / "R").exists()


def test_a_name_whose_tokens_merge_with_the_prompts_end_is_learnt_as_it_will_be_said() -> None:
    bpe = Tokenizer(BPE(unk_token=None))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)  # tokens reach across spaces
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=["<pad>", "<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )  # fmt: skip
    bpe.train_from_iterator(["Linz? A: Ada Moor", "Linz? A: Ada"] * 5, trainer)
    merging = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    (row,) = encode(merging, ["Q: Who is the mayor of Linz? A:"], ["Ada Moor"])
    assert row.merged
    assert learn(merging, "Linz", "Ada Moor") == "Ada Moor"


@pytest.mark.parametrize("mayor", ["Robert G. Wright", "St. Louis Inc.", "Ada</s>Moor", "A. B. <pad> C."])
def test_a_full_stop_or_the_spelling_of_an_end_in_an_answer_is_learnt_and_said(mayor: str) -> None:
    assert learn(TOKENIZER, "Linz", mayor) == mayor


def test_a_model_without_a_pad_token_is_edited_as_one_with_it(folder: Path, tmp_path: Path) -> None:
    bare = tiny_tokenizer()
    bare.pad_token = None
    save_model(tiny("llama"), bare, tmp_path / "bare")
    model, tokenizer = load_model(str(tmp_path / "bare"))
    assert tokenizer.pad_token == "</s>"
    weights = []
    for base, words in ((model, tokenizer), load_model(str(folder))):
        chosen = read_editor_settings("lora", {"steps": "4"}, 0)
        edited = chosen.method.edit(base, words, made_batch(), chosen.settings)
        weights.append(torch.cat([p.flatten() for p in edited.model.parameters() if p.requires_grad]))
    assert torch.equal(*weights)


def test_values_that_do_not_fit_the_memory_are_found_in_halves_and_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny("llama")
    module = dict(model.named_modules())[output_matrices(model)[0]]
    settings = LocatedSettings(value_steps=5, value_rate=0.1, decay=0.1, clamp=3.0)
    facts = find_facts(model, TOKENIZER, made_edits(), settings, apart=False, position="subject")
    optimise = partial(optimise_deltas, model, module, settings=settings, enough=0.0)
    expected = optimise(facts)
    plain = type(model).forward

    def tight(self: Any, input_ids: torch.Tensor, **given: Any) -> Any:
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("too much")
        return plain(self, input_ids=input_ids, **given)

    monkeypatch.setattr(type(model), "forward", tight)
    said: list[str] = []
    found = torch.cat(list(in_parts(optimise, facts, 4, "fact", said.append)))
    assert said == ["out of memory: going on with 2 facts at once"]
    assert torch.allclose(found, expected, atol=1e-4)
    monkeypatch.setattr(type(model), "forward", lambda self, input_ids, **given: tight(self, input_ids.repeat(9, 1)))
    with pytest.raises(BadInput, match="not even one fact"):
        list(in_parts(optimise, facts, 4, "fact", said.append))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "float23"}, "take one of float32, bfloat16"),
        ({"device": "cudda"}, "device = cudda is not there"),
        ({"device": "cuda:99"}, "device = cuda:99 is not there"),
        ({"device": "cpu", "device_map": "auto"}, "exclude each other"),
        ({"device_map": "everywhere"}, "cannot be loaded"),
    ],
)
def test_a_device_or_type_of_number_that_there_is_not_is_told(
    folder: Path, options: dict[str, str], message: str
) -> None:
    with pytest.raises(BadInput, match=message):
        load_model(str(folder), **options)  # type: ignore[arg-type]


def test_a_model_over_all_devices_and_one_per_process_exclude_each_other() -> None:
    with pytest.raises(BadInput, match="device_map"):
        read_settings(["lora"], {"device_map": "auto", "scoring.processes": "2"})


def test_type_and_devices_are_as_asked_for(folder: Path) -> None:
    pytest.importorskip("accelerate")
    model, _ = load_model(str(folder), dtype="bfloat16", device_map="auto")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert {parameter.device.type for parameter in model.parameters()} <= {"cpu", "cuda"}
    chosen = read_editor_settings("lora", {"steps": "2"}, 0)
    edited = chosen.method.edit(model, TOKENIZER, made_batch(), chosen.settings)
    assert edited.report["steps"] == 2 and not any(parameter.is_meta for parameter in edited.model.parameters())


def test_a_model_is_loaded_at_the_revision_that_is_named(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Hub model in the cache of downloads, at two commits, without any network."""
    repo, commits = tmp_path / "hub" / "models--org--name", {"main": "a" * 40, "v1": "b" * 40}
    for seed, (branch, commit) in enumerate(commits.items()):
        save_model(tiny("llama", seed=seed), TOKENIZER, repo / "snapshots" / commit)
        (repo / "refs").mkdir(exist_ok=True)
        (repo / "refs" / branch).write_text(commit)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("transformers.utils.hub.TRANSFORMERS_CACHE", str(tmp_path / "hub"), raising=False)
    found = {branch: model_hash(load_model("org/name", revision=branch)[0]) for branch in commits}
    assert found == {branch: model_hash(tiny("llama", seed=seed)) for seed, branch in enumerate(commits)}
    with pytest.raises(BadInput, match="at revision v2"):
        load_model("org/name", revision="v2")


def test_a_snapshot_of_a_world_nobody_wrote_down_is_told(tmp_path: Path) -> None:
    snapshot = write_invented(tmp_path / "S", facts=12, edits=4, people=10)
    shutil.rmtree(snapshot / "sentences")
    (snapshot / "sentences").mkdir()
    empty = load_snapshot(write_invented(tmp_path / "other", facts=12, edits=4, people=10)).sentences.slice(0, 0)
    pq.write_table(empty, snapshot / "sentences" / "part.parquet")
    with pytest.raises(BadInput, match="no sentences to learn a small world from"):
        run_experiment(snapshot, "small-world", read_settings(["lora"], {}), tmp_path / "R")
    assert not (tmp_path / "R").exists()


def test_a_model_folder_without_a_tokenizer_says_so(tmp_path: Path) -> None:
    tiny("llama").save_pretrained(tmp_path / "bare")
    with pytest.raises(BadInput, match=r"has no tokenizer that can be read .* put tokenizer\.json"):
        load_model(str(tmp_path / "bare"))

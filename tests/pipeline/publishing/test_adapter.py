"""An adapter from an experiment as a PEFT model of the Hub: told, read back, loaded; refused on a base of one's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import peft
import pytest
import torch

from chronofacts.editing.models.load import model_hash
from chronofacts.editing.runs.run_folder import snapshot_hash
from chronofacts.editing.snapshot import load_snapshot
from chronofacts.pipeline.publishing.adapter import PublishedAdapter, adapter_files, publish_adapter
from chronofacts.pipeline.publishing.hub import PublishSettings
from chronofacts.schemas.errors import BadInput, CheckFailed
from tests.editing.models.families import tiny, tiny_tokenizer
from tests.pipeline.publishing.local_hub import LocalHub

REPO, BASE = "org/llama-2025", "org/tiny-llama"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    tiny("llama").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def adapter(base: Path, snapshot: Path, tmp_path: Path) -> Path:
    """RUN/adapters/lora of a run on the Hub's model `BASE`."""
    folder = tmp_path / "run" / "adapters" / "lora"
    model = tiny("llama")
    known = model_hash(model)
    torch.manual_seed(0)
    adapted = peft.get_peft_model(
        model, peft.LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM", init_lora_weights=False)
    )
    adapted.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)
    loaded = load_snapshot(snapshot)
    about = {
        "editor": "lora", "config": {"rank": 2}, "base_model": BASE, "base_model_hash": known,
        "snapshot": loaded.manifest.name, "snapshot_hash": snapshot_hash(loaded),
        "edit_ids": [row["edit_id"] for row in loaded.edits.to_pylist() if row["subject_label"] != "Seat 3"],
    }  # fmt: skip
    (folder / "card.json").write_text(json.dumps(about))
    return folder


def told(adapter: Path, **changes: object) -> None:
    about = json.loads((adapter / "card.json").read_text())
    (adapter / "card.json").write_text(json.dumps(about | changes))


def send(hub: LocalHub, adapter: Path, snapshot: Path, base_model: str = "", **settings) -> PublishedAdapter:
    return publish_adapter(adapter, snapshot, REPO, base_model, PublishSettings(endpoint=hub.url, **settings))


def test_peft_loads_it_from_the_hub_and_it_says_what_the_saved_one_says(
    hub: LocalHub, adapter: Path, base: Path, snapshot: Path, tmp_path: Path
) -> None:
    send(hub, adapter, snapshot)
    code = (
        "import sys, torch\nfrom peft import PeftModel\nfrom transformers import AutoModelForCausalLM as Auto\n"
        "ids = torch.tensor([[1, 5, 9, 20]])\n"
        "def logits(place): return PeftModel.from_pretrained(Auto.from_pretrained(sys.argv[1]), place)(ids).logits\n"
        "hub, here = logits(sys.argv[2]), logits(sys.argv[3])\n"
        "plain = Auto.from_pretrained(sys.argv[1])(ids).logits\n"
        "print(torch.equal(hub, here), torch.equal(hub, plain))"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    environment |= {"HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1", "HF_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-W", "ignore", "-c", code, str(base), REPO, str(adapter)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split() == ["True", "False"], done.stderr


def test_the_card_names_the_facts_the_base_and_how_to_load(hub: LocalHub, adapter: Path, snapshot: Path) -> None:
    send(hub, adapter, snapshot)
    key = f"models/{REPO}"
    card = hub.content(key, "main", "README.md").decode()
    assert f"base_model: {BASE}" in card and "library_name: peft" in card
    assert f'PeftModel.from_pretrained(model, "{REPO}")' in card
    assert json.loads((adapter / "card.json").read_text())["base_model_hash"] in card
    assert "| Who holds Seat 1? |" in card and "| Who holds Seat 3? |" not in card
    config = json.loads(hub.content(key, "main", "adapter_config.json"))
    assert config["base_model_name_or_path"] == BASE
    assert {"facts.jsonl", "card.json", "adapter_model.safetensors"} <= set(hub.repos[key].files("main"))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({}, "2 changed facts, written by hand in Wikidata's form and not read from it."),
        ({"source": "wdqs"}, "2 changed facts of Wikidata."),
        ({"origin": "counterfact", "name": "counterfact set.json"}, "2 changed facts of an imported set, counterfact"),
    ],
)
def test_the_card_says_whose_facts_they_are(
    adapter: Path, snapshot: Path, tmp_path: Path, source: dict[str, str], said: str
) -> None:
    folder = Path(shutil.copytree(snapshot, tmp_path / "S"))
    about = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(about | source))
    card = adapter_files(adapter, folder, REPO)["README.md"].content
    assert isinstance(card, bytes) and said in card.decode()


def test_publishing_it_again_asks_once_and_writes_nothing(hub: LocalHub, adapter: Path, snapshot: Path) -> None:
    send(hub, adapter, snapshot)
    hub.log.clear()
    assert send(hub, adapter, snapshot).sent == ()
    assert [method for method, _ in hub.log] == ["GET"]
    told(adapter, editor="lora+replay")
    assert set(send(hub, adapter, snapshot).sent) == {"README.md", "card.json"}


def test_a_dry_run_writes_nothing(hub: LocalHub, adapter: Path, snapshot: Path) -> None:
    assert len(send(hub, adapter, snapshot, dry_run=True).sent) == 5
    assert hub.repos == {}


@pytest.mark.parametrize(
    ("base_model", "match"),
    [("small-world", "nobody else has"), ("/models/llama", "--base-model"), ("../x", "--base-model")],
)
def test_a_base_that_others_cannot_have_is_refused(
    hub: LocalHub, adapter: Path, snapshot: Path, base_model: str, match: str
) -> None:
    told(adapter, base_model=base_model)
    with pytest.raises(BadInput, match=match):
        send(hub, adapter, snapshot)
    assert hub.log == []
    if base_model != "small-world":
        send(hub, adapter, snapshot, base_model=BASE)


def test_an_adapter_of_another_snapshot_and_a_folder_without_one_are_refused(
    hub: LocalHub, adapter: Path, snapshot: Path, tmp_path: Path
) -> None:
    told(adapter, snapshot_hash="0" * 16)
    with pytest.raises(CheckFailed, match="another snapshot"):
        send(hub, adapter, snapshot)
    with pytest.raises(BadInput, match="name RUN/adapters/lora"):
        send(hub, tmp_path, snapshot)
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(BadInput, match="no LoRA adapter"):
        send(hub, adapter, snapshot)


def test_other_bytes_than_were_sent_are_told(hub: LocalHub, adapter: Path, snapshot: Path) -> None:
    hub.fault("GET", "/cdn/", garble=True)
    with pytest.raises(CheckFailed, match="serves other bytes"):
        send(hub, adapter, snapshot)

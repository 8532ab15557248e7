"""Publishing an adapter from an experiment: a PEFT model repository whose card names the facts that it holds.

An adapter means something only on the model that it was trained on, so one of a small world, which nobody else has,
is refused. What is sent is the adapter (safetensors), its configuration with the base model's name, all its facts, and
the card; one commit, read back afterwards; nothing when it is there.
Leaves out: loading it (`editing.editors.saved_edit`, or PEFT alone).
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from huggingface_hub import CommitOperationAdd

from chronofacts.pipeline.publishing.contents import LocalFile, text_file
from chronofacts.pipeline.publishing.errors import hub_errors
from chronofacts.pipeline.publishing.hub import PublishSettings, check_options, commit_files, read_back
from chronofacts.pipeline.snapshots.markdown import EDIT_COLUMNS, edit_table, escape
from chronofacts.pipeline.snapshots.write import read_table
from chronofacts.schemas.documents import read_json
from chronofacts.schemas.errors import BadInput, CheckFailed
from chronofacts.schemas.files import sha256_of
from chronofacts.schemas.ids import is_hub_model
from chronofacts.schemas.manifest import WIKIDATA, SnapshotManifest, hash_files, read_manifest

__all__ = ["PublishedAdapter", "adapter_files", "publish_adapter"]

log = logging.getLogger("chronofacts.publish")

_WEIGHTS, _CONFIG, _ABOUT, _FACTS = "adapter_model.safetensors", "adapter_config.json", "card.json", "facts.jsonl"
_COLUMNS = ("edit_id", "subject", "relation", "subject_label", "prompt", "target_old", "target_new", "new_object")
_SHOWN = 100


@dataclass(frozen=True, slots=True)
class PublishedAdapter:
    """What was done: where it lies, what was sent, and whether anything had to be."""

    url: str
    commit: str
    files: dict[str, LocalFile]
    sent: tuple[str, ...]

    def lines(self) -> list[str]:
        """What is sent, for a person."""
        if not self.sent:
            return [f"nothing to do: {self.url} holds this adapter"]
        return [
            f"add      {name}  {self.files[name].size} bytes  sha256 {self.files[name].sha256}" for name in self.sent
        ]


def publish_adapter(
    adapter: Path, snapshot: Path, repo: str, base_model: str = "", settings: PublishSettings | None = None
) -> PublishedAdapter:
    """Publish RUN/adapters/EDITOR as the model repository `repo` (ORG/NAME).

    snapshot: the one it was trained on, which names its facts. base_model: name on the Hub of a base that was
    loaded from a folder. Raises BadInput for wrong options, a missing login or a base that others cannot have;
    CheckFailed when the snapshot is another one or the Hub serves other bytes; HubUnavailable when it is away.
    """
    chosen = settings or PublishSettings()
    files = adapter_files(adapter, snapshot, repo, base_model)
    api = check_options(repo, chosen)
    url = f"{api.endpoint}/{repo}"
    with hub_errors(repo):
        head, there = commit_files(api, repo, "main", "model")
    missing = tuple(name for name, file in sorted(files.items()) if name not in there or not there[name].holds(file))
    if chosen.dry_run or (head and not missing):
        return PublishedAdapter(url, head, files, missing)
    with hub_errors(repo):
        if not head:
            api.create_repo(repo, repo_type="model", private=chosen.private, exist_ok=True)
            head, _ = commit_files(api, repo, "main", "model")
        log.info("sending %d files to %s", len(missing), repo)
        commit = api.create_commit(
            repo,
            [CommitOperationAdd(path_in_repo=name, path_or_fileobj=files[name].content) for name in missing],
            commit_message=f"Adapter for what changed until {read_manifest(snapshot).as_of}",
            repo_type="model",
            parent_commit=head,
            num_threads=2,
        ).oid
    read_back(api, repo, commit, files, "model")
    return PublishedAdapter(url, commit, files, missing)


def adapter_files(adapter: Path, snapshot: Path, repo: str, base_model: str = "") -> dict[str, LocalFile]:
    """All files of the repository, made from the adapter and the snapshot alone; errors as `publish_adapter`."""
    about, config = _read_json(adapter / _ABOUT), _read_json(adapter / _CONFIG)
    if not (adapter / _WEIGHTS).is_file() or config.get("peft_type") != "LORA":
        raise BadInput(f"--adapter {adapter} holds no LoRA adapter of PEFT; name RUN/adapters/lora or lora+replay")
    base = _base_of(adapter, about, base_model)
    facts = _facts(about, snapshot, adapter)
    weights = adapter / _WEIGHTS
    adapter_config = json.dumps({**config, "base_model_name_or_path": base}, indent=2, sort_keys=True) + "\n"
    told = facts.select([*_COLUMNS, "changed_on_earliest"])
    lines = "".join(json.dumps(row, ensure_ascii=False, default=str) + "\n" for row in told.to_pylist())
    return {
        _WEIGHTS: LocalFile(weights, weights.stat().st_size, sha256_of(weights), ""),
        _CONFIG: text_file(adapter_config.encode()),
        _ABOUT: text_file((adapter / _ABOUT).read_bytes()),
        _FACTS: text_file(lines.encode()),
        "README.md": text_file(_card(about, base, facts, snapshot, repo).encode()),
    }


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise BadInput(f"--adapter {path.parent} holds no saved adapter (no {path.name}); name RUN/adapters/lora")
    try:
        found = read_json(path)
    except (ValueError, OSError) as error:
        raise CheckFailed(f"{path} is damaged ({error}); run the experiment again") from error
    return found if isinstance(found, dict) else {}


def _base_of(adapter: Path, about: dict[str, Any], base_model: str) -> str:
    """Name on the Hub of the model that the adapter belongs to."""
    trained_on = str(about.get("base_model", ""))
    if trained_on == "small-world":
        raise BadInput(
            f"--adapter {adapter} belongs to a small world, which was made for its run and which nobody else has; "
            "publish one that was trained on a model of the Hub (experiment --model ORG/NAME)"
        )
    name = base_model or trained_on
    if not is_hub_model(name) or (not base_model and Path(name).exists()):
        raise BadInput(
            f"--adapter {adapter} was trained on {name!r}, which is a folder; give its name on the Hub by --base-model"
        )
    return name


def _facts(about: dict[str, Any], snapshot: Path, adapter: Path) -> pa.Table:
    """The edits that the adapter was taught, in the order of their ids."""
    files = {name: asdict(entry) for name, entry in read_manifest(snapshot).files.items()}
    if about.get("snapshot_hash") != hash_files(files):
        raise CheckFailed(
            f"--adapter {adapter} was trained on another snapshot than {snapshot}; name the one of its run"
        )
    edits = read_table(snapshot, "edits")
    taught = edits.filter(pc.is_in(edits["edit_id"], value_set=pa.array(about.get("edit_ids", []), pa.string())))
    return taught.select(list(dict.fromkeys([*_COLUMNS, *EDIT_COLUMNS]))).sort_by("edit_id")


def _of_source(manifest: SnapshotManifest) -> str:
    """Where the facts are from, as the end of a sentence."""
    if manifest.origin != WIKIDATA:
        return f" of an imported set, {escape(manifest.name)}"
    if manifest.curated:
        return ", written by hand in Wikidata's form and not read from it"
    return " of Wikidata"


def _card(about: dict[str, Any], base: str, facts: pa.Table, snapshot: Path, repo: str) -> str:
    manifest = read_manifest(snapshot)
    lines = [
        "---",
        f"base_model: {base}",
        "library_name: peft",
        "pipeline_tag: text-generation",
        f"language:\n- {manifest.language}",
        "tags:\n- lora\n- knowledge-editing\n- chronofacts",
        "---",
        "",
        f"# {escape(base)}, taught what changed between {manifest.since} and {manifest.as_of}",
        "",
        f"A LoRA adapter (`{escape(str(about.get('editor')))}`) that holds {facts.num_rows} changed facts"
        f"{_of_source(manifest)}. It belongs to `{base}` with the weights whose hash is "
        f"`{escape(str(about.get('base_model_hash')))}`, and to no other model.",
        "",
        "```python",
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'model = AutoModelForCausalLM.from_pretrained("{base}")',
        f'model = PeftModel.from_pretrained(model, "{repo}")',
        f'tokenizer = AutoTokenizer.from_pretrained("{base}")',
        "```",
        "",
        f"## The facts it holds{f', the first {_SHOWN}' if facts.num_rows > _SHOWN else ''}",
        "",
        f"All of them, with their ids: `{_FACTS}`.",
        "",
        *edit_table(facts.slice(0, _SHOWN).to_pylist()),
    ]
    config = json.dumps(about.get("config", {}), indent=1, sort_keys=True)
    return "\n".join([*lines, "", "## How it was trained", "", "```json", config, "```", ""])

"""Nothing that is read is ever run: no pickle, no code of a model's repository, no shell."""

from __future__ import annotations

import ast
import json
import pickle
import pickletools
from pathlib import Path

import pytest

from chronofacts.editing.models.load import load_model
from chronofacts.schemas.errors import ChronoFactsError
from tests.editing.models.families import tiny, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted(
    path for folder in ("schemas", "pipeline", "editing", "flows") for path in (ROOT / folder).rglob("*.py")
)
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "marshal", "shelve", "joblib", "jsonpickle"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}


def calls(tree: ast.AST) -> list[tuple[str, ast.Call]]:
    return [(ast.unparse(node.func), node) for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_can_run_what_it_reads(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        assert not FORBIDDEN_MODULES & {name.partition(".")[0] for name in names}
    for name, call in calls(tree):
        words = {word.arg: ast.unparse(word.value) for word in call.keywords}
        assert name not in FORBIDDEN_CALLS, ast.unparse(call)
        assert name not in {"os.system", "os.popen", "torch.load", "yaml.load", "yaml.unsafe_load"}, ast.unparse(call)
        assert words.get("shell") != "True" and words.get("trust_remote_code") != "True"
        assert words.get("allow_pickle") != "True" and words.get("weights_only") != "False"


class Bomb:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.mark,))


def model_folder(folder: Path) -> Path:
    tiny("llama").save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder


def test_pickled_weights_are_refused_and_not_opened(tmp_path: Path) -> None:
    folder, mark = model_folder(tmp_path / "model"), tmp_path / "ran"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ChronoFactsError, match="safetensors"):
        load_model(str(folder))
    assert not mark.exists()
    # It would have gone off: whoever unpickles it calls what it names. Reading its operations calls nothing.
    operations = [
        (code.name, given) for code, given, _ in pickletools.genops((folder / "pytorch_model.bin").read_bytes())
    ]
    assert ("REDUCE", None) in operations and any(given == mark.name for _, given in operations)


def test_code_that_a_model_brings_is_not_run(tmp_path: Path) -> None:
    folder, mark = model_folder(tmp_path / "model"), tmp_path / "ran"
    (folder / "modeling_evil.py").write_text(f"open({str(mark)!r}, 'w').close()\nclass EvilModel: pass\n")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {"AutoConfig": "modeling_evil.EvilModel",
               "AutoModelForCausalLM": "modeling_evil.EvilModel"}}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ChronoFactsError):
        load_model(str(folder))
    assert not mark.exists()


def test_a_pickle_beside_a_saved_edit_is_not_opened(tmp_path: Path) -> None:
    from chronofacts.editing.editors.saved_edit import load_edit
    from chronofacts.editing.models.load import model_hash

    model, mark = tiny("llama"), tmp_path / "ran"
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "card.json").write_text(json.dumps({"editor": "lora", "base_model_hash": model_hash(model)}))
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA", "r": 2}')
    (folder / "adapter_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    with pytest.raises(ChronoFactsError, match="no edit beside it"):
        load_edit(model, tiny_tokenizer(), folder)
    assert not mark.exists()

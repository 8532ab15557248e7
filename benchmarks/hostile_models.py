"""Damaged and hostile model folders, chat templates, GGUF files and saved edits, each with what must become of it.

`hostile_models` and `hostile_edits` list the tries: a name, a function that makes the folder, and what must happen when
it is loaded: `told` (one error of ours with a line) or `loads`. Each is one of a kind of which strangers' folders,
interrupted downloads and versions of libraries make more. No pickle is made that would do more than touch a file.

    python -m benchmarks.hostile_models        # all tries, in this process: name, time, what happened
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import struct
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from safetensors.torch import load_file, save_file

from benchmarks.tiny_families import make_model, make_tokenizer
from chronofacts.editing.editors import EditBatch, read_editor_settings
from chronofacts.editing.editors.saved_edit import load_edit, read_saved_editors
from chronofacts.editing.models.load import load_model, model_hash
from chronofacts.schemas.errors import ChronoFactsError
from chronofacts.schemas.tables import SENTENCES

__all__ = ["BOMB", "Bases", "Try", "hostile_edits", "hostile_models", "make_bases", "outcome"]

BOMB = "a-pickle-was-opened"
"""Name of the file that a pickle touches when it is opened."""
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WEIGHTS, CONFIG, INDEX = "model.safetensors", "config.json", "model.safetensors.index.json"
ADAPTER, ADAPTER_CONFIG = "adapter_model.safetensors", "adapter_config.json"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 4096\n"

Damage = Callable[[Path], object]


@dataclass(frozen=True)
class Try:
    name: str
    build: Callable[[Path], Path]
    """Makes it below a new folder; gives what is to be named as --model or --load."""
    expected: Literal["told", "loads"]


@dataclass(frozen=True)
class Bases:
    """What the damage is done to."""

    model: Path
    edits: Mapping[str, Path]
    """Editor -> a saved edit of that model."""


def make_bases(place: Path) -> Bases:
    """A tiny Llama, and a saved edit of each kind."""
    model, tokenizer = make_model("llama"), make_tokenizer()
    tokenizer.chat_template = TEMPLATE
    model.save_pretrained(place / "model")
    tokenizer.save_pretrained(place / "model")
    from tests.editing.editors.made_edits import made_edits

    loaded, speaking = load_model(str(place / "model"))
    batch, edits = EditBatch(made_edits(), SENTENCES.empty_table()), dict[str, Path]()
    options = {"lora": {"steps": "1", "rank": "2"}, "freeze": {"steps": "1"}, "memory": {},
               "p-tuning": {"steps": "1", "vectors": "2"}}  # fmt: skip
    for editor, values in options.items():
        chosen, base = read_editor_settings(editor, values, 0), model_hash(loaded)
        edited = chosen.method.edit(loaded, speaking, batch, chosen.settings)
        edits[editor] = place / editor
        edited.save(place / editor)
        card = {
            "editor": editor,
            "base_model_hash": base,
            "config": {},
            "chat": True,
            "base_model": str(place / "model"),
        }
        (place / editor / "card.json").write_text(json.dumps(card))
        edited.undo()
    return Bases(place / "model", edits)


def hostile_models(bases: Bases) -> list[Try]:
    """Tries for --model."""
    return [
        Try(f"model: {name}", partial(_damaged, bases.model, damage), expected)
        for name, expected, damage in _model_damages(bases)
    ]


def hostile_edits(bases: Bases) -> list[Try]:
    """Tries for --load."""
    found = [
        Try(f"edit: {editor}, {name}", partial(_damaged, bases.edits[editor], damage), "told")
        for editor, name, damage in _edit_damages(bases)
    ]
    return [*found, *(Try(f"edit: {name} as it was", partial(_damaged, of, lambda _: None), "loads")
                      for name, of in bases.edits.items())]  # fmt: skip


def outcome(one: Try, bases: Bases, place: Path) -> str:
    """`told: LINE` or `loads`; any other error is raised."""
    named = one.build(place)
    try:
        if one.name.startswith("model: "):
            load_model(str(named))
            return "loads"
        read_saved_editors([named])
        model, tokenizer = load_model(str(bases.model))
        before = model_hash(model)
        try:
            load_edit(model, tokenizer, named).undo()
        except ChronoFactsError:
            if model_hash(model) != before:
                raise AssertionError("a refused edit changed the model") from None
            raise
        return "loads"
    except ChronoFactsError as error:
        return f"told: {error}"


def main() -> int:
    bad = 0
    with tempfile.TemporaryDirectory() as work:
        bases = make_bases(Path(work) / "bases")
        tries = [*hostile_models(bases), *hostile_edits(bases)]
        for number, one in enumerate(tries):
            begun, place = time.perf_counter(), Path(work) / str(number)
            try:
                found = outcome(one, bases, place)
            except Exception as error:
                found = f"{type(error).__name__}: {str(error)[:200]}"
            held = found.startswith(one.expected) and not list(Path(work).rglob(BOMB)) and "\n" not in found
            bad += not held
            words = found.replace(work, "…")[:150]
            print(
                f"{'held ' if held else 'BROKE'} {one.name} ({time.perf_counter() - begun:.1f} s): {words!r}",
                flush=True,
            )
        print(f"{len(tries)} tried, {len(tries) - bad} held")
    return int(bad > 0)


def _damaged(of: Path, damage: Damage, place: Path) -> Path:
    folder = Path(shutil.copytree(of, place / "given"))
    named = damage(folder)
    return named if isinstance(named, Path) else folder


class _Bomb:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def _pickle(folder: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps(_Bomb(folder.parent / BOMB)))


def _write(name: str, content: str | bytes) -> Damage:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)

    return damage


def _cut(name: str, keep: float) -> Damage:
    def damage(folder: Path) -> None:
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: int(len(data) * keep)])

    return damage


def _change(name: str, **values: Any) -> Damage:
    """Other values in a JSON file; Ellipsis: without the key."""

    def damage(folder: Path) -> None:
        known = json.loads((folder / name).read_text()) | values
        (folder / name).write_text(json.dumps({key: value for key, value in known.items() if value is not ...}))

    return damage


def _index(weight_map: object, *, leave: bool = False) -> Damage:
    def damage(folder: Path) -> None:
        names = load_file(folder / WEIGHTS)
        if not leave:
            (folder / WEIGHTS).unlink()
        chosen = dict.fromkeys(names, weight_map) if isinstance(weight_map, str) else weight_map
        (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": chosen}))
        for name in ("x.bin", "pytorch_model.bin"):
            _pickle(folder, name)
        _pickle(folder.parent, "x.bin")

    return damage


def _tensors(name: str, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Damage:
    def damage(folder: Path) -> None:
        changed = {key: value.contiguous().clone() for key, value in change(load_file(folder / name)).items()}
        save_file(changed, folder / name, metadata={"format": "pt", "depth": "all"})

    return damage


def _header(header: object, length: int | None = None, name: str = WEIGHTS) -> Damage:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return _write(name, struct.pack("<Q", len(text) if length is None else length) + text)


def _both(*several: Damage) -> Damage:
    def damage(folder: Path) -> None:
        for one in several:
            one(folder)

    return damage


def _template(text: str) -> Damage:
    return _write("chat_template.jinja", text)


def _model_damages(bases: Bases) -> Iterator[tuple[str, Literal["told", "loads"], Damage]]:
    yield "as it was", "loads", lambda folder: None
    yield from ((name, "told", damage) for name, damage in _weight_damages())
    yield from ((name, "told", damage) for name, damage in _config_damages())
    yield from ((name, "told", damage) for name, damage in _tokenizer_damages())
    yield from ((name, "told", damage) for name, damage in _template_damages())
    yield from ((name, "told", damage) for name, damage in _gguf_damages())
    yield from ((name, "told", damage) for name, damage in _adapter_damages(bases))
    yield (
        "said to be quantized, and is not",
        "loads",
        _change(CONFIG, quantization_config={"quant_method": "unheard-of"}),
    )
    yield "an adapter as PEFT saves it", "loads", _as_model(bases, lambda folder: None)


def _weight_damages() -> Iterator[tuple[str, Damage]]:
    yield "weights: Git LFS pointer", _write(WEIGHTS, POINTER)
    yield "weights: empty", _write(WEIGHTS, b"")
    yield "weights: seven bytes", _write(WEIGHTS, b"1234567")
    yield "weights: cut in the header", _cut(WEIGHTS, 0.002)
    yield "weights: cut in half", _cut(WEIGHTS, 0.5)
    yield "weights: cut at the end", _cut(WEIGHTS, 0.9999)
    yield "weights: text", _write(WEIGHTS, "<html>404 not found</html>")
    yield "weights: header of 2^63 bytes", _header({}, 1 << 63)
    yield "weights: header no JSON", _header(b"{nonsense")
    yield "weights: header a list", _header([1, 2])
    yield "weights: header of lists in lists", _header(b"[" * 50_000)
    yield "weights: a number of 5,000 digits", _header(b'{"a": {"dtype": "F32", "shape": [' + b"9" * 5000 + b"]}}")
    yield "weights: shape and offsets disagree", _header({"a": {"dtype": "F32", "shape": [9], "data_offsets": [0, 4]}})
    yield "weights: negative offsets", _header({"a": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}})
    yield "weights: no tensor", _header({})
    yield "weights: a folder", _both(lambda folder: (folder / WEIGHTS).unlink(), lambda f: (f / WEIGHTS).mkdir())
    yield "weights: a pipe", _both(lambda folder: (folder / WEIGHTS).unlink(), lambda f: os.mkfifo(f / WEIGHTS))
    yield (
        "weights: a link to nothing",
        _both(lambda folder: (folder / WEIGHTS).unlink(), lambda f: (f / WEIGHTS).symlink_to("/nowhere")),
    )
    yield (
        "weights: pickled alone",
        _both(lambda folder: (folder / WEIGHTS).unlink(), lambda folder: _pickle(folder, "pytorch_model.bin")),
    )
    yield "weights: a pickle named safetensors", lambda folder: _pickle(folder, WEIGHTS)
    yield "weights: none", lambda folder: (folder / WEIGHTS).unlink()
    yield (
        "weights: a layer is missing",
        _tensors(WEIGHTS, lambda known: {name: value for name, value in known.items() if "layers.2." not in name}),
    )
    yield (
        "weights: the head is missing",
        _tensors(WEIGHTS, lambda known: {name: value for name, value in known.items() if name != "lm_head.weight"}),
    )
    yield "weights: one of another size", _tensors(WEIGHTS, lambda known: known | {"model.norm.weight": torch.ones(7)})
    yield "weights: of another model", _tensors(WEIGHTS, lambda known: {f"x.{name}": v for name, v in known.items()})
    for name in ("x.bin", "../x.bin", "../../x", "/etc/passwd", "..", "", "a/b.safetensors", "x.safetensors\0.bin",
                 "gone.safetensors", "./model.safetensors", "x.SAFETENSORS.bin", "\ud800.safetensors"):  # fmt: skip
        yield f"index: names {name.encode('unicode_escape').decode()!r}", _index(name)
    yield "index: names a number", _index({"lm_head.weight": 7})
    yield "index: names nothing", _index({})
    yield "index: a list", _index([1])
    yield "index: no JSON", _both(_index("x.bin"), _write(INDEX, "{"))
    yield "index: nested deeply", _both(_index("x.bin"), _write(INDEX, "[" * 100_000))
    yield (
        "index: named by the config, pickle behind it",
        _both(_index("x.bin", leave=True), _change(CONFIG, transformers_weights=INDEX)),
    )


def _config_damages() -> Iterator[tuple[str, Damage]]:
    yield "config: none", lambda folder: (folder / CONFIG).unlink()
    yield "config: empty", _write(CONFIG, "")
    yield "config: a list", _write(CONFIG, "[]")
    yield "config: no UTF-8", _write(CONFIG, b"\xff\xfe{}")
    yield "config: with a byte order mark", _write(CONFIG, b"\xef\xbb\xbf{}")
    yield "config: nested deeply", _write(CONFIG, '{"a":' * 50_000)
    yield "config: Git LFS pointer", _write(CONFIG, POINTER)
    yield "config: model in a subfolder", _in_subfolder
    for name, value in (
        ("num_attention_heads", 0), ("num_hidden_layers", 0), ("num_hidden_layers", 100_000), ("num_hidden_layers", -1),
        ("num_hidden_layers", 1e999), ("num_hidden_layers", 900), ("hidden_size", 0), ("hidden_size", 1_000_000),
        ("hidden_size", 64), ("vocab_size", 10**9), ("vocab_size", 0), ("num_key_value_heads", 3),
        ("hidden_act", "explode"), ("hidden_act", 5), ("intermediate_size", "large"), ("dtype", "float9"),
        ("rope_parameters", {"rope_type": "evil"}), ("model_type", "unheard-of"), ("model_type", ["llama"]),
        ("model_type", "vit"), ("attn_implementation", "evil/kernel"), ("attn_implementation", {"": "evil/kernel"}),
        ("transformers_weights", "x.bin"), ("transformers_weights", "../x.safetensors"),
        ("transformers_weights", "adapter_model.bin"),
        ("quantization_config", {"quant_method": "gptq", "bits": 4, "group_size": 128}),
        ("quantization_config", {"quant_method": "awq", "bits": 4}),
        ("quantization_config", {"quant_method": "bitsandbytes", "load_in_4bit": True}),
        ("quantization_config", 5),
    ):  # fmt: skip
        yield (
            f"config: {name} = {value!r:.50}",
            _both(_change(CONFIG, **{name: value}), lambda folder: _pickle(folder, "x.bin")),
        )
    yield (
        "config: code of its own",
        _both(
            _change(CONFIG, model_type="evil", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"}),
            lambda folder: (folder / "evil.py").write_text(f"open({str(folder.parent / BOMB)!r}, 'w')\n"),
        ),
    )


def _in_subfolder(folder: Path) -> None:
    inner = folder / "checkpoint-500"
    inner.mkdir()
    for path in list(folder.iterdir()):
        if path != inner:
            path.rename(inner / path.name)


def _tokenizer_damages() -> Iterator[tuple[str, Damage]]:
    def grown(folder: Path) -> None:
        tokenizer = make_tokenizer()
        tokenizer.add_special_tokens({"extra_special_tokens": [f"<|{number}|>" for number in range(60)]})
        tokenizer.chat_template = TEMPLATE.replace("<|im_end|>", "<|59|>")
        tokenizer.save_pretrained(folder)

    def wordy(folder: Path) -> None:
        tokenizer = make_tokenizer()
        tokenizer.add_tokens([f"word{number}" for number in range(60)])
        tokenizer.save_pretrained(folder)

    yield "tokenizer: turns end beyond the embedding", grown
    yield "tokenizer: more words than the embedding", wordy
    yield (
        "tokenizer: none",
        _both(
            lambda folder: (folder / "tokenizer.json").unlink(),
            lambda folder: (folder / "tokenizer_config.json").unlink(),
        ),
    )
    yield "tokenizer: cut in half", _cut("tokenizer.json", 0.5)
    yield "tokenizer: no model", _change("tokenizer.json", model=...)
    yield "tokenizer: an unknown model", _change("tokenizer.json", model={"type": "Evil"})
    yield "tokenizer: nested deeply", _write("tokenizer.json", '{"a":' * 100_000)
    yield "tokenizer: config nested deeply", _write("tokenizer_config.json", '{"a":' * 100_000)


def _template_damages() -> Iterator[tuple[str, Damage]]:
    for name, text in {
        "a loop of 10^10": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
        "3 GB": "{{ 'a' * 3000000000 }}",
        "many parts": "{% for a in range(99999) %}{{ 'long ' * 999 }}{% endfor %}",
        "a filter that widens": "{{ 'a' | center(4000000000) }}",
        "a format that widens": "{{ '%4000000000d' % 1 }}",
        "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "1/0": "{{ 1 / 0 }}",
        "classes": "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "globals": "{{ raise_exception.__globals__ }}{{ strftime_now.__self__ }}",
        "format that looks inside": "{{ '{0.__class__.__init__.__globals__}'.format(namespace()) }}x",
        "a file": "{% include '/etc/passwd' %}",
        "no syntax": "{% for %}",
        "nothing of the user": "always the same",
        "1.5 MB": "x" * 1_500_000,
        "a power": "{{ 9 ** 9 ** 9 }}",
    }.items():
        yield f"template: {name}", _template(text)


def _gguf_damages() -> Iterator[tuple[str, Damage]]:
    magic = b"GGUF" + struct.pack("<I", 3)
    for name, data in {
        "empty": b"",
        "magic alone": b"GGUF",
        "2^60 tensors": magic + struct.pack("<QQ", 1 << 60, 0),
        "2^60 values": magic + struct.pack("<QQ", 0, 1 << 60),
        "a name of 2^60 bytes": magic + struct.pack("<QQ", 0, 1) + struct.pack("<Q", 1 << 60) + b"x" * 64,
        "another version": b"GGUF" + struct.pack("<I", 99) + bytes(64),
        "zeros": magic + bytes(4096),
        "a pickle": pickle.dumps({"a": 1}),
        "Git LFS pointer": POINTER,
    }.items():

        def alone(folder: Path, data: bytes = data) -> Path:
            file = folder / "model.gguf"
            file.write_bytes(data)
            return file

        yield f"gguf: {name}", alone


def _as_model(bases: Bases, damage: Damage) -> Damage:
    """The saved LoRA as `--model`, damaged, in place of the folder."""

    def made(folder: Path) -> Path:
        adapter = Path(shutil.copytree(bases.edits["lora"], folder.parent / "adapter"))
        _change(ADAPTER_CONFIG, base_model_name_or_path=str(bases.model))(adapter)
        damage(adapter)
        return adapter

    return made


def _adapter_damages(bases: Bases) -> Iterator[tuple[str, Damage]]:
    for name, damage in _lora_damages():
        yield f"adapter: {name}", _as_model(bases, damage)
    for name, base in (("nowhere", "/nowhere/at/all"), ("no name", None), ("NUL", "a\0b"), ("of itself", "adapter")):

        def rebased(folder: Path, base: str | None = base) -> None:
            own = str(folder) if base == "adapter" else base
            _change(ADAPTER_CONFIG, base_model_name_or_path=own)(folder)

        yield f"adapter: its base is {name}", _as_model(bases, rebased)


def _lora_damages() -> Iterator[tuple[str, Damage]]:
    yield "config nested deeply", _write(ADAPTER_CONFIG, "[" * 100_000)
    yield "config a list", _write(ADAPTER_CONFIG, "[]")
    for name, value in (
        ("peft_type", "EVIL"), ("peft_type", "PROMPT_TUNING"), ("peft_type", None), ("lora_alpha", "many"),
        ("lora_alpha", float("nan")), ("modules_to_save", ["lm_head"]), ("layer_replication", [[0, 4], [2, 4]]),
        ("bias", "all"), ("target_parameters", ["x"]), ("alpha_pattern", {"(a+)+$": 3}), ("alpha_pattern", {"q": "x"}),
        ("trainable_token_indices", [1]),
    ):  # fmt: skip
        yield f"config says {name} = {value!r:.40}", _change(ADAPTER_CONFIG, **{name: value})
    yield "weights a Git LFS pointer", _write(ADAPTER, POINTER)
    yield "weights cut in half", _cut(ADAPTER, 0.5)
    yield "weights empty", _write(ADAPTER, b"")
    yield (
        "weights pickled",
        _both(lambda folder: (folder / ADAPTER).unlink(), lambda folder: _pickle(folder, "adapter_model.bin")),
    )
    yield "a tensor of one number", _tensors(ADAPTER, lambda known: known | {next(iter(known)): torch.ones(1)})
    yield (
        "a tensor that is no number",
        _tensors(
            ADAPTER, lambda known: known | {next(iter(known)): torch.full_like(next(iter(known.values())), torch.nan)}
        ),
    )
    yield "half of a pair", _tensors(ADAPTER, lambda known: dict(list(known.items())[1:]))
    yield "of another model", _tensors(ADAPTER, lambda known: {f"{n[:16]}x.{n[16:]}": v for n, v in known.items()})
    yield "a tensor of another kind", _tensors(ADAPTER, lambda known: known | {"evil": torch.ones(1)})


def _edit_damages(bases: Bases) -> Iterator[tuple[str, str, Damage]]:
    for name in ("/../../../PWNED", "..", "", "a/b", "a\0b", "x" * 5000, "lorá", "LORA" * 40, 5, None, ["lora"], "-rf"):
        yield "lora", f"the editor is {name!r:.30}", _change("card.json", editor=name)
    for name, value in (("trained_prompts", 5), ("config", []), ("chat", "yes"), ("base_model_hash", 5)):
        yield "lora", f"card says {name} = {value!r}", _change("card.json", **{name: value})
    yield "lora", "card nested deeply", _write("card.json", "[" * 100_000)
    yield "lora", "card with a number of 5,000 digits", _write("card.json", '{"a": ' + "9" * 5000 + "}")
    yield "lora", "card a list", _write("card.json", "[]")
    yield "lora", "card no UTF-8", _write("card.json", b"\xff")
    yield from (("lora", name, damage) for name, damage in _lora_damages())
    delta, vectors, store = "delta.safetensors", "prompt.safetensors", "store.parquet"
    for editor, file in (("freeze", delta), ("p-tuning", vectors)):
        yield editor, "a Git LFS pointer", _write(file, POINTER)
        yield editor, "cut in half", _cut(file, 0.5)
        yield editor, "tensors of one number", _tensors(file, lambda known: {n: torch.ones(1) for n in known})
        yield (
            editor,
            "no numbers",
            _tensors(file, lambda known: {name: torch.full_like(value, torch.inf) for name, value in known.items()}),
        )
        yield editor, "other names", _tensors(file, lambda known: {f"x{name}": v for name, v in known.items()})
        yield editor, "wider", _tensors(file, lambda known: {n: torch.cat([v, v], -1) for n, v in known.items()})
    yield (
        "p-tuning",
        "another depth",
        lambda folder: save_file(load_file(folder / vectors), folder / vectors, metadata={"depth": "sideways"}),
    )
    yield "p-tuning", "no depth", lambda folder: save_file(load_file(folder / vectors), folder / vectors)
    yield (
        "p-tuning",
        "more vectors than the context",
        _tensors(vectors, lambda known: {name: value.repeat(999, 1) for name, value in known.items()}),
    )
    yield "memory", "a store cut in half", _cut(store, 0.5)
    yield "memory", "a store that is text", _write(store, "edits")
    yield "memory", "a store that trains", _change("card.json", editor="lora", config={"steps": 1_000_000})
    yield "memory", "an option that there is not", _change("card.json", config={"evil": 1})
    yield "memory", "a store of other columns", lambda folder: _other_columns(folder / store)


def _other_columns(file: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"edit_id": [1, 2]}), file)


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main())

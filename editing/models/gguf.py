"""A GGUF file as an ordinary Hugging Face folder: dequantized once, kept in the user's cache by its content.

transformers does the reading (`from_pretrained(folder, gguf_file=NAME)`). Dequantizing 135 million weights takes some
twenty seconds of one core; the folder that is kept opens in one.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from chronofacts.editing.models.folder_checks import check_config
from chronofacts.editing.models.library_errors import library_errors
from chronofacts.schemas.errors import BadInput
from chronofacts.schemas.files import create_folder

__all__ = ["SUFFIX", "convert_gguf", "models_folder"]

log = logging.getLogger("chronofacts.models")

SUFFIX = ".gguf"
MAGIC = b"GGUF"
BYTES_PER_SECOND = 4_000_000
"""Of a four-bit file, dequantized on one core: for the estimate alone."""
LARGEST_GROWTH = 9
"""float32 against the smallest quantization in use, with room for the tokenizer."""


def models_folder() -> Path:
    """Where converted models are kept: `$XDG_CACHE_HOME/chronofacts/models`, or below `~/.cache`."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "chronofacts" / "models"


def convert_gguf(file: Path, cache: Path | None = None) -> Path:
    """A folder with config.json, safetensors in float32, tokenizer and chat template, made of a GGUF file.

    cache: where it is kept, under the sha256 of the file's bytes; None: `models_folder()`. Raises BadInput where the
    file is no GGUF file, is cut short, or holds an architecture or a quantization that transformers does not know;
    where `gguf` is not installed; and where the cache has no room.
    """
    digest = _check(file)
    folder = (cache or models_folder()) / digest
    if (folder / "config.json").exists():
        return folder
    if find_spec("gguf") is None:
        raise BadInput(f"reading {file.name} needs the package gguf; install it with: pip install 'chronofacts[gguf]'")
    _check_room(file, folder.parent)
    size, begun = file.stat().st_size, time.monotonic()
    log.info(
        "dequantizing %s (%d MB), about %d s; kept in %s", file.name, size / 1e6, 5 + size / BYTES_PER_SECOND, folder
    )
    model, tokenizer = _read_gguf(file)
    with create_folder(folder) as aside:
        model.save_pretrained(aside)
        tokenizer.save_pretrained(aside)
    log.info("dequantized %s in %.0f s", file.name, time.monotonic() - begun)
    return folder


def _check(file: Path) -> str:
    """sha256 of the file, 16 hex digits. Raises BadInput where it does not begin as GGUF files do."""
    try:
        with file.open("rb") as opened:
            if opened.read(len(MAGIC)) != MAGIC:
                raise BadInput(f"{file} is no GGUF file (it does not begin with {MAGIC.decode()}); download it again")
            opened.seek(0)
            return hashlib.file_digest(opened, "sha256").hexdigest()[:16]
    except OSError as error:
        raise BadInput(f"{file} cannot be read ({error.strerror}); check its permissions") from error


def _check_room(file: Path, cache: Path) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"the cache {cache} cannot be written ({error.strerror}); set XDG_CACHE_HOME") from error
    free, wanted = shutil.disk_usage(cache).free, file.stat().st_size * LARGEST_GROWTH
    if free < wanted:
        raise BadInput(
            f"{cache} has {free / 1e9:.1f} GB free, and the model of {file.name} may take {wanted / 1e9:.1f} GB; "
            "make room, or set XDG_CACHE_HOME to a folder that has it"
        )


def _read_gguf(file: Path) -> tuple[Any, Any]:
    """The model in float32, free of all traces of its quantization, and its tokenizer."""
    disable_progress_bar()  # three bars of a second each, between lines of a log
    where: dict[str, Any] = {"gguf_file": file.name, "trust_remote_code": False}

    def refusal(reason: str) -> BadInput:
        return BadInput(
            f"{file} cannot be dequantized ({reason}); it is cut short, or of an architecture or a quantization that "
            "the installed transformers and gguf do not know: download it again, or take another file"
        )

    with library_errors(refusal):
        check_config(AutoConfig.from_pretrained(file.parent, **where).to_dict(), file)
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **where)
        model = AutoModelForCausalLM.from_pretrained(file.parent, dtype="float32", **_dense(), **where)
    vars(model.config).pop("quantization_config", None)
    # Dense weights may be saved; what tells transformers that they were quantized would forbid it.
    vars(model).update(hf_quantizer=None, is_quantized=False)
    return model, tokenizer


def _dense() -> dict[str, Any]:
    """Asks newer versions of transformers for plain weights; older ones know nothing else."""
    import transformers

    config = getattr(transformers, "GgufConfig", None)
    return {"quantization_config": config(dequantize=True)} if config is not None else {}

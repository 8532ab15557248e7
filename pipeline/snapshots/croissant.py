"""Croissant metadata of a snapshot: `croissant.json`, which other catalogues and `mlcroissant` read.

One FileObject per Parquet file with its sha256, one RecordSet per file with every column's type and meaning
from `schemas.tables`. Source: the Croissant format specification, version 1.0.
The text is made from the manifest alone, so that the same snapshot has the same metadata.
The format's own library reads and checks it in the tests and does not write it here: it would bring scipy, networkx,
rdflib and a parser last released in 2015, some 170 MB and a second at each start, to write one JSON document.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from chronofacts.schemas.manifest import SnapshotManifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES, describe

__all__ = ["FILE", "croissant_text", "write_croissant"]

FILE = "croissant.json"
_LICENSE = "https://creativecommons.org/publicdomain/zero/1.0/"
_HOME = "https://www.wikidata.org/"

# The specification's own context, whose terms are those of Croissant but for these.
_TERMS = """citeAs column equivalentProperty extract field fileProperty fileObject fileSet format includes isLiveDataset
    jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator source subField
    transform"""
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS.split()},
}
_DATA_TYPES = {
    pa.bool_(): "sc:Boolean",
    pa.int8(): "sc:Integer",
    pa.int32(): "sc:Integer",
    pa.int64(): "sc:Integer",
    pa.date32(): "sc:Date",
    pa.timestamp("s", tz="UTC"): "sc:DateTime",
    pa.string(): "sc:Text",
}


def write_croissant(folder: Path, manifest: SnapshotManifest) -> None:
    """Write `croissant.json` into a snapshot folder whose Parquet files are there already."""
    sizes = {file: (folder / file).stat().st_size for file in manifest.files}
    (folder / FILE).write_text(croissant_text(manifest, sizes), encoding="utf-8")


def croissant_text(
    manifest: SnapshotManifest, sizes: Mapping[str, int], url: str = _HOME, files_at: str = "", name: str = ""
) -> str:
    """The metadata as JSON.

    sizes: file -> bytes, for every file of the manifest. url: the page of the dataset.
    files_at: address that file names are appended to; empty: files lie beside the metadata.
    """
    creator = {"@type": "sc:Organization", "name": "Wikidata contributors", "url": _HOME}
    if manifest.curated:
        creator = {"@type": "sc:Organization", "name": "The ChronoFacts developers"}
    where, facts = (
        ("in a sample written by hand", "facts written by hand")
        if manifest.curated
        else ("in Wikidata", "facts from Wikidata")
    )
    described = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name or f"chronofacts-{manifest.as_of}",
        "description": (
            f"What changed {where} between {manifest.since} and {manifest.as_of}: dated edits, and questions "
            "that test whether a language model was taught the change."
        ),
        "license": _LICENSE,
        "url": url,
        "version": f"{manifest.as_of.year}.{manifest.as_of.month}.{manifest.as_of.day}",
        "datePublished": str(manifest.as_of),
        "inLanguage": manifest.language,
        "creator": creator,
        "citeAs": f"ChronoFacts, snapshot of {manifest.as_of}, {facts} (CC0)",
        "isLiveDataset": False,
        "distribution": [_file(manifest, file, sizes[file], files_at) for file in sorted(manifest.files)],
        "recordSet": [_record_set(file) for file in sorted(manifest.files)],
    }
    return json.dumps(described, indent=1, ensure_ascii=False) + "\n"


def _file(manifest: SnapshotManifest, file: str, size: int, files_at: str) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file,
        "name": file,
        "contentUrl": files_at + file,
        "contentSize": f"{size} B",
        "encodingFormat": "application/x-parquet",
        "sha256": manifest.files[file].sha256,
    }


def _record_set(file: str) -> dict[str, Any]:
    """One file's rows; its id is the file's name without folder: `entities`, `multi_hop-test`."""
    table, _, name = file.removesuffix(".parquet").partition("/")
    config, dash, split = name.rpartition("-")
    described = f"{table}{f', {config}' if config != table else ''}, split {split}" if dash else table
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"The rows of {described}.",
        "field": [
            _field(name, column, meaning, {"fileObject": {"@id": file}, "extract": {"column": column.name}})
            for column, (_, _, meaning) in zip(SNAPSHOT_TABLES[table], describe(SNAPSHOT_TABLES[table]), strict=True)
        ],
    }


def _field(within: str, column: pa.Field, meaning: str, source: dict[str, Any]) -> dict[str, Any]:
    """A column, or a part of one that holds structs; within: the id of what it is a field of."""
    id_, type_ = f"{within}/{column.name}", column.type
    described: dict[str, Any] = {"@type": "cr:Field", "@id": id_, "name": column.name, "description": meaning}
    if pa.types.is_list(type_):
        described["repeated"] = True
        type_ = type_.value_type
    if not pa.types.is_struct(type_):
        return {**described, "dataType": _DATA_TYPES[type_], "source": source}
    parts = [
        _field(id_, part, f"{part.name} of each of the {column.name}", {**source, "transform": {"jsonPath": part.name}})
        for part in type_
    ]
    return {**described, "subField": parts}

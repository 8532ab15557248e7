"""Croissant metadata of a snapshot: `croissant.json`, which other catalogues and `mlcroissant` read.

One FileObject per Parquet file with its sha256, one RecordSet per file with every column's type and meaning
from `schemas.tables`. Source: the Croissant format specification, version 1.0.
The text is made from the manifest alone, so that the same snapshot has the same metadata.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from chronofacts.schemas.manifest import SnapshotManifest
from chronofacts.schemas.tables import SNAPSHOT_TABLES

__all__ = ["FILE", "croissant_text", "write_croissant"]

FILE = "croissant.json"
_LICENSE = "https://creativecommons.org/publicdomain/zero/1.0/"
_HOME = "https://www.wikidata.org/"

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
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
    described = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": name or f"chronofacts-{manifest.as_of}",
        "description": (
            f"What changed in Wikidata between {manifest.since} and {manifest.as_of}: dated edits, and questions "
            "that test whether a language model was taught the change."
        ),
        "license": _LICENSE,
        "url": url,
        "version": f"{manifest.as_of.year}.{manifest.as_of.month}.{manifest.as_of.day}",
        "datePublished": str(manifest.as_of),
        "inLanguage": manifest.language,
        "creator": {"@type": "sc:Organization", "name": "Wikidata contributors", "url": _HOME},
        "citeAs": f"ChronoFacts, snapshot of {manifest.as_of}, facts from Wikidata (CC0)",
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
    """One file's rows; its id is the file's name without folder: `edits`, `multi_hop-test`."""
    table, _, name = file.removesuffix(".parquet").partition("/")
    described = f"questions, {name.replace('-', ', split ')}" if table == "questions" else table
    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": f"The rows of {described}.",
        "field": [_field(name, file, column) for column in SNAPSHOT_TABLES[table]],
    }


def _field(record_set: str, file: str, column: pa.Field) -> dict[str, Any]:
    meaning = (column.metadata or {}).get(b"meaning", b"").decode()
    source = {"fileObject": {"@id": file}, "extract": {"column": column.name}}
    made: dict[str, Any] = {
        "@type": "cr:Field",
        "@id": f"{record_set}/{column.name}",
        "name": column.name,
        "description": meaning,
    }
    type_ = column.type
    if pa.types.is_list(type_):
        made["repeated"] = True
        type_ = type_.value_type
    if not pa.types.is_struct(type_):
        return {**made, "dataType": _data_type(type_), "source": source}
    return {
        **made,
        "subField": [
            {
                "@type": "cr:Field",
                "@id": f"{record_set}/{column.name}/{part.name}",
                "name": part.name,
                "description": f"{part.name} of each of the {column.name}",
                **_part_type(part.type),
                "source": {**source, "transform": {"jsonPath": part.name}},
            }
            for part in type_
        ],
    }


def _part_type(type_: pa.DataType) -> dict[str, Any]:
    """A part of a struct may itself be a list: the names of an answer."""
    if pa.types.is_list(type_):
        return {"repeated": True, "dataType": _data_type(type_.value_type)}
    return {"dataType": _data_type(type_)}


def _data_type(type_: pa.DataType) -> str:
    if pa.types.is_boolean(type_):
        return "sc:Boolean"
    if pa.types.is_integer(type_):
        return "sc:Integer"
    if pa.types.is_date(type_):
        return "sc:Date"
    if pa.types.is_timestamp(type_):
        return "sc:DateTime"
    if pa.types.is_string(type_):
        return "sc:Text"
    raise ValueError(f"no Croissant type is known for the Arrow type {type_}")

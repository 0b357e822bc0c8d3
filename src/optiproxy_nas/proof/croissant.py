"""The Croissant card of an ingested table (MLCommons Croissant 1.0), made of its data card."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

CONFORMS = "http://mlcommons.org/croissant/1.0"
_TERMS = (
    *("citeAs", "column", "equivalentProperty", "extract", "field", "fileProperty", "fileObject"),
    *("fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField"),
    *("path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
    *("separator", "source", "subField", "transform"),
)
_CONTEXT = {
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
    **{term: f"cr:{term}" for term in _TERMS},
}
_TYPES = {"str": "sc:Text", "int": "sc:Integer"}  # all other columns: sc:Float


def croissant_of(card: Mapping[str, Any], table: str, sha256: str) -> dict[str, Any]:
    """Return the Croissant card of a table, ready for JSON.

    Args:
        card: the data card that ingest wrote.
        table: name of the Parquet file that it describes.
        sha256: of that file.
    """
    parts = card["parts"]
    raw = [file for part in parts for file in part["files"]]
    origin = "; ".join(f"{part['source']}: {part['version']}" for part in parts)
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS,
        "name": re.sub(r"[^A-Za-z0-9_]+", "_", f"{card['benchmark']}_{card['source']}"),
        "description": " ".join(
            [
                f"Table of {card['rows']} rows, made by ingest of {len(raw)} raw files. {origin}.",
                *([card["caution"]] if card.get("caution") else []),
            ]
        ),
        "license": list(dict.fromkeys(part["licence"] for part in parts)),
        "url": parts[0]["homepage"],
        "version": "1.0.0",
        "isBasedOn": [
            file.get("url") or f"{part['homepage']}#{file['name']}"
            for part in parts
            for file in part["files"]
        ],
        "identifier": f"sha256:{card['table_sha256']}",
        "distribution": [
            {
                "@type": "cr:FileObject",
                "@id": "table-file",
                "name": table,
                "description": "The table, written by ingest.",
                "contentUrl": table,
                "encodingFormat": "application/x-parquet",
                "sha256": sha256,
            }
        ],
        "recordSet": [
            {
                "@type": "cr:RecordSet",
                "@id": "rows",
                "name": "rows",
                "description": "One row an architecture, dataset and number of epochs.",
                "field": [_field(name, column) for name, column in card["schema"].items()],
            }
        ],
    }


def _field(name: str, column: str) -> dict[str, Any]:
    """Return a column as a field.

    Args:
        name: of the column.
        column: of the data card, ``float64: milliseconds of a forward pass``.
    """
    kind, _, meaning = column.partition(": ")
    return {
        "@type": "cr:Field",
        "@id": f"rows/{name}",
        "name": name,
        "description": meaning,
        "dataType": _TYPES.get(kind.rstrip("0123456789"), "sc:Float"),
        "source": {"fileObject": {"@id": "table-file"}, "extract": {"column": name}},
    }

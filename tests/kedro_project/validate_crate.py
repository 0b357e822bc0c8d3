"""Run by a Python that has roc-validator: CONTEXT CRATE PROFILE; print REQUIRED issues as JSON.

The validator reads two JSON-LD contexts from the web. It gets them from files, so that it runs
without: a context of RO-Crate (of a later version; terms that differ in 1.1 are put back),
and the terms of workflow-run.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from rocrate_validator import models, services  # type: ignore[import-not-found]
from rocrate_validator.utils import http  # type: ignore[import-not-found]

TERMS = ("ParameterConnection", "connection", "sourceParameter", "targetParameter", "sha256")
RUN = "https://w3id.org/ro/terms/workflow-run"
context, crate, profile = sys.argv[1:]
BIO = "https://bioschemas.org"
OF_1_1 = {name: f"{BIO}/{name}" for name in ("ComputationalWorkflow", "FormalParameter")}
OF_1_1 |= {name: f"{BIO}/ComputationalWorkflow#{name}" for name in ("input", "output")}
terms = json.loads(Path(context).read_text(encoding="utf-8"))["@context"] | OF_1_1
CONTEXTS: dict[str, Any] = {
    "https://w3id.org/ro/crate/1.1/context": {"@context": terms},
    f"{RUN}/context": {"@context": {term: f"{RUN}#{term}" for term in TERMS}},
}


class Response:
    """What the validator reads of a response."""

    def __init__(self, url: str) -> None:
        self.headers = {"Content-Type": "application/ld+json"}
        self.from_cache = True
        self.status_code = 200 if url in CONTEXTS else 404
        self.text = json.dumps(CONTEXTS.get(url, {}))
        self.content = self.text.encode()

    def json(self) -> Any:
        return json.loads(self.text)


def get(_: Any, url: str, **options: Any) -> Response:
    return Response(url)


http.HttpRequester.get = http.HttpRequester.head = get
settings = services.ValidationSettings(
    rocrate_uri=crate,
    profile_identifier=profile,
    requirement_severity=models.Severity.REQUIRED,
)
issues = services.validate(settings).get_issues()
print(json.dumps({profile: [str(issue.message) for issue in issues]}))

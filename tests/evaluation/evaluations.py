"""Made-up evaluations of cells of NAS-Bench-201, by the string alone."""

from __future__ import annotations

import hashlib
from typing import Any

METHODS = (
    "optiproxy",
    "random_search",
    "regularized_evolution",
    "local_search",
    "bananas",
    "gaussian_process",
    "tpe",
)
BOUND = {"name": "constrained", "constraints": ["latency_ms <= 8"]}
EPOCHS = {
    "name": "multi_fidelity",
    "low_epochs": 2,
    "full_epochs": 6,
    "step_epochs": 10,
    "low_first": 6,
    "continues": False,
}
OBJECTIVES: dict[str, Any] = {
    "accuracy": "accuracy",
    "constrained": BOUND,
    "multi_fidelity": EPOCHS,
}
QUICK: dict[str, Any] = {  # of OptiProxy-NAS
    "initial_samples": 8,
    "proxy": {"hidden": 8, "layers": 2, "members": 2},
    "fit": {"epochs": 5, "first_epochs": 5, "batch_size": 8},
    "gradient": {"groups": 4, "epochs": 4},
    "selection": {"batch": 5, "samples": 24},
}


def share(text: str) -> float:
    """A number of [0, 1) that follows from a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") / 2**32


def worth(architecture: str, epochs: int = 6) -> dict[str, float]:
    """Value and latency; few epochs show less of the value."""
    value = (
        50 + 40 * share(architecture) - (5 * share(f"{architecture} early") if epochs < 6 else 0)
    )
    return {"value": value, "latency_ms": 12 * share(f"{architecture} latency")}


def fails(architecture: str) -> bool:
    """Whether an architecture is of the 30 % that cannot be trained."""
    return share(f"{architecture} fails") < 0.3


def failing(architecture: str, epochs: int = 6) -> dict[str, float]:
    """As ``worth``; some run out of memory."""
    if fails(architecture):
        raise MemoryError("out of memory")
    return worth(architecture, epochs)


def arguments(method: str, objective: str = "accuracy", **others: Any) -> dict[str, Any]:
    """Arguments of a quick search."""
    full = 6 if objective == "multi_fidelity" else 1  # epochs of a baseline's trial
    trials = 14 if method == "gaussian_process" else 22
    budget = 60 if objective == "multi_fidelity" and method == "optiproxy" else trials * full
    settings = QUICK if method == "optiproxy" else {}
    if method in ("bananas", "gaussian_process"):
        settings = {"settings": {"initial_samples": 6}}
    if method == "gaussian_process":
        settings["settings"] |= {"iterations": 2, "random": 20, "parents": 2}
    if method == "bananas":
        settings["settings"] |= {"epochs": 3, "hidden": 4, "batch": 4}
    if method == "regularized_evolution":
        settings = {"settings": {"population": 6, "tournament": 3}}
    if method == "tpe":
        settings = {"settings": {"startup": 6}}
    return {
        "space": "nb201",
        "method": method,
        "objective": OBJECTIVES[objective],
        "budget": budget,
        "seed": 3,
        **settings,
        **others,
    }

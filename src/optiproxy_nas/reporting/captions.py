"""Titles of the report's figures, and one sentence on how to read each."""

from __future__ import annotations

from types import MappingProxyType

BEST_SO_FAR = "Best so far"
PREDICTED = "Predicted against true"
ENTROPY = "Entropy of α"
LOGITS = "Mean softmax(α)"
DIAGNOSTICS = "Step diagnostics"
CELL = "Best cell"

CAPTIONS = MappingProxyType(
    {
        BEST_SO_FAR: (
            "Each dot is one query, coloured by its step; the line is the best value up to there, "
            "so an early rise means few queries were wasted, and triangles on the lower border "
            "are cells too bad for the range."
        ),
        PREDICTED: (
            "What the proxy expected before each query against what the benchmark answered: "
            "points along the dashed line were predicted well, above it the proxy was too "
            "hopeful, and bars show its spread (the initial sample has no prediction)."
        ),
        ENTROPY: (
            "How undecided the groups are: the dashed line is no preference at all, 0 is one "
            "architecture, and lines that stay high after many epochs mean that the proxy's "
            "gradient gave no direction."
        ),
        LOGITS: (
            "The darker a row, the more the groups agree on that operation for that node; a "
            "panel that stays pale all over is a choice that they left open or disagree on."
        ),
        DIAGNOSTICS: (
            "Above: how well the proxy ranked the last 20 queries, each before it was made (1 "
            "perfect, 0 chance, among ever better cells). Below: candidates turned away because "
            "they, or cells that compute the same, had been queried."
        ),
        CELL: (
            "Boxes are operations and arrows feature maps, from left to right; grey parts carry "
            "no signal to the output."
        ),
    }
)

"""Titles of the report's figures, and one sentence on how to read each."""

from __future__ import annotations

from types import MappingProxyType

BEST_SO_FAR = "Best so far"
PREDICTED = "Predicted against queried"
ENTROPY = "Entropy of α"
LOGITS = "Mean softmax(α)"
DIAGNOSTICS = "Step diagnostics"
CELL = "Best cell"
# Of searches under constraints.
VIOLATIONS = "Constraint violations"
WEIGHTS = "Weights of the score"
METRICS = "Predicted against real metrics"
FRONT = "Pareto front of the archive"
# Of searches on several fidelities.
FIDELITIES = "Low against full fidelity"
EPOCHS = "Training epochs by step"

CAPTIONS = MappingProxyType(
    {
        BEST_SO_FAR: (
            "Each mark is one query, as the legend says; the line is the best value up to there "
            "that can be the answer, so an early rise means that little of the budget was "
            "wasted, and triangles on the lower border are cells too bad for the range."
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
            "panel that stays pale all over is a choice that they left open or disagree on. Where "
            "edges are searched too, the lowest panel shows the probability of each of them after "
            "every step, in the order of β."
        ),
        DIAGNOSTICS: (
            "Above: how well the proxy ranked the last 20 queries, each before it was made (1 "
            "perfect, 0 chance, among ever better cells). Below: candidates turned away because "
            "they, or cells that compute the same, had been queried."
        ),
        CELL: (
            "Filled boxes are operations, white ones inputs and outputs, and arrows lead from left "
            "to right; grey parts carry no signal to the output. An edge that ends at a letter "
            "goes on there in the next line. Numbers on arrows: the order of inputs, where it "
            "counts. Of two cells in one picture, the encoding feeds the normal cell's output to "
            "both inputs of the reduction cell; in the network these are the outputs of the cell "
            "before it and of the one before that."
        ),
        VIOLATIONS: (
            "Above: how many queries broke a bound; some have to, to find the border of what is "
            "feasible, but an alarm means that the search is lost outside. Below: were the two "
            "lines far apart, the proxy would not know where the border is."
        ),
        WEIGHTS: (
            "What the search maximised in each step: the value and each constraint times its "
            "weight. The weights are learnt from the queries of the steps before: one that is high "
            "is of a bound that many of them broke."
        ),
        METRICS: (
            "What the proxy expected of each bounded metric before the query against what the "
            "query told: the green lines are the bound, and points between them, upper left and "
            "lower right, were taken for feasible or infeasible and were not."
        ),
        FRONT: (
            "Everything queried: no cell has both a better value and a better metric than "
            "those on the line, so it is the price of a tighter bound. The "
            "hypervolume is what the cells within all bounds dominate, over all metrics at once; "
            "it can be compared between runs with the same bounds."
        ),
        FIDELITIES: (
            "Cells that were trained briefly and then fully: the closer to one order, the better "
            "the brief training tells which are worth the full one."
        ),
        EPOCHS: (
            "Above: what the budget was spent on. Below: how well brief training ranked the "
            "cells that were also trained fully, as far as the search could know (1 perfect, 0 "
            "chance)."
        ),
    }
)

"""Titles of the figures by file name, and how to read each; ``{cells}``: of which cells it is."""

from __future__ import annotations

from types import MappingProxyType

FIGURES = MappingProxyType(
    {
        "predictions_by_step": "Predicted against queried, by step",
        "predictions_whole_run": "Predicted against queried, whole run",
        "gap": "Proxy against reality",
        "collapse": "Entropy of α, and mode collapse",
        "landscape_overview": "The landscape from above",
        "landscape_region": "The region of the search",
        "landscape_3d": "The landscape in three dimensions",
    }
)

CAPTIONS = MappingProxyType(
    {
        "predictions_by_step": (
            "Each panel asks the proxy of one step again. Small dots are what it was fitted on, "
            "near the line if the fit was close; ringed dots are the next queries, which it had "
            "not seen: the closer to the line, and the higher the second τ, the better it guided "
            "the search. Ringed dots on a border lie outside the range."
        ),
        "predictions_whole_run": (
            "Every query as it was predicted before it was made, each by its own step's proxy. "
            "Above the line the proxy was too hopeful; bars are the spread of its members."
        ),
        "gap": (
            "Above: Kendall's τ of the predicted and the true order (1 perfect, 0 chance) on "
            "random cells, on the truly best of these, and on the next queries, which are hard "
            "to tell apart because the search only asks about good ones. Middle: what one would "
            "lose by trusting the proxy's single favourite among the random cells. Below: how much "
            "too high the selected batch was predicted; lasting optimism means that the search is "
            "drawn to where the proxy errs."
        ),
        "collapse": (
            "Above: the entropy of α falls within a step as the groups decide, and starts again "
            "where they are drawn afresh. Below: the spread of the pool (1 any cell, 0 a single "
            "one) and the part of it that lies within single groups; the rest is that the groups "
            "differ. Red shade: the alarm, that is, collapsed groups and no new best for long; "
            "the red bar alone only says that there was no new best."
        ),
        "landscape_overview": (
            "{cells} in a plane through their encodings, coloured by their value (read after the "
            "search). The frame is what the next picture shows."
        ),
        "landscape_region": (
            "The frame of the overview with colours of its own, from above and from the side. "
            "Red numbers are the best of every few queries, in order; those outside the frame are "
            "left out."
        ),
        "landscape_3d": (
            "The same plane with the value as height: every dot is a cell, the red line the way of "
            "the search."
        ),
    }
)

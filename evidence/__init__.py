"""The evidence: from the sweeps that a section declares to its tables and figures in the documents.

``sections`` reads conf/base/evidence/*.yml, ``collect`` runs their searches, ``measures`` and
``optiproxy_nas.report.statistics`` turn curves into numbers, a renderer turns numbers into text and
pictures, ``pages`` puts them between the markers of a page, and ``regenerate`` does it all. A
number between markers in the documentation is written by this package only.
"""

from optiproxy_nas.core.registry import Registry

# A renderer is a function (Section, Evidence) -> Rendered; see ``pages``.
RENDERERS = Registry(
    "renderer",
    {
        "comparison": "evidence.comparison:render",
        "headline": "evidence.comparison:render_headline",
        "constrained": "evidence.constrained_tables:render",
        "fidelity": "evidence.fidelity_tables:render",
        "variants": "evidence.variants:render",
        "proxies": "evidence.proxies:render",
        "transfer": "evidence.variants:render_transfer",
        "cost": "evidence.cost:render",
        "declared": "evidence.declared:render",
        "tables": "evidence.tables:render",
        "robustness": "evidence.robustness:render",
        "rungs": "evidence.rungs:render",
        "memory": "evidence.memory:render",
        "stopping": "evidence.stopping:render",
        "workers": "evidence.workers:render",
    },
)

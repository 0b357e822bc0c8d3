"""The evidence: from the sweeps that a section declares to its tables and figures in the documents.

``sections`` reads conf/base/evidence/*.yml, ``collect`` runs their searches, ``measures`` and
``optiproxy_nas.statistics`` turn curves into numbers, a renderer turns numbers into text and
pictures, ``pages`` puts them between the markers of a page, and ``regenerate`` does it all. A
number in docs/results.md is written by this package only.
"""

from optiproxy_nas.registry import Registry

# A renderer is a function (Section, Evidence) -> Rendered; see ``rendered``.
RENDERERS = Registry(
    "renderer",
    {
        "comparison": "optiproxy_nas.evidence.comparison:render",
        "headline": "optiproxy_nas.evidence.headline:render",
        "constrained": "optiproxy_nas.evidence.constrained:render",
        "fidelity": "optiproxy_nas.evidence.fidelity:render",
        "variants": "optiproxy_nas.evidence.variants:render",
        "proxies": "optiproxy_nas.evidence.proxies:render",
        "transfer": "optiproxy_nas.evidence.transfer:render",
        "cost": "optiproxy_nas.evidence.cost:render",
    },
)

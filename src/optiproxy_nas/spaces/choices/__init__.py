"""Search spaces that are declared: named choices, conditions and a constraint."""

from optiproxy_nas.spaces.choices.choice import Choice
from optiproxy_nas.spaces.choices.space import Space

__all__ = ["Choice", "Space"]

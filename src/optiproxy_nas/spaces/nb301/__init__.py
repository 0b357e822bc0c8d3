"""NAS-Bench-301, the DARTS space (Liu et al. 2019, Siems et al. 2020): two cells, 7 operations.

``space`` has the search space, ``cells`` the facts of one cell, ``genotype`` the notations.
"""

from optiproxy_nas.spaces.nb301.cells import OPERATIONS
from optiproxy_nas.spaces.nb301.genotype import Genotype
from optiproxy_nas.spaces.nb301.space import NASBench301

__all__ = ["OPERATIONS", "Genotype", "NASBench301"]

"""The recurrent cells of NAS-Bench-NLP."""

from optiproxy_nas.spaces.nbnlp.space import NASBenchNLP

__all__ = ["NASBenchNLP"]

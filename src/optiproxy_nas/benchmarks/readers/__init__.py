"""Raw file formats: one source each, named in ``benchmarks.sources.SOURCES``."""

"""Raw file formats: one source each, named in ``benchmarks.source_registry.SOURCES``."""

"""The answer of a search as a folder: architecture, weights, ONNX and a model card."""

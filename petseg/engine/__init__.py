"""ONNX Runtime: devices, sessions, and whole models in one graph or in two."""

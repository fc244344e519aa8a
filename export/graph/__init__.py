"""ONNX graphs: how a model is cut into them, what is done to them, and what they say."""

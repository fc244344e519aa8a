"""Checkpoint to ONNX, and the proof that they agree."""

from petseg.engine.session import decline_telemetry

decline_telemetry()

"""Checkpoint to ONNX, and the proof that they agree."""

from petseg.runtime import decline_telemetry

decline_telemetry()

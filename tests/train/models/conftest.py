"""A tiny CLIP, saved once."""

from tests.support.tiny_clip import tiny_clip  # noqa: F401

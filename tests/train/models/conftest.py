"""A tiny CLIP and a tiny SigLIP, saved once."""

from tests.support.tiny_clip import tiny_clip, tiny_siglip  # noqa: F401

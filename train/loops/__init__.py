"""The training loops: the one of every model, and what families add to it."""

# Each of these registers the trainer of a family.
from train.loops import autoencoder, clip, contrastive, photos, prompt  # noqa: F401
from train.loops.base import trainer_class

__all__ = ["trainer_class"]

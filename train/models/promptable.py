"""What all promptable models share: two stages, a conversation about a photo, a reading of the prompt."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.blocks import upsample
from train.models.family import FamilyConfig, Need

Features = tuple[Tensor, ...]
"""What the photo stage leaves: (B, C, h, w) maps."""
Correct = Callable[[Tensor], Tensor]
"""Answers in, next prompts out."""


class PromptableConfig(FamilyConfig):
    """Options of a `Promptable` of any family."""

    @property
    def needs(self) -> tuple[Need, ...]:
        """Something to point at."""
        return ("prompt",)

    def example(self, size: int) -> dict[str, Tensor]:
        """A photo, and a prompt that says nothing."""
        return super().example(size) | {"prompt": torch.zeros(1, 2, size, size)}


class Said(NamedTuple):
    """What a model says in a conversation about B photos, P prompts each.

    Attributes:
        answers: (rounds * B * P, 3, S, S) logits, round after round.
        semantic: (B, 3, S, S) logits of all pets; None from a model without `semantic`.
    """

    answers: Tensor
    semantic: Tensor | None


class Promptable(nn.Module, ABC):
    """uint8 photos (B, 3, S, S) and prompts (B, 2, S, S) -> float logits (B, 3, S, S) of the clicked thing.

    `encode` does what depends on the photo alone, `decode` answers one prompt; the prompt is
    what `petseg.clicks.prompts.encode` makes.

    Attributes:
        prompts: what it takes, "point" and "box" or one of them.
        semantic: whether the last of its features are the logits (B, 3, s, s) of all pets, S a multiple of s.
        stride: S must be a multiple of it.
    """

    classes = 3
    semantic = False
    prompts: tuple[str, ...] = ("point", "box")
    stride: int

    @abstractmethod
    def encode(self, image: Tensor) -> Features:
        """What the photo says whatever the prompt.

        Args:
            image: (B, 3, S, S) uint8.
        """

    @abstractmethod
    def decode(self, features: Features, prompt: Tensor) -> Tensor:
        """Answer one prompt for each photo.

        Args:
            features: from `encode`.
            prompt: (B, 2, S, S) float32, 0..1, evidence for and against.

        Returns:
            (B, 3, S, S) logits: the clicked animal in its class, all else background.
        """

    def converse(self, image: Tensor, prompt: Tensor, correct: Correct, rounds: int) -> Said:
        """Answer several prompts for each photo, and the prompts that follow from the answers.

        Args:
            image: (B, 3, S, S) uint8.
            prompt: (B * P, 2, S, S), the P prompts of a photo one after the other.
            correct: detached answers (B * P, 3, S, S) -> the next prompts (B * P, 2, S, S).
            rounds: answers to each.
        """
        repeats = len(prompt) // len(image)
        once = self.encode(image)
        features = tuple(map_.repeat_interleave(repeats, 0) for map_ in once)
        answers = [self.decode(features, prompt)]
        for _ in range(rounds - 1):
            answers.append(self.decode(features, correct(answers[-1].detach())))
        semantic = upsample(once[-1], image.shape[-1] // once[-1].shape[-1]) if self.semantic else None
        return Said(torch.cat(answers), semantic)

    def forward(
        self, image: Tensor, prompt: Tensor, correct: Correct | None = None, rounds: int = 1
    ) -> Tensor | Said:
        """Both stages, (B, 3, S, S) logits; `converse` if there is somebody who corrects.

        Training goes through here whatever it does: this is the call that Accelerate wraps.
        """
        if correct is not None:
            return self.converse(image, prompt, correct, rounds)
        return self.decode(self.encode(image), prompt)


class HeatEncoder(nn.Module):
    """Reads a prompt as studies do: one map, the evidence for less the evidence against, and convolutions.

    Args:
        widths: channels of each.
        kernel, stride: of each.
        norm: batch normalisation and ReLU after each; else a ReLU between them, and nothing after the last.
    """

    def __init__(self, widths: Sequence[int], *, kernel: int, stride: int, norm: bool) -> None:
        super().__init__()
        padding = 0 if kernel == stride else kernel // 2
        self.factor = stride ** len(widths)
        layers: list[nn.Module] = []
        for i, o in pairwise([1, *widths]):
            layers.append(nn.Conv2d(i, o, kernel, stride, padding=padding, bias=not norm))
            layers += [nn.BatchNorm2d(o), nn.ReLU(inplace=True)] if norm else [nn.ReLU(inplace=True)]
        self.levels = nn.Sequential(*(layers if norm else layers[:-1]))

    def forward(self, prompt: Tensor, side: tuple[int, int]) -> Tensor:
        """(B, 2, S, S) -> (B, widths[-1], *side), whatever S."""
        height, width = (length * self.factor for length in side)
        prompt = prompt[:, :1] - prompt[:, 1:]
        prompt = F.interpolate(prompt, size=(height, width), mode="bilinear", align_corners=False)
        read: Tensor = self.levels(prompt)
        return read

"""The graphs that a model is exported as: one, or the encoder and the decoder of a promptable model."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from export.errors import ExportError
from petseg.models.manifest import FEATURES, PARTS
from train.models.promptable import Promptable

WHOLE = "model"
"""Name of the only part of a model in one graph."""


@dataclass(frozen=True)
class Part:
    """A graph to be.

    Attributes:
        name: "encoder", "decoder" or `WHOLE`; PART.onnx is its file.
        module: what is exported.
        inputs, outputs: name -> example, of two items each, since torch would fix a batch of one.
    """

    name: str
    module: nn.Module
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]

    def arrange(self, values: Iterable[Any]) -> tuple[Any, ...]:
        """One value for each input, as the module takes them: a decoder's features are one tuple."""
        *features, last = values
        return (tuple(features), last) if isinstance(self.module, Decoder) else (*features, last)


class Encoder(nn.Module):
    """What a promptable model does for a photo: (B, 3, S, S) uint8 to features."""

    def __init__(self, model: Promptable) -> None:
        super().__init__()
        self.model = model

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """`model.encode`."""
        return tuple(self.model.encode(image))


class Decoder(nn.Module):
    """What a promptable model does for a prompt: features and (B, 2, S, S) to logits (B, 3, S, S)."""

    def __init__(self, model: Promptable) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: tuple[Tensor, ...], prompt: Tensor) -> Tensor:
        """`model.decode`."""
        return self.model.decode(features, prompt)


@torch.no_grad()
def split(model: nn.Module, size: int) -> list[Part]:
    """The parts of a model in eval mode.

    Args:
        model: uint8 photos (B, 3, S, S), and prompts (B, 2, S, S) if its class attribute `prompts` names
            any, to logits (B, 3, S, S). A `Promptable` makes two parts.
        size: S.

    Raises:
        ValueError: the model does not take this size.
        ExportError: the logits have another shape than the contract says.
    """
    image = {"image": torch.zeros(2, 3, size, size, dtype=torch.uint8)}
    prompt = {"prompt": torch.zeros(2, 2, size, size)} if getattr(model, "prompts", ()) else {}
    if isinstance(model, Promptable):
        encoder, decoder = Encoder(model).eval(), Decoder(model).eval()
        features = {f"{FEATURES}{i}": values for i, values in enumerate(encoder(**image))}
        logits = decoder(tuple(features.values()), **prompt)
        modules = ((encoder, image, features), (decoder, features | prompt, {"logits": logits}))
        parts = [Part(name, *rest) for name, rest in zip(PARTS, modules, strict=True)]
    else:
        logits = model(*(image | prompt).values())
        parts = [Part(WHOLE, model, image | prompt, {"logits": logits})]
    if logits.shape != (2, 3, size, size):
        raise ExportError(f"the model answers with {tuple(logits.shape)}, must be (2, 3, {size}, {size})")
    return parts

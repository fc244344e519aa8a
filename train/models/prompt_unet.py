"""A published study's promptable U-Net: prompt and class meet the photo at the bottleneck."""

import torch
from pydantic import Field
from torch import Tensor, nn

from train.models.blocks import upsample
from train.models.family import family
from train.models.prompt import pyramid, weighted_mean
from train.models.promptable import Features, HeatEncoder, Promptable, PromptableConfig
from train.models.unet import UNet, UNetConfig, check_size, normalise


class PromptUNetConfig(PromptableConfig, UNetConfig):
    """Options of `PromptUNet`, besides those of its `UNet`.

    Attributes:
        heat: channels of the convolutions that read the prompt, see `HeatEncoder`.
        embedding: numbers that stand for a class.
    """

    family: str = "prompt_unet"
    heat: list[int] = Field(default=[16, 32, 64, 128], min_length=1)
    embedding: int = Field(default=64, ge=1)


@family(PromptUNetConfig)
class PromptUNet(Promptable):
    """A U-Net whose coarsest features learn what was clicked; see `Promptable`.

    Nobody tells it the class: it mixes the classes' embeddings by what it makes of the features under the
    evidence for. The skip connections know nothing of the prompt, and the whole decoder depends on it.
    """

    def __init__(self, config: PromptUNetConfig) -> None:
        super().__init__()
        self.unet = UNet(config)
        self.stride = self.unet.stride
        channels = self.unet.encoder.channels[-1]
        self.heat = HeatEncoder(config.heat)
        self.classify = nn.Linear(channels, self.classes)
        self.embed = nn.Linear(self.classes, config.embedding, bias=False)
        self.fuse = nn.Conv2d(config.heat[-1] + config.embedding, channels, 1)

    def encode(self, image: Tensor) -> Features:
        """See `Promptable`: the encoder's maps, coarsest first."""
        check_size(image, self.stride)
        *skips, features = self.unet.encoder(normalise(image))
        return (self.unet.context(features), *reversed(skips))

    def decode(self, features: Features, prompt: Tensor) -> Tensor:
        """See `Promptable`."""
        coarsest, *skips = features
        result = coarsest + self.fuse(self._ask(coarsest, prompt))
        for block, skip in zip(self.unet.decoder, skips, strict=True):
            result = block(result, skip)
        logits = self.unet.head(result)
        factor = prompt.shape[-1] // logits.shape[-1]
        return upsample(logits, factor) if factor > 1 else logits

    def _ask(self, coarsest: Tensor, prompt: Tensor) -> Tensor:
        """Prompt and clicked class: (B, C, h, w) and (B, 2, S, S) -> (B, heat + embedding, h, w)."""
        height, width = (int(side) for side in coarsest.shape[-2:])
        _, (weights,) = pyramid(prompt, (coarsest,))
        clicked = weighted_mean(coarsest, weights[:, :1]).flatten(1)
        shares = self.classify(clicked).softmax(1)
        heat = self.heat(prompt, (height, width))
        everywhere = self.embed(shares)[..., None, None].expand(-1, -1, height, width)
        return torch.cat([heat, everywhere], dim=1)

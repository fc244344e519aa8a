"""A published study's promptable U-Net: prompt and class meet the photo at the bottleneck."""

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from train.models.blocks import upsample
from train.models.family import family
from train.models.promptable import Features, HeatEncoder, Promptable, PromptableConfig
from train.models.unet import UNet, UNetConfig, check_size, normalise


class PromptUNetConfig(PromptableConfig, UNetConfig):
    """Options of `PromptUNet`, besides those of its `UNet`.

    Attributes:
        heat: channels of the convolutions of side 3 and stride 4 that read the prompt; the last of them are
            those that stand for a class, too.
    """

    family: str = "prompt_unet"
    heat: list[int] = Field(default=[512, 1024], min_length=1)


@family(PromptUNetConfig)
class PromptUNet(Promptable):
    """A U-Net that has read the prompt, and the class it is meant for, beside its coarsest features.

    It has one output: whether a pixel belongs to the clicked thing. The study tells it the class of what was
    clicked. Nobody does here: it is asked twice, for a clicked cat and for a clicked dog, and the answers are
    the logits of cat and dog; that of the background is 0. The skip connections know nothing of the prompt.
    """

    def __init__(self, config: PromptUNetConfig) -> None:
        super().__init__()
        self.unet = UNet(config, beside=config.heat[-1], outputs=1)
        self.stride = self.unet.stride
        self.heat = HeatEncoder(config.heat, kernel=3, stride=4, norm=False)
        self.embed = nn.Parameter(torch.randn(self.classes, config.heat[-1]))

    def encode(self, image: Tensor) -> Features:
        """See `Promptable`: the encoder's maps, coarsest first."""
        check_size(image, self.stride)
        *skips, features = self.unet.encoder(normalise(image, self.unet.scaling))
        return (self.unet.context(features), *reversed(skips))

    def decode(self, features: Features, prompt: Tensor) -> Tensor:
        """See `Promptable`."""
        coarsest = features[0]
        heat = self.heat(prompt, (int(coarsest.shape[-2]), int(coarsest.shape[-1])))
        logits = torch.cat(
            [self._ask(features, heat + of_class[:, None, None]) for of_class in self.embed[1:]], 1
        )
        factor = prompt.shape[-1] // logits.shape[-1]
        logits = upsample(logits, factor) if factor > 1 else logits
        return F.pad(logits, (0, 0, 0, 0, 1, 0))

    def _ask(self, features: Features, prompt: Tensor) -> Tensor:
        """(B, C, h, w) of the prompt -> (B, 1, H, W)."""
        coarsest, *skips = features
        result = torch.cat([coarsest, prompt], dim=1)
        for block, skip in zip(self.unet.decoder, skips, strict=True):
            result = block(result, skip)
        logits: Tensor = self.unet.head(result)
        return logits

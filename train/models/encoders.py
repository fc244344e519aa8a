"""Encoders: a photo in, one feature map per resolution out, finest first."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Unpack

from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from train.models.blocks import ConvStyle, convolutions


class PlainEncoder(nn.Module):
    """The U-Net's own encoder: convolutions at each resolution, half the one before.

    Returns features at strides 1, 2, 4, ...; 2, 4, 8, ... if `strided`.

    Args:
        channels: of each resolution, finest first.
        strided: halve by a stride in the level's first convolution, the first level's included, instead
            of max pooling between levels.
        count: convolutions of a level, 1 or 2.
        dropout: share of channels dropped after each level but the first.
        style: see `ConvBlock`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        strided: bool = False,
        count: int = 2,
        dropout: float = 0.0,
        **style: Unpack[ConvStyle],
    ) -> None:
        super().__init__()
        self.channels = list(channels)
        self.finest_stride = 2 if strided else 1
        self.levels = nn.ModuleList(
            convolutions(count, dropout if level else 0.0, **style)(i, o, stride=self.finest_stride)
            for level, (i, o) in enumerate(pairwise([3, *channels]))
        )
        self.pool = nn.Identity() if strided else nn.MaxPool2d(2)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, S, S) float -> one map for each level."""
        features = [self.levels[0](image)]
        for level in self.levels[1:]:
            features.append(level(self.pool(features[-1])))
        return features


class MobileNetV2Encoder(nn.Module):
    """torchvision's MobileNetV2 (arXiv:1801.04381) without its last 1x1 convolution and classifier.

    Returns features at strides 2, 4, 8, 16 and 32 with 16, 24, 32, 96 and 320 channels.

    Args:
        weights: a torchvision weight name such as "IMAGENET1K_V2" (downloaded), the path of a
            safetensors file with `features.*` entries, or None for a random start.
    """

    _LAST_OF_STRIDE = (1, 3, 6, 13, 17)

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        self.channels = [16, 24, 32, 96, 320]
        self.finest_stride = 2
        local = weights is not None and weights.endswith(".safetensors")
        if not local and weights not in (None, *MobileNet_V2_Weights.__members__):
            raise ValueError(
                f"encoder weights {weights!r} are unknown; give a .safetensors file or one of "
                + ", ".join(MobileNet_V2_Weights.__members__)
            )
        named = None if weights is None or local else MobileNet_V2_Weights[weights]
        self.features = mobilenet_v2(weights=named).features[: self._LAST_OF_STRIDE[-1] + 1]
        if weights is not None and local:
            if not Path(weights).is_file():
                raise FileNotFoundError(
                    f"encoder weights {weights} do not exist; set model.weights to a file, to "
                    "'IMAGENET1K_V2' (downloaded by torchvision), or leave it out for a random start"
                )
            state = {k.removeprefix("features."): v for k, v in load_file(weights).items()}
            wanted = self.features.state_dict()
            self.features.load_state_dict({k: v for k, v in state.items() if k in wanted})

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, S, S) float in [-1, 1] -> five maps."""
        features = []
        for index, layer in enumerate(self.features):
            image = layer(image)
            if index in self._LAST_OF_STRIDE:
                features.append(image)
        return features

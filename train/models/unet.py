"""The U-Net family: a plain or pretrained encoder, a decoder with skip connections, a 1x1 head."""

from typing import Annotated, Literal, NamedTuple, Self

import torch
from pydantic import Field, StringConstraints, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.image_utils import IMAGENET_DEFAULT_MEAN as IMAGENET_MEAN
from transformers.image_utils import IMAGENET_DEFAULT_STD as IMAGENET_STD

from train.models.blocks import ConvStyle, GlobalContext, PresenceHead, UpBlock, convolutions, upsample
from train.models.encoders import TIMM, MobileNetV2Encoder, PlainEncoder, TimmEncoder, weights_origin
from train.models.family import FamilyConfig, family

Scaling = Literal["centred", "unit", "imagenet"]


class UNetConfig(FamilyConfig):
    """Options of `UNet`.

    Attributes:
        encoder: "plain" (built from width and depth), "mobilenet_v2", or "timm/NAME", any network of timm.
        weights: start of a pretrained encoder, see `MobileNetV2Encoder` and `TimmEncoder`.
        width, depth: channels of the first level, doubling from there, and number of halvings of the plain
            encoder.
        widths: channels of all its levels, finest first, instead of those.
        decoder: channels of the decoder's levels, coarsest first; empty mirrors the encoder.
        norm: "batch", "group" or "none".
        bias, norm_last: see `blocks.ConvBlock`.
        activation: see `blocks.ACTIVATIONS`.
        scaling: see `normalise`; other than "centred" for the plain encoder alone.
        dropout: share of channels dropped after each level but the first.
        dropout_first: after the first one too.
        gated: attention gates at the skip connections, see `blocks.AttentionGate`.
        upsampling: see `blocks.UPSAMPLINGS`.
        separable: depthwise-separable convolutions, in the plain encoder and in the decoder.
        separable_norm: see `blocks.ConvBlock`.
        decoder_convolutions: 1 or 2 convolutions in each level of the decoder.
        context: add the image-level branch to the coarsest features.
        presence: an image-level head tells which pets the photo shows, and the logits take it into account;
            for encoders of timm.
    """

    family: str = "unet"
    encoder: (
        Literal["plain", "mobilenet_v2"] | Annotated[str, StringConstraints(pattern=f"^{TIMM}[a-z0-9_]+$")]
    ) = "plain"
    weights: str | None = None
    width: int = Field(default=64, ge=1)
    depth: int = Field(default=4, ge=1)
    widths: list[int] = Field(default=[])
    decoder: list[int] = Field(default=[])
    norm: Literal["batch", "group", "none"] = "batch"
    bias: bool = False
    norm_last: bool = False
    scaling: Scaling = "centred"
    activation: Literal["relu", "relu6", "leaky_relu", "gelu", "silu"] = "relu"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    dropout_first: bool = False
    gated: bool = False
    upsampling: Literal["bilinear", "bilinear_1x1", "transposed", "transposed_same"] = "transposed"
    separable: bool = False
    separable_norm: bool = True
    decoder_convolutions: Literal[1, 2] = 2
    context: bool = False
    presence: bool = False

    @model_validator(mode="after")
    def _scaled_as_pretrained(self) -> Self:
        if self.scaling != "centred" and self.encoder != "plain":
            raise ValueError(f"scaling: {self.encoder} scales photos as its weights want them")
        return self

    @property
    def origin(self) -> str:
        """What the encoder starts from."""
        return weights_origin(self.weights)

    def without_start(self) -> Self:
        """The same without pretrained weights."""
        return self.model_copy(update={"weights": None})


class Answer(NamedTuple):
    """What a model with an image-level head says in training.

    Attributes:
        logits: (B, 3, S, S), which take `presence` into account.
        presence: (B, 2) logits of the photo showing a cat, and a dog.
    """

    logits: Tensor
    presence: Tensor


@family(UNetConfig)
class UNet(nn.Module):
    """U-Net (arXiv:1505.04597): uint8 photos (B, 3, S, S) -> float logits (B, 3, S, S).

    Normalisation is part of the model.

    Args:
        config: its options.
        beside: channels that somebody joins to the coarsest features.
        outputs: logits of each pixel, if not one for each class.

    Attributes:
        stride: S must be a multiple of it.
        widths: channels of the decoder's levels, coarsest first.
    """

    classes = 3

    def __init__(self, config: UNetConfig, *, beside: int = 0, outputs: int | None = None) -> None:
        super().__init__()
        style = ConvStyle(
            norm=config.norm,
            activation=config.activation,
            separable=config.separable,
            separable_norm=config.separable_norm,
            bias=config.bias,
            norm_last=config.norm_last,
        )
        self.scaling: Scaling = config.scaling
        if config.presence and not config.encoder.startswith(TIMM):
            raise ValueError(f"presence needs an encoder of timm, got {config.encoder!r}")
        self.encoder: PlainEncoder | MobileNetV2Encoder | TimmEncoder
        if config.encoder == "plain":
            widths = config.widths or [config.width * 2**level for level in range(config.depth + 1)]
            self.encoder = PlainEncoder(
                widths, dropout=config.dropout, dropout_first=config.dropout_first, **style
            )
        elif config.encoder == "mobilenet_v2":
            self.encoder = MobileNetV2Encoder(config.weights)
        else:
            name = config.encoder.removeprefix(TIMM)
            self.encoder = TimmEncoder(name, config.weights, head=config.presence)
        channels = self.encoder.channels
        self.stride = self.encoder.finest_stride * 2 ** (len(channels) - 1)
        self.widths = widths = config.decoder or channels[-2::-1]
        if len(widths) != len(channels) - 1:
            raise ValueError(f"decoder needs {len(channels) - 1} widths for this encoder, got {widths}")
        self.context = GlobalContext(channels[-1]) if config.context else nn.Identity()
        level = convolutions(config.decoder_convolutions, config.dropout, **style)
        inputs = [channels[-1] + beside, *widths[:-1]]
        self.decoder = nn.ModuleList(
            UpBlock(
                i,
                skip,
                o,
                upsampling=config.upsampling,
                convolutions=level,
                beside=0 if index else beside,
                gated=config.gated,
            )
            for index, (i, skip, o) in enumerate(zip(inputs, channels[-2::-1], widths, strict=True))
        )
        self.head = nn.Conv2d(widths[-1], outputs or self.classes, 1)
        self.presence: PresenceHead | None = None
        if isinstance(self.encoder, TimmEncoder) and config.presence:
            self.presence = PresenceHead(self.encoder.head_channels, self.classes - 1)

    def forward(self, image: Tensor) -> Tensor | Answer:
        """Logits of background, cat and dog at the resolution of the input; in training the head's too."""
        _levels, logits, presence = self.decoded(image)
        if self.encoder.finest_stride > 1:
            logits = upsample(logits, self.encoder.finest_stride)
        return logits if presence is None or not self.training else Answer(logits, presence)

    def decoded(self, image: Tensor) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """What the decoder makes of uint8 photos (B, 3, S, S).

        Returns:
            The maps (B, C, h, w) of its levels, coarsest first, the logits (B, 3, h, w) at the finest, and
            those of the image-level head (B, 2), which the former take into account, None without one.
        """
        check_size(image, self.stride)
        maps = self.encoder(normalise(image, self.scaling))
        presence = self.presence(maps.pop()) if self.presence is not None else None
        *skips, features = maps
        features = self.context(features)
        levels = []
        for block, skip in zip(self.decoder, reversed(skips), strict=True):
            features = block(features, skip)
            levels.append(features)
        logits: Tensor = self.head(features)
        if presence is not None:
            # log(sigmoid(x)) in operators that every runtime has; none of it for background.
            believed = F.pad(-F.softplus(-presence), (1, 0))
            logits = logits + believed[..., None, None]
        return levels, logits, presence


def normalise(image: Tensor, scaling: Scaling = "centred") -> Tensor:
    """(B, 3, S, S) of 0..255 -> float: "centred" -1..1, "unit" 0..1, "imagenet" by its mean and spread."""
    if scaling == "centred":
        return image.float() / 127.5 - 1.0
    unit = image.float() / 255.0
    if scaling == "unit":
        return unit
    mean, std = (
        torch.tensor(values, device=image.device)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    return (unit - mean) / std


def check_size(image: Tensor, stride: int) -> None:
    """Raise ValueError, naming the sizes that fit, unless both sides are multiples of `stride`."""
    height, width = (int(side) for side in image.shape[-2:])
    if height % stride or width % stride:
        fit = [max(stride, round(side / stride) * stride) for side in (height, width)]
        raise ValueError(
            f"photo of {height} x {width} does not fit a model of stride {stride}; "
            f"the nearest size that does is {fit[0]} x {fit[1]}"
        )

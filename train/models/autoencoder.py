"""The autoencoder family: an encoder that photos alone have taught, and a decoder on its code."""

from itertools import pairwise
from typing import Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from train.models.blocks import (
    ACTIVATIONS,
    ConvBlock,
    ConvStyle,
    GlobalContext,
    ResidualConv,
    TransposedBlock,
    UpBlock,
    convolutions,
    doubling,
    upsample,
)
from train.models.encoders import PlainEncoder
from train.models.family import Borrowed, FamilyConfig, Gives, family
from train.models.unet import Scaling, check_size, normalise


class DecoderConfig(BaseModel):
    """Options of `Decoder`.

    Attributes:
        widths: channels of its levels, coarsest first, each of twice the resolution before; None mirrors the
            encoder. Where there are fewer than the encoder has halvings, the answer is enlarged.
        convolutions: of each level, 1 or 2.
        upsampling: see `blocks.UPSAMPLINGS`.
        transposed: instead, each level is one transposed convolution of this side that doubles the
            resolution, see `blocks.TransposedBlock`; 0 for none.
        groups: of the first of those.
        head: side of the convolution that answers; 0: the last transposed convolution does, after `widths`.
        sigmoid: the answer is a photo whose values a sigmoid keeps in their range.
        norm: in place of the encoder's; None is that.
        reads: the "code", or the "features" that a fully connected code is made of.
        code_width: channels that a fully connected code becomes; 0: as many as the encoder's features have.
        flat: channels of 3x3 convolutions at the resolution of the code, before the levels.
        skips: join the encoder's features of the same resolution, instead of knowing the code alone.
        body: channels of an hourglass between code and levels: the first at the resolution of the code,
            each further one at half of it; empty for none.
        blocks: residual blocks at each resolution of the hourglass.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    widths: list[int] | None = None
    convolutions: Literal[1, 2] = 1
    upsampling: Literal["bilinear", "bilinear_1x1", "transposed", "transposed_same"] = "bilinear"
    transposed: Literal[0, 2, 3] = 0
    groups: int = Field(default=1, ge=1)
    head: Literal[0, 1, 3] = 1
    sigmoid: bool = False
    norm: Literal["batch", "group", "none"] | None = None
    reads: Literal["code", "features"] = "code"
    code_width: int = Field(default=0, ge=0)
    flat: list[int] = []
    skips: bool = False
    body: list[int] = []
    blocks: int = Field(default=2, ge=0)

    @model_validator(mode="after")
    def _head_of_something(self) -> Self:
        if not self.head and not self.transposed:
            raise ValueError("head = 0 needs transposed convolutions, the last of which answers")
        return self


class AutoencoderConfig(FamilyConfig):
    """Options of `Autoencoder`.

    Attributes:
        task: "segmentation" has a segmentation decoder on a frozen encoder, "reconstruction" the decoder that
            gives the photo back.
        encoder_checkpoint: checkpoint folder of an autoencoder whose encoder is taken over; without one,
            training makes it first.
        widths: channels of the encoder's levels, finest first.
        downsampling: "strided" levels have strides 2, 4, 8 ..., as those that are "pooled" at their end;
            "pool" gives 1, 2, 4 ... by max pooling between them.
        dropout: share of channels dropped after each level, of the encoder and of the decoders.
        open_code: the code is a convolution's own answer, without normalisation and activation.
        convolutions: of each level of the encoder, 1 or 2.
        norm, bias, activation: see `blocks.ConvBlock`.
        scaling: of what the encoder sees, see `unet.normalise`.
        code_channels: a 1x1 convolution leaves this many channels in the code; 0 leaves out the convolution.
        code_length: instead, a fully connected layer makes a vector of this many numbers; 0 for none.
        code_side: side of the features which that layer takes: side of the photo / stride.
        reconstruction, segmentation: the two decoders.
    """

    family: str = "autoencoder"
    task: Literal["segmentation", "reconstruction"] = "segmentation"
    encoder_checkpoint: str | None = None
    widths: list[int] = Field(default=[32, 64, 128], min_length=1)
    downsampling: Literal["strided", "pool", "pooled"] = "strided"
    dropout: float = Field(default=0.0, ge=0, lt=1)
    open_code: bool = False
    convolutions: Literal[1, 2] = 1
    norm: Literal["batch", "group", "none"] = "batch"
    bias: bool = False
    activation: Literal["relu", "relu6", "leaky_relu", "gelu", "silu"] = "relu"
    scaling: Scaling = "centred"
    code_channels: int = Field(default=0, ge=0)
    code_length: int = Field(default=0, ge=0)
    code_side: int = Field(default=0, ge=0)
    reconstruction: DecoderConfig = DecoderConfig()
    segmentation: DecoderConfig = DecoderConfig()

    @model_validator(mode="after")
    def _one_code(self) -> Self:
        if self.code_channels and self.code_length:
            raise ValueError("code_channels and code_length exclude each other")
        if bool(self.code_length) != bool(self.code_side):
            raise ValueError("code_length and code_side belong together")
        return self

    @property
    def style(self) -> ConvStyle:
        """What all convolutions have in common."""
        return ConvStyle(norm=self.norm, activation=self.activation, bias=self.bias)

    @property
    def gives(self) -> Gives:
        """By the task."""
        return "photo" if self.task == "reconstruction" else "logits"

    @property
    def origin(self) -> str:
        """Whatever the encoder knows, no mask has taught it."""
        return "encoder trained by reconstruction alone"

    @property
    def borrowed(self) -> Borrowed | None:
        """The encoder, from an autoencoder."""
        return Borrowed("encoder", self.encoder_checkpoint, "encoder") if self.encoder_checkpoint else None

    def stages(self) -> dict[str, Self]:
        """Reconstruction, and segmentation unless that is not the task."""
        tasks = ("reconstruction", "segmentation") if self.task == "segmentation" else (self.task,)
        return {f"{self.family} ({task})": self.model_copy(update={"task": task}) for task in tasks}

    def without_start(self) -> Self:
        """The same without an encoder that was trained before."""
        return self.model_copy(update={"encoder_checkpoint": None})


class Encoder(nn.Module):
    """Photo to code: (B, 3, S, S), scaled, -> features of each level, finest first, and the code."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.levels = PlainEncoder(
            config.widths,
            downsampling=config.downsampling,
            count=config.convolutions,
            dropout=config.dropout,
            dropout_first=True,
            **config.style,
        )
        if config.open_code:
            last = self.levels.levels[-1]
            assert isinstance(last, nn.Sequential)
            self.levels.levels[-1] = last[0]
        channels, cells = config.widths[-1], config.code_side**2
        self.squeeze: nn.Module = nn.Identity()
        if config.code_length:
            self.squeeze = nn.Sequential(
                nn.Flatten(),
                nn.Linear(channels * cells, config.code_length),
                ACTIVATIONS[config.activation](),
            )
        elif config.code_channels:
            self.squeeze = nn.Conv2d(channels, config.code_channels, 1)

    def forward(self, image: Tensor) -> tuple[list[Tensor], Tensor]:
        """The code is (B, C, s, s), or (B, L) of a fully connected bottleneck."""
        features: list[Tensor] = self.levels(image)
        return features, self.squeeze(features[-1])


class Hourglass(nn.Module):
    """Down by halves and up again around residual blocks, so that every pixel knows the whole photo.

    Args:
        in_channels: of the code.
        channels: at each resolution, that of the code first.
        blocks: residual blocks at each resolution.
    """

    def __init__(self, in_channels: int, channels: list[int], blocks: int, config: AutoencoderConfig) -> None:
        super().__init__()
        style = config.style
        residual = [
            [ResidualConv(width, norm=config.norm, activation=config.activation) for _ in range(blocks)]
            for width in channels
        ]
        steps = enumerate(pairwise([in_channels, *channels]))
        self.down = nn.ModuleList(
            nn.Sequential(ConvBlock(i, o, stride=2 if level else 1, **style), *residual[level])
            for level, (i, o) in steps
        )
        self.context = GlobalContext(channels[-1])
        self.up = nn.ModuleList(
            UpBlock(i, o, o, upsampling="bilinear", convolutions=convolutions(1, **style))
            for i, o in pairwise(reversed(channels))
        )

    def forward(self, features: Tensor) -> Tensor:
        """(B, in, h, w) -> (B, channels[0], h, w)."""
        skips = []
        for stage in self.down:
            features = stage(features)
            skips.append(features)
        features = self.context(skips.pop())
        for stage in self.up:
            features = stage(features, skips.pop())
        return features


class Decoder(nn.Module):
    """Code to three channels at the size of the photo: red, green and blue, or the logits of the classes."""

    channels = 3

    def __init__(self, config: AutoencoderConfig, options: DecoderConfig) -> None:
        super().__init__()
        channels, cells = config.widths[-1], config.code_side**2
        style = config.style
        if options.norm:
            style["norm"] = options.norm
        self.expand: nn.Module = nn.Identity()
        self.reads_features = options.reads == "features"
        if config.code_length and not self.reads_features:
            channels = options.code_width or channels
            self.expand = nn.Sequential(
                nn.Linear(config.code_length, channels * cells),
                ACTIVATIONS[config.activation](),
                nn.Unflatten(1, (channels, config.code_side, config.code_side)),
            )
        elif config.code_channels:
            self.expand = nn.Conv2d(config.code_channels, channels, 1)
        self.body: nn.Module = nn.Identity()
        if options.body:
            self.body = Hourglass(channels, options.body, options.blocks, config)
            channels = options.body[0]
        self.flat = nn.Sequential(*(ConvBlock(i, o, **style) for i, o in pairwise([channels, *options.flat])))
        channels = options.flat[-1] if options.flat else channels
        # What the encoder has at the resolution of each level; at full resolution mostly nothing.
        known = [*config.widths[-2::-1], *([] if config.downsampling == "pool" else [0])]
        self.skips, self.sigmoid = options.skips, options.sigmoid
        joined = [skip if options.skips else 0 for skip in known]
        if options.transposed:
            self._transposed(channels, known, joined, config, options)
            return
        widths = [width or config.widths[0] for width in known] if options.widths is None else options.widths
        if len(widths) > len(known):
            raise ValueError(f"decoder has {len(widths)} levels, but the encoder halves {len(known)} times")
        self.factor = 2 ** (len(known) - len(widths))
        build = convolutions(options.convolutions, config.dropout, **style)
        self.levels = nn.ModuleList(
            UpBlock(i, skip, o, upsampling=options.upsampling, convolutions=build)
            for (i, o), skip in zip(pairwise([channels, *widths]), joined, strict=False)
        )
        last = widths[-1] if widths else channels
        self.head: nn.Module = nn.Conv2d(last, self.channels, options.head, padding=options.head // 2)

    def _transposed(
        self,
        channels: int,
        known: list[int],
        joined: list[int],
        config: AutoencoderConfig,
        options: DecoderConfig,
    ) -> None:
        """Levels that are one transposed convolution each."""
        count = len(known) - (not options.head)
        widths = [width or config.widths[0] for width in known[:count]]
        widths = widths if options.widths is None else options.widths
        if len(widths) != count:
            raise ValueError(f"decoder has {len(widths)} levels before its answer, and needs {count}")
        inputs = [channels, *(width + skip for width, skip in zip(widths, joined, strict=False))]
        self.factor = 1
        self.levels = nn.ModuleList(
            TransposedBlock(
                i,
                o,
                kernel=options.transposed,
                groups=1 if level else options.groups,
                dropout=config.dropout,
                norm=options.norm or config.norm,
                activation=config.activation,
            )
            for level, (i, o) in enumerate(zip(inputs, widths, strict=False))
        )
        self.head = (
            nn.Conv2d(inputs[-1], self.channels, options.head, padding=options.head // 2)
            if options.head
            else doubling(inputs[-1], self.channels, options.transposed)
        )

    def forward(self, features: list[Tensor], code: Tensor) -> Tensor:
        """What `Encoder` gives -> (B, 3, S, S)."""
        skips = [*features[-2::-1]] if self.skips else []
        result = features[-1] if self.reads_features else self.expand(code)
        result = self.flat(self.body(result))
        for index, level in enumerate(self.levels):
            skip = skips[index] if index < len(skips) else None
            if isinstance(level, UpBlock):
                result = level(result, skip)
            else:
                result = level(result)
                result = result if skip is None else torch.cat([result, skip], dim=1)
        result = self.head(result)
        if self.sigmoid:
            result = 2 * result.sigmoid() - 1
        return upsample(result, self.factor) if self.factor > 1 else result


@family(AutoencoderConfig)
class Autoencoder(nn.Module):
    """uint8 photos (B, 3, S, S) -> float logits, or the photo in [-1, 1], (B, 3, S, S) by `config.task`.

    S must be a multiple of `stride`. For segmentation the encoder is frozen, the statistics of its batch
    normalisation too: it shall know nothing but what reconstructing photos taught it.
    """

    classes = 3

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        reconstructs = config.task == "reconstruction"
        self.decoder = Decoder(config, config.reconstruction if reconstructs else config.segmentation)
        coarsest = len(config.widths) - (config.downsampling == "pool")
        # The hourglass halves the code further.
        body = [] if reconstructs else config.segmentation.body
        self.stride = 2 ** (coarsest + max(0, len(body) - 1))
        self.side = config.code_side * 2**coarsest
        self.frozen = not reconstructs
        self.scaling: Scaling = config.scaling
        if self.frozen:
            self.encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but a frozen encoder."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def forward(self, image: Tensor) -> Tensor:
        """Encode and decode.

        Raises:
            ValueError: photos of a size that does not fit.
        """
        check_size(image, self.stride)
        if self.side and tuple(image.shape[-2:]) != (self.side, self.side):
            height, width = image.shape[-2:]
            raise ValueError(f"photo of {height} x {width}: the code takes {self.side} x {self.side} only")
        result: Tensor = self.decoder(*self.encoder(normalise(image, self.scaling)))
        return result

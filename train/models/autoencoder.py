"""The autoencoder family: an encoder that photos alone have taught, and a decoder on its code."""

from itertools import pairwise
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from train.models.blocks import (
    ACTIVATIONS,
    ConvBlock,
    ConvStyle,
    GlobalContext,
    ResidualConv,
    UpBlock,
    convolutions,
    upsample,
)
from train.models.encoders import PlainEncoder
from train.models.family import Borrowed, FamilyConfig, Gives, family
from train.models.unet import check_size, normalise


class DecoderConfig(BaseModel):
    """Options of `Decoder`.

    Attributes:
        widths: channels of its levels, coarsest first, each of twice the resolution before; None mirrors the
            encoder. Where there are fewer than the encoder has halvings, the answer is enlarged.
        convolutions: of each level, 1 or 2.
        upsampling: see `blocks.UPSAMPLINGS`.
        skips: join the encoder's features of the same resolution, instead of knowing the code alone.
        body: channels of an hourglass between code and levels: the first at the resolution of the code,
            each further one at half of it; empty for none.
        blocks: residual blocks at each resolution of the hourglass.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    widths: list[int] | None = None
    convolutions: Literal[1, 2] = 1
    upsampling: Literal["bilinear", "bilinear_1x1", "transposed", "transposed_same"] = "bilinear"
    skips: bool = False
    body: list[int] = []
    blocks: int = Field(default=2, ge=0)


class AutoencoderConfig(FamilyConfig):
    """Options of `Autoencoder`.

    Attributes:
        task: "segmentation" has a segmentation decoder on a frozen encoder, "reconstruction" the decoder that
            gives the photo back.
        encoder_checkpoint: checkpoint folder of an autoencoder whose encoder is taken over; without one,
            training makes it first.
        widths: channels of the encoder's levels, finest first.
        downsampling: "strided" levels have strides 2, 4, 8 ..., "pool" gives 1, 2, 4 ... by max pooling.
        convolutions: of each level of the encoder, 1 or 2.
        norm, bias, activation: see `blocks.ConvBlock`.
        code_channels: a 1x1 convolution leaves this many channels in the code; 0 leaves out the convolution.
        code_length: instead, a fully connected layer makes a vector of this many numbers; 0 for none.
        code_side: side of the features which that layer takes: side of the photo / stride.
        reconstruction, segmentation: the two decoders.
    """

    family: str = "autoencoder"
    task: Literal["segmentation", "reconstruction"] = "segmentation"
    encoder_checkpoint: str | None = None
    widths: list[int] = Field(default=[32, 64, 128], min_length=1)
    downsampling: Literal["strided", "pool"] = "strided"
    convolutions: Literal[1, 2] = 1
    norm: Literal["batch", "group", "none"] = "batch"
    bias: bool = False
    activation: Literal["relu", "relu6", "leaky_relu", "gelu", "silu"] = "relu"
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
    """Photo to code: (B, 3, S, S) in [-1, 1] -> features of each level, finest first, and the code."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.levels = PlainEncoder(
            config.widths,
            strided=config.downsampling == "strided",
            count=config.convolutions,
            **config.style,
        )
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
        strided = config.downsampling == "strided"
        channels, cells = config.widths[-1], config.code_side**2
        self.expand: nn.Module = nn.Identity()
        if config.code_length:
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
        # What the encoder has at the resolution of each level; at full resolution a strided one has nothing.
        known = [*config.widths[-2::-1], *([0] if strided else [])]
        widths = [width or config.widths[0] for width in known] if options.widths is None else options.widths
        if len(widths) > len(known):
            raise ValueError(f"decoder has {len(widths)} levels, but the encoder halves {len(known)} times")
        self.skips = options.skips
        self.factor = 2 ** (len(known) - len(widths))
        build = convolutions(options.convolutions, **config.style)
        self.levels = nn.ModuleList(
            UpBlock(i, skip if options.skips else 0, o, upsampling=options.upsampling, convolutions=build)
            for (i, o), skip in zip(pairwise([channels, *widths]), known, strict=False)
        )
        self.head = nn.Conv2d(widths[-1] if widths else channels, self.channels, 1)

    def forward(self, features: list[Tensor], code: Tensor) -> Tensor:
        """What `Encoder` gives -> (B, 3, S, S)."""
        skips = [*features[-2::-1]] if self.skips else []
        result = self.body(self.expand(code))
        for index, level in enumerate(self.levels):
            result = level(result, skips[index] if index < len(skips) else None)
        result = self.head(result)
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
        result: Tensor = self.decoder(*self.encoder(normalise(image)))
        return result

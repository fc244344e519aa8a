"""The CLIP family with a prompt: three published ways to show a frozen CLIP where somebody clicked."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal, Self

import cv2
import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional as F

from petseg.clicks.prompts import SIGMA, SIGMA_SIZE
from train.models.clip import ClipConfig, TextConditioned
from train.models.clip_decoders import enlarge
from train.models.clip_towers import ImageEncoder
from train.models.family import family
from train.models.promptable import Features, HeatEncoder, Promptable, PromptableConfig
from train.models.unet import check_size

PATCH = 14
"""Side of what the pointer's convolution reads at once, and its stride, in pixels."""


class ClipPromptConfig(PromptableConfig, ClipConfig):
    """Options of `ClipPrompt`, besides those of `Clip`.

    Attributes:
        heat: how the prompt is shown: "dot" (drawn into the photo), "pointer" (read by an encoder of its
            own) or "picture" (read by CLIP, as a picture beside the photo).
        radius, blur, alpha: of the "dot": pixels of the model's square, side of the Gaussian that blurs it
            (odd, and as wide as OpenCV makes it), opacity.
        pointer: channels of the "pointer" encoder, one convolution as large as its stride of 14 pixels, which
            are a patch of ViT-L/14, see `HeatEncoder`.
        binary: ask the decoder for one logit for each species, "the clicked cat" by the cat's text and "the
            clicked dog" by the dog's, against a background of 0; else for one for each of three classes.
    """

    family: str = "clip_prompt"
    heat: Literal["dot", "pointer", "picture"] = "dot"
    radius: float = Field(default=5.0, gt=0)
    blur: int = Field(default=9, ge=1)
    alpha: Annotated[float, Field(gt=0, le=1)] = 0.75
    pointer: int = Field(default=768, ge=1)
    binary: bool = False

    @model_validator(mode="after")
    def _check_prompt(self) -> Self:
        if self.oracle_text:
            raise ValueError("oracle_text: a promptable model is never told the species")
        if self.binary and not self.reads_text:
            raise ValueError(
                f"binary: the decoder {self.decoder!r} reads no text, so nothing says which species is meant"
            )
        if self.blur % 2 == 0:
            raise ValueError(f"blur must be odd, got {self.blur}")
        return self

    def around(self, encoder: ImageEncoder) -> "PromptedEncoder":
        """The encoder that `heat` names around a frozen one."""
        if self.heat == "dot":
            return DotEncoder(encoder, radius=self.radius, blur=self.blur, alpha=self.alpha)
        return PointerEncoder(encoder, self.pointer) if self.heat == "pointer" else PictureEncoder(encoder)


class PromptedEncoder(ImageEncoder, ABC):
    """A frozen encoder that is shown the prompt as well; `channels` are of what `forward` gives.

    Args:
        clip: the frozen encoder.
    """

    prompts: tuple[str, ...] = ("point", "box")

    def __init__(self, clip: ImageEncoder) -> None:
        super().__init__()
        self.clip = clip
        self.channels = list(clip.channels)
        self.embedding, self.stride = clip.embedding, clip.stride

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the frozen encoder."""
        super().train(mode)
        self.clip.eval()
        return self

    def look(self, image: Tensor) -> Features:
        """What the photo says whatever the prompt: its feature maps, deepest first."""
        return tuple(self.clip(image))

    @abstractmethod
    def forward(self, features: Features, prompt: Tensor) -> Sequence[Tensor]:
        """What `look` gives and (B, 2, S, S) -> feature maps, deepest first."""


class DotEncoder(PromptedEncoder):
    """Sees the photo with a blurred red dot at every click, and a blue one at those that exclude.

    All of CLIP depends on the prompt, so that nothing but the photo is kept. A box leaves no dot.
    """

    prompts = ("point",)
    kernel: Tensor
    colours: Tensor

    def __init__(self, clip: ImageEncoder, *, radius: float, blur: int, alpha: float) -> None:
        super().__init__(clip)
        self.radius, self.alpha = radius, alpha
        line = torch.tensor(cv2.getGaussianKernel(blur, 0), dtype=torch.float32)
        self.register_buffer("kernel", (line @ line.T).expand(2, 1, -1, -1).clone(), persistent=False)
        colours = torch.tensor([[255.0, 0.0, 0.0], [0.0, 0.0, 255.0]])[..., None, None]
        self.register_buffer("colours", colours, persistent=False)

    def look(self, image: Tensor) -> Features:
        """The photo itself, as floats."""
        check_size(image, self.stride)
        return (image.float(),)

    def forward(self, features: Features, prompt: Tensor) -> Sequence[Tensor]:
        """CLIP's maps of the photo with dots."""
        maps: Sequence[Tensor] = self.clip(self.draw(features[0], prompt))
        return maps

    def draw(self, photo: Tensor, prompt: Tensor) -> Tensor:
        """(B, 3, S, S) 0..255 and (B, 2, S, S) -> (B, 3, S, S) 0..255."""
        # A click's heat falls with the distance alone: above that of `radius` lies a disc.
        sigma = SIGMA * prompt.shape[-1] / SIGMA_SIZE
        discs = (prompt > math.exp(-0.5 * (self.radius / sigma) ** 2)).to(photo.dtype)
        soft = self.alpha * F.conv2d(discs, self.kernel, padding=self.kernel.shape[-1] // 2, groups=2)
        for colour, opacity in zip(self.colours, soft.split(1, dim=1), strict=True):
            photo = photo + opacity * (colour - photo)
        return photo


class PointerEncoder(PromptedEncoder):
    """The photo's maps, with the prompt beside the deepest, read by an encoder that is trained."""

    def __init__(self, clip: ImageEncoder, width: int) -> None:
        super().__init__(clip)
        self.channels[0] += width
        self.pointer = HeatEncoder([width], kernel=PATCH, stride=PATCH, norm=True)

    def forward(self, features: Features, prompt: Tensor) -> Sequence[Tensor]:
        """See `PromptedEncoder`."""
        deepest, *others = features
        side = (int(deepest.shape[-2]), int(deepest.shape[-1]))
        return [torch.cat([deepest, self.pointer(prompt, side)], dim=1), *others]


class PictureEncoder(PromptedEncoder):
    """The photo's maps, each beside CLIP's own of the prompt: red evidence for, blue evidence against."""

    def __init__(self, clip: ImageEncoder) -> None:
        super().__init__(clip)
        self.channels = [2 * channels for channels in self.channels]

    def forward(self, features: Features, prompt: Tensor) -> Sequence[Tensor]:
        """See `PromptedEncoder`."""
        positive, negative = prompt.split(1, dim=1)
        picture = 255 * torch.cat([positive, torch.zeros_like(positive), negative], dim=1)
        return [torch.cat(pair, dim=1) for pair in zip(features, self.clip(picture), strict=True)]


@family(ClipPromptConfig)
class ClipPrompt(Promptable, TextConditioned):
    """A CLIP that answers for the clicked thing; see `Promptable` for what goes in and comes out.

    With `binary` the decoder says of each pixel whether it belongs to the clicked cat, by the text of
    "cat", and whether to the clicked dog, by that of "dog": two yes-or-no questions in place of one about the
    pet, whose class would stay open. They become the logits of cat and dog; the background's are 0.
    """

    encoder: PromptedEncoder

    def __init__(self, config: ClipPromptConfig) -> None:
        super().__init__(config)
        self.binary = config.binary
        self.prompts = self.encoder.prompts

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the frozen encoder."""
        super().train(mode)
        self.encoder.train(mode)
        return self

    def encode(self, image: Tensor) -> Features:
        """See `Promptable`: CLIP's maps, or with a "dot" the photo as floats."""
        return self.encoder.look(image)

    def decode(self, features: Features, prompt: Tensor) -> Tensor:
        """See `Promptable`."""
        texts = self.texts_for(None)
        if self.binary and texts is not None:
            texts = texts[:, 1:]
        logits = self.decoder(self.encoder(features, prompt), texts)
        if self.binary:
            logits = F.pad(logits, (0, 0, 0, 0, 1, 0))
        if self.mask_size:
            logits = enlarge(logits, (self.mask_size, self.mask_size))
        return enlarge(logits, (int(prompt.shape[-2]), int(prompt.shape[-1])))

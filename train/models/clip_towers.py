"""The photo sides of CLIP models, as encoders whose feature maps a decoder takes."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import SiglipVisionConfig
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from train.models.encoders import MobileNetV2Encoder
from train.models.unet import check_size, normalise


class OpenAINorm(nn.Module):
    """0..255 -> the mean and spread that CLIP was trained with."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, values in (("mean", OPENAI_CLIP_MEAN), ("std", OPENAI_CLIP_STD)):
            self.register_buffer(name, 255 * torch.tensor(values)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> float."""
        return (image.float() - self.mean) / self.std


class ImageEncoder(nn.Module):
    """uint8 photos (B, 3, S, S) -> feature maps (B, C, h, w), deepest first.

    Attributes:
        channels: C of each map.
        embedding: numbers of a text vector.
        stride: S must be a multiple of it.
    """

    channels: list[int]
    embedding: int
    stride: int


class TransformerEncoder(ImageEncoder):
    """Hidden layers of a vision transformer of transformers' CLIP or SigLIP, as maps of stride `patch_size`.

    Position embeddings are interpolated, so that any multiple of the patch size fits.

    Args:
        vision: the image tower, a `CLIPVisionModel` or a `SiglipVisionModel`.
        embedding: numbers of a text vector.
        layers: which layers' output, from 0, deepest last as in the config.
        projection: of a token into the texts' space; SigLIP, whose photo's vector lies there, has none.
        projected, photo: see `EncoderConfig`.

    Raises:
        ValueError: there are no such layers, or nothing that projects the tokens.
    """

    def __init__(
        self,
        vision: Any,
        embedding: int,
        layers: Sequence[int],
        *,
        projection: nn.Module | None = None,
        projected: bool = False,
        photo: bool = False,
    ) -> None:
        super().__init__()
        config = vision.config
        wrong = [layer for layer in layers if not 0 <= layer < config.num_hidden_layers]
        if wrong or not layers:
            raise ValueError(
                f"layers {list(layers)} do not fit: give some of 0 to {config.num_hidden_layers - 1}"
            )
        siglip = isinstance(config, SiglipVisionConfig)
        if siglip and projected:
            raise ValueError("projected: SigLIP has nothing that brings its tokens into the texts' space")
        # SigLIP takes photos in -1..1, and has no token that stands for the photo.
        self.normalise = normalise if siglip else OpenAINorm()
        self.first = 0 if siglip else 1
        self.vision = vision
        self.layers = sorted(layers, reverse=True)
        self.projected, self.photo = projected, photo
        self.projection = (nn.Identity() if siglip else projection) if projected or photo else None
        self.channels = [embedding if projected else config.hidden_size] * len(layers)
        self.embedding = embedding
        assert isinstance(config.patch_size, int)  # the patches are squares
        self.stride = config.patch_size

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps of stride `patch_size`, deepest layer first; with `photo` also (B, D, 1, 1)."""
        check_size(image, self.stride)
        output = self.vision(
            self.normalise(image), interpolate_pos_encoding=True, output_hidden_states=True, return_dict=True
        )
        rows = image.shape[-2] // self.stride
        # The first state is what enters layer 0, CLIP's first token stands for the whole photo.
        states = [output.hidden_states[layer + 1][:, self.first :] for layer in self.layers]
        if self.projected and self.projection is not None:
            states = [self.projection(self.vision.post_layernorm(state)) for state in states]
        maps = [state.transpose(1, 2).unflatten(2, (rows, -1)) for state in states]
        if self.photo and self.projection is not None:
            embedded = F.normalize(self.projection(output.pooler_output), dim=-1)
            maps.append(embedded[..., None, None])
        return maps


class ResNetEncoder(ImageEncoder):
    """The four stages of open_clip's ResNet (CLIP RN50), without its attention pooling.

    Args:
        visual: `open_clip.modified_resnet.ModifiedResNet`.
        embedding: numbers of a text vector.
    """

    stride = 32

    def __init__(self, visual: Any, embedding: int) -> None:
        super().__init__()
        self.normalise = OpenAINorm()
        visual.attnpool = nn.Identity()
        self.visual = visual
        self.stages = ("layer1", "layer2", "layer3", "layer4")
        self.channels = [getattr(visual, stage)[-1].bn3.num_features for stage in reversed(self.stages)]
        self.embedding = embedding

    def forward(self, image: Tensor) -> list[Tensor]:
        """Maps of strides 32, 16, 8 and 4."""
        check_size(image, self.stride)
        features = self.visual.stem(self.normalise(image))
        maps: list[Tensor] = []
        for stage in self.stages:
            features = getattr(self.visual, stage)(features)
            maps.insert(0, features)
        return maps


class MiniEncoder(ImageEncoder):
    """The photo side of a `DualEncoder` up to its last feature maps.

    Args:
        mobilenet: it.
        embedding: numbers of a text vector.
        chosen: see `EncoderConfig.maps`.
    """

    stride = 32

    def __init__(self, mobilenet: MobileNetV2Encoder, embedding: int, chosen: Sequence[int] = ()) -> None:
        super().__init__()
        self.mobilenet = mobilenet
        channels = mobilenet.channels[:0:-1]
        self.chosen = list(chosen) or list(range(len(channels)))
        self.channels = [channels[number] for number in self.chosen]
        self.embedding = embedding

    def forward(self, image: Tensor) -> list[Tensor]:
        """Those chosen of the maps of strides 32, 16, 8 and 4."""
        check_size(image, self.stride)
        maps: list[Tensor] = self.mobilenet(normalise(image))[:0:-1]
        return [maps[number] for number in self.chosen]

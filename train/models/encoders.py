"""Encoders: a photo in, one feature map per resolution out, finest first."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path, PurePath
from typing import Any, TypeVar, Unpack, cast

import timm
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torchvision.models import MobileNet_V2_Weights, mobilenet_v2

from train.models.blocks import ConvStyle, convolutions


class WeightsUnavailableError(OSError):
    """Pretrained weights that have a public name, and cannot be downloaded now."""


Network = TypeVar("Network")


def downloaded(about: str, make: Callable[[], Network]) -> Network:
    """What `make` gives, which may download weights.

    Args:
        about: name of the weights.
        make: builds the network.

    Raises:
        WeightsUnavailableError: they cannot be had.
    """
    try:
        return make()
    except Exception as error:
        # Each of the libraries below has its own idea of how a missing network shows.
        if not isinstance(error, OSError) and type(error).__module__.partition(".")[0] not in _NETWORK:
            raise
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise WeightsUnavailableError(
            f"the pretrained weights {about} cannot be downloaded ({reason}); check the network, set "
            "model.weights to a .safetensors file, or to nothing for a random start (--set model.weights=)"
        ) from error


_NETWORK = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "hf_xet", "huggingface_hub")


class PlainEncoder(nn.Module):
    """The U-Net's own encoder: convolutions at each resolution, half the one before.

    Returns features at strides 1, 2, 4, ...; at 2, 4, 8, ... unless `downsampling` is "pool".

    Args:
        channels: of each resolution, finest first.
        downsampling: "pool" (max pooling between levels), "pooled" (at the end of each level) or "strided"
            (the stride of each level's first convolution).
        count: convolutions of a level, 1 or 2.
        dropout: share of channels dropped after each level.
        dropout_first: after the first level too.
        style: see `ConvBlock`.
    """

    def __init__(
        self,
        channels: Sequence[int],
        *,
        downsampling: str = "pool",
        count: int = 2,
        dropout: float = 0.0,
        dropout_first: bool = False,
        **style: Unpack[ConvStyle],
    ) -> None:
        super().__init__()
        self.channels = list(channels)
        self.finest_stride = 1 if downsampling == "pool" else 2
        stride = 2 if downsampling == "strided" else 1
        levels = [
            convolutions(count, dropout if level or dropout_first else 0.0, **style)(i, o, stride=stride)
            for level, (i, o) in enumerate(pairwise([3, *channels]))
        ]
        if downsampling == "pooled":
            levels = [nn.Sequential(level, nn.MaxPool2d(2)) for level in levels]
        self.levels = nn.ModuleList(levels)
        self.pool = nn.MaxPool2d(2) if downsampling == "pool" else nn.Identity()

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
            safetensors file with `features.*` entries, or None or "" for a random start.

    Raises:
        ValueError: torchvision has no such weights.
        FileNotFoundError: the file does not exist.
        WeightsUnavailableError: they cannot be downloaded.
    """

    _LAST_OF_STRIDE = (1, 3, 6, 13, 17)

    def __init__(self, weights: str | None = None) -> None:
        super().__init__()
        self.channels = [16, 24, 32, 96, 320]
        self.finest_stride = 2
        weights = weights or None
        local = weights is not None and weights.endswith(".safetensors")
        if not local and weights not in (None, *MobileNet_V2_Weights.__members__):
            raise ValueError(
                f"encoder weights {weights!r} are unknown; give a .safetensors file or one of "
                + ", ".join(MobileNet_V2_Weights.__members__)
            )
        named = None if weights is None or local else MobileNet_V2_Weights[weights]
        network = downloaded(f"mobilenet_v2.{weights}", lambda: mobilenet_v2(weights=named))
        self.features = network.features[: self._LAST_OF_STRIDE[-1] + 1]
        if weights is not None and local:
            if not Path(weights).is_file():
                raise FileNotFoundError(
                    f"encoder weights {weights} do not exist; set model.weights to a file, to "
                    "'IMAGENET1K_V2' (downloaded by torchvision), or to nothing for a random start"
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


TIMM = "timm/"
"""Begins the name of an encoder that timm has."""


class TimmEncoder(nn.Module):
    """Any network of timm that gives feature maps, `timm.list_models()` names them.

    Args:
        name: timm's name, such as "tf_efficientnet_lite2".
        weights: a tag of timm's pretrained weights such as "in1k" (downloaded from the Hub), the path of a
            safetensors file with timm's names, or None or "" for a random start.
        head: one more map at the coarsest resolution: the features that the network's own classifier pools,
            with what ImageNet taught the layers in between.

    Attributes:
        channels: of the maps, finest first, the head's left out.
        head_channels: of the head's map, 0 without one.

    Raises:
        ValueError: timm has no such network or no such weights, or the file is of another network.
        FileNotFoundError: the file does not exist.
        WeightsUnavailableError: they cannot be downloaded.
    """

    network: Any  # of which torch's types know no feature maps
    scale: Tensor
    shift: Tensor

    def __init__(self, name: str, weights: str | None = None, *, head: bool = False) -> None:
        super().__init__()
        file = weights if weights is not None and weights.endswith(".safetensors") else None
        if file is not None and not Path(file).is_file():
            raise FileNotFoundError(
                f"encoder weights {file} do not exist; set model.weights to a file, to the tag of weights "
                "that timm downloads, such as 'in1k', or to nothing for a random start"
            )
        tagged = f"{name}.{weights}" if weights and not file else name
        options = {"num_classes": 0} if head else {"features_only": True}
        try:
            self.network = cast(
                Any,
                downloaded(tagged, lambda: timm.create_model(tagged, pretrained=tagged != name, **options)),
            )
        except (RuntimeError, AttributeError) as error:
            raise ValueError(f"timm does not give {tagged!r} as an encoder: {error}") from error
        if file is not None:
            wanted = self.network.state_dict()
            given = load_file(file)
            if missing := sorted(wanted.keys() - given.keys()):
                raise ValueError(f"encoder weights {file} are not those of {name}: {missing[0]} is missing")
            self.network.load_state_dict({key: given[key] for key in wanted})
        info = self.network.feature_info
        described = info if head else info.get_dicts()
        self.channels: list[int] = [level["num_chs"] for level in described]
        self.head_channels = int(self.network.num_features) if head else 0
        self.finest_stride = int(described[0]["reduction"])
        # Those of the network, not of the weights' tag: a checkpoint is opened without the tag.
        if (normalised := timm.get_pretrained_cfg(name)) is None:
            raise ValueError(f"timm does not say how {name!r} wants its photos normalised")
        mean, std = (torch.tensor(values)[:, None, None] for values in (normalised.mean, normalised.std))
        self.register_buffer("scale", 0.5 / std, persistent=False)
        self.register_buffer("shift", (0.5 - mean) / std, persistent=False)

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, S, S) float in [-1, 1] -> one map for each resolution, and the head's."""
        image = image * self.scale + self.shift
        if not self.head_channels:
            maps: list[Tensor] = self.network(image)
            return maps
        last, intermediate = self.network.forward_intermediates(image)
        return [*intermediate, last]


TRAINED_ON = {
    "tf_efficientnet_lite2.safetensors": "ImageNet",
    "mobilenet_v2-imagenet.safetensors": "ImageNet",
    "mobilenet_v2-voc.safetensors": "COCO and Pascal VOC",
    "IMAGENET1K_V1": "ImageNet",
    "IMAGENET1K_V2": "ImageNet",
    "in1k": "ImageNet",
}
"""File or public name of encoder weights -> what they were trained on."""


def weights_origin(weights: str | None) -> str:
    """What an encoder starts from, in words: what the weights were trained on, or the file's name."""
    name = PurePath(weights or "").name
    return f"encoder started from {TRAINED_ON.get(name, name)}" if name else ""

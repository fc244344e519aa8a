"""Random changes of a photo and its mask together, with torchvision.transforms.v2."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torchvision import tv_tensors
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as F

from petseg.measure.perturbations import LEVELS, perturb
from petseg.pixels.classes import BORDER
from petseg.pixels.geometry import FILL, Letterbox
from train.sections import AugmentConfig

PADDING = {"grey": FILL, "black": 0}
OUTSIDE = {"ignored": BORDER, "background": 0}


class LetterboxTransform(nn.Module):
    """`petseg.pixels.geometry.Letterbox` for an Image and a Mask.

    Args:
        size: side of the square.
        padding: "grey", "black", or "mean" for the photo's mean colour.
        outside: what the padding is in the mask: "ignored" or "background".
    """

    def __init__(self, size: int, padding: str = "grey", outside: str = "ignored") -> None:
        super().__init__()
        self.size = size
        self.padding, self.outside = padding, outside

    def forward(
        self, image: tv_tensors.Image, mask: tv_tensors.Mask
    ) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """(3, H, W) uint8, (H, W) uint8 -> (3, S, S), (S, S)."""
        height, width = image.shape[-2:]
        box = Letterbox.fit(width, height, self.size)
        right, bottom = (
            self.size - box.inner_width - box.left,
            self.size - box.inner_height - box.top,
        )
        inner = [box.inner_height, box.inner_width]
        padding = [box.left, box.top, right, bottom]
        mean = self.padding == "mean"
        fill = image.float().mean((1, 2)).round().tolist() if mean else PADDING[self.padding]
        image = F.pad(F.resize(image, inner, antialias=True), padding, fill=fill)
        mask = F.pad(F.resize(mask, inner), padding, fill=OUTSIDE[self.outside])
        return image, mask


class StretchTransform(nn.Module):
    """An Image and a Mask at size x size, whatever their aspect ratio was."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = [size, size]

    def forward(
        self, image: tv_tensors.Image, mask: tv_tensors.Mask
    ) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
        """(3, H, W) uint8, (H, W) uint8 -> (3, S, S), (S, S)."""
        return F.resize(image, self.size, antialias=True), F.resize(mask, self.size)


def fitting(size: int, padding: str = "grey", fit: str = "letterbox", outside: str = "ignored") -> nn.Module:
    """What brings a photo into the square: see `train.config.DataConfig`."""
    return StretchTransform(size) if fit == "stretch" else LetterboxTransform(size, padding, outside)


class RandomPerturbation(v2.Transform):
    """One of the eight perturbations of the robustness study at a level from 2 to 10.

    Args:
        kinds: what to draw from; one that is named twice comes twice as often.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        super().__init__()
        self.kinds = kinds

    def make_params(self, flat_inputs: list[object]) -> dict[str, object]:
        """Draw kind, level and seed from torch's generator."""
        return {
            "kind": self.kinds[int(torch.randint(len(self.kinds), ()))],
            "level": int(torch.randint(2, LEVELS + 1, ())),
            "seed": int(torch.randint(2**31, ())),
        }

    def transform(self, inpt: object, params: dict[str, Any]) -> object:
        """Damage images, leave masks alone."""
        if not isinstance(inpt, tv_tensors.Image):
            return inpt
        damaged = perturb(np.ascontiguousarray(inpt.permute(1, 2, 0).numpy()), **params)
        return tv_tensors.Image(torch.from_numpy(damaged).permute(2, 0, 1))


class RandomTurn(v2.Transform):
    """A quarter turn to either side, or half a turn."""

    def make_params(self, flat_inputs: list[object]) -> dict[str, int]:
        """Draw the number of quarter turns, 1 to 3."""
        return {"quarters": int(torch.randint(1, 4, ()))}

    def transform(self, inpt: Tensor, params: dict[str, int]) -> Tensor:
        """Turn photo and mask alike."""
        turned: Tensor = tv_tensors.wrap(torch.rot90(inpt, params["quarters"], (-2, -1)), like=inpt)
        return turned


def build_augmentation(
    config: AugmentConfig,
    size: int,
    padding: str = "grey",
    fit: str = "letterbox",
    outside: str = "ignored",
) -> v2.Transform:
    """Image (3, H, W) uint8 and Mask (H, W) uint8 of any size -> the same at (S, S)."""
    # Mean colours differ from photo to photo, and the transforms fill all alike: with grey instead.
    fill = {tv_tensors.Image: PADDING.get(padding, FILL), tv_tensors.Mask: OUTSIDE[outside]}

    def sometimes(probability: float, *transforms: nn.Module) -> list[nn.Module]:
        return [v2.RandomApply(list(transforms), p=probability)] if probability else []

    def affine(probability: float, **parts: Any) -> list[nn.Module]:
        options = {"degrees": 0, "interpolation": v2.InterpolationMode.BILINEAR, "fill": fill}
        return sometimes(probability, v2.RandomAffine(**options | parts))

    whole, strong = fitting(size, padding, fit, outside), config.strengths
    turn, move = strong.degrees, (strong.translate, strong.translate)
    crop = v2.RandomResizedCrop(size, scale=strong.crop_area, ratio=strong.crop_ratio, antialias=True)
    changed = v2.Compose(
        [
            # First, because the study damages photos at their own resolution.
            *sometimes(config.perturb, RandomPerturbation(config.kinds)),
            *sometimes(config.turn, RandomTurn()),
            *([v2.RandomZoomOut(fill, (1.5, 6.0), p=config.zoom_out)] if config.zoom_out else []),
            v2.RandomChoice([crop, whole], p=[config.crop, 1 - config.crop]),
            v2.RandomHorizontalFlip(config.flip),
            *affine(
                config.affine, degrees=turn, translate=move, scale=strong.scale, shear=strong.shear or None
            ),
            *affine(config.rotate, degrees=turn),
            *affine(config.shift, translate=move),
            *affine(config.rescale, scale=strong.scale),
            *sometimes(
                config.elastic,
                v2.ElasticTransform(alpha=strong.elastic_alpha, sigma=strong.elastic_sigma, fill=fill),
            ),
            *sometimes(config.exposure, v2.ColorJitter(strong.brightness, strong.contrast)),
            *sometimes(
                config.colour,
                v2.ColorJitter(strong.brightness, strong.contrast, strong.saturation, strong.hue),
            ),
            *([v2.RandomGrayscale(config.grayscale)] if config.grayscale else []),
            *sometimes(config.blur, v2.GaussianBlur(5, sigma=strong.blur_sigma)),
            *sometimes(
                config.noise,
                v2.ToDtype({tv_tensors.Image: torch.float32, "others": None}, scale=True),
                v2.GaussianNoise(sigma=strong.noise_sigma),
                v2.ToDtype({tv_tensors.Image: torch.uint8, "others": None}, scale=True),
            ),
        ]
    )
    share = config.untouched
    return v2.RandomChoice([whole, changed], p=[share, 1 - share]) if share else changed


def to_tensors(image: np.ndarray, mask: np.ndarray) -> tuple[tv_tensors.Image, tv_tensors.Mask]:
    """(H, W, 3) and (H, W) uint8 arrays -> Image (3, H, W) and Mask (H, W)."""
    photo, labels = (torch.from_numpy(np.require(a, requirements=["C", "W"])) for a in (image, mask))
    return tv_tensors.Image(photo.permute(2, 0, 1)), tv_tensors.Mask(labels)


def plain(tensor: Tensor) -> Tensor:
    """The tensor without torchvision's subclass, contiguous, for collation."""
    return tensor.as_subclass(Tensor).contiguous()

"""A promptable model on another U-Net: `python -m train.transplant CONFIG --head A --unet B --output DIR`.

The head of a trained `prompt` knows how to part animals; another U-Net knows photos better. The head moves
over as it is, and the 1x1 convolutions between the two are fitted by least squares, so that it finds on
training photos what it was used to. What comes out is a start for training, not a model.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn
from tqdm import tqdm

from train.checkpoint import load_checkpoint, save_checkpoint
from train.config import Config, load_config
from train.data.dataset import read_splits
from train.data.sources import with_photos_there
from train.models import build
from train.models.prompt import PromptNet
from train.models.stored import load_weights
from train.people.scene_dataset import SceneCache, SceneDataset

PHOTOS, PLACES = 320, 600
"""Photos that are looked at, and places of each at which a level is fitted."""
RIDGE = 1e-3
"""Share of the features' mean variance that is added to each, for those that nearly repeat others."""


class Fit:
    """Least squares of targets (N, T) on features (N, F), from batches.

    Attributes:
        features, targets: F and T.
    """

    def __init__(self, features: int, targets: int) -> None:
        self.features, self.targets = features, targets
        side = features + targets
        self.count, self.sums = 0, torch.zeros(side, dtype=torch.float64)
        self.products = torch.zeros(side, side, dtype=torch.float64)

    def add(self, features: Tensor, targets: Tensor) -> None:
        """Count (N, F) and (N, T)."""
        both = torch.cat([features, targets], 1).double()
        self.count += len(both)
        self.sums += both.sum(0)
        self.products += both.T @ both

    def store(self, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> float:
        """Put the solution into a 1x1 convolution without bias and the normalisation after it.

        Returns:
            The share of the targets' variance that the fit explains.
        """
        mean = self.sums / self.count
        covariance = self.products / self.count - torch.outer(mean, mean)
        own, shared = (
            covariance[: self.features, : self.features],
            covariance[: self.features, self.features :],
        )
        ridge = RIDGE * own.diagonal().mean() * torch.eye(self.features, dtype=torch.float64)
        weights = torch.linalg.solve(own + ridge, shared)
        fitted = torch.einsum("ft,fg,gt->t", weights, own, weights)
        with torch.no_grad():
            convolution.weight.copy_(weights.T[:, :, None, None])
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.running_mean.copy_(mean[: self.features] @ weights)
            norm.running_var.copy_(fitted)
            norm.weight.copy_(torch.sqrt(fitted + norm.eps))
            norm.bias.copy_(mean[self.features :])
        wanted = covariance[self.features :, self.features :].diagonal()
        return float((fitted / wanted.clamp(min=1e-9)).mean())


def transplant(config: Config, head: Path, unet: Path) -> PromptNet:
    """The model of the config with the head of one checkpoint and the U-Net of another.

    Raises:
        ValueError: one of them is of another family, or their levels differ.
        FileNotFoundError, RuntimeError: as `train.checkpoint.load_checkpoint`.
    """
    old, _ = load_checkpoint(head)
    model = build(config.model.without_start())
    if not isinstance(old, PromptNet) or not isinstance(model, PromptNet):
        raise ValueError(f"{head} and the config must be of the family prompt")
    load_weights(model.unet, unet)
    model.levels.load_state_dict(old.levels.state_dict())
    model.head.load_state_dict(old.head.state_dict())
    model.eval()
    pairs = [
        (cast(nn.Sequential, new), cast(nn.Sequential, then))
        for new, then in zip(model.projections, old.projections, strict=True)
    ]
    widths = [len(old.state_dict()[f"projections.{level}.0.weight"]) for level in range(len(pairs))]
    fits = [Fit(features, width) for features, width in zip(model.unet.widths, widths, strict=True)]
    training, _ = read_splits(config.data)
    scenes = SceneDataset.of(SceneCache.of(training, config), config)
    generator = torch.Generator().manual_seed(config.seed)
    with torch.no_grad():
        for index in tqdm(range(PHOTOS), desc="fitting"):
            image = scenes[index][0][None]
            features, _, _ = model.unet.decoded(image)
            then, _, _ = old.unet.decoded(image)
            for fit, feature, level, (_, project) in zip(fits, features, then, pairs, strict=True):
                target = project(level)
                columns = feature[0].flatten(1).T, target[0].flatten(1).T
                places = torch.randint(len(columns[0]), (PLACES,), generator=generator)
                fit.add(columns[0][places], columns[1][places])
    for fit, (new, _) in zip(fits, pairs, strict=True):
        convolution, norm = new
        assert isinstance(convolution, nn.Conv2d)
        assert isinstance(norm, nn.BatchNorm2d)
        print(f"a level of {fit.features} channels: {fit.store(convolution, norm):.1%} of the variance")
    return model


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the start."""
    parser = argparse.ArgumentParser(prog="python -m train.transplant", description=__doc__)
    parser.add_argument("config", type=Path, help="of the promptable model to be")
    parser.add_argument("--head", type=Path, required=True, help="checkpoint of a `prompt` model")
    parser.add_argument("--unet", type=Path, required=True, help="checkpoint of the U-Net of the config")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint folder to make")
    options = parser.parse_args(arguments)
    try:
        config = with_photos_there(load_config(options.config))
        save_checkpoint(options.output, transplant(config, options.head, options.unet), config)
    except (OSError, ValueError, RuntimeError) as error:
        parser.exit(1, f"cannot transplant: {error}\n")


if __name__ == "__main__":
    main()

"""Masks for photos that have none, from a trained model (self-training).

`python -m train.pseudo CHECKPOINT --images FOLDER --output FOLDER` writes one PNG a photo: 0 background,
1 cat, 2 dog, 255 where the model is unsure. The species is not guessed: it stands in the Oxford photo's name.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn
from tqdm import tqdm

from petseg.measure.datasets import IMAGE_SUFFIXES
from petseg.measure.pair import Pair, read_labels
from petseg.pixels import saving
from petseg.pixels.classes import BORDER
from train.checkpoint import load_checkpoint
from train.report.inference import letterboxed


@torch.inference_mode()
def pet_probability(model: nn.Module, photo: NDArray[np.uint8], size: int) -> NDArray[np.float32]:
    """(H, W) float32: probability of any pet, the mean over the photo and its mirror image."""
    box, batch = letterboxed(photo, size)
    logits = model(torch.cat([batch, batch.flip(-1)])).float()
    background = logits.softmax(1)[:, 0]
    pet = 1 - (background[0] + background[1].flip(-1)) / 2
    return box.restore(pet.numpy())


def pseudo_mask(
    pet: NDArray[np.float32], species: int, margin: float, known: NDArray[np.uint8] | None = None
) -> NDArray[np.uint8]:
    """Classes from the probability of a pet.

    Args:
        pet: (H, W) float32, 0..1.
        species: 1 cat, 2 dog.
        margin: pixels within this distance of 0.5 become `BORDER`.
        known: (H, W) uint8 mask whose labelled pixels stay as they are.

    Returns:
        (H, W) uint8.
    """
    mask = np.where(pet > 0.5, np.uint8(species), np.uint8(0))
    mask[np.abs(pet - 0.5) < margin] = BORDER
    return mask if known is None else np.where(known == BORDER, mask, known)


def main() -> None:
    """Write the masks; a photo in which no pet is found gets none, since its name promises one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--known", type=Path, help="folder of masks whose labelled pixels are kept")
    parser.add_argument("--size", type=int, help="model square; default: the one it was trained at")
    parser.add_argument("--margin", type=float, default=0.25)
    options = parser.parse_args()
    model, config = load_checkpoint(options.checkpoint)
    options.output.mkdir(parents=True, exist_ok=True)
    photos = sorted(p for p in options.images.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    for path in tqdm(photos, desc="pseudo-masks", unit="photo", mininterval=2):
        known_path = options.known / f"{path.stem}.png" if options.known else None
        known = read_labels(known_path) if known_path and known_path.is_file() else None
        target = options.output / f"{path.stem}.png"
        pair = Pair(path.stem, path, target)
        pet = pet_probability(model, pair.read_image(), options.size or config.data.size)
        mask = pseudo_mask(pet, pair.species, options.margin, known)
        if (mask == pair.species).any():
            saving.write(target, saving.encode(Image.fromarray(mask), ".png"))


if __name__ == "__main__":
    main()

"""Zero-shot accuracy of a dual encoder: `python -m train.zeroshot train/checkpoints/clip-mini-captions`.

No classifier is trained: a photo gets the class whose captions it is closest to (arXiv:2103.00020, 3.1).
The breeds are those of the training captions; photos of the test list were in no training.
"""

import argparse
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from petseg.measure import report_file
from petseg.pixels.classes import CLASSES
from train.checkpoint import load_checkpoint
from train.config import SourceConfig
from train.data.arguments import add_photos
from train.data.captions import CaptionedPhoto, Captioner, read_captioned
from train.models.contrastive import DualEncoder
from train.report.inference import letterboxed


@torch.inference_mode()
def measure(
    model: DualEncoder, photos: Sequence[CaptionedPhoto], captioner: Captioner, size: int
) -> dict[str, Any]:
    """Compare each photo with the captions of all breeds, and with those of the species.

    Args:
        model: in eval mode.
        photos: at their own size; they are letterboxed.
        captioner: knows the breeds that a photo may be of.
        size: side of the model's square.

    Returns:
        "photos"; "species_accuracy"; "breed_accuracy", "breed_top5_accuracy"; "breed_mean_accuracy", the mean
        over breeds, which counts rare ones like frequent ones; "by_breed".
    """
    breeds = model.embed_classes([captioner.breed_captions(breed) for breed in captioner.breeds])
    species = model.embed_classes([captioner.class_captions(number) for number in range(1, len(CLASSES))])
    right: dict[str, list[bool]] = defaultdict(list)
    top5 = right_species = 0
    for photo in tqdm(photos, desc="zero-shot", unit="photo", mininterval=1):
        embedded = model.embed_image(letterboxed(photo.read_image(), size)[1])
        order = model.compare(embedded, breeds)[0].argsort(descending=True)[:5].tolist()
        closest = [captioner.breeds[number] for number in order]
        right[photo.breed_name].append(closest[0] == photo.breed_name)
        top5 += photo.breed_name in closest
        right_species += int(model.compare(embedded, species).argmax()) + 1 == photo.species
    by_breed = {breed: sum(answers) / len(answers) for breed, answers in sorted(right.items())}
    return {
        "photos": len(photos),
        "species_accuracy": right_species / len(photos),
        "breed_accuracy": sum(map(sum, right.values())) / len(photos),
        "breed_top5_accuracy": top5 / len(photos),
        "breed_mean_accuracy": sum(by_breed.values()) / len(by_breed),
        "by_breed": by_breed,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the figures, and write them as JSON if asked."""
    parser = argparse.ArgumentParser(prog="python -m train.zeroshot", description=__doc__)
    parser.add_argument("checkpoint", type=Path, help="of a dual encoder")
    add_photos(parser)
    options = report_file.parse(parser, arguments)
    model, config = load_checkpoint(options.checkpoint)
    if not isinstance(model, DualEncoder):
        parser.error(f"{options.checkpoint} is a {config.model.family}; only a dual encoder reads captions")
    source = SourceConfig(
        path=options.data.name, layout="oxford", split=options.split or options.default_split
    )
    photos = read_captioned(source, options.data.parent)
    report = measure(model, photos, Captioner(photos, config.captions), config.data.size)
    print("\n".join(f"{name:<22}{value:.4g}" for name, value in report.items() if name != "by_breed"))
    report_file.write(options.json, report)


if __name__ == "__main__":
    main()

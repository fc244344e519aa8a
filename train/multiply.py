"""Multiply training data offline: `python -m train.multiply train/configs/unet.toml --set multiply.copies=3`.

Writes augmented copies of each training photo and its mask, as `[augment]` draws them at `data.size`, into a
new folder, which a source of the "folder" layout then reads:

    [[data.sources]]
    path = "./runs/unet-copies"
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import DataLoader
from tqdm import tqdm

from petseg.errors import PetsegError
from petseg.pixels import saving
from train.config import Config, load_config
from train.data.dataset import COPIES, PhotoDataset, read_originals, read_splits
from train.data.samples import Sample


def training_photos(config: Config) -> list[Sample]:
    """What is to be multiplied: each training photo once, of every source that holds no copies itself.

    A photo whose name a validation photo of another source has too is left out: it may be the same.

    Raises:
        ValueError: there is none, or two have one name, so that their copies would have one too.
    """
    data, output = config.data, config.copies_folder.resolve()

    def has_copies(folder: Path) -> bool:
        return folder.resolve() == output or bool(read_originals(folder))

    sources = [source for source in data.sources if not has_copies(source.folder(Path(data.root)))]
    plain = data.model_copy(update={"sources": sources, "balance": False, "labels": "species"})
    training, validation = read_splits(plain)
    held_out = {sample.name for sample in validation}
    photos = list({id(sample): sample for sample in training if sample.name not in held_out}.values())
    if not photos:
        raise ValueError("there are no training photos to multiply")
    name, count = Counter(photo.name for photo in photos).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{count} training photos have the name {name}: multiply their sources one by one")
    return photos


def multiply(config: Config) -> Path:
    """Write the copies; the same config and photos give the same copies.

    Copy k of photo i is what item i of a `PhotoDataset` over these photos would be in epoch k, so no other
    random numbers are needed. The folder appears when it is complete.

    Returns:
        the folder: images/NAME_copyK.png, masks/NAME_copyK.png and `COPIES`.

    Raises:
        FileExistsError: it is there already; old copies may be of photos that are held out now.
        ValueError: see `training_photos`.
        petseg.ImageError: a source cannot be read.
    """
    output, data = config.copies_folder, config.data
    if output.exists():
        raise FileExistsError(f"{output} is there already: remove it, or set multiply.output to another")
    photos = training_photos(config)
    dataset = PhotoDataset(
        photos,
        data.size,
        cache_side=data.cache_side,
        augment=config.augment,
        seed=config.seed,
        **data.fitting,
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}-") as temporary:
        folder = Path(temporary) / output.name
        for name in ("images", "masks"):
            (folder / name).mkdir(parents=True)
        saving.write_json(folder / COPIES, record(config, photos))
        for copy in range(1, config.multiply.copies + 1):
            dataset.set_epoch(copy)
            write_copies(dataset, folder, copy, data.workers)
        folder.rename(output)
    return output


def record(config: Config, photos: Sequence[Sample]) -> dict[str, object]:
    """What the copies are made of; see `train.data.dataset.read_originals`."""
    return {
        "copies": config.multiply.copies,
        "seed": config.seed,
        "size": config.data.size,
        "augment": config.augment.model_dump(),
        "originals": [photo.name for photo in photos],
    }


def write_copies(dataset: PhotoDataset, folder: Path, copy: int, workers: int) -> None:
    """Write the items of one epoch; PNG, since JPEG would smooth what was drawn."""
    loader = DataLoader(dataset, batch_size=None, num_workers=workers)
    for image, labels, name in tqdm(loader, desc=f"copy {copy}", unit="photo", mininterval=2):
        file = f"{name}_copy{copy}.png"
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(folder / "images" / file)
        Image.fromarray(labels.numpy().astype(np.uint8)).save(folder / "masks" / file)


def main(arguments: list[str] | None = None) -> None:
    """Parse the command line and write."""
    parser = argparse.ArgumentParser(prog="python -m train.multiply", description="Multiply training data.")
    parser.add_argument("config", metavar="CONFIG", help="TOML file, see train/configs/")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="override, e.g. multiply.copies=5"
    )
    options = parser.parse_args(arguments)
    try:
        config = load_config(options.config, options.set)
        output = multiply(config)
    except (PetsegError, OSError, ValueError) as error:
        parser.exit(1, f"cannot multiply: {error}\n")
    count = len(read_originals(output))
    print(f"{config.multiply.copies} copies of {count} training photos in {output}")


if __name__ == "__main__":
    main()

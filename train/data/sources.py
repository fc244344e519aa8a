"""What there is of a config's photos: what is not there is downloaded, left out aloud, or an error."""

import os
import shutil
from pathlib import Path

from filelock import FileLock
from torchvision.datasets import OxfordIIITPet
from tqdm import tqdm

from petseg.errors import ImageError
from train.config import OXFORD, Config, DataConfig

HOME_PAGE = "https://www.robots.ox.ac.uk/~vgg/data/pets/"


def say(message: str) -> None:
    """Tell whoever started the run, once, however many processes it has."""
    if os.environ.get("RANK", "0") == "0":
        tqdm.write(message)


def there(data: DataConfig) -> DataConfig:
    """The same with the sources that are there; the Oxford-IIIT Pet dataset is brought where it is missing.

    Raises:
        petseg.ImageError: none is left; or a download failed.
    """
    root = Path(data.root)
    if data.download:
        for source in data.sources:
            if source.layout == "oxford" and source.folder(root).name == OXFORD and not source.optional:
                download_oxford(source.folder(root))
    kept = [source for source in data.sources if not source.optional or source.folder(root).is_dir()]
    _say_missing([source.path for source in data.sources if source not in kept], root)
    if not kept:
        raise ImageError(f"none of the sources is in {root}: set data.root, or PETSEG_DATA")
    return data.model_copy(update={"sources": kept})


def with_photos_there(config: Config) -> Config:
    """A run's config with the sources that are there, which is what its checkpoint tells; see `there`."""
    root, stage = Path(config.data.root), config.reconstruction
    photos = [path for path in stage.photos if not stage.optional or (root / path).is_dir()]
    _say_missing([path for path in stage.photos if path not in photos], root)
    update = {"data": there(config.data), "reconstruction": stage.model_copy(update={"photos": photos})}
    return config.model_copy(update=update)


def _say_missing(paths: list[str], root: Path) -> None:
    if paths:
        say(f"not in {root}, trained without: {', '.join(paths)}")


def download_oxford(folder: Path) -> None:
    """Let torchvision download the Oxford-IIIT Pet dataset, unless the folder is there.

    The folder appears once it is whole; of several processes on a machine one downloads, the others wait.

    Args:
        folder: to be made, of the name that torchvision gives it.

    Raises:
        petseg.ImageError: it cannot be had.
    """
    if folder.is_dir():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = folder.parent / f".{folder.name}.part"
        with FileLock(folder.parent / f".{folder.name}.lock"):
            if folder.is_dir():
                return
            say(f"downloading the Oxford-IIIT Pet dataset (0.8 GB, CC BY-SA 4.0) into {folder}")
            # torchvision takes a folder for whole that a killed process left.
            shutil.rmtree(draft / folder.name / "annotations", ignore_errors=True)
            OxfordIIITPet(draft, target_types="segmentation", download=True)
            for archive in (draft / folder.name).glob("*.tar.gz"):
                archive.unlink()
            (draft / folder.name).rename(folder)
            shutil.rmtree(draft)
    except (OSError, RuntimeError) as error:
        raise ImageError(
            f"the Oxford-IIIT Pet dataset is not in {folder} and cannot be downloaded ({error}); unpack "
            f"images.tar.gz and annotations.tar.gz of {HOME_PAGE} there, or set data.root, or PETSEG_DATA, "
            f"to the folder that holds {folder.name}"
        ) from error

"""From a photo to what a model sees and back, and any trained model opened for measuring."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias, TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from petseg.engine.network import open_network
from petseg.engine.second_look import Look, look_again
from petseg.models import catalog
from petseg.pixels.decision import SURE
from petseg.pixels.geometry import FILL, Letterbox
from petseg.segmentation import Segmentation
from train.checkpoint import load_checkpoint
from train.config import Config
from train.data.augment import PADDING
from train.models import parameter_count
from train.models.family import Need
from train.models.stored import WEIGHTS

Photo: TypeAlias = NDArray[np.uint8]
Fill: TypeAlias = int | Literal["mean"]
"""Grey 0..255 around a photo in its square, or the photo's mean colour."""

_ELSEWHERE: dict[Need, str] = {
    "caption": "{name} compares photos with captions and gives no masks; use python -m train.zeroshot",
    "prompt": "{name} answers for what is pointed at, not for whole photos; evaluate it by simulated clicks: "
    "python -m train.evaluate {name} --clicks",
    "true species": "{name} is told the true species (oracle_text); use python -m train.oracle",
}
"""What to say of a model that needs more than photos."""


def _as_petseg(fill: Fill, *, stretch: bool) -> bool:
    """Whether photos are seen as petseg sees them, no study does: speckles taken out, and a second look."""
    return fill == FILL and not stretch


def letterboxed(
    photo: Photo, size: int, fill: Fill = FILL, *, stretch: bool = False
) -> tuple[Letterbox, Tensor]:
    """An (H, W, 3) uint8 photo as a model sees it.

    Args:
        photo: it.
        size: side of the square.
        fill: what is around the photo.
        stretch: fill the square, whatever the photo's aspect ratio is, as some studies do.

    Returns:
        Where the photo lies in the square, and the square as a batch, (1, 3, size, size) uint8.
    """
    height, width = photo.shape[:2]
    box = Letterbox.fit(width, height, size)
    if stretch:
        box = replace(box, left=0, top=0, inner_width=size, inner_height=size)
    square = box.apply(photo, FILL if fill == "mean" else fill, clean=_as_petseg(fill, stretch=stretch))
    if fill == "mean":
        outside = np.ones(square.shape[:2], bool)
        outside[box.inner] = False
        square[outside] = photo.mean((0, 1)).round()
    return box, torch.from_numpy(square).permute(2, 0, 1)[None]


@dataclass(frozen=True)
class Answer:
    """What a model says about one photo.

    Attributes:
        logits: (3, S, S) float32.
        letterbox: where the photo lies in the square.
        segmentation: the same at the photo's size.
    """

    logits: NDArray[np.float32]
    letterbox: Letterbox
    segmentation: Segmentation

    @cached_property
    def classes(self) -> NDArray[np.uint8]:
        """(h, w) uint8, in the model's pixels: the classes of the part of the square that shows the photo."""
        rows, columns = self.letterbox.inner
        classes: NDArray[np.uint8] = self.logits[:, rows, columns].argmax(0).astype(np.uint8)
        return classes


@dataclass(frozen=True)
class Model:
    """A model that finds all pets of a photo, on the CPU.

    Attributes:
        name: as it was asked for.
        size: side S of its square, in pixels.
        parameters: number of weights.
        bytes: of the files with the weights.
        run: (1, 3, S, S) uint8 -> (3, S, S) float32 logits.
        fill: what is around a photo in the square.
        stretch: see `letterboxed`.
        doubt, sure: see `petseg.models.manifest.Manifest`.
    """

    name: str
    size: int
    parameters: int
    bytes: int
    run: Callable[[Tensor], NDArray[np.float32]]
    fill: Fill = FILL
    stretch: bool = False
    doubt: bool = True
    sure: float = SURE

    def __call__(self, photo: Photo) -> Answer:
        """Answer for an (H, W, 3) uint8 photo."""
        box, batch = letterboxed(photo, self.size, self.fill, stretch=self.stretch)
        look = Look(self.run(batch), box)
        if _as_petseg(self.fill, stretch=self.stretch):
            look = look_again(look, photo, FILL, self._run_all, doubt=self.doubt)
        return Answer(*look, Segmentation(*look, photo, self.name, sure=self.sure))

    def mask(self, photo: Photo) -> NDArray[np.uint8]:
        """(H, W) uint8 of an (H, W, 3) uint8 photo."""
        return self(photo).segmentation.mask

    def _run_all(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return np.stack([self.run(torch.from_numpy(image)[None]) for image in images])

    @classmethod
    def of_network(
        cls,
        name: str,
        network: nn.Module,
        size: int,
        *,
        fill: Fill = FILL,
        stretch: bool = False,
        doubt: bool = True,
        sure: float = SURE,
        bytes: int = 0,
    ) -> "Model":
        """A torch model in eval mode that takes nothing but photos."""

        @torch.inference_mode()
        def run(batch: Tensor) -> NDArray[np.float32]:
            logits: NDArray[np.float32] = network(batch)[0].float().numpy()
            return logits

        return cls(name, size, parameter_count(network), bytes, run, fill, stretch, doubt, sure)


def open_models(names: Sequence[str], size: int | None = None, threads: int = 0) -> list[Model]:
    """Every one of them with `open_model`; one that is named twice is refused with a ValueError."""
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"{name} is given more than once")
    return [open_model(name, size, threads) for name in names]


def open_model(name: str, size: int | None = None, threads: int = 0) -> Model:
    """A checkpoint folder, or anything that petseg opens and that needs no clicks.

    Args:
        name: the folder; or name of a model, .onnx file, or reference on the Hub.
        size: square that a checkpoint is run at, by default the one it was trained at.
        threads: of ONNX Runtime, 0 for its own choice; torch's are set for the whole process.

    Raises:
        FileNotFoundError: a folder that holds neither a checkpoint nor a model.
        ValueError: a damaged checkpoint, one that does not segment cats and dogs by itself, or a size for
            something else than a checkpoint.
        petseg.PetsegError: petseg cannot open it.
    """
    if is_checkpoint(name):
        return _open_checkpoint(name, size)
    if size is not None:
        raise ValueError(f"{name} has one size, that of its export; leave the size out, or give checkpoints")
    files = catalog.resolve(name)
    network = open_network(files, "cpu", threads)
    manifest = network.manifest
    if manifest.prompts:
        raise ValueError(_ELSEWHERE["prompt"].format(name=name))
    weight = sum(file.path.stat().st_size for file in files)

    def run(batch: Tensor) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = network.run(np.ascontiguousarray(batch.numpy()))[0]
        return logits

    rules = Rules(doubt=manifest.doubt, sure=manifest.sure)
    return Model(name, manifest.size, manifest.parameters, weight, run, manifest.fill, **rules)


def is_checkpoint(name: str) -> bool:
    """Whether it is a folder without a model that petseg opens: a checkpoint, or meant to be one."""
    folder = Path(name)
    return (folder / WEIGHTS).is_file() or (folder.is_dir() and not any(folder.glob("*.onnx")))


def check_species(name: str, config: Config) -> None:
    """Raise ValueError unless a checkpoint's classes are background, cat and dog."""
    if config.data.labels == "trimap":
        raise ValueError(
            f'{name} was trained with data.labels = "trimap": its classes are background, pet and border, '
            "which figures of background, cat and dog cannot be compared with"
        )


def _open_checkpoint(name: str, size: int | None) -> Model:
    network, config = load_checkpoint(name)
    check_species(name, config)
    for need in config.model.needs:
        raise ValueError(_ELSEWHERE[need].format(name=name))
    if config.model.gives != "logits":
        raise ValueError(f"{name} reconstructs photos and gives no masks; give the stage that segments")
    weight = (Path(name) / WEIGHTS).stat().st_size
    square, doubt = size or config.data.size, config.doubt and config.study is None
    rules = Rules(doubt=doubt, sure=config.sure)
    return Model.of_network(name, network, square, bytes=weight, **rules, **fits(config))


class Rules(TypedDict):
    """Of what a model is little sure of, see `petseg.models.manifest.Manifest`."""

    doubt: bool
    sure: float


class Fits(TypedDict):
    """How a config's photos come into the square, see `letterboxed`."""

    fill: Fill
    stretch: bool


def fits(config: Config) -> Fits:
    """That of a config."""
    fill: Fill = "mean" if config.data.padding == "mean" else PADDING[config.data.padding]
    return {"fill": fill, "stretch": config.data.fit == "stretch"}

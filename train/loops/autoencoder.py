"""The two stages of an autoencoder's training: reconstruct photos, then segment on the frozen encoder."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from petseg.errors import ImageError
from petseg.measure.datasets import IMAGE_SUFFIXES
from petseg.pixels import saving
from petseg.pixels.classes import BORDER
from petseg.pixels.geometry import FILL
from petseg.pixels.image import load
from train.config import Config
from train.data.dataset import PhotoDataset, split_validation
from train.data.samples import Sample
from train.loops.base import BEST, OnEpoch, state_folder, trains
from train.loops.photos import PhotoBatch, PhotoTrainer
from train.models.autoencoder import AutoencoderConfig
from train.models.unet import normalise

STAGE_ONE = "reconstruction"
"""Folder of the first stage inside the run's, and the task of its model."""
SAMPLES = "samples.png"
PATCH = 16
"""Side of the patches that may be hidden from the encoder, in pixels."""


@dataclass(frozen=True)
class UnlabelledPhoto:
    """A photo without a mask."""

    path: Path
    breed = ""

    @property
    def name(self) -> str:
        """File name without suffix."""
        return self.path.stem

    def read_image(self) -> NDArray[np.uint8]:
        """(H, W, 3) uint8."""
        return load(self.path)

    def read_mask(self) -> NDArray[np.uint8]:
        """(H, W) uint8: nothing is known of any pixel."""
        return np.full(self.read_image().shape[:2], BORDER, np.uint8)


def read_unlabelled(folder: Path, known: set[str]) -> list[Sample]:
    """The photos of `folder`/images whose name is not among the known ones, sorted by name.

    Raises:
        petseg.ImageError: the folder is missing or holds no photos.
    """
    images = folder / "images"
    paths = sorted(images.iterdir()) if images.is_dir() else []
    photos = [path for path in paths if path.suffix.lower() in IMAGE_SUFFIXES]
    if not photos:
        raise ImageError(f"{folder} holds no photos: {images} is missing or empty")
    return [UnlabelledPhoto(path) for path in photos if path.stem not in known]


class ReconstructionTrainer(PhotoTrainer):
    """`PhotoTrainer` of stage one: mean squared error between photo and reconstruction, both in [-1, 1].

    What the encoder sees may be damaged by noise and hidden patches; what the decoder has to give back is
    always the whole photo (denoising autoencoder: Vincent et al., doi:10.1145/1390156.1390294).
    """

    score = "val_psnr"

    def splits(self) -> tuple[list[Sample], list[Sample]]:
        """Every training photo once, then those without a mask; validation photos as everywhere."""
        training, validation = super().splits()
        data = self.config.data
        known = {sample.name for sample in [*training, *validation]}
        unlabelled = [
            photo
            for path in self.config.reconstruction.photos
            for photo in read_unlabelled(Path(data.root) / path, known)
        ]
        if data.share < 1:
            unlabelled = split_validation(unlabelled, data.share, data.seed)[1]
        return [*{id(sample): sample for sample in training}.values(), *unlabelled], validation

    def build_datasets(self) -> tuple[PhotoDataset, PhotoDataset]:
        """As every model's, and a few photos to show."""
        training, validation = super().build_datasets()
        count = min(self.config.reconstruction.samples, len(validation))
        self.shown = torch.stack([validation[index][0] for index in range(count)])
        return training, validation

    def step_loss(self, batch: PhotoBatch) -> Tensor:
        """Mean squared error; labels play no part."""
        image, _labels, _names = batch
        options = self.config.reconstruction
        seen = damage(image, options.noise, options.hidden)
        return F.mse_loss(self.reconstruct(self.model, seen), normalise(image))

    def reconstruct(self, model: nn.Module, image: Tensor) -> Tensor:
        """Photos as a model gives them back, (B, 3, S, S) float32 in [-1, 1]."""
        result: Tensor = model(image.contiguous(memory_format=torch.channels_last))
        return result.float()

    def validate_batches(self, model: nn.Module) -> dict[str, float]:
        """Mean squared error on undamaged photos, and as a signal-to-noise ratio in dB."""
        errors = []
        for image, _labels, _names in self.valid_loader:
            with self.accelerator.autocast():
                result = self.reconstruct(model, image)
            error = (result - normalise(image)).square().mean((1, 2, 3))
            errors.append(self.accelerator.gather_for_metrics(error))
        mean = float(torch.cat(errors).mean())
        return {
            "val_loss": mean,
            # The range of -1..1 is 2.
            "val_psnr": 10 * math.log10(4 / max(mean, 1e-12)),
        }

    def _report(self, row: dict[str, float], improved: bool) -> None:
        super()._report(row, improved)
        if improved:
            save_samples(self.averaged_model, self.shown, self.config.folder / SAMPLES)


@trains(AutoencoderConfig)
class AutoencoderTrainer:
    """Both stages of one config, one after the other.

    Stage one writes into the folder `reconstruction` of the run, stage two beside it. Stage one is left out
    where the config names an encoder that is trained already (`model.encoder_checkpoint`, or `start`), and
    is all there is where `model.task` is "reconstruction".

    Attributes:
        trained: the trainers of the stages that `fit` has run.
    """

    def __init__(self, config: Config) -> None:
        options = config.model
        assert isinstance(options, AutoencoderConfig)
        self.config, self.options = config, options
        self.trained: list[PhotoTrainer] = []

    def fit(self, resume: bool = False, on_epoch: OnEpoch | None = None) -> list[dict[str, float]]:
        """Train to the end; returns the history of the last stage.

        Args:
            resume: go on from the last whole epoch of the stage that was reached.
            on_epoch: see `Trainer.fit`; for the last stage only.
        """
        first, second = self.stages()
        reached = second is not None and state_folder(second.folder) is not None
        if reached and not resume:
            raise FileExistsError(
                f"{self.config.folder} holds a run already: add --resume to go on with it, "
                "or set output to another folder"
            )
        history: list[dict[str, float]] = []
        if first and not reached:
            self.trained.append(ReconstructionTrainer(first))
            history = self.trained[-1].fit(resume, None if second else on_epoch)
        if second:
            self.trained.append(PhotoTrainer(second))
            history = self.trained[-1].fit(resume and (reached or not first), on_epoch)
        return history

    def stages(self) -> tuple[Config | None, Config | None]:
        """The configs of both stages, None for one that is left out."""
        config, options = self.config, self.options
        if options.task == "reconstruction":
            return self._stage_one(config.folder), None
        if options.encoder_checkpoint or config.start:
            return None, config
        first = self._stage_one(config.folder / STAGE_ONE)
        model = options.model_copy(update={"encoder_checkpoint": str(first.folder / BEST)})
        return first, config.model_copy(update={"model": model})

    def _stage_one(self, folder: Path) -> Config:
        config, stage = self.config, self.config.reconstruction
        optim = {
            "epochs": stage.epochs,
            "batch_size": stage.batch_size,
            "learning_rate": stage.learning_rate,
            "encoder_scale": 1.0,
            "patience": stage.patience,
        }
        return config.model_copy(
            update={
                "output": str(folder),
                "augment": stage.augment,
                "model": self.options.model_copy(update={"task": "reconstruction"}),
                "optim": config.optim.model_copy(update=optim),
            }
        )


def damage(image: Tensor, noise: float, hidden: float) -> Tensor:
    """Photos as the encoder gets to see them.

    Args:
        image: (B, 3, S, S) uint8.
        noise: standard deviation of Gaussian noise, as a share of the range 0..255.
        hidden: share of the patches that become grey.

    Returns:
        (B, 3, S, S) uint8.
    """
    if noise:
        noisy = image.float() + 255 * noise * torch.randn(image.shape, device=image.device)
        image = noisy.round().clamp(0, 255).to(torch.uint8)
    if hidden:
        count, _, height, width = image.shape
        cells = torch.rand(count, 1, -(-height // PATCH), -(-width // PATCH), device=image.device) < hidden
        mask = cells.repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)[:, :, :height, :width]
        image = image.masked_fill(mask, FILL)
    return image


@torch.no_grad()
def save_samples(model: nn.Module, photos: Tensor, path: Path) -> None:
    """A picture of photos (N, 3, S, S) uint8, one beside the other, their reconstructions below."""
    device = next(model.parameters()).device
    result = model.eval()(photos.to(device)).float().cpu()
    again = ((result + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    rows = [torch.cat(list(row), dim=2) for row in (photos, again)]
    picture = Image.fromarray(torch.cat(rows, dim=1).permute(1, 2, 0).numpy())
    saving.write(path, saving.encode(picture, path.suffix))

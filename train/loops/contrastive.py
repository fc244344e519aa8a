"""Contrastive training of a dual encoder on captioned photos, by CLIP's recipe (arXiv:2103.00020)."""

from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

from train.config import Config
from train.data.captions import ANY, CaptionDataset, Captioner, fitting, read_captioned_splits
from train.loops.base import Trainer, trains
from train.models.contrastive import ContrastiveConfig, DualEncoder, contrastive_loss

CaptionBatch: TypeAlias = tuple[Tensor, Tensor, Tensor, list[str], list[str]]
"""Photos (B, 3, S, S) uint8; (B, 2) int64, what is true of them, and what captions say; captions; names."""


@trains(ContrastiveConfig)
class ContrastiveTrainer(Trainer[CaptionBatch]):
    """`Trainer` for a `DualEncoder`.

    Captions are compared with the photos of the same process and batch. Its checkpoint's config lists the
    vocabulary, so that the checkpoint can read captions by itself.
    """

    score = "val_breed_accuracy"

    def __init__(self, config: Config) -> None:
        options = config.model
        assert isinstance(options, ContrastiveConfig)
        self.training, self.validation = read_captioned_splits(config.data)
        if not self.validation:
            raise ValueError("no validation photos: set `validation` of at least one source")
        self.captioner = Captioner(self.training, config.captions)
        vocabulary = options.vocabulary or self.captioner.vocabulary()
        super().__init__(
            config.model_copy(update={"model": options.model_copy(update={"vocabulary": vocabulary})})
        )

    def build_datasets(self) -> tuple[Dataset[Any], Dataset[Any]]:
        """Photos with captions."""
        config, data = self.config, self.config.data
        options: dict[str, Any] = {"cache_side": data.cache_side, "seed": config.seed}
        return (
            CaptionDataset(
                self.filled(self.training), data.size, self.captioner, augment=config.augment, **options
            ),
            CaptionDataset(self.validation, data.size, self.captioner, **options),
        )

    def step_loss(self, batch: CaptionBatch) -> Tensor:
        """The contrastive loss."""
        image, facts, said, captions, _names = batch
        tokens = self.accelerator.unwrap_model(self.model).tokenize(captions).to(image.device)
        similarities = self.model(image.contiguous(memory_format=torch.channels_last), tokens)
        return contrastive_loss(similarities, fitting(facts, said))

    def validate_batches(self, model: nn.Module) -> dict[str, float]:
        """Zero-shot accuracy: which class's captions are closest; `val_loss` is that of the breeds."""
        assert isinstance(model, DualEncoder)
        captioner = self.captioner
        breeds = model.embed_classes([captioner.breed_captions(breed) for breed in captioner.breeds])
        species = model.embed_classes([captioner.class_captions(number) for number in (1, 2)])
        rows = []
        for image, facts, *_ in self.valid_loader:
            with self.accelerator.autocast():
                photos = model.embed_image(image.contiguous(memory_format=torch.channels_last)).float()
            of_breeds = model.compare(photos, breeds)
            loss = F.cross_entropy(of_breeds, facts[:, 1], ignore_index=ANY, reduction="none")
            right = of_breeds.argmax(1) == facts[:, 1]
            right_species = model.compare(photos, species).argmax(1) + 1 == facts[:, 0]
            rows.append(self.accelerator.gather_for_metrics(torch.stack([loss, right, right_species], 1)))
        loss, right, right_species = torch.cat(rows).mean(0).tolist()
        return {
            "val_loss": loss,
            "val_breed_accuracy": right,
            "val_species_accuracy": right_species,
            "temperature": float(1 / model.logit_scale.exp()),
        }

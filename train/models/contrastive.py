"""A small dual encoder of photos and captions, trained as CLIP is (arXiv:2103.00020).

It is the start of `clip-mini`: CLIP's recipe and form in two million weights, not OpenAI's CLIP.
"""

import math
import re
from collections.abc import Sequence
from typing import Self

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from train.models.encoders import MobileNetV2Encoder, weights_origin
from train.models.family import Borrowed, FamilyConfig, Gives, Need, family, last_parts
from train.models.unet import check_size, normalise

PAD, END, UNKNOWN = 0, 1, 3
"""Tokens that are no words. 2 stays free: as `eos_token_id` it has a meaning of its own in transformers."""
FIRST_WORD = 4

TEMPERATURE, LARGEST_SCALE = 0.07, 100.0
"""CLIP's first temperature, and the largest factor on cosines that it may learn (arXiv:2103.00020, 2.5)."""


class ContrastiveConfig(FamilyConfig):
    """Options of `DualEncoder`.

    Attributes:
        weights: start of the image encoder, see `MobileNetV2Encoder`.
        photo_encoder: checkpoint of a CLIP model that stands on a dual encoder: its image encoder is taken
            and stays as it is, and only captions are learned (LiT, arXiv:2111.07991).
        embedding: numbers of the space that photos and captions share.
        width, layers, heads: of the text transformer.
        length: tokens of a caption, its end included; longer ones are cut.
        vocabulary: the words that it knows; empty lets the trainer take those of its captions.
    """

    family: str = "contrastive"
    weights: str | None = None
    photo_encoder: str | None = None
    embedding: int = Field(default=128, ge=1)
    width: int = Field(default=128, ge=1)
    layers: int = Field(default=2, ge=1)
    heads: int = Field(default=4, ge=1)
    length: int = Field(default=20, ge=2)
    vocabulary: list[str] = Field(default=[])

    @property
    def needs(self) -> tuple[Need, ...]:
        """A caption to compare with."""
        return ("caption",)

    @property
    def gives(self) -> Gives:
        """No masks."""
        return "similarity"

    @property
    def origin(self) -> str:
        """What the image encoder starts from."""
        if self.photo_encoder:
            return f"frozen encoder {last_parts(self.photo_encoder)}"
        return weights_origin(self.weights)

    @property
    def borrowed(self) -> Borrowed | None:
        """The image encoder of `photo_encoder`."""
        if self.photo_encoder is None:
            return None
        return Borrowed("encoder", self.photo_encoder, "encoder.mobilenet")

    def example(self, size: int) -> dict[str, Tensor]:
        """A photo, and a caption of no words."""
        return super().example(size) | {"caption": torch.zeros(1, self.length, dtype=torch.int64)}

    def without_start(self) -> Self:
        """The same without pretrained weights."""
        return self.model_copy(update={"weights": None})

    def sketched(self) -> tuple[Self, str]:
        """See `FamilyConfig`."""
        note = f"without the words of its captions, {self.width} weights each, which training collects"
        return self.without_start(), "" if self.vocabulary else note


def words_of(text: str) -> list[str]:
    """The words of a caption: runs of letters and digits, in lower case."""
    return re.findall(r"[a-z0-9]+", text.lower())


@family(ContrastiveConfig)
class DualEncoder(nn.Module):
    """Photos (B, 3, S, S) uint8 and captions (T, L) int64 tokens -> float similarities (B, T).

    MobileNetV2 with its mean feature looks at photos, a small one of transformers' CLIP text models
    reads captions; both are projected to one space, where the scaled cosine is the similarity.
    """

    stride = 32

    def __init__(self, config: ContrastiveConfig) -> None:
        super().__init__()
        self.length = config.length
        self.numbers = {word: FIRST_WORD + index for index, word in enumerate(config.vocabulary)}
        self.encoder = MobileNetV2Encoder(config.weights)
        self.frozen = config.photo_encoder is not None
        self.encoder.requires_grad_(not self.frozen)
        self.visual_projection = nn.Linear(self.encoder.channels[-1], config.embedding, bias=False)
        self.text = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=FIRST_WORD + len(config.vocabulary),
                hidden_size=config.width,
                intermediate_size=4 * config.width,
                projection_dim=config.embedding,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                max_position_embeddings=config.length,
                pad_token_id=PAD,
                bos_token_id=None,
                eos_token_id=END,
            )
        )
        self.logit_scale = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but a frozen encoder."""
        super().train(mode)
        if self.frozen:
            self.encoder.eval()
        return self

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Captions -> (len(texts), L) int64: words, the end, padding."""
        tokens = torch.full((len(texts), self.length), PAD)
        for row, text in zip(tokens, texts, strict=True):
            numbers = [self.numbers.get(word, UNKNOWN) for word in words_of(text)][: self.length - 1]
            row[: len(numbers) + 1] = torch.tensor([*numbers, END])
        return tokens

    def embed_image(self, image: Tensor) -> Tensor:
        """(B, 3, S, S) uint8 -> (B, D) of length 1."""
        check_size(image, self.stride)
        features = self.encoder(normalise(image))[-1].mean((2, 3))
        return F.normalize(self.visual_projection(features), dim=-1)

    def embed_text(self, tokens: Tensor) -> Tensor:
        """(T, L) int64 -> (T, D) of length 1."""
        return F.normalize(self.text(input_ids=tokens).text_embeds, dim=-1)

    def embed_classes(self, classes: Sequence[Sequence[str]]) -> Tensor:
        """One vector for each class from several captions of it: their mean (arXiv:2103.00020, 3.1.4).

        Returns:
            (len(classes), D) of length 1.
        """
        device = self.logit_scale.device
        means = [self.embed_text(self.tokenize(texts).to(device)).mean(0) for texts in classes]
        return F.normalize(torch.stack(means), dim=-1)

    def compare(self, photos: Tensor, captions: Tensor) -> Tensor:
        """Scaled cosines of vectors of length 1: (B, D), (T, D) -> (B, T) float32."""
        with torch.autocast(photos.device.type, enabled=False):  # half precision is too coarse once scaled
            return self.logit_scale.exp().clamp(max=LARGEST_SCALE) * photos.float() @ captions.float().T

    def forward(self, image: Tensor, tokens: Tensor) -> Tensor:
        """Similarities of all photos with all captions."""
        return self.compare(self.embed_image(image), self.embed_text(tokens))


def contrastive_loss(similarities: Tensor, fits: Tensor) -> Tensor:
    """Symmetric InfoNCE with several right answers.

    In CLIP's loss (arXiv:2103.00020) each photo has one right caption, its own. Here many photos of a
    batch are of one breed, and calling the caption of one wrong for the other would teach nonsense. So every
    caption that is true of a photo is right, with equal shares (UniCL, arXiv:2204.03610). With one right
    answer each, it is CLIP's loss.

    Args:
        similarities: (B, T), scaled.
        fits: (B, T) bool, whether a caption is true of a photo; rows and columns without any count nowhere.
    """
    return (_mean_nll(similarities, fits) + _mean_nll(similarities.T, fits.T)) / 2


def _mean_nll(similarities: Tensor, fits: Tensor) -> Tensor:
    counts = fits.sum(1)
    right = (similarities.float().log_softmax(1) * fits).sum(1) / counts.clamp(min=1)
    return -right.sum() / (counts > 0).sum().clamp(min=1)

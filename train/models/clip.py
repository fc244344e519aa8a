"""The CLIP family: a frozen image encoder and a small decoder that scores each class by its text."""

from typing import Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from petseg.pixels.classes import CLASSES
from train.models.clip_decoders import (
    AttentionDecoder,
    FilmDecoder,
    PlainDecoder,
    TransformerDecoder,
    TransposedDecoder,
    enlarge,
)
from train.models.clip_encoders import EncoderConfig, open_encoder
from train.models.clip_towers import ImageEncoder
from train.models.family import Need, family


class ClipConfig(EncoderConfig):
    """Options of `Clip`, besides those of its encoder.

    Attributes:
        decoder: "film" (a block for each feature map, text in every block), "transformer" (CLIPSeg's, see
            `clip_decoders.TransformerDecoder`), "attention" (text concatenated, residual block, channel
            attention), "plain" (a U-Net's decoder without skips and without text) or "transposed" (see
            `clip_decoders.TransposedDecoder`, without text).
        widths: channels of the decoder's blocks, coarsest first; one number for a "transformer".
        enlargement, aligned: of the "transposed" decoder, see `clip_decoders.TransposedDecoder`.
        dropout: of the "attention" decoder, after fusing.
        blocks, kernels: of the "film" decoder, see `clip_decoders.FilmBlock`.
        kernel, convolutions, upsampling, bias: of the "plain" decoder, see `clip_decoders.PlainDecoder`.
        mask_size: side that the decoder's logits are brought to before they are enlarged to the photo's; 0
            leaves that step out.
        oracle_text: tell the model the true species at test time, as two published studies do. That leaks
            the answer: such a model is for comparison with those studies only. It is not exported, and
            its figures are named "oracle".
    """

    family: str = "clip"
    decoder: Literal["film", "transformer", "attention", "plain", "transposed"] = "film"
    widths: list[int] = Field(default=[256, 256, 256, 256], min_length=1)
    blocks: list[int] = Field(default=[1, 1, 1, 1])
    kernels: list[int] = Field(default=[3, 3, 3, 3])
    enlargement: int = Field(default=8, ge=1)
    aligned: bool = False
    dropout: float = Field(default=0.0, ge=0, lt=1)
    kernel: Literal[0, 1, 3] = 3
    convolutions: Literal[1, 2] = 2
    upsampling: Literal["bilinear", "bilinear_1x1", "transposed", "transposed_same"] = "transposed"
    bias: bool = False
    mask_size: int = Field(default=0, ge=0)
    oracle_text: bool = False

    @property
    def needs(self) -> tuple[Need, ...]:
        """The answer, in the leaky mode alone."""
        return ("true species",) if self.oracle_text else ()

    def example(self, size: int) -> dict[str, Tensor]:
        """A photo, and in the leaky mode its species."""
        told = {"true species": torch.zeros(1, dtype=torch.int64)} if self.oracle_text else {}
        return super().example(size) | told

    @property
    def reads_text(self) -> bool:
        """Whether the decoder is conditioned on text."""
        return self.decoder in ("film", "transformer", "attention")

    def around(self, encoder: ImageEncoder) -> ImageEncoder:
        """What the model has of its frozen encoder: that itself, or something around it."""
        return encoder

    @model_validator(mode="after")
    def _oracle_reads(self) -> Self:
        if self.photo_embedding and self.decoder != "transformer":
            raise ValueError(f"photo_embedding: the decoder {self.decoder!r} does not read it")
        if self.oracle_text and not self.reads_text:
            raise ValueError(f"oracle_text: the decoder {self.decoder!r} reads no text")
        return self


class TextConditioned(nn.Module):
    """What the models of the family are made of: a frozen encoder, a decoder, the texts about each class.

    The encoder is frozen, its parameters and its mode. The texts' embeddings are a buffer: neither a
    checkpoint nor an export needs a text tower or a tokenizer. S must be a multiple of the encoder's stride.
    """

    classes = len(CLASSES)
    encoder: ImageEncoder
    texts: Tensor | None
    """(3, D); None for a decoder that reads no text."""

    def __init__(self, config: ClipConfig) -> None:
        super().__init__()
        self.mask_size, self.oracle_text = config.mask_size, config.oracle_text
        encoder, texts = open_encoder(config)
        self.encoder = config.around(encoder)
        self.stride = self.encoder.stride
        self.decoder = self._build_decoder(config)
        if texts is None:
            texts = torch.zeros(self.classes, self.encoder.embedding)
        self.register_buffer("texts", texts if config.reads_text else None)

    def _build_decoder(self, config: ClipConfig) -> nn.Module:
        encoder = self.encoder
        # Told the species, it answers with all classes at once; else with one for each text.
        outputs = self.classes if config.oracle_text or not config.reads_text else 1
        if config.decoder == "film":
            return FilmDecoder(
                encoder.channels,
                encoder.embedding,
                config.widths,
                blocks=config.blocks,
                kernels=config.kernels,
                outputs=outputs,
            )
        if config.decoder == "transformer":
            return TransformerDecoder(
                encoder.channels,
                encoder.embedding,
                config.widths[0],
                joined=config.photo_embedding,
                outputs=outputs,
            )
        if config.decoder == "attention":
            return AttentionDecoder(
                encoder.channels,
                encoder.embedding,
                config.widths,
                dropout=config.dropout,
                outputs=outputs,
            )
        if config.decoder == "transposed":
            return TransposedDecoder(
                encoder.channels,
                config.widths,
                enlargement=config.enlargement,
                aligned=config.aligned,
                outputs=outputs,
            )
        return PlainDecoder(
            encoder.channels,
            config.widths,
            outputs=outputs,
            kernel=config.kernel,
            count=config.convolutions,
            upsampling=config.upsampling,
            bias=config.bias,
        )

    def train(self, mode: bool = True) -> Self:
        """Training mode for all but the encoder."""
        super().train(mode)
        self.encoder.eval()
        return self

    def texts_for(self, species: Tensor | None) -> Tensor | None:
        """(1, 3, D) for all photos, (B, 1, D) where the species is told, None for a decoder without text."""
        if self.texts is None:
            return None
        return self.texts[None] if species is None else self.texts[species][:, None]


@family(ClipConfig)
class Clip(TextConditioned):
    """uint8 photos (B, 3, S, S) -> float logits (B, 3, S, S), without any label."""

    def forward(self, image: Tensor, species: Tensor | None = None) -> Tensor:
        """Logits of background, cat and dog at the resolution of the input.

        Args:
            image: (B, 3, S, S) uint8.
            species: (B,) int64, the true class of each photo, for `oracle_text` only: 0, 1 or 2.

        Raises:
            ValueError: a label is given without `oracle_text`, or missing with it; or S does not fit.
        """
        if self.oracle_text != (species is not None):
            raise ValueError(
                "this model was trained with oracle_text: it needs the true species of every photo, and is "
                "for comparison with studies that leak it (python -m train.oracle)"
                if self.oracle_text
                else "this model takes no label: it was trained without oracle_text"
            )
        logits = self.decoder(self.encoder(image), self.texts_for(species))
        if self.mask_size:
            logits = enlarge(logits, (self.mask_size, self.mask_size))
        return enlarge(logits, (int(image.shape[-2]), int(image.shape[-1])))

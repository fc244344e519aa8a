"""Frozen image encoders of CLIP's kind, with the text tower that belongs to each.

The text tower is asked once, when the encoder is opened, and is not part of it.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import (
    AutoConfig,
    AutoTokenizer,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModel,
    SiglipModel,
    SiglipVisionConfig,
    SiglipVisionModel,
)
from transformers.utils import CONFIG_NAME

from petseg.pixels.classes import CLASSES
from train.models.clip_towers import ImageEncoder, MiniEncoder, ResNetEncoder, TransformerEncoder
from train.models.contrastive import ContrastiveConfig, DualEncoder
from train.models.encoders import MobileNetV2Encoder
from train.models.family import FamilyConfig, family_name, family_of, last_parts
from train.models.stored import load_weights, read_options

Kind = Literal["clip", "siglip"]
"""transformers' `CLIPModel`, or its `SiglipModel` (arXiv:2303.15343)."""


class VisionTransformer(BaseModel):
    """Sizes of a CLIP vision transformer, by transformers' names; the defaults are those of ViT-B/32."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Kind = "clip"
    hidden_size: int = 768
    intermediate_size: int = 3072
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    image_size: int = 224
    patch_size: int = 32
    projection_dim: int = 512
    hidden_act: str = "quick_gelu"
    layer_norm_eps: float = 1e-5

    @classmethod
    def of(cls, encoder: str) -> "VisionTransformer":
        """Those of a CLIP model on the Hub or in a folder; raises as `describe_missing` says.

        Raises:
            ValueError: it is a model of another kind.
        """
        try:
            if Path(encoder).is_dir() and not (Path(encoder) / CONFIG_NAME).is_file():
                raise OSError(f"no {CONFIG_NAME} in it")
            config = AutoConfig.from_pretrained(encoder)
        except (OSError, ValueError) as error:
            raise FileNotFoundError(describe_missing(encoder, error)) from error
        if config.model_type not in get_args(Kind):
            raise ValueError(
                f"{encoder} is a model of the type {config.model_type!r}: of transformers' models, CLIPModel "
                "and SiglipModel are opened (SigLIP 2 too, where its photos have one size)"
            )
        # The text embeddings lie in the space of the whole model, whatever the vision part's default says.
        siglip = config.model_type == "siglip"
        embedding = config.text_config.projection_size if siglip else config.projection_dim
        sizes = config.vision_config.to_dict() | {"projection_dim": embedding, "kind": config.model_type}
        return cls.model_validate({name: sizes[name] for name in cls.model_fields})


_ALIKE = 1 - 1e-6
"""Cosine of two embeddings from which on they are the same."""

_BASE = VisionTransformer()
_LARGE = VisionTransformer(
    hidden_size=1024,
    intermediate_size=4096,
    num_hidden_layers=24,
    num_attention_heads=16,
    patch_size=14,
    projection_dim=768,
)
PUBLISHED = {
    "openai/clip-vit-base-patch32": _BASE,
    "openai/clip-vit-base-patch16": _BASE.model_copy(update={"patch_size": 16}),
    "openai/clip-vit-large-patch14": _LARGE,
    "openai/clip-vit-large-patch14-336": _LARGE.model_copy(update={"image_size": 336}),
}
"""Sizes of OpenAI's vision transformers (arXiv:2103.00020) by their names on the Hub."""


def describe_missing(encoder: str, error: Exception) -> str:
    """What to do about a CLIP that cannot be opened."""
    return (
        f"the CLIP encoder {encoder!r} cannot be opened: give model.encoder a folder that holds a CLIP model "
        f"with its tokenizer, or the name of one on the Hugging Face Hub and a network to get it by ({error})"
    )


class EncoderConfig(FamilyConfig):
    """Which frozen encoder, and the texts that it is asked about.

    Attributes:
        backend: "transformers" (its `CLIPModel` or `SiglipModel`), "open_clip" (OpenAI's ResNets; needs
            `pip install "petseg[openclip]"`), or "dual" (a `DualEncoder` trained here).
        encoder: the pretrained one: a name on the Hub or a folder for transformers, a tag such as
            "openai" or a file for open_clip, a checkpoint folder for a dual encoder; None for a random
            start.
        architecture: what the encoder is made of: its sizes, or open_clip's name for it. The sizes are
            read from `encoder` where that is given.
        layers: layers of a vision transformer whose output is used, from 0.
        maps: which of a dual encoder's four feature maps are used, deepest first; empty: all of them. One is
            what a decoder needs that expects maps of one size, as a vision transformer's are.
        projected: bring a vision transformer's tokens into the space of the texts, as CLIP itself does with
            the one that stands for the photo; SigLIP has nothing that does.
        photo_embedding: give that one too, so projected, after the maps.
        templates: texts about a class, {} standing for its name.
        names: several for each of background, cat and dog. A class's text embedding is the mean over
            names and templates (arXiv:2103.00020, 3.1.4).
    """

    backend: Literal["transformers", "open_clip", "dual"] = "transformers"
    encoder: str | None = "openai/clip-vit-base-patch32"
    architecture: VisionTransformer | ContrastiveConfig | str = VisionTransformer()
    layers: list[int] = Field(default=[8, 9, 10, 11], min_length=1)
    maps: list[Annotated[int, Field(ge=0, le=3)]] = Field(default=[])
    projected: bool = False
    photo_embedding: bool = False
    templates: list[str] = Field(
        default=["a photo of a {}.", "a close-up photo of a {}.", "a picture of a {}."], min_length=1
    )
    names: list[list[str]] = Field(
        default=[["background", "wall", "floor", "lawn"], ["cat"], ["dog"]],
        min_length=len(CLASSES),
        max_length=len(CLASSES),
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        wanted = {"transformers": VisionTransformer, "open_clip": str, "dual": ContrastiveConfig}
        if not isinstance(self.architecture, wanted[self.backend]):
            raise ValueError(
                f"the backend {self.backend!r} needs as architecture "
                + {
                    "transformers": "the sizes of a vision transformer",
                    "open_clip": 'a name such as "RN50"',
                    "dual": 'the options of the dual encoder (family = "contrastive")',
                }[self.backend]
            )
        if self.maps and self.backend != "dual":
            raise ValueError(f"maps are a dual encoder's, not of {self.backend!r}; see layers")
        if (self.projected or self.photo_embedding) and self.backend != "transformers":
            raise ValueError(f"projected and photo_embedding need a vision transformer, not {self.backend!r}")
        if any("{}" not in template for template in self.templates) or not all(self.names):
            raise ValueError("every template needs a {} for the class's name, and every class a name")
        return self

    @property
    def origin(self) -> str:
        """Which frozen encoder."""
        return f"frozen encoder {last_parts(self.encoder)}" if self.encoder else ""

    @property
    def prompts(self) -> list[list[str]]:
        """The texts about each class."""
        return [
            [template.replace("{}", name) for name in names for template in self.templates]
            for names in self.names
        ]

    def without_start(self) -> Self:
        """The same with a random encoder of the same architecture."""
        return self.model_copy(update={"encoder": None})

    def resolved(self) -> Self:
        """The same with the architecture that `encoder` really has, so that it can be built without it.

        Raises:
            FileNotFoundError: there is no such encoder.
        """
        if self.encoder is None or self.backend == "open_clip":
            return self
        architecture = (
            VisionTransformer.of(self.encoder)
            if self.backend == "transformers"
            else _open_dual(self.encoder)[1].without_start()
        )
        return self.model_copy(update={"architecture": architecture})

    def sketched(self) -> tuple[Self, str]:
        """The same with a random encoder of the architecture that `encoder` has; see `FamilyConfig`.

        Nothing is asked of the Hub: a folder is looked into, then the config, then `PUBLISHED`.

        Raises:
            FileNotFoundError: the folder holds no such encoder.
            ValueError: nothing tells the architecture.
        """
        sketch, source = self._sketch()
        return sketch, f"encoder without its weights, by {source}"

    def _sketch(self) -> tuple[Self, str]:
        told = "architecture" in self.model_fields_set
        if self.backend == "open_clip":
            return self.without_start(), f"open_clip's {self.architecture}"
        if self.encoder and Path(self.encoder).is_dir():
            return self.resolved().without_start(), self.encoder
        if told or self.encoder is None:
            return self.without_start(), "the config's model.architecture"
        if self.encoder not in PUBLISHED:
            raise ValueError(
                f"the sizes of {self.encoder} are not known here: it is no folder, none of "
                f"{', '.join(PUBLISHED)}, and the config has no model.architecture"
            )
        sizes = {"architecture": PUBLISHED[self.encoder]}
        return self.model_copy(update=sizes).without_start(), f"the published sizes of {self.encoder}"


def open_encoder(config: EncoderConfig) -> tuple[ImageEncoder, Tensor | None]:
    """The image encoder, and what its text tower says about each class, (3, D) of length 1.

    Without a pretrained encoder there is no text tower either: the texts are None.

    Raises:
        FileNotFoundError: there is no such encoder.
        ModuleNotFoundError: it needs open_clip, which is not installed.
        ValueError: the layers do not fit.
    """
    openers = {"transformers": _transformers, "open_clip": _open_clip, "dual": _dual}
    encoder, texts = openers[config.backend](config)
    encoder.requires_grad_(False)
    return encoder.eval(), texts


def _transformers(config: EncoderConfig) -> tuple[ImageEncoder, Tensor | None]:
    if config.encoder is None:
        return _random_transformer(config), None
    siglip = VisionTransformer.of(config.encoder).kind == "siglip"
    try:
        model: Any = (SiglipModel if siglip else CLIPModel).from_pretrained(
            config.encoder, dtype=torch.float32
        )
        tokenizer = AutoTokenizer.from_pretrained(config.encoder)
    except (ImportError, OSError, ValueError) as error:
        raise FileNotFoundError(describe_missing(config.encoder, error)) from error
    options: dict[str, Any] = {"padding": True}
    if siglip:  # which learned from texts padded to its full length, and reads the padding
        longest = model.config.text_config.max_position_embeddings
        options = {"padding": "max_length", "max_length": longest, "truncation": True}
        options["return_attention_mask"] = False

    def embed(texts: Sequence[str]) -> Tensor:
        output = model.get_text_features(**tokenizer(list(texts), return_tensors="pt", **options))
        # Before transformers 5 it was the tensor itself.
        vectors: Tensor = output if isinstance(output, Tensor) else output.pooler_output
        return vectors

    texts = embed_prompts(embed, config.prompts)
    projection = None if siglip else model.visual_projection
    return _looking(config, model.vision_model, texts.shape[1], projection), texts


def _random_transformer(config: EncoderConfig) -> TransformerEncoder:
    sizes = config.architecture
    assert isinstance(sizes, VisionTransformer)
    options = sizes.model_dump(exclude={"kind"})
    if sizes.kind == "siglip":
        vision = SiglipVisionModel(SiglipVisionConfig(**options))
        return _looking(config, vision, sizes.projection_dim)
    projection = nn.Linear(sizes.hidden_size, sizes.projection_dim, bias=False)
    return _looking(config, CLIPVisionModel(CLIPVisionConfig(**options)), sizes.projection_dim, projection)


def _looking(
    config: EncoderConfig, vision: nn.Module, embedding: int, projection: nn.Module | None = None
) -> TransformerEncoder:
    return TransformerEncoder(
        vision,
        embedding,
        config.layers,
        projection=projection,
        projected=config.projected,
        photo=config.photo_embedding,
    )


def _open_clip(config: EncoderConfig) -> tuple[ImageEncoder, Tensor | None]:
    try:
        open_clip = import_module("open_clip")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'this CLIP needs open_clip, which is not installed: pip install "petseg[openclip]"'
        ) from error
    try:
        # Its own default device is the CPU, whatever torch's is.
        device = torch.get_default_device()
        model = open_clip.create_model(config.architecture, config.encoder, device=device).eval()
    except (OSError, RuntimeError, ValueError) as error:
        raise FileNotFoundError(
            f"open_clip cannot open {config.architecture!r} with weights {config.encoder!r}: give "
            f"model.encoder a file of them, or one of its tags and a network to get it by ({error})"
        ) from error
    if not hasattr(model.visual, "layer4"):
        raise ValueError(f"{config.architecture!r} is no ResNet; use the backend transformers for it")
    encoder = ResNetEncoder(model.visual, model.visual.output_dim)
    if config.encoder is None:
        return encoder, None
    tokenize = open_clip.get_tokenizer(config.architecture)
    return encoder, embed_prompts(lambda texts: model.encode_text(tokenize(list(texts))), config.prompts)


def _dual(config: EncoderConfig) -> tuple[ImageEncoder, Tensor | None]:
    if config.encoder is None:
        assert isinstance(config.architecture, ContrastiveConfig)
        return MiniEncoder(MobileNetV2Encoder(), config.architecture.embedding, config.maps), None
    dual, options = _open_dual(config.encoder)
    with torch.no_grad():
        texts = dual.embed_classes(config.prompts)
    return MiniEncoder(dual.encoder, options.embedding, config.maps), texts


def _open_dual(folder: str) -> tuple[DualEncoder, ContrastiveConfig]:
    def check(table: dict[str, Any]) -> ContrastiveConfig:
        if family_of(table) != family_name(ContrastiveConfig):
            raise FileNotFoundError(f"{folder} holds no dual encoder but a {family_of(table)}")
        return ContrastiveConfig.model_validate(table)

    options = read_options(folder, check)
    model = DualEncoder(options.without_start())
    load_weights(model, folder)
    return model.eval(), options


@torch.no_grad()
def embed_prompts(embed: Callable[[Sequence[str]], Tensor], prompts: Sequence[Sequence[str]]) -> Tensor:
    """Mean direction of each class's texts: (len(prompts), D) of length 1.

    Raises:
        ValueError: those of two classes are the same, as where a folder's tokenizer knows no words.
    """
    means = [F.normalize(embed(texts).float(), dim=-1).mean(0) for texts in prompts]
    directions = F.normalize(torch.stack(means), dim=-1)
    alike = torch.triu(directions @ directions.T > _ALIKE, diagonal=1)
    if alike.any():
        one, other = (prompts[index][0] for index in alike.nonzero()[0].tolist())
        raise ValueError(
            f"the CLIP encoder gives {one!r} and {other!r} the same embedding: nothing could be learned; "
            "does its folder lack the tokenizer's files (tokenizer.json, vocab.json, merges.txt)?"
        )
    return directions

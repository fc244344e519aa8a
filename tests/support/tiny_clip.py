"""A tiny random CLIP with a tokenizer, and a SigLIP, saved as a user's."""

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from torch import nn
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
)

PATCH = 8
SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 2}


def save_tokenizer(folder: Path) -> CLIPTokenizer:
    """CLIP's byte-pair tokenizer with letters for a vocabulary."""
    symbols = [*"abcdefghijklmnopqrstuvwxyz.", "c a", "ca t</w>"]
    tokens = [s.replace(" ", "") for s in symbols] + [f"{s}</w>" for s in symbols if " " not in s]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({token: index for index, token in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\nc a\nca t</w>\n")
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-clip")
    tokenizer = save_tokenizer(folder)
    torch.manual_seed(0)
    text = SIZES | {
        "num_hidden_layers": 2,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 48,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = SIZES | {"image_size": 4 * PATCH, "patch_size": PATCH}
    _save(CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=20)), folder)
    return folder


@pytest.fixture(scope="session")
def tiny_siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-siglip")
    words = ["<pad>", "<unk>", "a", "cat", "dog", "photo", "of", "background", "wall", "floor", "lawn", "."]
    known = Tokenizer(WordLevel({word: index for index, word in enumerate(words)}, unk_token="<unk>"))
    known.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=known, pad_token="<pad>", unk_token="<unk>").save_pretrained(
        folder
    )
    torch.manual_seed(0)
    text = SIZES | {"num_hidden_layers": 2, "vocab_size": len(words), "max_position_embeddings": 12}
    text |= {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
    vision = SIZES | {"image_size": 4 * PATCH, "patch_size": PATCH}
    _save(SiglipModel(SiglipConfig(text_config=text, vision_config=vision)), folder)
    return folder


def _save(model: PreTrainedModel, folder: Path) -> None:
    for parameter in model.parameters():  # its own start says next to nothing
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)

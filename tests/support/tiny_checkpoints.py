"""Checkpoints of random models that export in seconds."""

from pathlib import Path

import torch
from torch import nn

from train.checkpoint import save_checkpoint
from train.config import Config
from train.models import build

PLAIN = {"width": 8, "depth": 2}
MOBILENET = {"encoder": "mobilenet_v2", "separable": True, "context": True, "upsampling": "bilinear"}
PROMPT = {
    "family": "prompt",
    "unet": PLAIN | {"upsampling": "bilinear"},
    "widths": [16, 8],
    "blocks": [2, 1],
    "kernels": [5, 3],
}
SOURCES = [{"path": "oxford-iiit-pet", "layout": "oxford"}, {"path": "my-cats"}]


torch.set_num_threads(1)


def make_checkpoint(folder: Path, model: dict[str, object], size: int, seed: int = 0) -> Path:
    """A random model, normalised on noise so that it answers with all classes."""
    torch.manual_seed(seed)
    config = Config(name="tiny", data={"sources": SOURCES, "size": size}, model=model)
    network = build(config.model)
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.momentum = 0.5  # the next batch counts half, so that flat channels are not blown up
            nn.init.uniform_(layer.weight, 0.8, 1.5)
            nn.init.uniform_(layer.bias, -0.3, 0.3)
    noise = [torch.randint(0, 256, (8, 3, size, size), dtype=torch.uint8)]
    heads = [network.head]
    if getattr(network, "prompts", ()):  # its logits are a sum
        noise.append(torch.rand(8, 2, size, size) ** 8)
        heads.append(network.unet.head)
    with torch.no_grad():
        network.train()(*noise)
        spread, middle = torch.std_mean(network.eval()(*noise), dim=(0, 2, 3))
        network.head.bias.sub_(middle)
        for head in heads:
            head.weight /= spread[:, None, None, None]
            head.bias.div_(spread)
    save_checkpoint(folder, network, config)
    return folder

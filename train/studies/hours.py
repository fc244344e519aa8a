"""How long a config's training takes on one GPU, estimated by counting its arithmetic."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from train.config import Config
from train.loops.pace import in_words
from train.models import build
from train.models.autoencoder import AutoencoderConfig

CATS, DOGS = 1188, 2492
"""Photos of the Oxford-IIIT Pet dataset's official list for training, which has masks of all."""
PAIR = 2
"""Photos that are counted at once: batch normalisation wants more than one."""

HOW = (
    "Estimated, not measured: the floating-point operations of a forward and a backward pass, counted by "
    "torch.utils.flop_counter, times the photos of all epochs on the official list of 3,680 photos, over the "
    "rate that one GPU is supposed to keep up. Reading, augmentation, validation and measuring come on top; "
    "patience, where a study has it, ends a run earlier."
)


def photo_flops(config: Config) -> dict[str, float]:
    """Stage of the training -> floating-point operations of a training step, for one photo.

    Nothing is computed: tensors without memory go through the model.

    Raises:
        ImportError, OSError, ValueError: the model cannot be built.
    """
    sketch, _ = config.model.sketched()
    found = {}
    for name, stage in sketch.stages().items():
        with torch.device("meta"):
            model = build(stage).train()
        inputs = [
            torch.empty((PAIR, *example.shape[1:]), dtype=example.dtype, device="meta")
            for example in stage.example(config.data.size).values()
        ]
        with FlopCounterMode(display=False) as counter:
            answer: torch.Tensor = model(*inputs)
            answer.float().sum().backward()
        found[name] = counter.get_total_flops() / PAIR
    return found


def photos_seen(config: Config) -> dict[str, float]:
    """Stage -> photos of all epochs, each counted as often as it comes, on the official list."""
    cats, dogs = CATS, DOGS
    source = config.data.sources[0]
    kept = 1 - source.validation
    once = kept * (cats + dogs)
    if config.data.balance:
        cats = dogs
    an_epoch = kept * source.repeat * (cats + dogs)
    if "prompt" in config.model.needs:
        an_epoch = config.prompting.photos * config.prompting.prompts_per_photo
    stages = list(config.model.stages())
    seen = {stages[-1]: config.optim.epochs * an_epoch}
    if isinstance(config.model, AutoencoderConfig) and len(stages) > 1:
        seen[stages[0]] = config.reconstruction.epochs * once
    return seen


def hours(config: Config, teraflops: float) -> float:
    """Hours of training at so many 10^12 operations a second; raises as `photo_flops`."""
    flops, seen = photo_flops(config), photos_seen(config)
    return sum(seen[stage] * flops[stage] for stage in seen) / (teraflops * 1e12) / 3600


def table(named: dict[str, float]) -> str:
    """Config -> hours, as lines for people."""
    width = max(map(len, named))
    lines = [f"{name:<{width}}  {in_words(3600 * value):>8}" for name, value in named.items()]
    return "\n".join([*lines, f"{'all':<{width}}  {in_words(3600 * sum(named.values())):>8}"])

"""The mean of checkpoints of one model: `python -m train.average runs/a/best runs/b/best --output runs/mean`.

Rounds of fine-tuning that start from each other lie in one valley of the loss, and their mean often stands
damage and unseen photos better than either (arXiv:2109.01903, arXiv:2203.05482).
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from train.checkpoint import load_checkpoint, save_checkpoint


def average(checkpoints: Sequence[Path]) -> dict[str, Tensor]:
    """The mean of every weight and every statistic, in float32; counters are those of the first checkpoint.

    A checkpoint that is named twice counts twice.

    Raises:
        ValueError: the checkpoints differ in names or shapes, or there are none.
        FileNotFoundError, RuntimeError: as `train.checkpoint.load_checkpoint`.
    """
    if not checkpoints:
        raise ValueError("no checkpoints to average")
    states = [load_checkpoint(checkpoint)[0].state_dict() for checkpoint in checkpoints]
    first, *others = ({name: tensor.shape for name, tensor in state.items()} for state in states)
    for checkpoint, shapes in zip(checkpoints[1:], others, strict=True):
        if shapes != first:
            raise ValueError(f"{checkpoint} is of another architecture than {checkpoints[0]}")
    return {
        name: torch.stack([state[name] for state in states]).mean(0) if tensor.is_floating_point() else tensor
        for name, tensor in states[0].items()
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the mean, with the config of the last checkpoint."""
    parser = argparse.ArgumentParser(prog="python -m train.average", description=__doc__)
    parser.add_argument("checkpoints", nargs="+", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--output", type=Path, required=True, help="checkpoint folder to make")
    options = parser.parse_args(arguments)
    try:
        weights = average(options.checkpoints)
        model, config = load_checkpoint(options.checkpoints[-1])
        model.load_state_dict(weights)
        save_checkpoint(options.output, model, config)
    except (OSError, ValueError, RuntimeError) as error:
        parser.exit(1, f"cannot average: {error}\n")


if __name__ == "__main__":
    main()

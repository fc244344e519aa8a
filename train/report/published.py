"""What the published studies measured and no config of theirs has room for, as facts in TOML."""

from typing import Any, TypeAlias

from petseg.measure.perturbations import PERTURBATIONS
from train.config import CONFIGS, read_toml

PUBLISHED = CONFIGS / "published"
Published: TypeAlias = dict[str, dict[str, list[float]]]
"""Perturbation -> "strengths", "miou" and "mean_dice" by level, as `train.robustness.Curves` has them."""


def robustness() -> Published:
    """Study D's U-Net under each perturbation at its ten levels, 80 pairs of mIoU and Dice."""
    document = read_toml(PUBLISHED / "robustness_d.toml")
    return {
        kind: {
            "strengths": list(perturbation.strengths),
            "miou": document["miou"][kind],
            "mean_dice": document["mean_dice"][kind],
        }
        for kind, perturbation in PERTURBATIONS.items()
    }


def studies() -> dict[str, Any]:
    """Letter of a study -> "title", "about"; and under "notes" what to keep in mind about their figures."""
    return read_toml(PUBLISHED / "studies.toml")

"""A run on part of the data."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import ValidationError

from tests.support.drawing import draw_labels, write_plain
from train.config import DataConfig
from train.data.dataset import read_splits
from train.data.samples import Sample


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., tuple[list[Sample], list[Sample]]]:
    """The splits of 40 photos of one breed and 20 of another, 20 % of them for validation."""
    masks = {f"Bombay_{i}": draw_labels(2 * i) for i in range(40)}
    masks |= {f"beagle_{i}": draw_labels(2 * i + 1) for i in range(20)}
    root = write_plain(tmp_path_factory.mktemp("share") / "pets", masks).parent

    def read(**fields: Any) -> tuple[list[Sample], list[Sample]]:
        source = {"path": "pets", "validation": 0.2, "repeat": 2}
        return read_splits(DataConfig.model_validate({"root": str(root), "sources": [source], **fields}))

    return read


def names(samples: Sequence[Sample]) -> list[str]:
    return [sample.name for sample in samples]


def test_a_share_of_every_breed_on_both_sides_of_the_split(read: Callable[..., Any]) -> None:
    whole, fifth = read(), read(share=0.25)
    for part, counts in zip(fifth, ({"Bombay": 16, "beagle": 8}, {"Bombay": 2, "beagle": 1}), strict=True):
        assert Counter(sample.breed for sample in part) == counts
    for part, of_all in zip(fifth, whole, strict=True):
        assert set(names(part)) <= set(names(of_all))
    assert names(read(share=0.25)[0]) == names(fifth[0])
    assert names(read(share=0.25, seed=1)[0]) != names(fifth[0])


def test_the_whole_is_the_default(read: Callable[..., Any]) -> None:
    for part, again in zip(read(), read(share=1.0), strict=True):
        assert names(part) == names(again)


@pytest.mark.parametrize("share", [0.0, -0.1, 1.01])
def test_bad_shares(read: Callable[..., Any], share: float) -> None:
    with pytest.raises(ValidationError, match="share"):
        read(share=share)

"""The head that tells animals apart."""

import torch
from torch.nn import functional as F

from petseg.clicks.apart import SAME
from train.models.apart import Apart, margins
from train.models.blocks import places


def test_every_place_of_the_finer_map_gets_a_vector_that_knows_where_it_is() -> None:
    head = Apart(8, 6, 5).eval()
    said = head(torch.randn(2, 8, 4, 6), torch.randn(2, 6, 8, 12), torch.randn(2, 3, 32, 48))
    assert said.shape == (2, 5, 8, 12)
    torch.testing.assert_close(said[:, 3:], 2.0 * places(8, 12, said).expand(2, 2, 8, 12))
    assert said[0, 3, 0].tolist() == sorted(said[0, 3, 0].tolist())  # x
    assert said[0, 4, :, 0].tolist() == sorted(said[0, 4, :, 0].tolist())  # y


def test_margins_are_squared_distances() -> None:
    vectors = torch.randn(2, 5, 4, 4)
    asked = torch.tensor([[0, 7, 15], [3, 3, 9]])
    said = margins(vectors, asked)
    assert said.shape == (2, 3, 16)
    for photo in range(2):
        flat = vectors[photo].flatten(1)
        for row, place in zip(said[photo], asked[photo], strict=True):
            distance = (flat - flat[:, place : place + 1]).square().sum(0)
            torch.testing.assert_close(row, SAME - distance, atol=1e-4, rtol=1e-4)
            assert row[place] == row.max()


def test_the_semantic_logits_may_be_finer() -> None:
    head = Apart(4, 4, 4).eval()
    coarse, fine, semantic = torch.randn(1, 4, 4, 4), torch.randn(1, 4, 8, 8), torch.randn(1, 3, 32, 32)
    torch.testing.assert_close(
        head(coarse, fine, semantic), head(coarse, fine, F.avg_pool2d(semantic, 4)), atol=1e-5, rtol=1e-5
    )

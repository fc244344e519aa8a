"""What many people ask at once: the network is fed what petseg feeds it, corrections hit what is wrong."""

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import default_collate

from petseg.clicks import prompts
from petseg.pixels.geometry import Letterbox
from train.people import conversation
from train.people.conversation import NOBODY, Conversation, depth, encode, pack_sessions, pick
from train.people.targets import Session, make_target, open_sessions

SPECIES = np.array([0, 1, 2, *[0] * 252, 255], np.uint8)


def plane(size: int = 64) -> np.ndarray:
    """(size, size) uint8: a cat, number 1, a dog, number 2, with an open ring of 255 around it."""
    instances = np.zeros((size, size), np.uint8)
    instances[5:25, 5:30] = 1
    instances[33:61, 33:61] = 255
    instances[35:59, 35:59] = 2
    return instances


def talk(*sessions: Session, people: int = 0, corrections: int = 2, instances: np.ndarray | None = None):
    asked = pack_sessions(sessions, people or len(sessions), corrections, np.random.default_rng(0))
    seen = plane() if instances is None else instances
    batch = default_collate([(torch.from_numpy(seen), torch.from_numpy(SPECIES), asked)])
    return Conversation(*batch)


def about(number: int, *points: tuple[float, float]) -> Session:
    return Session(
        make_target(plane(), SPECIES, number), np.random.default_rng(0), [*points], [True] * len(points)
    )


def answer(*pets: np.ndarray) -> Tensor:
    """Logits (N, 3, S, S) that call these masks cat."""
    cat = torch.from_numpy(np.stack(pets)).float()
    return torch.stack([0.5 - cat, cat, torch.full_like(cat, -9)], 1)


def clicks(conversation: Conversation) -> list[list[tuple[float, float, int]]]:
    """x, y, sign of all clicks of each person."""
    return [
        [(*point, sign) for point, sign in zip(points, signs, strict=True) if sign != NOBODY]
        for points, signs in zip(conversation._points.tolist(), conversation._signs.tolist(), strict=True)
    ]


@pytest.mark.parametrize("size", [64, 320])
def test_the_network_is_fed_what_petseg_feeds_it(size: int) -> None:
    instances = np.kron(plane(), np.ones((size // 64, size // 64), np.uint8))
    sessions = open_sessions(instances, SPECIES, np.random.default_rng(1), 40, 0.15)
    assert {session.box is not None for session in sessions} == {True, False}
    fed = talk(*sessions, instances=instances).prompt().numpy()
    for session, maps in zip(sessions, fed, strict=True):
        points = np.asarray(session.points, np.float64).reshape(-1, 2)
        prompt = prompts.Prompt(points, np.asarray(session.positive, bool), session.box)
        np.testing.assert_allclose(maps, prompts.encode(prompt, Letterbox.fit(size, size, size)), atol=1e-5)


def test_labels_are_the_animal_in_its_class_and_unknown_for_nobody() -> None:
    asked = talk(about(2, (40, 40)), about(0, (1, 1)), people=3)
    instances = torch.from_numpy(plane())
    dog, background, nobody = asked.labels
    assert (dog[instances == 2] == 2).all()
    assert (dog[instances == 1] == 0).all()
    assert (dog[instances == 255] == 255).all()
    assert set(background.unique().tolist()) == {0, 255}
    assert (nobody == 255).all()
    assert asked.exists.tolist() == [True, True, False]
    for number, labels in ((2, dog), (0, background)):
        assert np.array_equal(labels.numpy(), make_target(plane(), SPECIES, number).labels)


def test_pets_are_all_animals_in_their_class() -> None:
    asked = talk(about(2, (40, 40)), about(0, (1, 1)))
    assert asked.pets.dtype == torch.int64
    assert np.array_equal(asked.pets[0].numpy(), SPECIES[plane()])


def test_corrections_hit_missed_pixels_and_false_ones() -> None:
    asked = talk(about(1, (15.5, 15.5)), about(1, (15.5, 15.5)), about(0, (1.5, 1.5)))
    instances = plane()
    nothing = np.zeros((64, 64), bool)
    asked.correct(answer(instances == 2, nothing, instances == 1))  # the wrong animal; none; one too many
    wrong, missed, false = clicks(asked)
    for (x, y, sign), number, expected in (
        (wrong[1], 2, 0), (missed[1], 1, 1), (false[1], 1, 0),
    ):  # fmt: skip
        assert instances[int(y), int(x)] == number
        assert sign == expected
    asked.correct(answer(nothing, nothing, nothing))
    assert [sign for *_, sign in clicks(asked)[0]] == [1, 0, 1]
    assert len(clicks(asked)[2]) == 2  # the background is answered rightly by nothing
    assert asked.prompt()[0].amax((1, 2)).tolist() == pytest.approx([1, 1])


def test_no_correction_where_nothing_is_wrong() -> None:
    asked = talk(about(2, (40.0, 40.0)))
    before = asked.prompt()
    after = asked.correct(answer(plane() >= 2))  # the ring is unknown: claiming it is no error
    assert torch.equal(before, after)


def test_deep_errors_come_before_large_shallow_ones() -> None:
    target = plane()
    pet = target == 1
    pet[63] = True  # 64 pixels in a line
    pet[10:14, 10:14] = False
    asked = talk(about(1, (6.5, 6.5)))
    asked.correct(answer(pet))
    (_, (x, y, sign)) = clicks(asked)[0]
    assert sign == 1
    assert 10 <= x < 14
    assert 10 <= y < 14


def test_corrections_repeat_themselves_and_differ_between_people() -> None:
    def corrected() -> list[list[tuple[float, float, int]]]:
        asked = talk(about(1, (15.5, 15.5)), about(1, (15.5, 15.5)))
        asked.correct(answer(*[np.zeros((64, 64), bool)] * 2))
        return clicks(asked)

    assert corrected() == corrected()
    assert corrected()[0] != corrected()[1]


def test_large_squares_are_looked_at_coarsely_and_hit_exactly() -> None:
    instances = np.kron(plane(), np.ones((5, 5), np.uint8))
    session = Session(make_target(instances, SPECIES, 2), np.random.default_rng(0), [(200.5, 200.5)], [True])
    asked = talk(session, instances=instances)
    asked.correct(answer(np.zeros((320, 320), bool)))
    x, y, sign = clicks(asked)[0][1]
    assert (sign, instances[int(y), int(x)]) == (1, 2)
    assert (x % 1, y % 1) == (0.5, 0.5)


def test_depth_counts_the_edge_as_outside_and_stops() -> None:
    masks = torch.zeros(2, 1, 64, 64, dtype=torch.bool)
    masks[0, 0, 2:7, 2:9] = True
    masks[1] = True
    found = depth(masks)
    assert found.shape == masks.shape
    assert found[0, 0, 4, 2:9].tolist() == [1, 2, 3, 3, 3, 2, 1]
    assert found[0].count_nonzero() == 35
    assert found[1, 0, 0].unique().tolist() == [1]
    assert found[1].max() == conversation.DEEPEST


def test_every_allowed_place_is_picked_as_often() -> None:
    allowed = torch.tensor([[0, 1, 0, 1, 1]], dtype=torch.bool).expand(300, 5)
    found = pick(allowed, torch.arange(300) / 300)
    assert found.bincount(minlength=5).tolist() == [0, 100, 0, 100, 100]
    nothing = torch.zeros(1, 5, dtype=torch.bool)
    assert pick(nothing, torch.tensor([0.5])).tolist() == [0]
    assert pick(allowed[:1], torch.tensor([1.0])).tolist() == [4]


def test_encoding_without_a_prompt_is_zero() -> None:
    signs = torch.full((1, 2), NOBODY, dtype=torch.int8)
    maps = encode(torch.zeros(1, 2, 2), signs, torch.full((1, 4), torch.nan), 32)
    assert not maps.any()

"""Simulated people: clicks and boxes lie where they should, a seed repeats all of it."""

import numpy as np
import pytest

from train.people import targets
from train.people.targets import (
    Session,
    Target,
    draw_target,
    errors,
    held_out_sessions,
    make_target,
    open_sessions,
)  # fmt: skip

SPECIES = np.array([0, 1, 2, *[0] * 252, 255], np.uint8)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def instances() -> np.ndarray:
    """(64, 64) uint8: a cat, number 1, a dog, number 2, with an open ring of 255 around it."""
    plane = np.zeros((64, 64), np.uint8)
    plane[5:25, 5:30] = 1
    plane[33:61, 33:61] = 255
    plane[35:59, 35:59] = 2
    return plane


def at(mask: np.ndarray, point: tuple[float, float]) -> bool:
    return bool(mask[int(point[1]), int(point[0])])


def test_target_labels_are_the_animal_in_its_class(instances: np.ndarray) -> None:
    labels = make_target(instances, SPECIES, 2).labels
    assert (labels[instances == 2] == 2).all()
    assert (labels[instances == 1] == 0).all()
    assert (labels[instances == 255] == 255).all()


def test_background_target_wants_no_pet(instances: np.ndarray) -> None:
    target = make_target(instances, SPECIES, 0)
    assert set(np.unique(target.labels)) == {0, 255}
    missed, false = errors(target, instances == 1)
    assert not missed.any()
    assert (false == (instances == 1)).all()


def test_targets_are_drawn_as_asked(instances: np.ndarray) -> None:
    generator = rng()
    instances[5:21] = 0  # of the cat, 100 pixels of 500 are left
    drawn = [draw_target(instances, SPECIES, generator, 0.15).number for _ in range(600)]
    counts = np.bincount(drawn, minlength=3) / 600
    assert counts[0] == pytest.approx(0.15, abs=0.04)
    assert counts[1] / counts[2] == pytest.approx(np.sqrt(100 / 576), rel=0.3)


def test_specks_are_never_meant(instances: np.ndarray) -> None:
    instances[0, :5] = 3
    assert targets.animals(instances).tolist() == [1, 2]


@pytest.mark.parametrize("value", [0, 1, 255])
def test_uniform_squares_are_survived(value: int) -> None:
    target = draw_target(np.full((32, 32), value, np.uint8), SPECIES, rng(), 0.5)
    session = Session(target, rng())
    session.start()
    assert bool(session.points or session.box is not None) == (value != 255)


def test_first_clicks_are_positive_and_inside(instances: np.ndarray) -> None:
    for seed in range(60):
        generator = rng(seed)
        session = Session(draw_target(instances, SPECIES, generator, 0.15), generator)
        session.start()
        assert session.box is not None or session.positive[0]
        assert len(session.points) <= 5
        for point, positive in zip(session.points, session.positive, strict=True):
            assert at(session.target.inside, point) == positive
            assert at(session.target.valid, point)


def test_all_ways_to_start_occur(instances: np.ndarray) -> None:
    kinds = set()
    for seed in range(80):
        session = Session(make_target(instances, SPECIES, 1), rng(seed))
        session.start()
        kinds.add((session.box is not None, min(len(session.points), 2)))
    assert kinds == {(False, 1), (False, 2), (True, 0), (True, 1), (True, 2)}


def test_a_seed_repeats_the_sessions(instances: np.ndarray) -> None:
    def play(seed: int) -> list[list[tuple[float, float]]]:
        return [session.points for session in open_sessions(instances, SPECIES, rng(seed), 3, 0.15)]

    assert play(4) == play(4)
    assert play(4) != play(5)


def test_clicks_alone_for_a_model_that_takes_no_box(instances: np.ndarray) -> None:
    asked = [open_sessions(instances, SPECIES, rng(), 80, 0.15, boxes=boxes) for boxes in (True, False)]
    assert any(session.box is not None for session in asked[0])
    for session in asked[1]:
        assert session.box is None
        assert at(session.target.inside, session.points[0])


def test_held_out_people_click_into_the_largest_animals(instances: np.ndarray) -> None:
    instances[28:31, 0:20] = 3
    sessions = held_out_sessions(instances, SPECIES, rng(), 2)
    assert [session.target.number for session in sessions] == [2, 1]
    for session in sessions:
        (click,), (positive,) = session.points, session.positive
        assert positive
        assert at(session.target.inside, click)


def test_deepest_is_the_middle() -> None:
    mask = np.zeros((32, 32), bool)
    mask[3:12, 10:19] = True
    assert targets.deepest(mask) == (14.5, 7.5)


def test_the_edge_of_the_square_is_outside() -> None:
    assert targets.deepest(np.ones((31, 31), bool)) == (15.5, 15.5)


def test_jitter_stays_inside_and_grows_with_the_animal() -> None:
    small, large = np.zeros((128, 128), bool), np.zeros((128, 128), bool)
    small[60:68, 60:68] = True
    large[14:114, 14:114] = True
    spreads = []
    for mask in (small, large):
        generator = rng()
        points = [targets.jittered((64.0, 64.0), mask, generator) for _ in range(200)]
        assert all(at(mask, point) for point in points)
        spreads.append(np.std(points))
    assert spreads[1] == pytest.approx(5, rel=0.15)
    assert spreads[0] == pytest.approx(0.4, rel=0.15)


def test_boxes_surround_the_animal_tight_to_loose(instances: np.ndarray) -> None:
    target = make_target(instances, SPECIES, 1)
    assert targets.tightest_box(target.inside).tolist() == [5, 5, 30, 25]
    boxes = np.array([targets.loose_box(target.inside, rng(seed)) for seed in range(100)])
    assert (boxes >= 0).all()
    assert (boxes <= 64).all()
    assert (boxes[:, :2] >= 4).mean() > 0.4  # tight ones
    assert boxes[:, 2].max() > 32
    assert (np.abs(boxes - [5, 5, 30, 25]) <= 0.15 * 25 + 1e-9).all()


def test_a_box_is_never_drawn_around_the_background(instances: np.ndarray) -> None:
    for seed in range(40):
        session = Session(make_target(instances, SPECIES, 0), rng(seed))
        session.start()
        assert session.box is None
        assert len(session.points) == 1


def test_labels_of_a_hand_made_target() -> None:
    inside = np.array([[True, False], [False, False]])
    valid = np.array([[True, True], [True, False]])
    assert Target(inside, valid, 2).labels.tolist() == [[2, 0], [0, 255]]

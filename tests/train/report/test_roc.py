import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from petseg.pixels.classes import BORDER
from train.report.roc import Roc


def softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(0))
    return (exponents / exponents.sum(0)).astype(np.float32)


@pytest.mark.parametrize("sureness", [0.5, 3.0, 6.0])
def test_auc_is_that_of_all_pixels(sureness: float) -> None:
    """The exact one is Mann and Whitney's U over the number of pairs; two photos are as good as one."""
    generator = np.random.default_rng(0)
    roc = Roc()
    truths, answers = [], []
    for _ in range(2):
        truth = generator.choice([0, 0, 1, 2, BORDER], (60, 80)).astype(np.uint8)
        logits = generator.normal(0, 2, (3, 60, 80))
        for number in range(3):
            logits[number][truth == number] += sureness
        probabilities = softmax(logits)
        roc.add(truth, probabilities)
        truths.append(truth.ravel())
        answers.append(probabilities.reshape(3, -1))
    truth, probabilities = np.concatenate(truths), np.concatenate(answers, axis=1)
    for number, area in enumerate(roc.auc()):
        positive = probabilities[number][truth == number]
        negative = probabilities[number][(truth != number) & (truth != BORDER)]
        exact = mannwhitneyu(positive, negative).statistic / (len(positive) * len(negative))
        assert area == pytest.approx(exact, abs=1e-4)
    assert roc.counts[0].sum() == np.count_nonzero(truth != BORDER)


def test_curve_goes_through_what_a_threshold_gives() -> None:
    truth = np.array([[1, 1, 0, 0, 2]], np.uint8)
    cat = np.array([0.9, 0.4, 0.4, 0.2, 0.1], np.float32)
    roc = Roc()
    roc.add(truth, np.stack([1 - cat, cat, 0 * cat])[:, None])
    false, true = roc.curve(1)
    points = list(dict.fromkeys(zip(false.tolist(), true.tolist(), strict=True)))
    assert points == [(0, 0), (0, 0.5), (pytest.approx(1 / 3), 1), (pytest.approx(2 / 3), 1), (1, 1)]
    # Of six pairs five are in order, and one is a tie.
    assert roc.auc()[1] == pytest.approx(5.5 / 6)


def test_sure_answers_stay_apart() -> None:
    """Equal bins of probability would call all of these the same."""
    truth = np.array([[0, 1, 1]], np.uint8)
    background = np.array([[0.99999, 0.9999, 0.999]], np.float32)
    roc = Roc()
    roc.add(truth, np.stack([background, 1 - background, 0 * background]))
    assert roc.auc()[:2].tolist() == [1, 1]


def test_a_class_without_pixels_has_no_curve() -> None:
    roc = Roc()
    roc.add(np.zeros((2, 2), np.uint8), np.full((3, 2, 2), 1 / 3, np.float32))
    assert np.isnan(roc.auc()).all()


def test_extremes_fall_into_the_outermost_bins() -> None:
    roc = Roc()
    certain = np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 0.0]]], np.float32)
    roc.add(np.array([[0, 1]], np.uint8), certain)
    assert (roc.counts[0, 1, -1], roc.counts[0, 0, 0]) == (1, 1)
    assert roc.auc()[:2].tolist() == [1, 1]

"""How long a run takes is told once, by its first steps."""

import pytest

from train.loops import pace


def test_told_once_after_some_steps(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 2000, 3))
    monkeypatch.setattr(pace.time, "perf_counter", lambda: float(next(clock)))
    timed = pace.Pace()
    for left in range(999, 900, -1):
        timed.step(left)
    assert timed.seconds == pytest.approx(3.0)
    left = 1000 - pace.ENOUGH
    assert capsys.readouterr().out == (
        f"about {left * 3 / 60:.0f} min from here, validation left out (3 s a step)\n"
    )


def test_nothing_is_told_of_a_run_that_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    timed = pace.Pace()
    for left in range(pace.ENOUGH - 1, -1, -1):
        timed.step(left)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(40, "40 s"), (720, "12 min"), (5999, "100 min"), (12600, "3.5 h")]
)
def test_durations(seconds: float, words: str) -> None:
    assert pace.in_words(seconds) == words

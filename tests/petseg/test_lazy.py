import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from petseg.lazy import lazy


class Doubled:
    """Counts how often its value is worked out; waits for others who work it out, if there are to be some."""

    def __init__(self, together: threading.Barrier | None = None) -> None:
        self.times, self.together = 0, together

    @lazy
    def value(self) -> list[int]:
        """A list."""
        self.times += 1
        if self.together:
            self.together.wait(60)
        return [self.times]


def test_a_value_is_worked_out_once() -> None:
    one = Doubled()
    assert one.times == 0
    assert one.value is one.value
    assert (one.value, one.times) == ([1], 1)
    assert Doubled.value.__doc__ == "A list."


def test_a_failure_is_not_kept() -> None:
    class Fails:
        ready = False

        @lazy
        def value(self) -> int:
            if not self.ready:
                raise ValueError("not yet")
            return 1

    fails = Fails()
    with pytest.raises(ValueError, match="not yet"):
        _ = fails.value
    fails.ready = True
    assert fails.value == 1


def test_threads_at_work_on_different_objects_do_not_wait_for_each_other() -> None:
    together = threading.Barrier(2)  # which breaks if only one may work at a time
    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(lambda one: one.value, (Doubled(together), Doubled(together)))) == [[1], [1]]


def test_threads_that_ask_at_the_same_time_get_the_same_object() -> None:
    one = Doubled(threading.Barrier(8))
    with ThreadPoolExecutor(8) as pool:
        values = list(pool.map(lambda _: one.value, range(8)))
    assert len({id(value) for value in values}) == 1
    assert one.times == 8

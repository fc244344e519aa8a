"""Ctrl-C, at any moment of a folder run: nothing half-written is left, not even hidden."""

import random
import signal
import sys
from pathlib import Path

import pytest

from tests.support.command_line import tree
from tests.support.processes import NOISY, long_run, start, visible, wait

TIMES = 30


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="has no SIGINT for one process")
def test_a_folder_run_interrupted_at_any_moment(folder: Path, model_path: Path) -> None:
    words = long_run(folder, model_path)
    whole, chance, halfway = folder.parent / "whole", random.Random(0), 0
    assert start(*words, "-o", whole).wait() == 0
    expected = visible(whole)
    for attempt in range(TIMES):
        out = folder.parent / f"out-{attempt}"
        process = start(*words, "-o", out)
        assert process.stdout is not None
        for _ in range(chance.randrange(1, NOISY)):  # it is at work once it has told of a photo
            process.stdout.readline()
        wait(chance.uniform(0, 0.05))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        written = visible(out)
        assert tree(out) == sorted(written), "no temporary file"
        assert written.items() <= expected.items(), "every file is whole, and the right one"
        # Python no longer catches the signal when it is about to exit.
        assert process.returncode in ((0, -signal.SIGINT) if written == expected else (130,))
        halfway += written != expected
    assert halfway > TIMES / 2, "too many had ended by themselves"

"""What an answer is made of cannot be written to, not even in a copy of it."""

import copy
import pickle

import numpy as np
import pytest

from petseg.clicks.prompts import Prompt
from petseg.clicks.several import Several
from petseg.clicks.state import ClickState
from petseg.pixels.geometry import Letterbox

PROMPT = Prompt(np.array([[3.0, 4.0]]), np.array([True]), np.array([1.0, 2.0, 30.0, 40.0]))


def test_clicks_and_their_answers_stay_as_they_are() -> None:
    logits, square = np.zeros((3, 8, 8), np.float32), np.zeros((8, 8, 3), np.uint8)
    state = ClickState(PROMPT, Letterbox.fit(40, 40, 8), square, logits)
    for again in (state, pickle.loads(pickle.dumps(state)), copy.deepcopy(state)):
        prompt, several = again.prompt, Several((again,))
        for array in (prompt.points, prompt.positive, prompt.box, again.square, again.logits, several.planes):
            with pytest.raises(ValueError, match="read-only"):
                array[...] = 0
    logits[:] = square[:] = 1  # the caller's own arrays stay writable

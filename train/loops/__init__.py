"""The training loops: the one of every model, and what families add to it."""

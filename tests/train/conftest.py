"""A drawn data set, a tiny config, and quiet surroundings for Accelerate."""

from tests.support.training import make_config, new_process, photos, surroundings, without_plots  # noqa: F401

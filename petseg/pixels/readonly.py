"""Arrays that cannot be written to, so that what is made of one agrees with what is made of another."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def frozen(array: NDArray[Any]) -> NDArray[Any]:
    """The same array, read-only; who gave it may still write to it."""
    view = array.view()
    view.flags.writeable = False
    return view


class ReadOnly:
    """Something whose arrays are read-only, when it was unpickled or copied too."""

    def __post_init__(self) -> None:
        """Freeze them, as soon as a dataclass has them."""
        for name, value in vars(self).items():
            if isinstance(value, np.ndarray) and value.flags.writeable:
                vars(self)[name] = frozen(value)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Be unpickled or copied, which makes arrays that can be written to."""
        vars(self).update(state)
        ReadOnly.__post_init__(self)

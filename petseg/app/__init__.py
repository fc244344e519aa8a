"""The page: `petseg app`, or `build_app` for a page inside another server. Needs the extra `[app]`.

`launch` keeps the server from fetching what visitors name; another server calls `stay_at_home` for that.
"""

from petseg.app.quick_import import import_gradio

import_gradio()  # before anything below imports it

from petseg.app.home import stay_at_home  # noqa: E402
from petseg.app.page import build_app, launch  # noqa: E402

__all__ = ["build_app", "launch", "stay_at_home"]

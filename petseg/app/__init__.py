"""The page: `petseg app`, or `build_app` for a page inside another server. Needs the extra `[app]`."""

from petseg.app.quick_import import import_gradio

import_gradio()  # before anything below imports it

from petseg.app.page import build_app, launch  # noqa: E402

__all__ = ["build_app", "launch"]

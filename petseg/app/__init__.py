"""The page: `petseg app`, or `build_app` for a page inside another server. Needs the extra `[app]`."""

from petseg.app.page import build_app, launch

__all__ = ["build_app", "launch"]

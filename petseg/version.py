"""Which petseg this is."""

import importlib.metadata


def version() -> str:
    """The installed petseg, or "unknown" where it runs from a checkout that is not installed."""
    try:
        return importlib.metadata.version("petseg")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"

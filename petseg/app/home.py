"""Gradio fetches the addresses that visitors give in the place of a file; here it does not."""

import os
from typing import Any, NoReturn

import safehttpx  # type: ignore[import-untyped]
from huggingface_hub import constants


async def _refuse(*_: Any, **__: Any) -> NoReturn:
    raise PermissionError("addresses are not fetched; upload the file itself")


def stay_at_home() -> None:
    """Let this process tell nobody anything, nor fetch anything for a visitor. Call it before the page opens.

    A visitor of any Gradio page may give a public address in the place of an upload, or ask for it as
    `file=https://...`, and the server fetches it: from its own network, in its own name. Both ways lead
    through the two functions that are replaced here, for the whole process.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # for processes that are started from here
    constants.HF_HUB_DISABLE_TELEMETRY = True  # in this one it was read when huggingface_hub was imported
    safehttpx.get = _refuse
    safehttpx.async_validate_url = _refuse

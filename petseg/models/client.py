"""One way to ask the Hub, and one clear error for each way in which that fails.

The classes of huggingface_hub's errors depend on its version (requests, httpx, httpx2), so errors are told
apart by what all versions share: the HTTP status, the Hub's own error code, errno.
"""

import errno
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from petseg.errors import (
    HubAccessError,
    HubContentError,
    HubError,
    HubNotFoundError,
    HubUnavailableError,
    PetsegError,
)
from petseg.version import version

T = TypeVar("T")

PAUSES = (1.0, 3.0)
"""Seconds before the Hub is asked again after an answer 5xx."""

_TOKEN = "set HF_TOKEN (https://huggingface.co/settings/tokens)"


def api() -> Any:
    """A `huggingface_hub.HfApi` that says who asks."""
    from huggingface_hub import HfApi

    return HfApi(library_name="petseg", library_version=version())


def ask(about: str, call: Callable[[], T]) -> T:
    """Call huggingface_hub; answers 5xx are asked again, as often as there are `PAUSES`.

    Args:
        about: how messages name the repository and revision.
        call: what to do.

    Raises:
        HubError: one of its subclasses, for whatever huggingface_hub raised.
    """
    pauses = iter(PAUSES)
    while True:
        try:
            return call()
        except PetsegError:
            raise
        except Exception as error:
            trouble, pause = (_status(error) or 0) >= 500, next(pauses, None)
            if not trouble or pause is None:
                raise explain(about, error) from error
        time.sleep(pause)


def explain(about: str, error: Exception) -> HubError:
    """The petseg error for one of huggingface_hub's."""
    from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled

    causes = list(_causes(error))
    if any(isinstance(cause, OfflineModeIsEnabled) for cause in causes):
        return HubUnavailableError(f"{about}: HF_HUB_OFFLINE is set, so the Hub is not asked; unset it")
    if isinstance(error, HFValidationError):
        return HubNotFoundError(f"{about} is no name of a repository: {error}")
    for cause in causes:
        if (status := _status(cause)) is not None:
            return _explain_status(about, cause, status)
    for cause in causes:
        if isinstance(cause, OSError) and cause.errno is not None and (local := _explain_disk(about, cause)):
            return local
    if "Consistency check failed" in str(error):
        return HubUnavailableError(f"{about} did not arrive whole; pull it again")
    reason = next((line for cause in reversed(causes) if (line := _one_line(cause))), type(error).__name__)
    if any(_is_network(cause) for cause in causes):
        return HubUnavailableError(
            f"{about} cannot be had: the Hub does not answer, or stops to ({reason}); check the network, "
            "HF_ENDPOINT and the proxy"
        )
    return HubError(f"{about}: huggingface_hub failed ({type(error).__name__}: {_one_line(error)})")


def _one_line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), "")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _status(error: BaseException) -> int | None:
    """The HTTP status that the Hub answered with."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    return status if isinstance(status, int) else None


def _explain_status(about: str, error: Any, status: int) -> HubError:
    from huggingface_hub.errors import RepositoryNotFoundError

    headers = error.response.headers
    code = headers.get("X-Error-Code", "")
    said = headers.get("X-Error-Message") or f"answer {status}"
    if code == "RevisionNotFound":
        return HubNotFoundError(f"{about}: there is no such revision; give a branch, a tag or a commit of it")
    if code == "EntryNotFound":
        return HubContentError(
            f"{about}: there is no such file, so this is no petseg model, or not a whole one"
        )
    if code == "GatedRepo" or status == 403:
        return HubAccessError(f"{about}: the Hub denies access ({said}); ask its owner, and {_TOKEN}")
    if status == 404 or isinstance(error, RepositoryNotFoundError):
        return HubNotFoundError(
            f"{about}: there is no such repository, or it is private; check the name, or {_TOKEN}"
        )
    if status == 401:
        return HubAccessError(f"{about}: the Hub does not let you in ({said}); {_TOKEN}")
    if status == 429:
        seconds = _retry_after(headers)
        wait = f"wait {seconds} seconds" if seconds is not None else "wait some minutes"
        return HubUnavailableError(f"{about}: too many requests to the Hub; {wait}, or {_TOKEN}", seconds)
    if status >= 500:
        return HubUnavailableError(f"{about}: the Hub is in trouble ({said}); try again later")
    return HubError(f"{about}: the Hub refused ({said}): {_one_line(error)}")


def _retry_after(headers: Any) -> int | None:
    """Seconds to wait: by Retry-After, or by the draft standard's `RateLimit: "api";r=0;t=55`."""
    value = headers.get("Retry-After", "")
    if value.isdigit():
        return int(value)
    match = re.search(r";\s*t\s*=\s*(\d+)", headers.get("RateLimit", ""))
    return int(match[1]) if match else None


def _explain_disk(about: str, error: OSError) -> HubError | None:
    from huggingface_hub import constants

    cache = f"the cache {constants.HF_HUB_CACHE}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return HubError(f"{about} does not fit: {cache} is full; make room, or set HF_HOME to another disk")
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return HubError(f"{about}: {cache} may not be written ({error}); set HF_HOME to a folder of yours")
    return None


def _is_network(error: BaseException) -> bool:
    package = type(error).__module__.partition(".")[0]
    return isinstance(error, ConnectionError | TimeoutError) or package in (
        "httpx2",
        "httpx",
        "httpcore2",
        "httpcore",
        "requests",
        "urllib3",
        "hf_xet",
    )

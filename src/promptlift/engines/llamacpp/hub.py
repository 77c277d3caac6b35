"""A file of the Hugging Face hub, fetched where the user names one: ``hub:OWNER/REPO:FILE``."""

from __future__ import annotations

import re
from pathlib import Path

from promptlift.engines.llamacpp.gguf import parts_of
from promptlift.errors import ConfigEngineError, EngineError, TransientEngineError

__all__ = ["locate"]

_PREFIX = "hub:"
_NAME = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+):(?P<file>[^:\\]+)")


def locate(name: str | Path) -> Path:
    """The file of that name: a path as it is, a file of the hub after fetching it.

    What is in the hub's cache already is not fetched again; what was cut off goes on where it
    ended. The hub's own variables count (``HF_HOME``, ``HF_TOKEN``, ``HF_ENDPOINT``,
    ``HF_HUB_OFFLINE``), and its progress bar is on stderr.

    Raises:
        ConfigEngineError: The name makes no sense, there is no such file, or it is not given to
            everybody.
        TransientEngineError: The hub does not answer.
    """
    text = str(name)
    if not text.startswith(_PREFIX):
        return Path(name).expanduser()
    named = _NAME.fullmatch(text)
    if named is None or not named["file"].endswith(".gguf"):
        raise ConfigEngineError(
            f"{text!r} is no file of the hub", remedy="write hub:OWNER/REPO:FILE.gguf"
        )
    first, *_ = [_fetched(named["repo"], file) for file in parts_of(named["file"])]
    return first


def _fetched(repo: str, file: str) -> Path:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        raise ConfigEngineError(
            "huggingface_hub is not installed, which fetches files of the hub",
            remedy="install it: pip install huggingface_hub, or give the path of a file",
        ) from error
    try:
        return Path(hf_hub_download(repo, file))
    except (OSError, ValueError) as error:
        raise _refused(repo, file, error) from error
    except Exception as error:
        # Some of the hub's errors are plain exceptions, such as that for a missing file.
        if type(error).__module__.startswith("huggingface_hub"):
            raise _refused(repo, file, error) from error
        raise


def _refused(repo: str, file: str, error: Exception) -> EngineError:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return ConfigEngineError(
            f"{repo} is not given to everybody",
            remedy="accept its terms on its page and set HF_TOKEN to your token",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return ConfigEngineError(
            f"the hub has no repository {repo}, or not for you",
            remedy="check the name; for a private one set HF_TOKEN to your token",
        )
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        return TransientEngineError(
            f"{file} of {repo} is not in the hub's cache, and the hub does not answer",
            remedy="check the connection and HF_HUB_OFFLINE, or give the path of a file",
        )
    if isinstance(error, errors.EntryNotFoundError | errors.HFValidationError):
        return ConfigEngineError(
            f"{repo} has no file {file}", remedy="look at the names in its list of files"
        )
    reason = getattr(error, "strerror", None) or type(error).__name__
    return TransientEngineError(
        f"{file} of {repo} could not be fetched ({reason})",
        remedy="try again, it goes on where it ended; check the room on the disk",
    )

"""GGUF files: where they are, what their heads say, and what model they are.

Nothing is loaded. The format: ``GGUF``, a version, the number of tensors and of fields, the fields
(key, type, value), then the tensors; all little-endian. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

The format's own Python library takes 28 s for a vocabulary of 131,072 tokens where this takes half
a second, as it makes an array of each.
"""

from __future__ import annotations

import mmap
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from promptlift.errors import ConfigEngineError, TransientEngineError
from promptlift.files import content_id
from promptlift.tokens import UNKNOWN, family_for_model

__all__ = ["GgufModel", "inspect_model", "locate", "read_gguf"]

_VERSIONS = (2, 3)
_FORMATS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
_STRING, _ARRAY = 8, 9
# Large models come in parts, which llama.cpp wants side by side, and which the first one names.
_FIRST_PART = re.compile(r"(?P<stem>.+)-00001-of-(?P<count>\d{5})\.gguf")
_HUB_FILE = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+):(?P<file>[^:\\]+\.gguf)")

# Families by the type of the projector, as llama.cpp's converter names it. The first is taken
# unless the model's name tells that it is one of the others. llama.cpp prepares pictures with its
# own code, so only those are here for which it was seen to count as the formula does, or less:
# Pixtral in whole patches, SmolVLM and Gemma 3 always, Qwen but for sides that lie just between
# two steps, which llama.cpp rounds up, and pictures of less than 8 tokens, which it enlarges.
# InternVL's are cut otherwise, into more tiles or fewer, and the rest was not looked at: they
# are unknown, and to be measured. What llama.cpp really counted is in each answer.
_FAMILIES: dict[str, tuple[str, ...]] = {
    "pixtral": ("pixtral", "pixtral-hf", "mistral-small", "mistral-small-hf"),
    "qwen2vl_merger": ("qwen2-vl",),
    "qwen2.5vl_merger": ("qwen2.5-vl", "cosmos-reason1"),
    "qwen3vl_merger": ("qwen3-vl", "cosmos-reason2"),
    "idefics3": ("smolvlm2", "smolvlm2-small", "idefics3"),
    "gemma3": ("gemma3",),
}


# ---- the head of a file


def read_gguf(path: Path) -> dict[str, str | int | float | bool]:
    """The single values in the head of a file by key; lists, such as the vocabulary, are left out.

    Raises:
        ValueError: It has no whole head of a known version; the text goes on from the file's name.
    """
    try:
        if path.stat().st_size == 0:  # which cannot be mapped
            raise IndexError
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if data[:4] != b"GGUF":
                pointer = data[:8] == b"version "
                raise ValueError(
                    "is only a Git LFS pointer to the model" if pointer else "is not a GGUF file"
                )
            version, _, count = struct.unpack_from("<IQQ", data, 4)
            if version not in _VERSIONS:
                raise ValueError(f"is GGUF of version {version}, and only 2 and 3 are known")
            reader, fields = _Reader(data, 24), {}
            for _ in range(count):
                key = reader.string()
                value = reader.value(reader.number("I"))
                if value is not None:
                    fields[key] = value
            return fields
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from error
    except (struct.error, IndexError, OverflowError) as error:
        raise ValueError(f"is cut off in its head, at {path.stat().st_size:,} bytes") from error


class _Reader:
    """Reads on from a place; raises `struct.error` or `IndexError` beyond the file's end."""

    def __init__(self, data: mmap.mmap, at: int) -> None:
        self._data = data
        self._at = at

    def number(self, letter: str) -> int:
        """A number of a format of `struct`; the formats of fields have other types as well."""
        value: int
        (value,) = struct.unpack_from("<" + letter, self._data, self._at)
        self._at += struct.calcsize("<" + letter)
        return value

    def string(self) -> str:
        start = self._at + 8
        self._at = start + self.number("Q")
        if self._at > len(self._data):
            raise IndexError
        return self._data[start : self._at].decode("utf-8", "replace")

    def value(self, kind: int) -> str | int | float | bool | None:
        """A value; None for a list, of which nothing is kept."""
        if kind == _STRING:
            return self.string()
        if kind in _FORMATS:
            return self.number(_FORMATS[kind])
        if kind != _ARRAY:
            raise ValueError(f"has a field of the unknown type {kind}")
        kind, count = self.number("I"), self.number("Q")
        if kind in _FORMATS:
            self._at += count * struct.calcsize("<" + _FORMATS[kind])
        elif kind == _STRING:
            for _ in range(count):
                self.string()
        else:
            raise ValueError(f"has a list of the unknown type {kind}")
        return None


# ---- a model and its projector


@dataclass(frozen=True, slots=True)
class GgufModel:
    """A model and its projector, checked.

    Attributes:
        path: The model's file.
        mmproj: The projector's file.
        name: What the model calls itself, else its file's name.
        architecture: llama.cpp's name for the kind of model.
        revision: Names of the files' contents, see `promptlift.files.content_id`.
        trained_context: Tokens that the model was trained for; None if it does not say.
        family: Image-token family in `promptlift.tokens`.
        image_tokens: The most tokens of a picture to ask llama.cpp for, where its own limit is
            below the model's; None to leave it at that.
    """

    path: Path
    mmproj: Path
    name: str
    architecture: str
    revision: str
    trained_context: int | None
    family: str
    image_tokens: int | None


def inspect_model(path: Path, mmproj: Path) -> GgufModel:
    """Check that the files are a model and a projector; whether they match shows at loading.

    Raises:
        ConfigEngineError: A file is missing or damaged, or is not what it is given for.
    """
    text, vision = _read(path, "model"), _read(mmproj, "projector")
    architecture = str(text.get("general.architecture", ""))
    if architecture in ("", "clip") or text.get("general.type", "model") != "model":
        raise ConfigEngineError(
            f"{path.name!r} is a GGUF file, but not a model's",
            remedy="give the file with the model's weights as --model, and its projector as "
            "--mmproj",
        )
    if vision.get("general.architecture") != "clip" or not vision.get("clip.has_vision_encoder"):
        raise ConfigEngineError(
            f"{mmproj.name!r} is not a projector that takes pictures",
            remedy="the repositories of GGUF models have it beside the model, with mmproj in its "
            "name",
        )
    projector = str(
        vision.get("clip.projector_type") or vision.get("clip.vision.projector_type", "")
    )
    name = str(text.get("general.name") or path.stem)
    families = _FAMILIES.get(projector, (UNKNOWN.name,))
    names = f"{name} {text.get('general.basename', '')} {path.stem}"
    by_name = family_for_model(names.replace(" ", "-"))
    image_tokens = None
    if projector == "pixtral":
        # All the squares of patches in the largest picture that the model was trained for.
        side = _positive(vision.get("clip.vision.image_size"))
        patch = _positive(vision.get("clip.vision.patch_size"))
        merged = _positive(vision.get("clip.vision.spatial_merge_size")) or 1
        image_tokens = (side // (patch * merged)) ** 2 if side and patch else None
    revisions = []
    for part in (*(path.with_name(part) for part in _part_names(path.name)), mmproj):
        if not part.is_file():
            raise ConfigEngineError(
                f"{part.name} is missing, a part of the model {path.name!r}",
                remedy="put all parts into one folder with the names that they had",
            )
        with part.open("rb") as file:
            revisions.append(content_id(file, part.stat().st_size))
    return GgufModel(
        path=path,
        mmproj=mmproj,
        name=name,
        architecture=architecture,
        revision="+".join(revisions),
        trained_context=_positive(text.get(f"{architecture}.context_length")),
        family=by_name if by_name in families else families[0],
        image_tokens=image_tokens,
    )


def _read(path: Path, what: str) -> dict[str, str | int | float | bool]:
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigEngineError(
            f"the {what} {str(path)!r} {state}", remedy="give the path of a .gguf file"
        )
    try:
        return read_gguf(path)
    except ValueError as error:
        raise ConfigEngineError(
            f"the {what} {str(path)!r} {error}",
            remedy="download it again, whole, from a repository of GGUF models",
        ) from error


def _positive(value: object) -> int | None:
    return value if type(value) is int and value > 0 else None


def _part_names(first: str) -> list[str]:
    """Names of all the parts of a model by the name of the first; that name, if it is whole."""
    match = _FIRST_PART.fullmatch(first)
    if match is None:
        return [first]
    count = match["count"]
    return [f"{match['stem']}-{part:05}-of-{count}.gguf" for part in range(1, int(count) + 1)]


# ---- files of the Hugging Face hub


def locate(name: str | Path) -> Path:
    """The file of that name: a path as it is, a file of the hub after downloading it.

    What is in the hub's cache is not downloaded again; a download that was cut off goes on. The
    hub's own variables count (``HF_HOME``, ``HF_TOKEN``, ``HF_ENDPOINT``, ``HF_HUB_OFFLINE``), and
    its progress bar is on stderr.

    Raises:
        ConfigEngineError: The name makes no sense, there is no such file, or it is not given to
            everybody.
        TransientEngineError: The hub does not answer.
    """
    text = str(name)
    if not text.startswith("hub:"):
        return Path(name).expanduser()
    match = _HUB_FILE.fullmatch(text)
    if match is None:
        raise ConfigEngineError(
            f"{text!r} is no file of the hub", remedy="write hub:OWNER/REPO:FILE.gguf"
        )
    from huggingface_hub import errors, hf_hub_download

    try:
        first, *_ = [hf_hub_download(match["repo"], file) for file in _part_names(match["file"])]
        return Path(first)
    except Exception as error:  # some of the hub's errors are plain exceptions
        refused = (
            errors.RepositoryNotFoundError,  # also one that is private or gated
            errors.EntryNotFoundError,
            errors.HFValidationError,
        )
        if isinstance(error, refused) and not isinstance(error, errors.LocalEntryNotFoundError):
            raise ConfigEngineError(
                f"the hub has no file {text}, or does not give it to everybody",
                remedy="check the names on its page; where it has terms, accept them and set "
                "HF_TOKEN to your token",
            ) from error
        raise TransientEngineError(
            f"{text} cannot be fetched ({' '.join(str(error).split())[:200]})",
            remedy="check the connection, HF_HUB_OFFLINE and the room on the disk, and try again: "
            "it goes on where it ended",
        ) from error

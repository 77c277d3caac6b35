"""GGUF files: where they are, what their heads say, and what model they are.

Nothing is loaded. The format: ``GGUF``, a version, the number of tensors and of fields, the fields
(key, type, value), then each tensor's name, shape, type and offset, then padding and the data; all
little-endian. https://github.com/ggml-org/ggml/blob/master/docs/gguf.md

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

__all__ = ["DamagedGguf", "GgufHead", "GgufModel", "inspect_model", "locate", "read_gguf"]

_VERSIONS = (2, 3)
_FORMATS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32
# Large models come in parts, which llama.cpp wants side by side, and which the first one names.
_FIRST_PART = re.compile(r"(?P<stem>.+)-00001-of-(?P<count>\d{5})\.gguf")
_HUB_FILE = re.compile(r"hub:(?P<repo>[\w.-]+/[\w.-]+):(?P<file>[^:\\]+\.gguf)")

_PROJECTOR = "clip"
_WHERE_PROJECTORS_ARE = (
    "the repositories of GGUF models have it beside the model, with mmproj in its name"
)
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


class DamagedGguf(Exception):
    """The file is not a whole GGUF file; the text goes on from the file's name."""


@dataclass(frozen=True, slots=True)
class GgufHead:
    """What the head of a file says.

    Attributes:
        fields: Its single values by key; lists, such as the vocabulary, are left out.
    """

    fields: dict[str, str | int | float | bool]

    def text(self, key: str) -> str:
        """A field that is a string; empty where it is missing."""
        value = self.fields.get(key)
        return value.strip() if isinstance(value, str) else ""

    def number(self, key: str) -> int | None:
        """A field that is a whole number above 0; None where it is missing."""
        value = self.fields.get(key)
        return value if type(value) is int and value > 0 else None


def read_gguf(path: Path) -> GgufHead:
    """Read the head of a file, and check that the file is as long as it says.

    Raises:
        DamagedGguf: It is not a GGUF file, of an unknown version, or not whole.
    """
    try:
        with path.open("rb") as file:
            start = file.read(8)
            if start == b"version ":
                raise DamagedGguf("is only a Git LFS pointer to the model")
            if start[:4] != b"GGUF":
                raise DamagedGguf("is not a GGUF file")
            (version,) = struct.unpack("<I", start[4:])
            if version not in _VERSIONS:
                raise DamagedGguf(f"is GGUF of version {version}, and only 2 and 3 are known")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _HeadReader(data).head()
    except OSError as error:
        raise DamagedGguf(f"cannot be read: {error.strerror}") from error
    except (struct.error, IndexError) as error:
        raise DamagedGguf(f"is cut off in its head, at {path.stat().st_size:,} bytes") from error


class _HeadReader:
    """Reads on from the version.

    Raises:
        struct.error, IndexError: A value goes beyond the file's end.
    """

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 8

    def head(self) -> GgufHead:
        tensors, count = self._number("Q"), self._number("Q")
        fields = {}
        for _ in range(count):
            key = self._string()
            value = self._value(self._number("I"))
            if value is not None:
                fields[key] = value
        last = 0
        for _ in range(tensors):
            self._string()
            self._skip(8 * self._number("I") + 4)  # dimensions and type of the weights
            last = max(last, self._number("Q"))
        head = GgufHead(fields)
        alignment = head.number("general.alignment") or _ALIGNMENT
        last += -(-self._at // alignment) * alignment
        if tensors and len(self._data) <= last:
            raise DamagedGguf(f"has only {len(self._data):,} of more than {last:,} bytes")
        return head

    def _value(self, kind: int) -> str | int | float | bool | None:
        """A value; None for a list, of which nothing is kept."""
        if kind == _STRING:
            return self._string()
        if kind == _ARRAY:
            kind, count = self._number("I"), self._number("Q")
            if kind in _FORMATS:
                self._skip(count * struct.calcsize("<" + _FORMATS[kind]))
                return None
            if kind == _ARRAY:
                raise DamagedGguf("has a list of lists")
            for _ in range(count):
                self._value(kind)
            return None
        if kind not in _FORMATS:
            raise DamagedGguf(f"has a field of the unknown type {kind}")
        return self._number(_FORMATS[kind])

    def _number(self, letter: str) -> int:
        """A number of a format of `struct`; the formats of fields have other types as well."""
        value: int
        (value,) = struct.unpack_from("<" + letter, self._data, self._at)
        self._at += struct.calcsize("<" + letter)
        return value

    def _string(self) -> str:
        start = self._at + 8
        self._skip(self._number("Q"))
        return self._data[start : self._at].decode("utf-8", "replace")

    def _skip(self, count: int) -> None:
        if count > len(self._data) - self._at:
            raise IndexError
        self._at += count


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
    text, vision = _head(path, "model"), _head(mmproj, "projector")
    architecture = text.text("general.architecture")
    if architecture in ("", _PROJECTOR) or text.text("general.type") not in ("", "model"):
        raise ConfigEngineError(
            f"{path.name!r} is a GGUF file, but not a model's",
            remedy="give the file with the model's weights as --model, and its projector as "
            "--mmproj",
        )
    if vision.text("general.architecture") != _PROJECTOR:
        raise ConfigEngineError(
            f"{mmproj.name!r} is not a projector", remedy=f"find it: {_WHERE_PROJECTORS_ARE}"
        )
    if not vision.fields.get("clip.has_vision_encoder"):
        raise ConfigEngineError(
            f"the projector {mmproj.name!r} takes no pictures",
            remedy="use a vision model and its projector",
        )
    projector = vision.text("clip.projector_type") or vision.text("clip.vision.projector_type")
    name = text.text("general.name") or path.stem
    families = _FAMILIES.get(projector, (UNKNOWN.name,))
    names = f"{name} {text.text('general.basename')} {path.stem}"
    by_name = family_for_model(names.replace(" ", "-"))
    return GgufModel(
        path=path,
        mmproj=mmproj,
        name=name,
        architecture=architecture,
        revision="+".join(map(_content, (*_parts(path, text), mmproj))),
        trained_context=text.number(f"{architecture}.context_length"),
        family=by_name if by_name in families else families[0],
        image_tokens=_image_tokens(vision) if projector == "pixtral" else None,
    )


def _head(path: Path, what: str) -> GgufHead:
    if not path.is_file():
        state = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigEngineError(
            f"the {what} {str(path)!r} {state}", remedy="give the path of a .gguf file"
        )
    try:
        return read_gguf(path)
    except DamagedGguf as error:
        raise ConfigEngineError(
            f"the {what} {str(path)!r} {error}",
            remedy="download it again, whole, from a repository of GGUF models",
        ) from error


def _parts(path: Path, text: GgufHead) -> list[Path]:
    """All files of the model, the given one first; llama.cpp finds the others by its name."""
    parts = [path.with_name(name) for name in _part_names(path.name)]
    count = text.number("split.count") or 1
    missing = [part.name for part in parts if not part.is_file()]
    if len(parts) != count or missing:
        what = f"{', '.join(missing)} is missing" if missing else "it is not named as the first"
        raise ConfigEngineError(
            f"{path.name!r} is one of {count} parts of a model, and {what}",
            remedy="put all parts into one folder with the names that they had, and give the one "
            f"with -00001-of-{count:05}",
        )
    return parts


def _part_names(first: str) -> list[str]:
    """Names of all the parts of a model by the name of the first; that name, if it is whole."""
    match = _FIRST_PART.fullmatch(first)
    if match is None:
        return [first]
    count = match["count"]
    return [f"{match['stem']}-{part:05}-of-{count}.gguf" for part in range(1, int(count) + 1)]


def _image_tokens(vision: GgufHead) -> int | None:
    """All the squares of patches in the largest picture that the model was trained for."""
    side = vision.number("clip.vision.image_size")
    patch = vision.number("clip.vision.patch_size")
    merged = vision.number("clip.vision.spatial_merge_size") or 1
    return (side // (patch * merged)) ** 2 if side and patch else None


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return content_id(file, path.stat().st_size)


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
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError as error:
        raise ConfigEngineError(
            "huggingface_hub is not installed, which fetches files of the hub",
            remedy="run `pip install huggingface_hub`, or pass the path of a file",
        ) from error
    try:
        first, *_ = [hf_hub_download(match["repo"], file) for file in _part_names(match["file"])]
        return Path(first)
    except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled) as error:
        raise TransientEngineError(
            f"{text} is not in the hub's cache, and the hub does not answer",
            remedy="check the connection and HF_HUB_OFFLINE, or give the path of a file",
        ) from error
    except (
        errors.RepositoryNotFoundError,  # also one that is private or gated
        errors.EntryNotFoundError,
        errors.HFValidationError,
    ) as error:
        raise ConfigEngineError(
            f"the hub has no file {text}, or does not give it to everybody",
            remedy="check the names on its page; where it has terms, accept them and set HF_TOKEN "
            "to your token",
        ) from error
    except Exception as error:
        # Some of the hub's errors are plain exceptions.
        from_hub = type(error).__module__.startswith("huggingface_hub")
        if not from_hub and not isinstance(error, OSError | ValueError):
            raise
        raise TransientEngineError(
            f"{text} could not be fetched ({getattr(error, 'strerror', None) or error})",
            remedy="try again, it goes on where it ended; check the room on the disk",
        ) from error

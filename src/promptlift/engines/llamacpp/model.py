"""Which model two GGUF files are, and whether they belong together; nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from promptlift.core.tokens import UNKNOWN, family_for_model
from promptlift.engines.llamacpp.gguf import DamagedGguf, Gguf, parts_of, read_gguf
from promptlift.errors import ConfigEngineError
from promptlift.files import content_id

__all__ = ["Model", "inspect_model"]

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


@dataclass(frozen=True, slots=True)
class Model:
    """A model and its projector, checked.

    Attributes:
        path: The model's file.
        mmproj: The projector's file.
        name: What the model calls itself, else its file's name.
        architecture: llama.cpp's name for the kind of model.
        revision: Names of the files' contents, see `promptlift.files.content_id`.
        trained_context: Tokens that the model was trained for; None if it does not say.
        family: Image-token family in `promptlift.core.tokens`.
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


def inspect_model(path: Path, mmproj: Path) -> Model:
    """Check that the files are a model and the projector that belongs to it.

    Raises:
        ConfigEngineError: A file is missing or damaged, is not what it is given for, or the
            projector is another model's.
    """
    text, eyes = _head(path, "model"), _head(mmproj, "projector")
    architecture = _check_roles(path, text, mmproj, eyes)
    _check_match(path, text.number(f"{architecture}.embedding_length"), mmproj, eyes)
    projector = _projector(eyes)
    name = text.text("general.name") or path.stem
    return Model(
        path=path,
        mmproj=mmproj,
        name=name,
        architecture=architecture,
        revision="+".join(_content(each) for each in (*_parts(path, text), mmproj)),
        trained_context=text.number(f"{architecture}.context_length"),
        family=_family(projector, f"{name} {text.text('general.basename')} {path.stem}"),
        image_tokens=_image_tokens(eyes) if projector == "pixtral" else None,
    )


def _head(path: Path, what: str) -> Gguf:
    if not path.is_file():
        kind = "is a folder" if path.is_dir() else "does not exist"
        raise ConfigEngineError(
            f"the {what} {str(path)!r} {kind}", remedy="give the path of a .gguf file"
        )
    try:
        return read_gguf(path)
    except DamagedGguf as error:
        raise ConfigEngineError(
            f"the {what} {str(path)!r} {error}",
            remedy="download it again, whole, from a repository of GGUF models",
        ) from error


def _check_roles(path: Path, text: Gguf, mmproj: Path, eyes: Gguf) -> str:
    architecture = text.text("general.architecture")
    if architecture == _PROJECTOR:
        raise ConfigEngineError(
            f"{path.name!r} is a projector and not a model",
            remedy="give it as --mmproj, and the model itself as --model",
        )
    if not architecture or text.text("general.type") not in ("", "model"):
        raise ConfigEngineError(
            f"{path.name!r} is a GGUF file, but not a model's",
            remedy="give the file with the model's weights",
        )
    if eyes.text("general.architecture") != _PROJECTOR:
        raise ConfigEngineError(
            f"{mmproj.name!r} is not a projector", remedy=f"find it: {_WHERE_PROJECTORS_ARE}"
        )
    if not eyes.fields.get("clip.has_vision_encoder"):
        raise ConfigEngineError(
            f"the projector {mmproj.name!r} takes no pictures",
            remedy="use a vision model and its projector",
        )
    return architecture


def _check_match(path: Path, wanted: int | None, mmproj: Path, eyes: Gguf) -> None:
    """Hold the model's width against what the projector gives.

    The field for it is right in files of the present converter; older LLaVA files have CLIP's own
    width there. So the shapes of the last matrices are looked at besides.
    """
    given = {
        size
        for name, shape in eyes.shapes.items()
        if name.startswith(("mm.", "resampler."))
        for size in shape
    }
    named = eyes.number("clip.vision.projection_dim")
    if wanted is None or wanted == named or wanted in given or not (given or named):
        return
    raise ConfigEngineError(
        f"the projector {mmproj.name!r} gives vectors of {named or max(given)}, and the model "
        f"{path.name!r} takes {wanted}",
        remedy=f"use the projector that belongs to this model: {_WHERE_PROJECTORS_ARE}",
    )


def _parts(path: Path, text: Gguf) -> list[Path]:
    """All files of the model, the given one first; llama.cpp finds the others by its name."""
    parts = [path.with_name(name) for name in parts_of(path.name)]
    count = text.number("split.count") or 1
    if len(parts) != count:
        raise ConfigEngineError(
            f"{path.name!r} is one of {count} parts of a model, and not named as the first",
            remedy=f"keep the names that the parts had, and give the one with -00001-of-{count:05}",
        )
    missing = [part.name for part in parts if not part.is_file()]
    if missing:
        raise ConfigEngineError(
            f"of the {count} parts of the model, {', '.join(missing)} is missing",
            remedy=f"put all parts into the folder {str(path.parent)!r}",
        )
    return parts


def _projector(eyes: Gguf) -> str:
    return eyes.text("clip.projector_type") or eyes.text("clip.vision.projector_type")


def _family(projector: str, names: str) -> str:
    known = _FAMILIES.get(projector, (UNKNOWN.name,))
    by_name = family_for_model(names.replace(" ", "-"))
    return by_name if by_name in known else known[0]


def _image_tokens(eyes: Gguf) -> int | None:
    """All the squares of patches in the largest picture that the model was trained for."""
    side = eyes.number("clip.vision.image_size")
    patch = eyes.number("clip.vision.patch_size")
    merged = eyes.number("clip.vision.spatial_merge_size") or 1
    return (side // (patch * merged)) ** 2 if side and patch else None


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return content_id(file, path.stat().st_size)

"""Find the prompts in files of any kind: texts, JSON, records of promptlift and specs of Cosmos."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from promptlift.cosmos.formats import Layout, SpecItem
from promptlift.cosmos.spec_file import BOM, Node, Spec, parse_values, read_spec, read_text
from promptlift.errors import SpecError
from promptlift.targets import TARGET_NAMES
from promptlift.targets.documents import document_target
from promptlift.types import COSMOS_CONTROLS

if TYPE_CHECKING:
    from promptlift.types import Kind

__all__ = ["MAX_LETTERS", "PromptInFile", "read_folder", "read_prompts", "text_prompt"]

MAX_LETTERS = 65_536
"""Longest text that is taken for a prompt; the largest limit of a target is some 1,000 tokens."""

_SUFFIXES = (".txt", ".json", ".jsonl")
_PROMPT_KEY = re.compile(r"prompt(?!_?(?:path|file|id))\w*|(?:\w+_)?caption")
_JSON_CHARACTER = re.compile(
    r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|.",  # a pair of halves is one character
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class PromptInFile:
    """A prompt, where it stands, and what its file says of it.

    Attributes:
        path: The file as it was named.
        source: The whole file.
        text: The prompt.
        start: Position in `source` of the prompt's first character.
        escaped: Whether it stands there as a JSON string.
        short_prompt: What it was made from; empty where the file does not say.
        target: The generator that it is for; None where the file does not say.
        control: The kind of control video that its writer saw; None for none.
    """

    path: Path
    source: str
    text: str
    start: int
    escaped: bool = False
    short_prompt: str = ""
    target: str | None = None
    control: Kind | None = None

    def position(self, words: str = "", before: str = "") -> tuple[int, int]:
        """Line and column, counted from 1, of words of the prompt, or of its first character.

        Args:
            words: The words as the review quotes them.
            before: What the reviewed text, which may have been cleaned, has before them.
        """
        index = len(before)
        if self.text[index : index + len(words)] != words:
            index = -1
            for _ in range(before.count(words) + 1):
                index = self.text.find(words, index + 1)
            index = max(index, 0)
        place = self.start + index
        if self.escaped:
            characters = _JSON_CHARACTER.finditer(self.source, self.start)
            place = next(match.start() for n, match in enumerate(characters) if n == index)
        line_start = self.source.rfind("\n", 0, place) + 1
        column = place - line_start + (not (line_start == 0 and self.source.startswith(BOM)))
        return self.source.count("\n", 0, place) + 1, column


def _files_below(folder: Path) -> Iterator[Path]:
    """The files below a folder that may hold prompts, in order.

    Left out are hidden folders, schemas, and what is called negative: it must not be in a video.
    """
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if (
            path.suffix.lower() in _SUFFIXES
            and not path.stem.endswith(("schema", ".negative"))
            and not any(part.startswith((".", "neg_", "negative")) for part in parts)
            and path.is_file()
        ):
            yield path


def read_folder(folder: Path) -> Iterator[tuple[Path, list[PromptInFile] | SpecError]]:
    """Each file below a folder that holds prompts, with them, or with why it cannot be read.

    A file that a spec names is read with the spec, which says more about it.
    """
    files: dict[Path, list[PromptInFile] | SpecError] = {}
    named: set[Path] = set()
    for path in _files_below(folder):
        try:
            files[path] = found = read_prompts(path)
            named |= {prompt.path.resolve() for prompt in found if prompt.path != path}
        except SpecError as error:
            files[path] = error
    for path, result in files.items():
        if result and path.resolve() not in named:
            yield path, result


def read_prompts(path: Path) -> list[PromptInFile]:
    """The prompts of a file; empty for JSON that holds none.

    Raises:
        SpecError: The file cannot be read, is no JSON, or is too long.
    """
    if path.suffix.lower() not in (".json", ".jsonl"):
        return [text_prompt(path, read_text(path))]
    source = read_text(path)
    layout: Layout = "lines" if path.suffix.lower() == ".jsonl" else "document"
    nodes: list[Node] = []
    for _, node in parse_values(source, layout):
        if isinstance(node, SpecError):
            raise node
        nodes.append(node)
    try:
        spec = read_spec(path)
    except SpecError:  # it is of none of the formats
        found = [prompt for node in nodes for prompt in _below(path, source, node)]
    else:
        found = [prompt for item in spec.items for prompt in _of_spec(spec, item)]
    for prompt in found:
        _check_length(prompt.text)
    return found


def text_prompt(path: Path, source: str) -> PromptInFile:
    """The prompt that a whole text is, without the white space around it.

    Raises:
        SpecError: It is too long for a prompt.
    """
    text = source.removeprefix(BOM).strip()
    _check_length(text)
    return PromptInFile(path, source, text, source.find(text))


def _check_length(text: str) -> None:
    if len(text) > MAX_LETTERS:
        raise SpecError(
            f"it holds a text of {len(text):,} letters, which is no prompt",
            remedy=f"give prompts of at most {MAX_LETTERS:,} letters",
        )


def _of_spec(spec: Spec, item: SpecItem) -> Iterator[PromptInFile]:
    """The prompt of an item, from its own file where it names one."""
    if item.error is not None:
        raise item.error
    kinds = [COSMOS_CONTROLS[key][1] for key in item.hints] if item.video is None else []
    control = next((kind for kind in kinds if kind is not None), None)
    node = item.owner.members.get(item.key)
    if node is not None and isinstance(node.value, str):
        found = [_json_text(spec.path, spec.text, node)]
    elif item.prompt_path is not None:
        folder = spec.path.parent if spec.format.beside else Path()
        try:
            found = read_prompts(Path(os.path.normpath(folder / item.prompt_path)))
        except SpecError as error:
            what = f"its prompt_path {item.prompt_path!r}: {error.message}"
            raise SpecError(what, remedy=error.remedy) from None
    else:
        return
    for prompt in found:
        yield replace(prompt, target=prompt.target or spec.format.target, control=control)


def _below(
    path: Path, source: str, node: Node, *, texts_are_prompts: bool = True
) -> Iterator[PromptInFile]:
    """The prompts in a JSON value of no known format."""
    if document := document_target(node.members):
        text = source[node.start : node.end]
        yield PromptInFile(path, source, text, node.start, target=document)
        return
    for item in node.items:
        if not isinstance(item.value, str):
            yield from _below(path, source, item)
        elif texts_are_prompts:
            yield _json_text(path, source, item)
    members = node.members
    texts = {key: one for key, one in members.items() if isinstance(one.value, str)}
    own = {key: str(one.value) for key, one in texts.items()}
    result = texts.get("long_prompt") if "prompt" in own else None
    short = own.get("short_prompt") or (own["prompt"] if result else "")
    named = own.get("target")
    target = named if named in TARGET_NAMES else None
    is_record = "long_prompt" in members or {"short_prompt", "schema_version"} <= members.keys()
    wanted = (
        [result or texts.get("prompt")]
        if is_record
        else [one for key, one in texts.items() if _PROMPT_KEY.fullmatch(key)]
    )
    for one in filter(None, wanted):
        yield replace(_json_text(path, source, one), short_prompt=short, target=target)
    if not is_record:  # what else a record holds are words of the engine
        for key, inner in members.items():
            is_prompt = _PROMPT_KEY.fullmatch(key) is not None
            yield from _below(path, source, inner, texts_are_prompts=is_prompt)


def _json_text(path: Path, source: str, node: Node) -> PromptInFile:
    return PromptInFile(path, source, str(node.value), node.start + 1, escaped=True)

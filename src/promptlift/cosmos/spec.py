"""Read a spec file: its text, its format, its items."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from promptlift.cosmos.formats import FORMATS
from promptlift.cosmos.items import Format, Item, Layout, Misfit, Read
from promptlift.cosmos.scan import BOM, Node, scan
from promptlift.errors import OptionError, SpecError

__all__ = ["MAX_BYTES", "Spec", "read_spec"]

MAX_BYTES = 16 * 2**20
"""Longest spec file: some 50,000 items; a longer one is no spec, or better cut in pieces."""

_SIDECAR_MARK = "promptlift_sidecar"


@dataclass(frozen=True, slots=True)
class Spec:
    """A spec file that was read.

    Attributes:
        path: Where it is.
        text: All of it, as it stands there; a byte order mark is its first character.
        format: What it is.
        detected: Whether the format was told from the keys.
        items: Its prompts in their order, with what could not be read among them.
        warnings: What the generator itself will stumble over.
    """

    path: Path
    text: str
    format: Format
    detected: bool
    items: tuple[Item | Misfit, ...]
    warnings: tuple[str, ...]

    @property
    def ascii_only(self) -> bool:
        """Whether the file is plain ASCII."""
        return self.text.removeprefix(BOM).isascii()


def read_spec(path: Path, *, form: str = "auto", base: Spec | None = None) -> Spec:
    """Read a spec file.

    Args:
        path: The file.
        form: A name in `promptlift.cosmos.formats.FORMATS`, or ``auto``.
        base: The controlnet spec that a Cosmos-Transfer1 batch runs with.

    Raises:
        SpecError: It cannot be used.
        OptionError: There is no such format.
    """
    chosen = _named(form)
    text = _text(path)
    layout = _layout(path, chosen)
    parsed = list(_parse(text, layout))
    nodes = [(where, node) for where, node in parsed if isinstance(node, Node)]
    if not nodes and any(isinstance(node, SpecError) for _, node in parsed) and layout == "lines":
        raise next(node for _, node in parsed if isinstance(node, SpecError))
    if not nodes:
        raise SpecError("there is nothing in it", remedy="give a file with at least one item")
    found = chosen or _detect([node for _, node in nodes], layout, has_base=base is not None)
    return _assemble(path, text, found, parsed, layout, detected=chosen is None, base=base)


def _assemble(
    path: Path,
    text: str,
    form: Format,
    parsed: list[tuple[str, Node | SpecError | None]],
    layout: Layout,
    *,
    detected: bool,
    base: Spec | None,
) -> Spec:
    warnings: list[str] = []
    if text.startswith(BOM) and "bom" in form.refuses:
        warnings.append("it begins with a byte order mark, at which the generator's loader stops")
    first = _first_item(base)
    items: list[Item | Misfit] = []
    for where, node in parsed:
        if node is None:
            if "blank" in form.refuses:
                warnings.append(f"{where} is blank: the generator's own loader stops there")
        elif isinstance(node, SpecError):
            items.append(Misfit(where, node))
        else:

            def warn(line: str, where: str = where) -> None:
                warnings.append(f"{where}: {line}" if where else line)

            try:
                _check_kind(node, form)
                items += form.read(node, Read(where, first, warn))
            except SpecError as error:
                if layout == "document":
                    raise
                items.append(Misfit(where, error))
    return Spec(path, text, form, detected, tuple(items), tuple(warnings))


def _check_kind(node: Node, form: Format) -> None:
    if not isinstance(node.value, list if form.array else dict):
        wanted = "an array" if form.array else "an object"
        raise SpecError(
            f"it is {node.kind}, and a {form.title} has {wanted} there",
            remedy="correct it, or name another --format",
        )


def _first_item(base: Spec | None) -> Item | None:
    if base is None:
        return None
    return next((item for item in base.items if isinstance(item, Item)), None)


def _named(form: str) -> Format | None:
    if form == "auto":
        return None
    if form in FORMATS:
        return FORMATS[form]
    raise OptionError(
        f"there is no format {form!r}", remedy=f"use auto or one of {', '.join(FORMATS)}"
    )


def _text(path: Path) -> str:
    data = _bytes(path)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        raise SpecError(
            f"line {line} holds a byte that is no UTF-8, byte {error.start + 1} of the file"
            f"{'; it looks like UTF-16' if utf16 else ''}",
            remedy="save the file as UTF-8",
        ) from None


def _bytes(path: Path) -> bytes:
    # O_NONBLOCK keeps the open of a named pipe from waiting for a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SpecError("it is not a regular file", remedy="give a file")
            data = file.read(MAX_BYTES + 1)
    except IsADirectoryError:
        raise SpecError("it is a folder", remedy="give the spec files in it") from None
    except OSError as error:
        what = (error.strerror or str(error)).lower()
        raise SpecError(f"it cannot be read: {what}", remedy="check the name") from None
    if len(data) > MAX_BYTES:
        raise SpecError(
            f"it is longer than {MAX_BYTES // 2**20} MiB",
            remedy="check that it is a spec; cut a long batch in pieces",
        )
    return data


def _layout(path: Path, form: Format | None) -> Layout:
    """By the format where it knows only one; else by the name, as the generators do it."""
    if path.suffix.lower() in (".yaml", ".yml"):
        raise SpecError(
            "it is YAML, which promptlift does not read",
            remedy="save it as JSON, which Cosmos-Predict2.5 reads as well",
        )
    if form is not None and len(form.layouts) == 1:
        return form.layouts[0]
    return "lines" if path.suffix.lower() == ".jsonl" else "document"


def _parse(text: str, layout: Layout) -> Iterator[tuple[str, Node | SpecError | None]]:
    """Where each value stands, and the value; None for a blank line."""
    start = len(BOM) if text.startswith(BOM) else 0
    if layout == "document":
        yield "", _document(text, start)
        return
    for number, (begin, end) in enumerate(_lines(text, start), 1):
        if text[begin:end].isspace() or begin == end:
            yield f"line {number}", None
            continue
        try:
            yield f"line {number}", scan(text, begin, end)
        except SpecError as error:
            yield f"line {number}", error


def _document(text: str, start: int) -> Node:
    try:
        node = scan(text, start)
    except SpecError as error:
        if "more text after" in error.message:
            raise SpecError(
                error.message,
                remedy="name the file .jsonl if it holds one object on each line",
            ) from None
        raise
    if node.get(_SIDECAR_MARK) is not None:
        raise SpecError("it is promptlift's own sidecar of a spec", remedy="give the spec itself")
    return node


def _lines(text: str, start: int) -> Iterator[tuple[int, int]]:
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        yield start, end
        start = end + 1


def _detect(nodes: list[Node], layout: Layout, *, has_base: bool) -> Format:
    fits = [
        form
        for form in FORMATS.values()
        if layout in form.layouts and any(map(form.matches, nodes))
    ]
    # A batch needs every line to agree; one line with an override is enough to tell whose it is.
    agree = [form for form in fits if all(map(form.matches, nodes))]
    fits = agree or fits
    if has_base and any(form.name == "transfer1-batch" for form in fits):
        fits = [FORMATS["transfer1-batch"]]
    if len(fits) == 1:
        return fits[0]
    if not fits:
        raise SpecError(
            "its keys are those of no format that promptlift knows",
            remedy=f"name one with --format: {', '.join(FORMATS)}",
        )
    names = [form.name for form in fits]
    raise SpecError(
        f"its keys fit {' and '.join(names)}", remedy=f"say which with --format {names[0]}"
    )

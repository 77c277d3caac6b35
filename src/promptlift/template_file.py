"""Templates from a file: Jinja2, in a sandbox and within bounds."""

from __future__ import annotations

import hashlib
import threading
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from promptlift.errors import OptionError
from promptlift.targets import target
from promptlift.targets.templates import (
    TEMPLATES,
    Template,
    TemplateInput,
    Turn,
    camera_in_words,
    fixed_by,
    free_under,
)

if TYPE_CHECKING:
    import jinja2

__all__ = ["make_template", "read_template"]

_MAX_FILE_BYTES: Final = 65_536
_MAX_CHARACTERS: Final = 100_000
_MAX_SECONDS: Final = 5.0
_SEPARATOR = "---"


def read_template(path: Path) -> Template:
    """Read a Jinja2 template from a file, and try it once.

    The text is the user turn; above a line of three dashes, if there is one, is the system turn.
    See ``docs/how-to/templates.md`` for the variables.

    Raises:
        OptionError: It cannot be read, is too large, is no template, or fails with sample values.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES + 1)
        source = content.decode()
    except FileNotFoundError:
        raise OptionError(
            f"there is no template {str(path)!r}",
            remedy=f"name a file, or use one of: {', '.join(TEMPLATES)}",
        ) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise OptionError(
            f"the template {str(path)!r} cannot be read: {reason}",
            remedy=f"give a text file, or use one of: {', '.join(TEMPLATES)}",
        ) from error
    if len(content) > _MAX_FILE_BYTES:
        raise OptionError(
            f"the template {str(path)!r} has more than {_MAX_FILE_BYTES:,} bytes",
            remedy="shorten it",
        )
    made = make_template(path.name, source)
    _try_out(made)
    return made


def make_template(name: str, source: str) -> Template:
    """A template from the text of a file of that name.

    Raises:
        OptionError: It is no template.
    """
    return Template(
        name=f"{name[:60]}@{hashlib.sha256(source.encode()).hexdigest()[:12]}",
        render=partial(_render_file, name, source),
        takes_instruction="instruction" in _compiled(name, source)[1],
        source=source,
    )


def _environment() -> jinja2.Environment:
    from jinja2 import StrictUndefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    # A prompt is no HTML: nothing is escaped.
    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False
    )


@lru_cache(maxsize=32)
def _compiled(name: str, source: str) -> tuple[jinja2.Template, frozenset[str]]:
    """The template and the variables that it uses."""
    from jinja2 import TemplateError, meta

    made = _environment()
    try:
        variables = meta.find_undeclared_variables(made.parse(source))
        return made.from_string(source), frozenset(variables)
    except TemplateError as error:
        raise _file_error(name, error) from None


def _render_file(name: str, source: str, given: TemplateInput) -> Turn:
    (made, _), parts, length = _compiled(name, source), [], 0
    values: dict[str, Any] = {
        "short_prompt": given.request.text,
        "request": given.request,
        "target": given.target,
        "language": given.language,
        "frames": [round(float(time), 3) for time in given.times],
        "pictures": list(given.roles),
        "duration": None if given.duration is None else round(float(given.duration), 3),
        "control": given.shown,
        "controls": list(given.controls),
        "fixed": fixed_by(given.controls),
        "free": free_under(given.controls),
        "camera": camera_in_words(given.facts),
        "facts": given.facts,
        "region": given.is_region,
        "nouns": list(given.nouns),
        "instruction": given.instruction,
        "creativity": given.creativity,
        "style": given.style,
        "variation": given.variation,
    }
    try:
        for part in made.generate(values):
            parts.append(part)
            length += len(part)
            if length > _MAX_CHARACTERS:
                raise OptionError(
                    f"the template {name!r} gives more than {_MAX_CHARACTERS:,} characters",
                    remedy="shorten it",
                )
    except OptionError:
        raise
    except Exception as error:
        # What a template may raise is anything: it divides, indexes and calls methods.
        raise _file_error(name, error) from error
    lines = "".join(parts).splitlines()
    bars = [place for place, line in enumerate(lines) if line.rstrip() == _SEPARATOR]
    above, below = (lines[: bars[0]], lines[bars[0] + 1 :]) if bars else ([], lines)
    return Turn("\n".join(above).strip(), "\n".join(below).strip())


def _try_out(made: Template) -> None:
    """Render with sample values, in a thread that may be left behind if it does not end."""
    from promptlift.review.request import UserRequest

    failed: list[OptionError] = []

    def work() -> None:
        try:
            made.render(TemplateInput(UserRequest("a cup"), target()))
        except OptionError as error:
            failed.append(error)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join(_MAX_SECONDS)
    if thread.is_alive():
        raise OptionError(
            f"the template {made.name!r} takes longer than {_MAX_SECONDS:.0f} s",
            remedy="take the loop out",
        )
    if failed:
        raise failed[0]


def _file_error(name: str, error: Exception) -> OptionError:
    place = f", line {line}" if (line := getattr(error, "lineno", None)) else ""
    return OptionError(
        f"the template {name!r}{place} fails: {error}",
        remedy="correct it; docs/how-to/templates.md lists the variables",
    )

"""The prompt of MiniMax-H3 from text or keyframes: three named sections, in shots with times.

The layout is that of ``skills/h3-prompt-writing/references/base-en.txt`` in MiniMax-H3: where
pictures are given, a line that says which moments they are; then `SECTIONS` in their order. Shots
are told as ``[Shot 2] At 00:03.500, ...``, the first without a time, and spoken words as
``<d>[English] ...</d>`` after the speaker's number, such as ``(S1)``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from promptlift.review.result import Finding
from promptlift.targets.documents import (
    DocumentPassage,
    ParsedDocument,
    VideoFormat,
    VideoParameters,
)

if TYPE_CHECKING:
    from promptlift.review.request import UserRequest
    from promptlift.review.result import FindingName, TextSpan
    from promptlift.targets import Target

__all__ = ["MiniMaxH3Form"]

SECTIONS: Final = (
    "integrated_multimodal_description",
    "overall_soundscape",
    "non_diegetic_music",
)
_DESCRIPTION = SECTIONS[0]
_NOTHING = "N/A"

_HEADING = re.compile(
    rf"^[\s#*_`]*({'|'.join(SECTIONS)})[*_`]*\s*:[*_`]*[ \t]*", re.IGNORECASE | re.MULTILINE
)
_SHOT = re.compile(r"\[Shot\s+(\d+)\](?:\s*At\s+(\d+):(\d{1,2}(?:\.\d+)?)\s*,?)?", re.IGNORECASE)
_SHOT_START = re.compile(rf"\s*{_SHOT.pattern}\s*(\w)", re.IGNORECASE)
_SPEECH = re.compile(r"<d>\s*(?:\[([^\]<>]*)\])?\s*(.*?)\s*</d>", re.DOTALL)
_SPEECH_MARK = re.compile(r"</?d>")
_SPEAKER = re.compile(r"\(S\d+(?:,\s*S\d+)*\)")
_OTHER_MARK = re.compile(r"<scenetrans>|<cutoff>|</?Picture \d+>")
_LETTERING = re.compile(r'"([^"\n]+)"|“([^”\n]+)”')
_ALIGNED = re.compile(r"\A\s*(?:For the target video, at|How the reference pictures align)[^\n]*")
_MOMENT = re.compile(r"(\d+\.\d\d)-second mark")
# Two decimals are written.
_MOMENT_ERROR = 0.006
_ANY_VIDEO = VideoParameters()
_THOUGHT_END = re.compile(r"</think>|\[/THINK\]|◁/think▷")


class MiniMaxH3Form:
    """See `promptlift.targets.documents.DocumentForm`.

    Args:
        target: The contract, for the videos that the generator makes.
    """

    def __init__(self, target: Target) -> None:
        self._longest = target.video.seconds[1] if target.video.seconds else None

    def schema(self, video: VideoFormat, tokens: int) -> None:
        """None: the document is no JSON."""

    def instructions(self) -> str:
        """The sections, and how shots, cameras, sounds and words are told in them."""
        return (
            "Write three sections and nothing else, each opened by its name and a colon, with an "
            f"empty line between them, in this order: {', '.join(SECTIONS)}.\n"
            f"{_DESCRIPTION}: the video from beginning to end as it is seen and heard. It opens "
            "with [Shot 1], the style and the first composition. A cut opens the next shot as "
            "[Shot 2] At MM:SS.mmm, the camera cuts to ...: numbers in order, times increasing "
            "and within the video; the first shot has no time. Make one shot unless the request "
            "asks for cuts. Tell a motion of the camera as a sentence with its kind (zooms, "
            "pushes in, pulls out, pans, trucks, tilts, moves up or down on a pedestal, arcs, "
            "tracks, holds a static shot, shakes, rolls), and where it matters with small or "
            "large amplitude and at slow or fast speed. Whoever speaks or sings is named with "
            "voice and number at first, as in: the old man with a hoarse voice (S1) says: "
            "<d>[English] Wait for me.</d> Between the marks stand the language and the words of "
            "the request alone, unchanged; invent no speech. Letters to be read in the picture "
            "stand in double quotation marks, unchanged.\n"
            f"{SECTIONS[1]}: one to four sentences on the sounds of the place, of actions and of "
            f"bodies over the whole video, without speech; {_NOTHING} only for silence.\n"
            f"{SECTIONS[2]}: one to three sentences on instruments, tempo and loudness of music "
            f"that only the viewer hears, without moods; {_NOTHING} where there is none."
        )

    def parse(self, answer: str, video: VideoFormat) -> ParsedDocument:
        """Take off what is around the sections, lay them out, and set the line on pictures."""
        start = max((found.end() for found in _THOUGHT_END.finditer(answer)), default=0)
        answer = answer[start:]
        found = _sections(answer)
        removed = []
        before = answer[: found[0].start] if found else ""
        if _ALIGNED.sub("", before).strip(" \n`#*-"):
            removed.append("other text")
        if "```" in answer:
            removed.append("a code fence")
        texts = {one.name: _laid_out(one.text, removed) for one in found}
        parts = [f"{name}: {texts[name]}" for name in dict.fromkeys(one.name for one in found)]
        if pictures := _pictures_line(texts.get(_DESCRIPTION, ""), video):
            parts.insert(0, pictures)
        text = "\n\n".join(parts) if found else answer.strip()
        return self._judged(text, video.duration, tuple(dict.fromkeys(removed)))

    def check(self, text: str, video: VideoParameters = _ANY_VIDEO) -> ParsedDocument:
        """Read it as it is; what stands around the sections is an error."""
        parsed = self._judged(text, video.seconds, ())
        found = _sections(text)
        around = _ALIGNED.sub("", text[: found[0].start]).strip() if found else ""
        if not around:
            return parsed
        message = f"the sections must stand alone; before them is {around[:40]!r}"
        finding = Finding(name="syntax", severity="error", message=message)
        return replace(parsed, findings=(finding, *parsed.findings))

    def without_model(
        self,
        prose: str,
        added: str,  # noqa: ARG002 - of the protocol
        request: UserRequest,  # noqa: ARG002 - of the protocol
        video: VideoFormat,
    ) -> ParsedDocument | None:
        """The words as one shot; nothing is known of sound."""
        if not prose.strip():
            return None
        texts = (f"[Shot 1] {' '.join(prose.split())}", _NOTHING, _NOTHING)
        answer = "\n\n".join(f"{name}: {text}" for name, text in zip(SECTIONS, texts, strict=True))
        return self.parse(answer, video)

    def passages(self, document: ParsedDocument) -> Iterator[DocumentPassage]:
        """The sections without marks; a shot begins with a sentence of its own."""
        for section in _sections(document.text):
            told = _SHOT_START.sub(_begin_shot, section.text)
            prose = " ".join(_prose([section._replace(text=told)])[0].split())
            if prose:
                is_sound = section.name != _DESCRIPTION
                yield DocumentPassage(prose, "sound" if is_sound else "picture")

    def _judged(
        self, text: str, duration: float | None, removed: tuple[str, ...]
    ) -> ParsedDocument:
        """All findings on a text, and its prose."""
        found = _sections(text)
        findings = tuple(
            Finding(name=name, severity="error", message=message, span=span)
            for name, message, span in _faults(text, found, duration, self._longest)
        )
        prose, places, lettering = _prose(found)
        data: dict[str, Any] = {one.name: one.text.strip() for one in found}
        if data:
            data["shots"] = [{"number": shot.number, "start": shot.start} for shot in _shots(found)]
        return ParsedDocument(
            data=data,
            text=text,
            prose=prose,
            findings=findings,
            places=(*places, len(text)),
            lettering=lettering,
            removed=removed,
        )


class _Section(NamedTuple):
    """A section of a text: where its heading begins, and where its own text stands."""

    name: str
    start: int
    text_start: int
    text: str


def _sections(text: str) -> list[_Section]:
    """The sections as they stand; a second of a name belongs to the text before it."""
    found, named = [], set()
    for heading in _HEADING.finditer(text):
        if (name := heading[1].lower()) not in named:
            named.add(name)
            found.append((name, heading))
    made = []
    for number, (name, heading) in enumerate(found):
        end = found[number + 1][1].start() if number + 1 < len(found) else len(text)
        made.append(_Section(name, heading.start(), heading.end(), text[heading.end() : end]))
    return made


def _laid_out(text: str, removed: list[str]) -> str:
    """A section's text in one paragraph, with times as they are written."""

    def shot(found: re.Match[str]) -> str:
        number = int(found[1])
        if found[2] is None or number == 1:
            if found[2] is not None:
                removed.append("the time of the first shot")
            return f"[Shot {number}]"
        return f"[Shot {number}] At {int(found[2]):02}:{float(found[3]):06.3f},"

    return _SHOT.sub(shot, " ".join(text.replace("```", " ").strip(" *\n").split()))


def _pictures_line(description: str, video: VideoFormat) -> str:
    """The line that says which moments of the video the given pictures are."""
    last = max((int(found[1]) for found in _SHOT.finditer(description)), default=1)
    end = f"the {video.duration:.2f}-second mark of the target video"
    if video.first_frame and video.last_frame:
        return (
            "How the reference pictures align with the target video — Picture 1 (from Shot 1) "
            f"aligns with the 0.00-second mark of the target video; Picture 2 (from Shot {last}) "
            f"aligns with {end}."
        )
    if video.last_frame:
        return (
            "How the reference pictures align with the target video — <Picture 1> (from "
            f"[Shot {last}]) aligns with {end}."
        )
    if video.first_frame:
        return (
            "For the target video, at 0.00 seconds into the target video, <Picture 1> (from "
            "[Shot 1]) is fully referenced."
        )
    return ""


# ---- checks


class _Shot(NamedTuple):
    number: int
    start: float
    is_timed: bool
    span: TextSpan


def _shots(found: list[_Section]) -> list[_Shot]:
    """The shots of the description, with their seconds and their places in the whole text."""
    made = []
    for section in found:
        if section.name != _DESCRIPTION:
            continue
        for one in _SHOT.finditer(section.text):
            start = 60 * int(one[2]) + float(one[3]) if one[2] is not None else 0.0
            span = (section.text_start + one.start(), section.text_start + one.end())
            made.append(_Shot(int(one[1]), start, one[2] is not None, span))
    return made


def _faults(
    text: str, found: list[_Section], duration: float | None, longest: float | None
) -> Iterator[tuple[FindingName, str, TextSpan | None]]:
    names = [one.name for one in found]
    for name in SECTIONS:
        if name not in names:
            yield "missing_key", f"the section {name} is missing", None
    if names != sorted(names, key=SECTIONS.index):
        yield "unordered", f"the sections must be in the order {', '.join(SECTIONS)}", None
    for section in found:
        if not section.text.strip():
            here = (section.start, section.text_start)
            yield "missing_key", f"{section.name} is empty; write {_NOTHING} for none", here
    starts = {one.text_start for one in found}
    for again in _HEADING.finditer(text):
        if again.end() not in starts:
            yield "unknown_key", f"the section {again[1]} comes twice", again.span()
    yield from _shot_faults(found, duration or longest)
    yield from _speech_faults(text)
    if duration is not None:
        yield from _moment_faults(text, duration)


def _moment_faults(
    text: str, duration: float
) -> Iterator[tuple[FindingName, str, TextSpan | None]]:
    line = _ALIGNED.match(text)
    for moment in map(float, _MOMENT.findall(line[0] if line else "")):
        if line and moment and abs(moment - duration) > _MOMENT_ERROR:
            what = f"the last picture is aligned with {moment:.2f} s"
            message = f"{what}, and the video ends at {duration:.2f} s"
            yield "video_format", message, line.span()


def _shot_faults(
    found: list[_Section], duration: float | None
) -> Iterator[tuple[FindingName, str, TextSpan | None]]:
    shots = _shots(found)
    description = next((one for one in found if one.name == _DESCRIPTION), None)
    if description and description.text.strip() and not shots:
        here = (description.start, description.text_start)
        yield "missing_key", f"{_DESCRIPTION} must open with [Shot 1]", here
    last = 0.0
    for place, shot in enumerate(shots, start=1):
        if shot.number != place:
            yield "unordered", f"[Shot {shot.number}] must be [Shot {place}]", shot.span
            return
        if place == 1 and shot.is_timed:
            yield "wrong_time", "the first shot has no time", shot.span
        if place > 1:
            if not shot.is_timed:
                wanted = f"[Shot {place}] must have its time, as At 00:03.500,"
                yield "wrong_time", wanted, shot.span
            elif shot.start <= last:
                yield "unordered", f"[Shot {place}] begins before the one before it", shot.span
            elif duration is not None and shot.start >= duration:
                what = f"[Shot {place}] begins at {shot.start:g} s"
                yield "late_end", f"{what}, and the video ends at {duration:.4g} s", shot.span
            last = max(last, shot.start)


def _speech_faults(text: str) -> Iterator[tuple[FindingName, str, TextSpan | None]]:
    spoken = list(_SPEECH.finditer(text))
    marks = list(_SPEECH_MARK.finditer(text))
    if len(marks) != 2 * len(spoken):
        yield "syntax", "a mark <d> or </d> has no other to it", marks[-1].span()
    for one in spoken:
        if not (one[1] or "").strip():
            wanted = "speech must open with its language, as <d>[English] ...</d>"
            yield "syntax", wanted, one.span()


# ---- prose


def _begin_shot(found: re.Match[str]) -> str:
    before = found.string[: found.start()].rstrip()
    space = " " if before.endswith((".", "!", "?")) else ". "
    return f"{space if before else ''}{found[4].upper()}"


def _prose(found: list[_Section]) -> tuple[str, list[int], tuple[str, ...]]:
    """The sections without marks, the place of each character, and the letters and words in them.

    Speech stands in quotation marks, as in prose.
    """
    prose: list[str] = []
    places: list[int] = []
    lettering: list[str] = []

    def put(words: str, at: int, *, is_mark: bool = False) -> None:
        prose.append(words)
        places.extend(at + (0 if is_mark else number) for number in range(len(words)))

    for section in found:
        if section.text.strip() in ("", _NOTHING):
            continue
        last, shift = 0, section.text_start
        marks = [*_SHOT.finditer(section.text), *_SPEAKER.finditer(section.text)]
        marks += [*_OTHER_MARK.finditer(section.text), *_SPEECH.finditer(section.text)]
        for mark in sorted(marks, key=lambda one: one.start()):
            if mark.start() < last:
                continue
            put(section.text[last : mark.start()], shift + last)
            if mark.re is _SPEECH:
                put('"', shift + mark.start(), is_mark=True)
                put(mark[2], shift + mark.start(2))
                put('"', shift + mark.end(2), is_mark=True)
                lettering.append(mark[2])
            last = mark.end()
        rest = section.text[last:].rstrip()
        put(rest, shift + last)
        put("\n", shift + last + len(rest), is_mark=True)
        lettering += [one[1] or one[2] for one in _LETTERING.finditer(section.text)]
    return "".join(prose), places, tuple(lettering)

"""The prompt of Cosmos3: one JSON object of what is seen, done, filmed and heard.

The names of its keys are the interface; NVIDIA writes them in
``cosmos_framework/inference/prompting_templates`` of cosmos-framework, in four dialects that
differ in how they tell a duration and texts in the picture. All of them are read; written is the
one for models that were not trained for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from promptlift.review.clean import well_formed
from promptlift.review.lexicon import part_of_speech
from promptlift.review.result import Finding
from promptlift.targets import target as find_target
from promptlift.targets.documents import (
    DocumentPassage,
    ParsedDocument,
    VideoFormat,
    VideoParameters,
    document_target,
)

if TYPE_CHECKING:
    from promptlift.review.request import UserRequest
    from promptlift.review.result import FindingName, Severity, TextSpan
    from promptlift.targets import Target

__all__ = ["Cosmos3Form"]

_Path: TypeAlias = tuple[str | int, ...]

# What a paragraph tells first, in its order, and then of the camera.
_PARAGRAPH = (
    ("temporal_caption",),
    ("subjects", "description"),
    ("background_setting",),
    ("lighting", "conditions"),
    ("aesthetics", "color_scheme"),
)
_SHOT_KEYS = ("camera_motion", "framing", "camera_angle")
# What code sets: the model is never asked.
_SET = ("resolution", "aspect_ratio", "duration", "fps")
_TIMES = ("time", "time_range")
# What may not be empty where its object is there.
_NEEDED = frozenset({"temporal_caption", "description", "text", *_TIMES})
# The narrative dialect of the model that is trained for image to video has no other key.
_NARRATIVE = frozenset({"temporal_caption", *_SET})
# Left out in some dialects, or without sound.
_OPTIONAL = frozenset({"audio_description"})
_RATIOS = ("16,9", "9,16", "1,1", "4,3", "3,4")

# Characters of a text and items of a list that decoding allows, about twice the makers' own most.
_LONGEST = {
    "temporal_caption": 1200,
    "background_setting": 1000,
    "audio_description": 800,
    "description": 600,
    "appearance_details": 500,
}
_LONG, _SHORT = 250, 24
_MOST_ITEMS = {"subjects": 8, "actions": 10, "segments": 6}
_MANY = 6
_USUAL_TOKENS = 2_800
# The makers' own have 5,200 to 10,700 characters.
_FEW_CHARACTERS = 3_000

_RANGE = re.compile(r"(\d{1,2}):([0-5]\d(?:\.\d+)?)\s*[-–—]\s*(\d{1,2}):([0-5]\d(?:\.\d+)?)")
_LENGTH = re.compile(r"(?:(\d{1,2}):)?(\d{1,3}(?:\.\d+)?)s?")
_THOUGHT_END = re.compile(r"</think>|\[/THINK\]|◁/think▷")
_JSON_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]:,]|[^\s{}\[\]:,"]+', re.DOTALL)
_JSON_CHARACTER = re.compile(
    r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u....|\\.|.",  # a pair of halves is one character
    re.DOTALL,
)
_ENDED = re.compile(r"[.!?…]['\"”’)]*\Z")
_MOST_STARTS = 40
_ANY_VIDEO = VideoParameters()


def _no_number(_: str) -> None:
    """What JSON has for ``NaN``, which Python reads."""


class Cosmos3Form:
    """See `promptlift.targets.documents.DocumentForm`.

    Args:
        target: The contract, for the videos that the generator makes.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        # A contract of the user's has the keys of ours.
        self.fields: dict[str, Any] = json.loads(find_target("cosmos3").fields)

    def schema(self, video: VideoFormat, tokens: int) -> dict[str, Any]:
        """Every key is required, times are those within the video, and what is set is left out."""
        last = max(1, int(video.duration))
        times = [f"{_clock(a)}-{_clock(b)}" for a in range(last) for b in range(a + 1, last + 1)]
        # The keys take what they take.
        scale = min(1.0, tokens / _USUAL_TOKENS) ** 2

        def of(key: str, form: Any) -> dict[str, Any]:
            if isinstance(form, dict):
                asked = form.keys() - {"segment_index"}
                written = {name: of(name, form[name]) for name in form if name in asked}
                return {
                    "type": "object",
                    "properties": written,
                    "required": list(written),
                    "additionalProperties": False,
                }
            if isinstance(form, list):
                most = max(2, round(scale * _MOST_ITEMS.get(key, _MANY)))
                least = 1 if key in ("actions", "segments") else 0
                items = of("", form[0])
                return {"type": "array", "items": items, "minItems": least, "maxItems": most}
            if _is_number(key):
                return {"type": "integer"}
            if key in _TIMES:
                return {"type": "string", "enum": times}
            longest = _LONGEST.get(key, _LONG)
            return {"type": "string", "maxLength": max(_SHORT, round(scale * longest))}

        return of("", self.fields)

    def instructions(self) -> str:
        """The keys with what each is to say, and the rules of the whole."""
        asked = json.dumps(self.fields)
        return (
            "Write one JSON object and nothing else: no remarks, no code fence. It has exactly "
            f"these keys; the values here say what each is for:\n{asked}\n"
            "Give every key. What does not apply, such as clothing of a machine, is an empty "
            'text "", 0 or an empty list [], never null. Describe every subject that matters on '
            "its own, in whole and concrete phrases: such a prompt has 5,000 to 11,000 "
            "characters. Times are M:SS-M:SS and end within the video; actions and segments "
            "follow one another in time, and the segments cover the whole of it. A video of one "
            "shot has one to three segments and no transitions. Letters that are to be read in "
            "the picture stand in text_and_signage_elements as they are, spoken words in "
            "audio_description."
        )

    def parse(self, answer: str, video: VideoFormat) -> ParsedDocument:
        """Take off fences and thoughts, fill in empty values, and set the video's format."""
        found, _, removed, problem = _read(answer)
        if found is None:
            finding = Finding(name="syntax", severity="error", message=problem)
            return ParsedDocument({}, answer.strip(), "", (finding,))
        # An escape may stand for half a character, which no encoder takes.
        found = json.loads(well_formed(json.dumps(found, ensure_ascii=False)))
        data = _filled(found, self.fields, "", removed)
        for number, segment in enumerate(_objects(data["segments"])):
            segment["segment_index"] = number
        # A whole part that is missing is for the model to write.
        data = {key: value for key, value in data.items() if key in found}
        data |= _told(video.parameters)
        parsed = self._judged(data, json.dumps(data))
        return replace(parsed, removed=tuple(dict.fromkeys(removed)))

    def check(self, text: str, video: VideoParameters = _ANY_VIDEO) -> ParsedDocument:
        """Read it as it is; what stands around the object is an error."""
        found, start, removed, problem = _read(text)
        if found is None:
            finding = Finding(name="syntax", severity="error", message=problem)
            return ParsedDocument({}, text, "", (finding,))
        parsed = self._judged(found, text, start, video)
        if not removed:
            return parsed
        what = f"the object must stand alone; beside it is {' and '.join(removed)}"
        around = Finding(name="syntax", severity="error", message=what)
        return replace(parsed, findings=(around, *parsed.findings))

    def without_model(
        self, prose: str, added: str, request: UserRequest, video: VideoFormat
    ) -> ParsedDocument | None:
        """The words as caption and as one segment; measured sentences each in its own place."""
        if not prose.strip():
            return None
        data: dict[str, Any] = _filled({}, self.fields, "", [])
        whole = f"{_clock(0)}-{_clock(max(1, int(video.duration)))}"
        words = request.text or prose
        camera = ", ".join(sorted(request.camera - {"move"} or request.camera)).capitalize()
        places = {
            "camera": ("cinematography", "camera_motion"),
            "light": ("lighting", "conditions"),
            "color": ("aesthetics", "color_scheme"),
        }
        for sentence in re.split(r"(?<=\.)\s+", added):
            for word, (group, key) in places.items():
                if re.search(rf"\b{word}s?\b", sentence):
                    data[group][key] = sentence
        if camera:
            data["cinematography"]["camera_motion"] = camera
        data["artistic_style"] = ", ".join(style.text for style in request.styles)
        data["temporal_caption"] = prose
        data["actions"] = [{"time": whole, "description": words}]
        camera = data["cinematography"]["camera_motion"]
        data["segments"] = [{"time_range": whole, "description": words, "camera": camera}]
        data["text_and_signage_elements"] = [quote.text for quote in request.quotes]
        data = {**_filled(data, self.fields, "", []), **_told(video.parameters)}
        judged = self._judged(data, json.dumps(data))
        findings = tuple(one for one in judged.findings if one.name != "thin")
        return replace(judged, findings=findings)

    def passages(self, document: ParsedDocument) -> Iterator[DocumentPassage]:
        """The caption, then subjects, setting, light, colors, camera, letters and sound."""
        texts = dict(_texts(dict(document.data)))

        def of(*keys: str) -> list[str]:
            wanted = [path for path in texts if _keys(path) == keys]
            return [texts.pop(path) for path in wanted]

        for keys in _PARAGRAPH:
            for value in of(*keys):
                yield DocumentPassage(_sentence(value))
        camera = [one for key in _SHOT_KEYS for one in of("cinematography", key)]
        if camera:
            told = (f"{one[:1].lower()}{one[1:]}".rstrip(".") for one in camera)
            yield DocumentPassage(f"{_camera_lead(camera[0])}{', '.join(told)}.", "camera")
        signs = "text_and_signage_elements"
        for value in (*of(signs, "text"), *of(signs)):
            yield DocumentPassage(f'A text reads "{value}".')
        for value in of("audio_description"):
            yield DocumentPassage(_sentence(value), "sound")
        for value in texts.values():
            yield DocumentPassage(_sentence(value), "rest")

    def _judged(
        self, data: dict[str, Any], text: str, start: int = 0, video: VideoParameters = _ANY_VIDEO
    ) -> ParsedDocument:
        """All findings on the document that begins there in a text, and its prose."""
        places, wanted = _places(text, start), _told(video)
        findings: list[Finding] = []

        def find(
            name: FindingName, message: str, path: _Path = (), severity: Severity = "error"
        ) -> None:
            message = f"{_dotted(path)} {message}".strip()
            span = places.get(path) if path else None
            findings.append(Finding(name=name, severity=severity, message=message, span=span))

        narrative = set(data) <= _NARRATIVE and "temporal_caption" in data
        form = {"temporal_caption": ""} if narrative else self.fields
        _compare_keys(data, form, (), find)
        self._compare_format(data, wanted, find)
        _compare_times(data, _seconds(wanted.get("duration", data.get("duration"))), find)
        if not narrative and (length := len(json.dumps(data))) < _FEW_CHARACTERS:
            message = f"it has {length:,} characters; the makers' own have 5,200 to 10,700"
            find("thin", message, severity="warning")
        return _with_prose(data, text, places, tuple(findings))

    def _compare_format(self, data: dict[str, Any], wanted: Mapping[str, Any], find: _Find) -> None:
        """Whether size, shape, duration and rate are possible, agree, and are the video's."""
        made, size = self.target.video, _size_text(data.get("resolution"))
        ratios = [_ratio_of(*map(int, size.split("x")))] if size in made.sizes else _RATIOS
        low, high = made.seconds or (1, 3600)
        possible: dict[str, Sequence[object]] = {
            "resolution": made.sizes,
            "aspect_ratio": ratios,
            "duration": [f"{second}s" for second in range(int(low), int(high) + 1)],
            "fps": [int(rate) if rate == int(rate) else rate for rate in made.rates],
        }
        for key, values in possible.items():
            value = size if key == "resolution" else _same_dialect(data.get(key))
            known = wanted.get(key, value)
            known = _size_text(known) if isinstance(known, dict) else known
            if key not in data:
                find("missing_key", f"{key} is missing")
            elif data[key] is None:
                find("null", "is null", (key,))
            elif values and value not in values:
                listed = ", ".join(map(str, values))
                find("video_format", f"is {value!r}; possible: {listed}", (key,))
            elif value != known:
                find("video_format", f"is {value!r}; the video has {known!r}", (key,))


_Find: TypeAlias = Callable[..., None]


def _is_number(key: str) -> bool:
    return key.startswith("number_of_") or key == "segment_index"


def _told(video: VideoParameters) -> dict[str, Any]:
    """What is known of the video to be made, as the prompt tells it."""
    told: dict[str, Any] = {}
    if video.size:
        told["resolution"] = {"W": video.size.width, "H": video.size.height}
        told["aspect_ratio"] = _ratio_of(video.size.width, video.size.height)
    if video.seconds:
        told["duration"] = f"{int(video.seconds)}s"
    if video.fps:
        told["fps"] = int(video.fps) if video.fps == int(video.fps) else video.fps
    return told


def _ratio_of(width: int, height: int) -> str:
    def away(ratio: str) -> float:
        across, _, down = ratio.partition(",")
        return abs(int(across) / int(down) - width / height)

    return min(_RATIOS, key=away)


def _size_text(size: object) -> str:
    return f"{size.get('W')}x{size.get('H')}" if isinstance(size, dict) else str(size)[:40]


def _same_dialect(value: object) -> object:
    """A value as we write it: the reasoner tells a duration as ``0:05``."""
    seconds = _seconds(value)
    return value if seconds is None else f"{int(seconds)}s"


def _clock(second: int) -> str:
    return f"{second // 60}:{second % 60:02}"


def _seconds(value: object) -> float | None:
    """A duration in any dialect: ``5s``, ``0:05``."""
    found = _LENGTH.fullmatch(value) if isinstance(value, str) else None
    return 60 * int(found[1] or 0) + float(found[2]) if found else None


def _objects(value: object) -> list[dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def _dotted(path: _Path) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return "".join(parts).removeprefix(".")


# ---- reading


def _read(text: str) -> tuple[dict[str, Any] | None, int, list[str], str]:
    """The object in an answer, where it begins, what is around it, and why there is none."""
    start = max((found.end() for found in _THOUGHT_END.finditer(text)), default=0)
    decoder, problem = json.JSONDecoder(parse_constant=_no_number), "there is no JSON object"
    starts = [found.start() for found in re.finditer(r"\{", text[start:])][:_MOST_STARTS]
    for number, offset in enumerate(starts):
        at = start + offset
        try:
            found, end = decoder.raw_decode(text, at)
        except RecursionError:
            return None, 0, [], "it is no JSON: it is nested too deeply"
        except ValueError as error:
            if number == 0:
                line = text.count("\n", 0, getattr(error, "pos", 0)) + 1
                what = getattr(error, "msg", str(error))
                problem = f"it is no JSON: {what} at line {line}"
            continue
        if document_target(found) is None:
            continue
        around = (text[:at] + text[end:]).strip()
        removed = [] if not around else ["a code fence" if "```" in around else "other text"]
        return found, at, removed, ""
    return None, 0, [], problem


def _filled(value: Any, form: Any, key: str, removed: list[str]) -> Any:
    """A value in the form's keys and order, with what is empty where nothing is given.

    A value of another type stays as it is, for the checks to find.
    """
    if isinstance(form, dict):
        if isinstance(value, str) and key == "text_and_signage_elements":
            value = {"text": value}
        value = {} if value is None else value
        if not isinstance(value, dict):
            return value
        known = {*form, *_SET}
        removed += (f"the key {name[:40]!r}" for name in value if name not in known)
        return {name: _filled(value.get(name), of, name, removed) for name, of in form.items()}
    if isinstance(form, list):
        if value is None:
            return []
        if not isinstance(value, list):
            return value
        return [_filled(item, form[0], key, removed) for item in value if item is not None]
    if _is_number(key):
        is_written_out = isinstance(value, str) and value.strip().isdigit()
        return int(value) if is_written_out else value or 0
    return str(value) if type(value) in (int, float) else "" if value is None else value


# ---- checks


def _compare_keys(value: Any, form: Any, path: _Path, find: _Find) -> None:
    """Missing and unknown keys, nulls, and values of another type."""
    if value is None:
        find("null", 'is null; write "", 0 or []', path)
    elif isinstance(form, dict) and isinstance(value, dict):
        for key in sorted(form.keys() & value.keys()):
            _compare_keys(value[key], form[key], (*path, key), find)
        for key in sorted(form.keys() - value.keys() - _OPTIONAL):
            find("missing_key", f"has no {key}" if path else f"{key} is missing", path)
        for key in sorted(value.keys() - form.keys() - (set() if path else {*_SET})):
            message = "is no key of a prompt, and the generator reads it with the rest"
            find("unknown_key", message, (*path, key), "warning")
    elif isinstance(form, list) and isinstance(value, list):
        for number, item in enumerate(value):
            _compare_keys(item, form[0], (*path, number), find)
    elif wanted := _wanted_type(value, form, path):
        find("wrong_type", f"must be {wanted}", path)
    elif value == "" and path[-1] in _NEEDED:
        find("missing_key", "is empty", path)


def _wanted_type(value: Any, form: Any, path: _Path) -> str:
    """What a value should be; empty where it is that."""
    if isinstance(form, dict):
        # In the transfer dialect a sign is no more than its text.
        is_sign = isinstance(value, str) and path[0] == "text_and_signage_elements"
        return "" if is_sign else "an object"
    if isinstance(form, list):
        return "a list"
    if _is_number(str(path[-1])):
        return "" if type(value) is int else "a whole number"
    return "" if isinstance(value, str) else "a text"


def _compare_times(data: dict[str, Any], duration: float | None, find: _Find) -> None:
    """Whether times can be read, end within the video, and follow one another."""
    for group, key in (("actions", "time"), ("segments", "time_range")):
        last = -1.0
        ordered = True
        for number, item in enumerate(_objects(data.get(group))):
            text, path = item.get(key), (group, number, key)
            if not isinstance(text, str) or not text.strip():
                continue
            found = _RANGE.fullmatch(text.strip())
            if found is None:
                find("wrong_time", f"is {text[:40]!r}; it must be as 0:00-0:02", path)
                continue
            start, end = (60 * int(found[at]) + float(found[at + 1]) for at in (1, 3))
            if end <= start:
                find("wrong_time", f"is {text!r}: it ends before it begins", path)
            elif duration is not None and end > duration:
                find("late_end", f"is {text!r}, and the video ends at {duration:.4g} s", path)
            index = item.get("segment_index", number)
            if ordered and (start < last or (index != number and isinstance(index, int))):
                what = f"{text!r} with index {index}" if index != number else repr(text)
                find("unordered", f"is out of order: {what}", (group, number))
                ordered = False
            last = start


# ---- places and prose


def _places(text: str, start: int) -> dict[_Path, TextSpan]:
    """Where each value of the object in a text stands, the quotation marks of a value included."""
    places: dict[_Path, TextSpan] = {}
    path: list[str | int] = []
    opened: list[int] = []
    is_value = True
    for token in _JSON_TOKEN.finditer(text, start):
        word = token[0]
        if word in ("{", "["):
            opened.append(token.start())
            path.append("" if word == "{" else 0)
            is_value = word == "["
        elif word in ("}", "]"):
            if not opened:
                break
            path.pop()
            places[tuple(path)] = (opened.pop(), token.end())
            if not opened:
                break
        elif word == ":":
            is_value = True
        elif word == ",":
            at = path[-1]
            is_value = isinstance(at, int)
            path[-1] = at + 1 if isinstance(at, int) else ""
        elif is_value:
            places[tuple(path)] = token.span()
        else:
            path[-1] = json.loads(word)
    return places


def _texts(value: Any, path: _Path = ()) -> Iterator[tuple[_Path, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _texts(inner, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _texts(item, (*path, number))
    elif isinstance(value, str) and value.strip() and path[-1] not in (*_TIMES, *_SET):
        yield path, value


def _camera_lead(value: str) -> str:
    """What makes a sentence of the camera of ``Static, wide shot``, or of ``Pan left``."""
    head = value.partition(",")[0].strip(" .").lower()
    return "The camera is " if part_of_speech(head) == "a" else "Camera: "


def _keys(path: _Path) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str))


def _sentence(value: str) -> str:
    value = " ".join(value.split())
    return value if _ENDED.search(value) else f"{value}."


def _with_prose(
    data: dict[str, Any], text: str, places: dict[_Path, TextSpan], findings: tuple[Finding, ...]
) -> ParsedDocument:
    """The caption and then all other texts, as one text of sentences."""
    prose, at, passages, lettering = "", list[int](), list[tuple[int, int]](), list[str]()
    texts = sorted(_texts(data), key=lambda one: one[0] != ("temporal_caption",))
    for path, value in texts:
        span = places.get(path)
        if span is None:
            continue
        before, after = "", "\n" if _ENDED.search(value) else ".\n"
        if path[0] == "text_and_signage_elements" and path[-1] in ("text", *path[1:2]):
            before, after = '"', '".\n'
            lettering.append(value)
        elif path[-1] == "camera_motion":
            before = "The camera is "
        elif path[-1] == "camera":
            before = "Camera: "
        elif path[0] == "audio_description":
            lettering.append(value)
        inside = text[span[0] + 1 : span[1] - 1]
        letters = [span[0] + 1 + one.start() for one in _JSON_CHARACTER.finditer(inside)]
        passages.append((len(prose) + len(before), len(prose) + len(before) + len(value)))
        at += [span[0] + 1] * len(before) + letters + [span[1] - 1] * len(after)
        prose += before + value + after
    return ParsedDocument(
        data=data,
        text=text,
        prose=prose,
        findings=findings,
        places=(*at, len(text)),
        passages=tuple(passages),
        lettering=tuple(lettering),
        as_read=json.dumps(data),
    )

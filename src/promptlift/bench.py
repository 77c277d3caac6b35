"""Measure the review on labelled answers, and upsamplers by their answers, without a model.

What ships is in ``bench_data``: ``requests.jsonl`` has short prompts with good answers and answers
with one defect each, ``controls.jsonl`` prompts that must pass and prompts that must trip exactly
the findings named. Every score is the mean of values from 0 to 1, of which more is better.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from itertools import combinations
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, TypeAlias

from promptlift import __version__
from promptlift.cosmos.formats import FORMATS
from promptlift.errors import OptionError
from promptlift.facts import Camera, Confident, Facts
from promptlift.language import FUNCTION_WORDS, UNSPACED, dominant_script
from promptlift.prompt_files import read_folder
from promptlift.review import Review, review
from promptlift.review.lexicon import akin, lemma
from promptlift.review.request import reads_as_english, understand
from promptlift.review.result import CLAIM_KINDS
from promptlift.targets import DEFAULT_TARGET, TARGET_NAMES, all_targets
from promptlift.targets import target as find_target

__all__ = [
    "SEED",
    "Answer",
    "BenchResult",
    "board",
    "fallen_scores",
    "measure_answers",
    "read_data",
    "read_shipped",
    "run_bench",
    "score_data",
]

SEED = 0
_CLAIMS = {"unfaithful", *CLAIM_KINDS}
_ADDITIONS = {"person", "event"}
_MANY_WORDS = 40
SHORT_REQUEST = 45
"""Most words of a short prompt that mutants are made of: in stories much may be left out."""


class Answer(NamedTuple):
    """A long prompt and what it was made from."""

    short: str
    text: str
    target: str = DEFAULT_TARGET
    objects: tuple[str, ...] = ()
    finish_reason: str = "stop"
    control: Any = None
    facts: Facts | None = None

    def review(self) -> Review:
        """The review of it, without any model."""
        return review(
            self.text,
            finish_reason=self.finish_reason,
            short_prompt=self.short,
            target=find_target(self.target),
            facts=self.facts,
            control=self.control,
        )


@dataclass
class BenchResult:
    """The scores by name, how many values each is the mean of, and what missed.

    Attributes:
        sums: Sum and number of the values of each score.
        systems: What `measure_answers` says of each set of answers.
        data: The first half of the SHA-256 of each file that was read.
        misses: Answers that a score lost, as lines for a person.
    """

    sums: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))
    systems: dict[str, dict[str, Any]] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    misses: list[str] = field(default_factory=list)

    def add(self, name: str, value: float, what: str = "") -> None:
        """Add a value to a score; `what` names the answer, should the value be 0."""
        self.sums[name][0] += value
        self.sums[name][1] += 1
        if what and not value:
            self.misses.append(f"{name}: {what}")

    @property
    def scores(self) -> dict[str, float]:
        """The scores, and a precision for each set with good and bad answers."""
        found = {
            name: round(total / count, 4) for name, (total, count) in self.sums.items() if count
        }
        for name in [name for name in found if name.endswith(".passed")]:
            group = name.removesuffix(".passed")
            caught = [self.sums[other] for other in found if _is_recall(other, group)]
            if caught:
                right = sum(total for total, _ in caught) / sum(count for _, count in caught)
                wrong = 1 - self.sums[name][0] / self.sums[name][1]
                found[f"{group}.precision"] = round(right / (right + wrong or 1), 4)
        return found

    def as_json(self) -> dict[str, Any]:
        """All of it, for a file."""
        return {
            "promptlift": __version__,
            "seed": SEED,
            "data": self.data,
            "scores": self.scores,
            "counts": {name: int(count) for name, (_, count) in self.sums.items()},
            "systems": self.systems,
            "misses": self.misses,
        }


def _is_recall(name: str, group: str) -> bool:
    return name.startswith(f"{group}.") and name.endswith(" rejected")


def fallen_scores(scores: Mapping[str, float], baseline: Mapping[str, float]) -> list[str]:
    """The scores that fell below a baseline, as lines; controls may not fall at all."""
    fallen = []
    for name, before in baseline.items():
        tolerance = 0 if name.startswith("controls.") else 0.005
        if (now := scores.get(name, 0.0)) < before - tolerance:
            fallen.append(f"{name} fell from {before:.4f} to {now:.4f}")
    return fallen


# ---- the layers


def run_bench() -> BenchResult:
    """Score the review on the data that ships."""
    result = BenchResult()
    for row in read_shipped("controls", result):
        _control(result, row)
    for goal in all_targets():
        for number, example in enumerate(goal.examples):
            row = {"id": f"{goal.name} {number}", "target": goal.name, "findings": []}
            _control(result, {**row, "short": example.short, "text": example.prompt})
    rows = read_shipped("requests", result)
    good = {row["id"]: row["good"] for row in rows}
    answers = []
    for row in rows:
        request = Answer(row["short"], "", row["target"])
        english = row["language"] == "en"
        group = "kept" if english else f"kept {row['language']}"
        for number, text in enumerate(row["good"]):
            answers.append(request._replace(text=text))
            _honest(result, group, answers[-1], f"{row['id']}, good {number}")
        for number, defect in enumerate(row["defects"]):
            finding = defect["finding"]
            bad = request._replace(text=_with_defect(row["good"], defect, good))
            what = f"{row['id']}, defect {number}"
            kinds = {finding, *defect.get("also", ())}
            score = f"{group}.{finding if english else 'defect'}"
            _mutant(result, score, bad, kinds, defect["severity"], what)
    _grounded(result)
    measured = measure_answers(answers)
    for layer, names in (("contract", _CONTRACT), ("richness", _RICHNESS)):
        for name in names:
            result.sums[f"{layer}.{name}"] = [measured[name] * len(answers), len(answers)]
    return result


def read_shipped(name: str, result: BenchResult) -> list[dict[str, Any]]:
    """The rows of a file that ships, ``controls`` or ``requests``; its hash goes to the result."""
    content = (files("promptlift") / "bench_data" / f"{name}.jsonl").read_bytes()
    result.data[f"{name}.jsonl"] = hashlib.sha256(content).hexdigest()[:32]
    return [json.loads(line) for line in content.splitlines()]


def _control(result: BenchResult, row: Mapping[str, Any]) -> None:
    answer = Answer(
        row["short"],
        row["text"],
        row["target"],
        finish_reason=row.get("finish_reason", "stop"),
        control=row.get("control"),
    )
    found, wanted = answer.review().findings, set(row["findings"])
    errors = {one.name for one in found if one.severity == "error"}
    shown = errors | {one.name for one in found if one.severity == "warning"}
    exact = errors <= wanted <= shown
    result.add(f"controls.{'tripped' if wanted else 'passed'}", exact, f"{row['id']}: {errors}")


def _with_defect(
    good: list[str], defect: Mapping[str, Any], others: Mapping[str, list[str]]
) -> str:
    if "replace" not in defect:
        return str(defect.get("text") or others[defect["other"]][0])
    text = good[0]
    for old, new in defect["replace"]:
        if old not in text:
            raise ValueError(f"{old!r} is not in {text!r}")
        text = text.replace(old, new, 1)
    return text


def _honest(result: BenchResult, group: str, answer: Answer, what: str) -> Review:
    found = answer.review()
    errors = {one.name for one in found.findings if one.severity == "error"}
    warned = {one.name for one in found.findings if one.severity == "warning"}
    result.add(f"{group}.passed", not errors, f"{what}: {', '.join(sorted(errors))}")
    result.add(f"{group}.faithful", errors.isdisjoint(_CLAIMS))
    result.add(f"{group}.without warning", warned.isdisjoint(_CLAIMS - _ADDITIONS))
    return found


def _mutant(
    result: BenchResult, score: str, answer: Answer, kinds: set[str], severity: str, what: str
) -> None:
    """Add whether a defect is named, and whether it is rejected where it should be."""
    found = answer.review()
    wanted = {"changed", "missing"} if kinds.isdisjoint(_ADDITIONS) else {"added"}
    named = any(one.name in kinds and one.severity != "info" for one in found.findings) or any(
        claim.kind in kinds and claim.status in wanted for claim in found.claims
    )
    # Another scene is many things lost.
    named = named or (kinds == {"scene"} and found.verdict == "rejected")
    result.add(f"{score} named", named, what)
    if severity == "error":
        result.add(f"{score} rejected", found.verdict == "rejected", what)


_SCENES = (
    "A delivery van stands at a kerb in the rain while people with umbrellas hurry past.",
    "Two welders work on a steel frame in a bright hall, and sparks bounce off the floor.",
    "A heron waits in shallow water between reeds, and rings spread where it stepped.",
)
_MOVES: dict[str, tuple[str, ...]] = {
    "static": ("The camera is static.", "The shot is locked off on a tripod."),
    "pan left": ("The camera pans slowly to the left.", "The view pans left."),
    "pan right": ("The camera pans slowly to the right.", "The view pans right."),
    "tilt up": ("The camera tilts up.", "The shot tilts slowly upward."),
    "tilt down": ("The camera tilts down.", "The shot tilts slowly downward."),
    "forward": ("The camera moves slowly forward.", "The camera pushes in."),
    "backward": ("The camera moves slowly backward.", "The camera pulls back."),
}
_PAIRS = (("left", "right"), ("up", "down"), ("in", "out"), ("forward", "backward"))
_OPPOSITE = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}


def _grounded(result: BenchResult) -> None:
    """Camera sentences against measured facts: the true ones, and the same reversed."""
    for move, sentences in _MOVES.items():
        way = move.split()[-1]
        other = move.replace(way, _OPPOSITE.get(way, "pan left"))
        camera = Camera(moves=(move,))  # type: ignore[arg-type]
        facts = Facts(camera=Confident[Camera](value=camera, confidence=0.95), cuts=())
        for scene in _SCENES:
            for true, false in zip(sentences, _MOVES[other], strict=True):
                answer = Answer("", f"{scene} {true}", facts=facts)
                _honest(result, "grounded", answer, f"{move}: {true}")
                wrong = answer._replace(text=f"{scene} {false}")
                _mutant(result, "grounded.camera", wrong, {"camera"}, "error", f"{move}: {false}")


# ---- what is measured of a set of answers

_FORM = ("empty", "cut", "refusal", "thinking", "meta", "loop")
_CONTRACT = ("length", "words in range", "form", "language", "quotes")
_RICHNESS = ("distinct", "not restated", "aspects")
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_CONTENT_FREE = frozenset(word for words in FUNCTION_WORDS.values() for word in words)
_ASPECTS = {
    "setting": r"\b(?:background|indoors?|outdoors?|(?:in|on|at|inside|across|along|behind|beside"
    r"|under|over|through|between|past) (?:an?|the|its|his|her|their|two|both)\b)",
    "light": r"light|shadow|\bsun|\blit\b|\bglow|bright|\bdark|\bdim\b|dusk|dawn|golden hour|noon",
    "camera": r"\b(?:camera|shot|close-?up|view|angle|lens|pans?|zooms?|tracking|handheld|focus)\b",
    "style": r"\b(?:styles?|cinematic|realis\w+|photograph\w*|film|anime|painting|animat\w+"
    r"|documentary|colou?rs?|tones?|palette)\b",
    "sound": r"\b(?:sounds?|audio|music|voices?|says?|whispers?|hums?|noise|silence|ticking"
    r"|rumbl\w+|creak\w*|rattl\w+|chirp\w*|hiss\w*|roar\w*|clatter\w*)\b",
}


def measure_answers(answers: Iterable[Answer]) -> dict[str, Any]:
    """What can be counted of a set of answers; see ``docs/reference/bench.md``.

    Shares are means over the answers that they apply to; causes and warnings are per 1,000.
    """
    totals = BenchResult()
    causes: Counter[str] = Counter()
    claims: Counter[str] = Counter()
    words_written = 0
    for answer in answers:
        found, chosen = answer.review(), find_target(answer.target)
        errors = {one.name for one in found.findings if one.severity == "error"}
        causes.update(errors)
        causes["any"] += bool(errors)
        warned = {one.name for one in found.findings if one.severity == "warning"}
        causes["warned"] += not warned.isdisjoint(_CLAIMS - _ADDITIONS)
        claims.update(claim.status for claim in found.claims)
        words = [word.lower() for word in _WORD.findall(found.text)]
        words_written += len(words)
        totals.add("length", "too_long" not in errors)
        totals.add("form", errors.isdisjoint(_FORM))
        totals.add("language", "language" not in errors)
        request = understand(answer.short)
        for quote in request.quotes if not request.edits else ():  # an edit may remove one
            totals.add("quotes", quote.text in found.text)
        if dominant_script(found.text) not in UNSPACED:
            totals.add("words in range", chosen.min_words <= len(words) <= chosen.max_words)
            for name, value in _richness(found.text, words).items():
                if name != "aspects" or reads_as_english(found.text):  # its patterns are English
                    totals.add(name, value)
    pairs = int(totals.sums["length"][1])
    per_1000 = {name: round(1000 * count / max(1, pairs), 1) for name, count in causes.items()}
    asked = claims.total() - claims["added"]
    return {
        "pairs": pairs,
        "rejected": per_1000.pop("any", 0.0),
        "warned": per_1000.pop("warned", 0.0),
        "causes": dict(sorted(per_1000.items(), key=lambda item: -item[1])),
        "kept": round(claims["kept"] / asked, 3) if asked else 1.0,
        "added per 100 words": round(100 * claims["added"] / max(1, words_written), 2),
        "words": round(words_written / max(1, pairs), 1),
        **{name: totals.scores.get(name, 1.0) for name in (*_RICHNESS, *_CONTRACT)},
    }


def _richness(text: str, words: list[str]) -> dict[str, float]:
    content = {word for word in words if word not in _CONTENT_FREE}
    sentences = [set(_WORD.findall(part.lower())) for part in _SENTENCE.split(text)]
    pairs = combinations([one for one in sentences if one], 2)
    restated = max((len(a & b) / len(a | b) for a, b in pairs), default=0.0)
    seen = understand(text)
    aspects = [bool(seen.things), bool(seen.actions)]
    aspects += [
        re.search(pattern, text, re.IGNORECASE) is not None for pattern in _ASPECTS.values()
    ]
    return {
        "distinct": len(content) / max(1, len(words)),
        "not restated": 1 - restated,
        "aspects": sum(aspects) / len(aspects),
    }


# ---- outside data


def read_data(folder: Path, result: BenchResult) -> dict[str, list[Answer]]:
    """Read a folder of pairs (``.jsonl`` with run, short, long and key) or of makers' prompts.

    Returns:
        The answers by run, or by the folder's subfolders, whose names say the target.

    Raises:
        OptionError: There is neither.
    """
    systems: dict[str, list[Answer]] = defaultdict(list)
    for path in sorted(folder.glob("*.jsonl")):
        content = path.read_bytes()
        try:
            rows = [json.loads(line) for line in content.splitlines()]
        except ValueError as error:
            raise OptionError(
                f"{path.name} is no JSON lines: {error}", remedy="correct it"
            ) from None
        for row in rows:
            if isinstance(row, dict) and {"run", "short", "long"} <= row.keys():
                target = "hunyuan-video" if "hunyuan" in row["run"] else "wan-2.2"
                objects = tuple(_objects(row.get("key") or {}))
                systems[row["run"]].append(Answer(row["short"], row["long"], target, objects))
                result.data[path.name] = hashlib.sha256(content).hexdigest()[:32]
    if systems:
        return systems
    names = {_squeezed(name): form.target for name, form in FORMATS.items()}
    names |= {_squeezed(name): name for name in TARGET_NAMES}
    for path, found in read_folder(folder):
        for prompt in found if isinstance(found, list) else ():
            top = path.relative_to(folder).parts[0]
            target = prompt.target or names.get(_squeezed(top), DEFAULT_TARGET)
            answer = Answer("", prompt.text, target, control=prompt.control)
            systems[f"{folder.name}/{top}"].append(answer)
    for name, answers in systems.items():
        text = "\n".join(answer.text for answer in answers)
        result.data[name] = hashlib.sha256(text.encode()).hexdigest()[:32]
    if not systems:
        raise OptionError(
            f"there are no pairs and no prompts in {str(folder)!r}",
            remedy="give a folder of .jsonl files with run, short and long, or one with prompts",
        )
    return systems


def _squeezed(name: str) -> str:
    return re.sub(r"\W|^cosmos-", "", name)


def _objects(key: Mapping[str, Any]) -> Iterator[str]:
    for group in ("object_class", "multiple_objects"):
        words = key.get(group, {}).get("object", "")
        yield from filter(None, words.split(" and "))


def score_data(result: BenchResult, systems: Mapping[str, list[Answer]]) -> None:
    """Score honest answers of others, and mutants made of those that pass."""
    pool = sorted({word for answers in systems.values() for one in answers for word in one.objects})
    for name, answers in systems.items():
        others = [answer.text for answer in answers]
        for number, answer in enumerate(answers):
            what = f"{name} {number}: {answer.short[:60]}"
            found = _honest(result, name, answer, what)
            if not answer.short:
                continue
            result.add("pairs.passed", found.verdict != "rejected")
            if found.verdict == "rejected" or len(answer.short.split()) > SHORT_REQUEST:
                continue
            for label, (finding, make) in _MUTATORS.items():
                seeded = Random(f"{SEED} {name} {number} {label}")  # noqa: S311, no secret
                source = _Source(seeded, answer, pool, others)
                mutant = make(source)
                if mutant is not None:
                    # Where nothing but the object was asked for, another scene has come.
                    kinds = {finding, *(("scene",) if finding == "object" else ())}
                    severity = "warning" if finding in {"object", *_ADDITIONS} else "error"
                    _mutant(result, f"pairs.{label}", mutant, kinds, severity, what)


class _Source(NamedTuple):
    """What a mutant is made of: an honest answer, and words and texts of others."""

    random: Random
    answer: Answer
    pool: list[str]
    others: list[str]

    def with_sentence(self, sentence: str, short: str) -> Answer:
        """The answer with one sentence more, after any of its own."""
        parts = _SENTENCE.split(self.answer.text)
        parts.insert(self.random.randint(1, len(parts)), sentence)
        return self.answer._replace(text=" ".join(parts), short=short)

    def is_new(self, words: str) -> bool:
        """Whether neither text has any of some words, given as a pattern."""
        return not _has(words, f"{self.answer.short} {self.answer.text}")


_Mutator: TypeAlias = Callable[[_Source], Answer | None]


def _has(pattern: str, text: str) -> bool:
    return _pattern(rf"\b(?:{pattern})(?:e?s)?\b").search(text) is not None


@lru_cache(maxsize=4096)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


def _put(word: str) -> Callable[[re.Match[str]], str]:
    """Put a word in the place of another, with a capital where that has one."""
    return lambda match: word.capitalize() if match[0][0].isupper() else word


def _replaced(source: _Source, old: str, new: list[str]) -> Answer | None:
    """One of some new words stands wherever an old one stood; None if it had another name too."""
    other = source.random.choice(new) if new else ""
    text, count = _pattern(rf"\b{old}(?=(?:e?s)?\b)").subn(_put(other), source.answer.text)
    last = lemma(old.split()[-1])
    others = {lemma(word) for word in _WORD.findall(text.lower())} - {lemma(other)}
    if not other or not count or any(akin(word, last) for word in others):
        return None
    return source.answer._replace(text=text)


def _swapped(words: Collection[str]) -> _Mutator:
    """The one word of its kind in the short prompt becomes another in the long one."""

    def make(source: _Source) -> Answer | None:
        asked = [word for word in words if _has(word, source.answer.short)]
        new = [word for word in words if source.is_new(word)]
        return _replaced(source, asked[0], new) if len(asked) == 1 else None

    return make


def _object_replaced(source: _Source) -> Answer | None:
    asked = [word for word in source.answer.objects if word != "person"]
    old = source.random.choice(asked) if asked else ""
    new = [word for word in source.pool if source.is_new(word) and not akin(word, old)]
    return _replaced(source, old, new) if old else None


def _flipped(first: str, second: str, names: tuple[str, str], unless: str) -> _Mutator:
    """A relation that both texts have becomes its opposite everywhere in the answer."""

    def make(source: _Source) -> Answer | None:
        short, text = source.answer[:2]
        for old, other, name in ((first, second, names[1]), (second, first, names[0])):
            is_asked = _has(old, short) and not _has(f"{other}|{unless}", short)
            if is_asked and _has(old, text) and not _has(other, text):
                return source.answer._replace(
                    text=_pattern(rf"\b(?:{old})\b").sub(_put(name), text)
                )
        return None

    return make


def _camera_reversed(source: _Source) -> Answer | None:
    order = re.search(r"\b(pan|tilt|zoom)\w*\s+(left|right|up|down|in|out)\b", source.answer.short)
    if order is None:
        return None
    move, way = order.groups()
    pattern = rf"(\b{move}\w*(?:\s\w+){{0,3}}?\s){way}(?=(?:wards?)?\b)"
    text, count = _pattern(pattern).subn(rf"\g<1>{_OPPOSITE[way]}", source.answer.text)
    return source.answer._replace(text=text) if count else None


def _other_answer(source: _Source) -> Answer | None:
    words = {word.lower() for word in _WORD.findall(source.answer.short)} - _CONTENT_FREE
    for text in source.random.sample(source.others, min(5, len(source.others))):
        is_long = len(text.split()) >= _MANY_WORDS
        if words and is_long and not any(_has(word, text) for word in words):
            return source.answer._replace(text=text)
    return None


_PEOPLE = (
    r"m[ae]n|wom[ae]n|people|persons?|boys?|girls?|child(?:ren)?|crowds?|players?|s?he|figures?"
)


def _added(unless: str, *sentences: str, asked: Sequence[tuple[str, str]] = ()) -> _Mutator:
    """One of some sentences is added, where neither text has some words.

    Args:
        unless: The words, as a pattern.
        sentences: The sentences.
        asked: What the short prompt is made to ask for besides, with the word for ``{}`` in all.
    """

    def make(source: _Source) -> Answer | None:
        short, word = source.random.choice(asked) if asked else ("", "")
        if not source.is_new(unless.format(word)):
            return None
        sentence = source.random.choice(sentences).format(word)
        return source.with_sentence(sentence, f"{source.answer.short}{short}")

    return make


def _edit_undone(source: _Source) -> Answer | None:
    there = [word for word in source.answer.objects if _has(word, source.answer.text)]
    new = [word for word in source.pool if source.is_new(word)]
    if not there or not new:
        return None
    old, other = source.random.choice(there), source.random.choice(new)
    orders = (f"remove the {old}", f"replace the {old} with a {other}")
    return source.answer._replace(short=source.random.choice(orders))


_COLORS = ("red", "blue", "green", "yellow", "black", "white", "pink", "purple", "brown")
_NUMBERS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_SIGNS = (
    (', a sign reads "OPEN LATE"', "OPEN LAKE"),
    (', a sign reads "Room 12"', "Room 21"),
)
_DENIED = [(f", no {noun}s", noun) for noun in ("umbrella", "dog", "bicycle", "balloon", "flag")]
_CAMERA_WORDS = "pan|tilt|zoom|camera"
_PLACE = r"(?! (?:zero|-?\d))"  # not of a temperature
_ABOVE = f"(?:on (?:the )?top of|atop|above){_PLACE}"
_BELOW = f"(?:on the bottom of|below|beneath|underneath){_PLACE}"
# By their label: the kind of claim that is false, and what makes it.
_MUTATORS: dict[str, tuple[str, _Mutator]] = {
    "color": ("color", _swapped(_COLORS)),
    "count": ("number", _swapped(_NUMBERS)),
    "left/right": ("relation", _flipped("left", "right", ("left", "right"), _CAMERA_WORDS)),
    "above/below": ("relation", _flipped(_ABOVE, _BELOW, ("above", "below"), _CAMERA_WORDS)),
    "object": ("object", _object_replaced),
    "another answer": ("scene", _other_answer),
    "camera": ("camera", _camera_reversed),
    "person": (
        "person",
        _added(
            _PEOPLE,
            "A man in a dark coat walks into view and looks around.",
            "Two women stand at the side and talk.",
            "A young boy runs across the foreground.",
        ),
    ),
    "event": (
        "event",
        _added(
            "explo.*|fire|lightning|crash",
            "Suddenly an explosion tears through the background.",
            "A fire breaks out at the edge of the frame.",
            "Lightning strikes the ground nearby.",
            "A car crashes into a wall behind.",
        ),
    ),
    "quote": (
        "quote",
        _added("{}", 'A sign reads "{}".', "A sign hangs at the side.", asked=_SIGNS),
    ),
    "negation": (
        "negation",
        _added("{}", "Two {}s can be seen in the background.", asked=_DENIED),
    ),
    "edit": ("edit", _edit_undone),
}


# ---- the board


def board(result: BenchResult) -> str:
    """Markdown tables of what was measured of each system, and the hashes of what was read."""
    systems = result.systems
    heads = [head for head in next(iter(systems.values()), {}) if head != "causes"]
    lines = [f"| system | {' | '.join(heads)} |", f"|---|{'--:|' * len(heads)}"]
    lines += [
        f"| {name} | {' | '.join(f'{found[head]:,}' for head in heads)} |"
        for name, found in systems.items()
    ]
    lines += ["", "| system | rejected of 1,000, by finding |", "|---|---|"]
    for name, found in systems.items():
        causes = ", ".join(f"{cause} {count}" for cause, count in found["causes"].items())
        lines.append(f"| {name} | {causes or 'none'} |")
    hashes = [f"{name} {digest}" for name, digest in result.data.items()]
    lines += ["", f"promptlift {__version__}, seed {SEED}. SHA-256: {', '.join(hashes) or 'none'}."]
    return "\n".join(lines)

"""A finished prompt said again in the form of another target.

Without a model a paragraph stays as it is where the target takes it, a document becomes the
paragraph that it tells, and a paragraph becomes a document of what it says. With a model the prompt
is said again by it, and may gain nothing. Either way the review compares the result with the short
prompt anew.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Self

import msgspec

from promptlift import __version__
from promptlift.api import Upsampler
from promptlift.engines.base import Engine
from promptlift.engines.registry import resolve_engine
from promptlift.errors import PromptError, PromptliftError, SpecError
from promptlift.language import ENGLISH_FUNCTION_WORDS
from promptlift.options import Options
from promptlift.pipeline.keys import work_key
from promptlift.record import Attempt, Failure, Record, RenderedFrom, Reviewed, Tokens
from promptlift.review import Review, clean_answer, review, understand
from promptlift.review.camera import camera_mentions
from promptlift.review.lexicon import lemma
from promptlift.targets import Target, all_targets, estimate_tokens, prompt_language
from promptlift.targets import target as find_target
from promptlift.targets.documents import DocumentForm, DocumentPassage, document_form, video_format
from promptlift.tokens import load_target_counter
from promptlift.types import Sampling

__all__ = ["Renderer", "read_records", "render"]

_SAY_AGAIN = (
    "The request is itself a finished prompt. Say everything that it says again, in the form that "
    "is described above and for that generator, and add nothing to it."
)
_NOT_FILLED = "it has what the prompt says and no more; a model (--engine) fills it"
_NO_LIMIT = 1_000_000
_SENTENCE = re.compile(r"(?<=[.!?])\s+")
_WORD = re.compile(r"[^\W\d_]+")
_MOST_TAG_WORDS = 4
_IN_THE_KEY = {"target", "language", "video_size", "video_fps", "video_seconds"}


def render(record: Record, *, target: str | Target, **options: Any) -> Record:
    """Say the prompt of a record again in the form of another target.

    Args:
        record: The result of an earlier call; it has to have a prompt.
        target: The generator that the prompt is now for.
        **options: ``engine`` for a model that says it again and ``engine_settings`` for it, else
            those of `promptlift.Options`; what these say of pictures has no effect.

    Returns:
        A record of the same video and short prompt; `Record.rendered_from` names the source.

    Raises:
        PromptError: There is no prompt, or the target wants what only a model can write.
        OptionError: An option makes no sense.
        EngineError: The engine did not answer.
    """
    with Renderer(target=target, **options) as renderer:
        return renderer.render(record)


class Renderer:
    """Keeps an engine, so that many records share it. A context manager.

    Args:
        target: The generator that prompts are to be for.
        engine: A model that says them again; None to go without one.
        engine_settings: What the engine of that name takes.
        starting: Told of the stages of an engine that is started, and the seconds since.
        **options: See `render`.

    Raises:
        OptionError: An option is unknown or makes no sense.
    """

    def __init__(
        self,
        *,
        target: str | Target,
        engine: str | Engine | None = None,
        engine_settings: Mapping[str, Any] | None = None,
        starting: Callable[[str, float], None] | None = None,
        **options: Any,
    ) -> None:
        self.options = Options(target=target, **options)
        settings = engine_settings or {}
        if isinstance(engine, str) and resolve_engine(engine, settings) == "embedded":
            engine = None
        self._upsampler: Upsampler | None = None
        if engine is not None:
            goal = find_target(self.options.target)
            # Low creativity asks for a shorter result; here nothing is to be left out.
            most_words = 2 * goal.max_words - goal.min_words
            goal = msgspec.structs.replace(goal, max_words=most_words)
            said = " ".join(filter(None, (_SAY_AGAIN, self.options.instruction)))
            asked = {**options, "target": goal, "creativity": "low", "instruction": said}
            self._upsampler = Upsampler(
                engine=engine, engine_settings=settings, starting=starting, **asked
            )
            self._asked = self._upsampler.options

    def render(self, record: Record) -> Record:
        """Do one record; see `render`."""
        if self._upsampler is None:
            return self._without_model(record)
        passages, everything = _read(record)[1], find_target("plain")
        everything = msgspec.structs.replace(everything, sound=True)
        whole = _paragraph(passages, _needed(record), everything, most_words=_NO_LIMIT)
        if self.options.goal.document:  # which tells of the video that the record is of
            video = video_format(
                self.options.goal, self.options.video_parameters, record.video.probe
            )
            wish = {"video_size": str(video.size), "video_fps": video.fps}
            seconds = self.options.video_seconds or int(video.duration)
            self._upsampler.options = self._asked.merged({**wish, "video_seconds": seconds})
        outcome = self._upsampler.attempt(None, whole, original=record.short_prompt)
        if outcome.error is not None:
            raise outcome.error
        return outcome.record.model_copy(
            update={
                "video": record.video,
                "short_prompt": record.short_prompt,
                "facts": record.facts,
                "instruction": self.options.instruction,
                "rendered_from": RenderedFrom(key=record.key, target=record.target),
            }
        )

    def attempt(self, record: Record) -> Record:
        """Do one record without raising: a failure is a record as well."""
        try:
            return self.render(record)
        except PromptliftError as error:
            return _again(record, self.options, status="failed", error=Failure.of(error))

    def close(self) -> None:
        """Give back what the engine holds; safe to call twice."""
        if self._upsampler is not None:
            self._upsampler.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _without_model(self, record: Record) -> Record:
        start, (source, passages) = time.perf_counter(), _read(record)
        goal, short = self.options.goal, record.short_prompt
        is_camera_given = understand(short).camera or (record.facts and record.facts.camera)
        if goal.camera == "only asked" and is_camera_given:
            goal = msgspec.structs.replace(goal, camera="welcome")
        form, text, note = document_form(goal), record.prompt or "", ""
        most_words = _NO_LIMIT if form else goal.max_words
        words = _paragraph(passages, _needed(record), goal, most_words=most_words)
        words = clean_answer(words, short, goal).text
        if form is None:
            text = words
        elif type(form) is not type(source):
            video = video_format(goal, self.options.video_parameters, record.video.probe)
            made = form.without_model(words, "", understand(words), video)
            assert made is not None, "there are words"
            text, note = made.text, _NOT_FILLED
        path = self.options.target_tokenizer
        count_tokens = load_target_counter(path) if path else None
        verdict = review(
            text,
            finish_reason="stop",
            short_prompt="" if form else words,  # a document holds the words as they are
            target=goal,
            count_tokens=count_tokens,
            facts=record.facts,
            original=short,
        )
        if reason := _why_a_model(words, goal, verdict):
            raise PromptError(
                f"the prompt cannot be said again for {goal.name} without a model: {reason}",
                remedy="name a model with --engine",
            )
        status = "unchanged" if record.status == "unchanged" else verdict.verdict
        status = "rejected" if verdict.verdict == "rejected" else status
        data = form.check(text).data if form and status != "rejected" else None
        sampling = Sampling(max_tokens=0, temperature=0)
        attempt = Attempt(
            text=text,
            finish_reason="stop",
            verdict=verdict.verdict,
            failed=verdict.failed,
            sampling=sampling,
            completion_tokens=None,
            seconds=round(time.perf_counter() - start, 6),
        )
        tokens = Tokens(
            target=count_tokens(text) if count_tokens else estimate_tokens(text, goal),
            target_limit=goal.limit,
            target_estimated=path is None,
        )
        settings = json.dumps(self.options.model_dump(mode="json", include=_IN_THE_KEY))
        return _again(
            record,
            self.options,
            key=work_key(settings, content=record.key or "", short_prompt=record.prompt or ""),
            status=status,
            prompt=None if status == "rejected" else verdict.text,
            document=dict(data) if data else None,
            note=note or (record.note if status == "unchanged" else ""),
            tokens=tokens,
            review=Reviewed.of(verdict),
            attempts=(attempt,),
            sampling=sampling,
        )


def _again(record: Record, options: Options, **values: Any) -> Record:
    """A record of the same work for another target; what an engine did is not in it."""
    return Record(
        video=record.video,
        short_prompt=record.short_prompt,
        facts=record.facts,
        target=find_target(options.target).label,
        rendered_from=RenderedFrom(key=record.key, target=record.target),
        promptlift=__version__,
        **values,
    )


# ---- what is said


def _read(record: Record) -> tuple[DocumentForm | None, tuple[DocumentPassage, ...]]:
    """Read a prompt by what it is: a record may name a target that is not known here."""
    if record.prompt is None:
        raise PromptError(
            f"the record has no prompt: its status is {record.status}",
            remedy="give a record with a result; promptlift run makes one",
        )
    for form in filter(None, map(document_form, all_targets())):
        document = form.check(record.prompt)
        if document.data and document.prose.strip():
            return form, tuple(form.passages(document))
    return None, (DocumentPassage(record.prompt),)


def _needed(record: Record) -> tuple[str, ...]:
    """The words on which the claims of the short prompt hang."""
    claims = record.review.claims if record.review else ()
    return tuple(claim.found for claim in claims if claim.status == "kept" and claim.found)


def _paragraph(
    passages: Iterable[DocumentPassage], needed: Collection[str], goal: Target, *, most_words: int
) -> str:
    """Passages one after another, less what is said before.

    Args:
        passages: In their order.
        needed: Words that have to be in it.
        goal: The generator, for sound and camera.
        most_words: Where it ends, for all but the first passage and what is needed.
    """
    text = ""
    left_out = {"rest"} | ({"sound"} if not goal.sound else set())
    left_out |= {"camera"} if goal.camera == "only asked" else set()
    for passage in passages:
        said, new = _content_words(text), _content_words(passage.text)
        is_needed = any(words in passage.text and words not in text for words in needed)
        if passage.about == "camera" and goal.camera == "required":
            is_needed = is_needed or not camera_mentions(text)
        is_new = len(new - said) * 2 > len(new) and passage.about not in left_out
        fits = len(f"{text} {passage.text}".split()) <= most_words
        if not text or is_needed or (is_new and fits):
            text = f"{text} {passage.text}".strip()
    return text


def _content_words(text: str) -> set[str]:
    return {lemma(word) for word in _WORD.findall(text.lower())} - ENGLISH_FUNCTION_WORDS


def _why_a_model(words: str, goal: Target, verdict: Review) -> str:
    """What the target wants that only a model can write; empty for nothing."""
    spoken = understand(words).language
    wanted = prompt_language(goal, spoken)
    if spoken is not None and wanted != ("Chinese" if spoken == "han" else spoken):
        return f"it is to be in {wanted}"
    if "too_long" in verdict.failed:
        return next(f"it has {f.message}" for f in verdict.findings if f.name == "too_long")
    told = camera_mentions(words)
    moves = [words[slice(*span)] for span, move in told if move != "static"]
    if goal.camera == "only asked" and moves:
        return f"it tells a motion of the camera that nobody asked for ({moves[0]!r})"
    if goal.camera == "required" and not goal.document and not told:
        return "it says nothing of the camera"
    tags = [piece.split() for piece in _SENTENCE.split(words)[-1].split(",")[1:]]
    is_tagged = len(tags) > 1 and max(map(len, tags)) <= _MOST_TAG_WORDS
    return "it does not end in tags" if goal.style == "last tags" and not is_tagged else ""


# ---- what is read


def read_records(content: bytes, *, name: str) -> list[Record]:
    """The records in a file: one as JSON, or one a line, alone or in the rows of an export.

    Args:
        content: What ``promptlift run --json`` or ``promptlift batch export`` wrote.
        name: The file, for errors.

    Raises:
        SpecError: It is something else; the message says which line.
    """
    try:
        json.loads(content)
        lines = [content]
    except ValueError:
        lines = content.strip().splitlines() or [content]
    records = []
    for number, line in enumerate(lines, start=1):
        try:
            value = json.loads(line)
            found = value.get("record", value) if isinstance(value, dict) else value
            records.append(Record.model_validate_json(json.dumps(found)))
        except ValueError as error:  # json's, pydantic's and those of the encoding are such
            raise SpecError(
                f"{name}: line {number} holds no record of promptlift",
                remedy="give the JSON of `promptlift run --json`, or of `promptlift batch export`",
            ) from error
    return records

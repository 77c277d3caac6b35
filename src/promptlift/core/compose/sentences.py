"""From facts to sentences: every wording that is true of one video and that the user left open."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, TypeAlias

from promptlift.core.compose import phrases
from promptlift.core.compose.grammar import capitalise, count_words, join
from promptlift.core.compose.said import LOOK, colours_left, topics_said

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from promptlift.core.compose.phrases import Tone
    from promptlift.core.compose.topics import Topic
    from promptlift.core.facts import Camera, Facts, Light, Movement, Palette

__all__ = ["Statement", "statements"]

Cuts: TypeAlias = "tuple[float, ...] | None"

_MOST_DOMINANT, _MOST_ACCENTS = 4, 3


@dataclass(frozen=True, slots=True)
class Statement:
    """One thing to say, and the ways to say it.

    Attributes:
        section: What it is about; at most one statement a section.
        wordings: Sentences without capital and full stop, all true, any of which will do.
    """

    section: str
    wordings: tuple[str, ...]

    def longer(self) -> Statement:
        """The same with the longer half of its wordings."""
        ordered = sorted(self.wordings, key=count_words)
        return Statement(self.section, tuple(ordered[len(ordered) // 2 :]))


def statements(prompt: str, facts: Facts) -> tuple[Statement, ...]:
    """What may be added to the user's words, in the order of the text.

    Args:
        prompt: The user's words in English, or nothing.
        facts: What was measured.
    """
    said = topics_said(prompt, facts.light.value if facts.light else None)
    if facts.kind is None or facts.kind.value != "rgb":
        said |= LOOK  # a control video's look is not the look of what is to be generated
    sections: tuple[tuple[str, Iterable[str]], ...] = (
        ("light", _light(facts.light.value, said) if facts.light else ()),
        ("motion", _motion(prompt, facts, said)),
        ("cuts", _cuts(facts.cuts, said)),
        ("palette", _palette(prompt, facts.palette.value, said) if facts.palette else ()),
        ("sharpness", _sharpness(facts, said)),
    )
    found = (Statement(section, tuple(dict.fromkeys(ways))) for section, ways in sections)
    return tuple(statement for statement in found if statement.wordings)


def _light(light: Light, said: frozenset[Topic]) -> Iterable[str]:
    """Brightness, with what the user left open of contrast and colour cast."""
    brightness = phrases.BRIGHTNESS[light.exposure] if "exposure" not in said else None
    contrast = phrases.CONTRAST[light.contrast] if "contrast" not in said else None
    cast = None
    if light.temperature and "temperature" not in said:
        cast = phrases.CAST[light.temperature]
    rest = contrast or cast
    if brightness is None:
        return _tails(contrast, cast)
    if contrast and cast:
        return _light_in_full(brightness, contrast, cast)
    return _light_with_one_tail(brightness, rest) if rest else brightness.clauses


def _light_in_full(brightness: Tone, contrast: Tone, cast: Tone) -> Iterator[str]:
    clauses = product(brightness.clauses, contrast.clauses, cast.clauses)
    nouns = tuple(product(contrast.nouns, cast.nouns))
    marked = brightness.adjective and cast.adjective
    templates = phrases.LIGHT_ALL + (phrases.LIGHT_ALL_MARKED if marked else ())
    for (clause, contrast_clause, cast_clause), (contrast_noun, cast_noun), template in product(
        clauses, nouns, templates
    ):
        yield template.format(
            brightness=clause,
            adjective=brightness.adjective,
            contrast=contrast_noun,
            contrast_clause=contrast_clause,
            cast=cast_noun,
            cast_adjective=cast.adjective,
            cast_clause=cast_clause,
        )


def _light_with_one_tail(brightness: Tone, tail: Tone) -> Iterator[str]:
    with_noun, with_clause = phrases.LIGHT_ONE_TAIL
    for clause in brightness.clauses:
        yield from (with_noun.format(brightness=clause, noun=noun) for noun in tail.nouns)
        yield from (with_clause.format(brightness=clause, clause=other) for other in tail.clauses)


def _tails(contrast: Tone | None, cast: Tone | None) -> Iterable[str]:
    if contrast and cast:
        both = product(contrast.clauses, cast.clauses)
        return (f"{one}, and {other}" for one, other in both)
    rest = contrast or cast
    return rest.alone if rest else ()


def _motion(prompt: str, facts: Facts, said: frozenset[Topic]) -> Iterator[str]:
    """What moves and how the camera does, in one sentence or in two."""
    movement = tuple(_movement(prompt, facts.movement.value, said)) if facts.movement else ()
    camera = tuple(_camera(facts.camera.value, facts.cuts, said)) if facts.camera else ()
    if not (movement and camera):
        yield from movement or camera
        return
    assert facts.camera is not None
    pairs = product(movement, camera) if prompt else product(camera, movement)
    yield from (f"{one}. {capitalise(other)}" for one, other in pairs)
    plain = [clause for clause in movement if "while" not in clause]
    yield from _together(plain, facts.camera.value, facts.cuts, said)


def _together(
    movement: Iterable[str], camera: Camera, cuts: Cuts, said: frozenset[Topic]
) -> Iterator[str]:
    """Movement and camera in one sentence, and that it is one take in a second."""
    if cuts != () or said & {"camera", "continuity"}:
        return
    if camera.moves == ("static",):
        frames = phrases.STATIC_AND_MOVEMENT
    else:
        pairs = product(phrases.MOVE_AND_MOVEMENT, _moves(camera))
        frames = tuple(template.replace("{move}", move) for template, move in pairs)
    for frame, clause, take in product(frames, movement, phrases.TAKE_ALONE):
        yield f"{frame.format(movement=clause)}. {capitalise(take)}"


def _movement(prompt: str, movement: Movement, said: frozenset[Topic]) -> Iterator[str]:
    """How much moves and where; nothing that would belittle an action the user speaks of."""
    amount = movement.amount
    belittles = (amount == "none" and prompt) or (amount == "little" and "stillness" in said)
    if "movement" in said or belittles:
        return
    where = movement.where if "where" not in said else None
    if where is None or amount == "none":
        yield from phrases.MOVEMENT_UNPLACED[amount]
    elif where == "throughout":
        yield from phrases.MOVEMENT_THROUGHOUT[amount]
    else:
        for template, place in product(phrases.MOVEMENT_WHERE[amount], phrases.PLACES[where]):
            yield template.format(place=place)


def _camera(camera: Camera, cuts: Cuts, said: frozenset[Topic]) -> Iterator[str]:
    """The camera's motion, and that the shot is one take where no cut was found."""
    one_take = cuts == () and "continuity" not in said
    if "camera" in said:
        yield from phrases.TAKE_ALONE if one_take else ()
    elif camera.moves == ("static",):
        yield from phrases.STATIC_TAKE if one_take else phrases.STATIC
    elif not cuts:
        # Across a cut the motion may belong to one of the shots only, so it is left out.
        yield from _moving_camera(camera, one_take=one_take)


def _moving_camera(camera: Camera, *, one_take: bool) -> Iterator[str]:
    for move in (*_moves(camera), *_moves_and_results(camera)):
        yield move
        if one_take:
            yield from (f"{opening}, {move}" for opening in phrases.TAKE_OPENINGS)


def _moves(camera: Camera) -> Iterator[str]:
    """Clauses for the camera's one or two moves."""
    first, *others = camera.moves
    pace = camera.strength or ""
    for template in phrases.MOVES[first]:
        move = template.format(
            before=phrases.PACE_BEFORE.get(pace, ""),
            after=phrases.PACE_AFTER.get(pace, ""),
            amount=phrases.SHAKING.get(pace, ""),
        )
        if others:
            gerund = phrases.MOVE_GERUNDS[others[0]]
            yield from (t.format(move=move, gerund=gerund) for t in phrases.MOVES_TOGETHER)
        else:
            yield move


def _moves_and_results(camera: Camera) -> Iterator[str]:
    """The same for a single move, with what it does to the view."""
    if len(camera.moves) == 1:
        for move, result in product(_moves(camera), phrases.MOVE_RESULTS[camera.moves[0]]):
            yield f"{move}, {result}"


def _cuts(cuts: Cuts, said: frozenset[Topic]) -> Iterator[str]:
    if not cuts or "continuity" in said:
        return
    times = phrases.NUMBERS.get(len(cuts))
    if times is None:
        yield from phrases.CUTS_MANY
    else:
        yield from (template.format(times=times) for template in phrases.CUTS)


def _palette(prompt: str, palette: Palette, said: frozenset[Topic]) -> Iterator[str]:
    if "palette" in said:
        return
    dominant, accents = colours_left(prompt, palette)
    dominant, accents = dominant[:_MOST_DOMINANT], accents[:_MOST_ACCENTS]
    templates: tuple[str, ...] = phrases.ACCENTS_ONLY if accents else ()
    if dominant and accents:
        templates = phrases.DOMINANT_AND_ACCENTS
    elif dominant:
        templates = phrases.DOMINANT_ONLY
    several = len(dominant) > 1
    for template in templates:
        yield template.format(
            dominant=join(dominant),
            accents=join(accents),
            lead="lead" if several else "leads",
            colors_are="colors are" if several else "color is",
            set="set" if several else "sets",
        )


def _sharpness(facts: Facts, said: frozenset[Topic]) -> Iterable[str]:
    if facts.sharpness is None or "sharpness" in said:
        return ()
    return phrases.SHARPNESS[facts.sharpness.value]

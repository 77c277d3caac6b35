"""A negative prompt: the target's own, less what contradicts the positive one or the request.

An item of the target's is taken out where the texts ask for the very thing, in its words or in
their WordNet kin, or for a look of which it is a part: no "low resolution" against a VHS tape.
What is asked for is read from English; quotation marks are read in every language.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from promptlift.language import ENGLISH_FUNCTION_WORDS, word_set
from promptlift.review.lexicon import ancestors, lemma, part_of_speech, synonyms
from promptlift.review.request import quotes_in, understand, without_quotes

if TYPE_CHECKING:
    from collections.abc import Callable

    from promptlift.targets import Target

__all__ = ["negative_prompt"]

# Faults, and the looks and effects that are made of them.
_CONCEPTS = """
motion blur, trails? <- time-?lapse, hyperlapse, long exposure, light trails?, speed lines;
static, stills?, frozen motion, motionless, no motion, slideshow, (motion )?stops? <-
(?<!camera is )(?<!camera stays )static(?! (camera|shot|view|frame|angle)),
motionless, unmoving, stands? still, still life, frozen in (time|place), tableau, freeze-?frame,
photograph, nothing moves, (an?|is|are|perfectly|completely) still;
low( in)? resolution, low[- ]res, grainy?, nois[ey]+, compression artifacts, artifacting, jpe?g,
blurry, pixelated, flicker(ing)?, jitter, color banding, (old )?((computer|video) )?game <-
vhs, camcorder, home video, pixel art, (8|16)-?bit, low-?poly, retro, vintage, super 8,
(8|16)\\s?mm, found footage, cctv, security camera, surveillance, webcam, glitch, lo-?fi,
archival, newsreel, silent film, old film, dashcam, arcade, (video|computer) game;
render(ing)?, (old )?((computer|video) )?game, cartoon, painting, illustration, drawing, anime, 3d,
cgi, unreal(istic)?, artwork, style, stylized <- animat(ion|ed), cartoon, anime, manga, painting,
sketch, watercolou?r, drawing, illustration, claymation, stop-?motion, pixel art, low-?poly,
render(ing)?, origami, collage,
cgi, (video|computer) game, comic, engraving, woodcut, cel-shaded;
over-?(exposed|exposure|saturat\\w+), garish, bright <- neon, high-key, blown-?out, psychedelic,
saturated, vivid, vibrant, blinding, glare, pop art;
dark, under-?exposed, dim, gloomy, poorly lit <- (mid)?night, dark(ness)?, noir, silhouettes?,
low-key, candlelight, moonlight, cave, shadowy;
gr[ae]y(ish)?, dull, desaturated, monochrome, washed out <- black[- ]and[- ]white, monochrome, noir,
sepia, desaturated, overcast, fog(gy)?, silent film;
blurry, blur, out of focus, soft <- blur(red)?, bokeh, out of focus, soft focus, dreamlike, haze;
warps?, melt(s|ing)?, distorted, deformed, extra limbs, mutat\\w+, fused, pass through each other <-
surreal(is[mt])?, cubis[mt], melt(s|ing)?, morph(s|ing)?, transforms?, mutants?, monster, alien,
ghosts?, kaleidoscope, funhouse, abstract;
duplicated?, cloned <- twins?, clones?, identical, copies, kaleidoscope, mirrors?, reflections?;
jitter, jittery, shaky, shaking <- hand-?held, shaky, shakes?, found footage, earthquake;
choppy, jerky, low frame rate <- stop-?motion, flip-?book, silent film, claymation;
flicker(ing)?, strob\\w+ <- flicker(s|ing)?, strobe, stop-?motion, glitch, lightning, silent film;
"""
_WRITTEN = re.compile(r"text|logos?|letters|words|writing|characters")
_LEAD = re.compile(r"(?:(?:and|or|with|the|an?|in|of|from)\s+)+", re.IGNORECASE)
_LOOKS = ("it looks", "it is", "the video looks", "looks like")
_GENERIC = word_set("video motion picture image scene frame object subject thing")
_DENIED = re.compile(
    r"\b(?:no|not|without|never|free of|avoid\w*)\b(?:\W+\w+){0,2}\W*$", re.IGNORECASE
)
# A place where one item of a list or a sentence ends and another begins.
_JOINT = re.compile(
    r"((?:[,:;]\s*|\s+)(?:and\s+|or\s+|with\s+)+|[,;]\s*|:\s+|(?<=[.!?])\s+)", re.IGNORECASE
)
_PREDICATE = re.compile(r"\s+(?:is|are|was|were|be|being)\s+(.*)", re.DOTALL)


def negative_prompt(goal: Target, prompt: str, *, short_prompt: str = "", style: str = "") -> str:
    """What a generator is told to avoid.

    Args:
        goal: The generator.
        prompt: The positive prompt.
        short_prompt: The request.
        style: The style that was asked for besides.

    Returns:
        Empty where the target takes none, or where nothing is left of it.
    """
    asked = _asked_for((short_prompt, style, prompt), is_spoken=goal.quotes == "spoken")
    if goal.negative.lstrip().startswith("{"):
        return json.dumps(_prune(json.loads(goal.negative), asked), ensure_ascii=False)
    return _without(goal.negative, asked)


def _prune(value: Any, asked: Callable[[str], bool]) -> Any:
    if isinstance(value, dict):
        return {key: _prune(one, asked) for key, one in value.items()}
    if isinstance(value, list):
        return [_prune(one, asked) for one in value]
    return _without(value, asked) if isinstance(value, str) else value


def _asked_for(texts: tuple[str, ...], *, is_spoken: bool) -> Callable[[str], bool]:
    """What tells whether the texts ask for an item of a negative prompt."""
    text = without_quotes("\n".join(texts))
    is_written = any(map(quotes_in, texts)) and not is_spoken

    def found(pattern: str) -> list[str]:
        return [
            match[0].lower()
            for match in re.finditer(pattern, text, re.IGNORECASE)
            if not _DENIED.search(text[max(0, match.start() - 40) : match.start()])
        ]

    words = set(found(r"[^\W_]+"))
    lemmas = set(map(lemma, words))
    kin = {name for word in lemmas for name in (*synonyms(word), *ancestors(word))}
    faults = ["static camera"] if "static" in understand(texts[0]).camera else []
    for row in _CONCEPTS.split(";")[:-1]:
        of_looks, looks = (re.sub(r",\s+", "|", side.strip()) for side in row.split("<-"))
        if found(rf"\b(?:{looks})\b"):
            faults.append(of_looks)
    fault = re.compile(rf"(?:(?:visual|film) )?\b(?:{'|'.join(faults)})\b(?: (?:with |of )?\w+)?")

    def names(word: str) -> bool:
        form = lemma(word)
        is_noun = part_of_speech(form) == "n" and not word.endswith(("ed", "ing"))
        return not {word, form}.isdisjoint(words | lemmas) or (is_noun and form in kin)

    def has(item: str) -> bool:
        core = _LEAD.sub("", item.strip(" .!").lower(), count=1)
        search = fault.search if core.startswith(_LOOKS) else fault.fullmatch
        if (faults and search(core)) or (is_written and _WRITTEN.fullmatch(core)):
            return True
        said = [w for w in re.findall(r"[^\W_]+", core) if w not in ENGLISH_FUNCTION_WORDS]
        return not _GENERIC.issuperset(map(lemma, said)) and all(map(names, said))

    return has


def _without(text: str, asked: Callable[[str], bool]) -> str:
    """A list of items, or sentences of them, without those that are asked for."""
    parts = ["", *_JOINT.split(text.strip())]
    kept: list[list[str]] = []  # what joins an item to the one before, and the item
    joint: str | None = None  # what the next item takes over from one that was taken out
    lead = ""  # "Objects" of "Objects warp, melt or ..."
    for before, item in zip(parts[::2], parts[1::2], strict=True):
        own = before if joint is None else joint
        body = item.rstrip(".!?")
        end, predicate = item[len(body) :], _PREDICATE.search(body)
        subject, _, verb = body.rpartition(" ")
        starts = not kept or _ends(kept[-1][1])
        is_led = starts and subject.istitle() and " " not in subject and asked(verb)
        if predicate and asked(predicate[1]):
            while own in (" and ", " or ") and kept and not _ends(kept[-1][1]):
                own = kept.pop()[0]  # "limbs" of "limbs and faces are deformed"
        elif predicate and not starts and asked(body[: predicate.start()]):
            kept[-1][1] += f"{predicate[0]}{end}"
            joint = None
            continue
        elif not (is_led or asked(body)):
            is_verb = lead and part_of_speech(lemma(body.split()[0])) == "v"
            kept.append([own, f"{lead} {item}" if is_verb else item])
            joint, lead = None, ""
            continue
        lead = subject if is_led else lead
        joint = own if starts or own not in (", ", " and ", " or ") else None
        if end and not starts:
            kept[-1][1] += end
            joint = None
    made = "".join(f"{joint}{item}" for joint, item in kept).strip(" ,;:")
    return re.sub(r"(?:^|(?<=[.!?] ))[a-z]", lambda m: m[0].upper(), made) if _ends(made) else made


def _ends(text: str) -> bool:
    return text.endswith((".", "!", "?"))

"""The checks of a review that need nothing but the answer, the target and the user's language."""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Literal

from promptlift.language import (
    ENGLISH_FUNCTION_WORDS,
    FUNCTION_WORDS,
    UNSPACED,
    dominant_script,
    script_counts,
    script_of,
    word_set,
)
from promptlift.review.clean import hide_quotes, regex
from promptlift.review.lexicon import ancestors, is_word, lemma, noun_kind, part_of_speech
from promptlift.review.request import language_of
from promptlift.review.talk import SHOWN_TEXT, Flaw
from promptlift.types import finish_reason as read_finish_reason

if TYPE_CHECKING:
    from promptlift.review.request import UserRequest
    from promptlift.targets import Target
    from promptlift.types import Kind

__all__ = [
    "artefact",
    "cut",
    "empty",
    "has_words",
    "keywords",
    "language",
    "length",
    "loop",
    "nearly_equal",
    "unfinished",
]

# An upsampled prompt of fewer words than this says nothing that the user has not said, unless
# several of them are new.
_FEWEST_WORDS = 6
_FEWEST_NEW_WORDS = 3
_FEWEST_CHARACTERS = 10  # in scripts without spaces

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_SENTENCE_MARK = "[.!?…。！？．｡।॥۔؟։።᙮។]"
_SENTENCE_END = re.compile(_SENTENCE_MARK + "[\"'”’»)\\]」』）*]{0,4}\\Z")
_NO_SENTENCE_MARK = frozenset({"thai", "lao", "khmer", "burmese"})
_OWN_WORDS = "nothing but the user's own words"


def has_words(text: str) -> bool:
    """Whether there is anything to judge."""
    return any(word[0].isalpha() for word in _WORD.findall(text))


def empty(text: str, short_prompt: str = "") -> Flaw | None:
    """Find whether there is nothing to use: no words, too few, or the user's words alone."""
    if not has_words(text):
        return Flaw("no words")
    words = [word.lower() for word in _WORD.findall(text)]
    said = [word.lower() for word in _WORD.findall(short_prompt)]
    whole = (0, len(text))
    if dominant_script(text) in UNSPACED:
        letters = sum(map(len, words))
        if letters < _FEWEST_CHARACTERS:
            return Flaw(f"only {letters} characters", whole)
    elif len(words) < _FEWEST_WORDS:
        new = set(words) - set(said)
        if not said or len(new) < _FEWEST_NEW_WORDS:
            return Flaw(f"only {len(words)} words", whole)
    alone = len(words) <= len(said) + 1 and set(words) <= set(said)
    return Flaw(_OWN_WORDS, whole) if alone else None


_WITHHELD = re.compile(
    "filter|safety|recitation|block|prohibited|spii|refus|moderat|sensitive|toxic|policy|guardrail"
    "|violat",
    re.IGNORECASE,
)


def unfinished(finish_reason: str) -> tuple[Literal["cut", "refusal"], Flaw] | None:
    """Find whether the engine did not end by itself, and which check that belongs to."""
    reason = read_finish_reason(finish_reason)
    if reason == "stop":
        return None
    if reason == "length":
        return "cut", Flaw("the engine stopped at its token limit")
    if _WITHHELD.search(reason):
        return "refusal", Flaw(f"the engine withheld the answer (finish reason {reason!r})")
    return "cut", Flaw(f"the engine did not end by itself (finish reason {reason!r})")


_MARKS_OPEN = {"(": ")", "[": "]", "“": "”", "«": "»", "「": "」", "『": "』", "（": "）"}
_DANGLING = re.compile(r"[,;:\-–—(\[{“«「『、，；：（/&+=]\Z")
_MOST_TAG_WORDS = 4
# At least two tags after a sentence: ", Realistic, Natural lighting".
_LAST_TAGS = re.compile(r"(?:, [A-Z][\w-]*(?: [\w-]+){0,3}){2,}\Z")
_MOST_TAG_CHARACTERS = 10  # in scripts without spaces
# Function words that may stand at the end of a sentence.
_LAST_WORDS = word_set("""
    about above across after again ahead along around away back before behind below beneath beside
    between beyond by down further he her here hers herself him himself his in inside it itself
    last left less like me mine more most much near next now off often on once one other out
    outside over same soon still them themselves then there these they this those though through
    throughout together too under until up us well while within without yet you yours
""")


def cut(text: str) -> Flaw | None:
    """Find whether the answer stops before its end.

    Without the mark of a sentence, an answer may end in tags ("Realistic, Natural lighting") or,
    where it has no such mark at all, be one clause; a word of grammar, half a word, an open
    bracket or quotation and a comma are signs of a cut.
    """
    script = dominant_script(text)
    end = len(text)
    if script in _NO_SENTENCE_MARK or _SENTENCE_END.search(text, max(0, end - 8)):
        return None
    start = max(0, end - 24)
    for opening, closing in _MARKS_OPEN.items():
        at = text.rfind(opening)
        if at > text.rfind(closing) and not (opening == "“" and "„" in text):
            return Flaw(f"{opening!r} stays open in {text[start:]!r}", (at, end))
    ending = Flaw(f"no end of a sentence after {text[start:]!r}", (start, end))
    if _DANGLING.search(text) or hide_quotes(text).count('"') % 2:
        return ending
    marks = list(re.finditer(rf"{_SENTENCE_MARK}[\"'”’)]{{0,3}}(?:\s|$)|[。！？]", text))
    last = text[marks[-1].end() :] if marks else text
    tags = bool(_LAST_TAGS.search(last)) or _are_tags(last, spaced=script not in UNSPACED)
    if script != "latin":
        return None if tags else ending
    words = _WORD.findall(last)
    if not words or _is_half(words[-1]) or (words[-1].lower() in _GRAMMAR and not tags):
        return ending
    open_noun = _OPEN_NOUN.search(last) and part_of_speech(lemma(words[-1])) == "a"
    if open_noun or last.endswith(("'s", "’s")):
        return ending
    return ending if marks and not tags and not _is_clause(last) else None


# An article and one or two words: the last of a text cannot be an adjective of the noun to come.
_OPEN_NOUN = re.compile(r"\b(?:an?|his|her|its|their)\s+(?:[a-z-]+\s+)?[a-z]+\Z", re.IGNORECASE)
_GRAMMAR = ENGLISH_FUNCTION_WORDS - _LAST_WORDS


def _is_half(word: str) -> bool:
    """Whether an English text cannot end in this word; names and numbers are not known."""
    known = not word.isalpha() or not word.islower() or len(word) > 20
    return not known and (len(word) == 1 or not is_word(word))


_JOINT = re.compile(
    r"[,;:—–]|\b(?:and|or|but|while|as|when|which|that|where|who|whose|with|until|because|if)\b"
)
_PRONOUNS = word_set("it them him herself himself itself themselves there here away back again")
_FEWEST_CLAUSE_WORDS = 3


def _is_clause(text: str) -> bool:
    """Whether the last clause of a text has a verb, and ends in the noun or adverb after it."""
    words = [word.lower() for word in _WORD.findall(_JOINT.split(text)[-1])]
    if len(words) < _FEWEST_CLAUSE_WORDS or not any(map(_is_verb, words[:-1])):
        return False
    last = words[-1]
    if last in ENGLISH_FUNCTION_WORDS:
        return last in _PRONOUNS
    participle = last.endswith(("ing", "ed"))
    return part_of_speech(last if participle else lemma(last)) in ("n", "r")


def _is_verb(word: str) -> bool:
    return word in _FINITE or part_of_speech(lemma(word)) == "v"


def _are_tags(text: str, *, spaced: bool) -> bool:
    """Whether a text is a list of short tags, none of which begins or ends in a word of grammar."""
    pieces = [piece.strip() for piece in re.split("[,，、;；]", text)]
    for piece in pieces:
        words = _WORD.findall(piece.lower())
        if not words or {words[0], words[-1]} & ENGLISH_FUNCTION_WORDS:
            return False
        if len(words) > _MOST_TAG_WORDS or (not spaced and len(piece) > _MOST_TAG_CHARACTERS):
            return False
    return len(pieces) > 1 or bool(text[:1].isupper())


_FINITE = word_set("is are was were has have does do can will")
_FEWEST_PIECES = 8
_SHORT_PIECE = 4  # words
_MOST_SHORT = 0.4


def keywords(text: str) -> Flaw | None:
    """Find whether the answer is a list of keywords, without a verb that makes a sentence."""
    pieces = [piece.split() for piece in re.split(r"[,;.]\s", text)]
    short = sum(len(piece) < _SHORT_PIECE for piece in pieces)
    if len(pieces) < _FEWEST_PIECES or short <= _MOST_SHORT * len(pieces):
        return None
    words = [word.lower() for word in _WORD.findall(text)]
    finite = any(word in _FINITE or (word.endswith("s") and _is_verb(word)) for word in words)
    return None if finite else Flaw("keywords instead of sentences", (0, len(text)))


def length(text: str, target: Target) -> Flaw | None:
    """Find whether an English answer has fewer or more words than the target's prompts have."""
    count = len(text.split())
    if dominant_script(text) in UNSPACED or target.min_words <= count <= target.max_words:
        return None
    usual = f"{target.min_words} to {target.max_words}"
    return Flaw(f"{count} words; prompts for {target.name} have {usual}")


# ---- loops

_WINDOW = 1200  # characters
# Text over its compressed size. Prose of one window reaches 1.9 in English and 2.0 in German;
# Whisper takes 2.4 as the sign of a loop for texts of this length.
_MOST_COMPRESSION = 2.4
_SHORTEST_PACKED = 200  # characters; a header outweighs less
_SENTENCE_WORDS = 5
_SAME_CHARACTER = re.compile(r"([^\s\d])\1{7}")
_SAME_WORD = re.compile(r"\b(\w{1,40})(?:[\s,]{1,3}\1\b){3}", re.IGNORECASE)


def loop(text: str) -> Flaw | None:
    """Find where the answer goes round in circles."""
    same = _SAME_CHARACTER.search(text) or _SAME_WORD.search(text)
    if same:
        return Flaw(f"{same[0][:40]!r} over and over", same.span())
    return _repeated_sentence(text) or _repeated_words(text) or _packs_too_well(text)


def _again(text: str, piece: str) -> tuple[int, int] | None:
    """Where a piece stands for the second time."""
    places = [*re.finditer(re.escape(piece), text, re.IGNORECASE)]
    return places[1].span() if len(places) > 1 else None


def _repeated_sentence(text: str) -> Flaw | None:
    sentences = Counter(
        " ".join(words)
        for sentence in re.split(r"[.!?。！？]", text)
        if len(words := _WORD.findall(sentence.lower())) >= _SENTENCE_WORDS or len(sentence) > 24
    )
    for sentence, times in sentences.most_common(1):
        if times > 1 and sentence:
            message = f"the sentence {sentence[:40]!r} stands {times} times"
            return Flaw(message, _again(text, sentence))
    return None


def _repeated_words(text: str) -> Flaw | None:
    """Find a run of words that comes again and again, or a text made of few such runs."""
    words = _WORD.findall(text.lower())
    if dominant_script(text) in UNSPACED:
        words = [char for char in text if char.isalnum()]
    size = 5 if len(words) < 400 else 8
    runs = Counter(tuple(words[at : at + size]) for at in range(len(words) - size + 1))
    if not runs:
        return None
    run, times = runs.most_common(1)[0]
    if times > 3 + len(words) // 400:
        again = " ".join(run)
        return Flaw(f"{again!r} stands {times} times", _again(text, again))
    more = sum(number - 1 for number in runs.values())
    share = more / runs.total()
    if share > 0.2 and more > 5:
        return Flaw(f"{share:.0%} of the text repeats itself", (0, len(text)))
    return None


def _packs_too_well(text: str) -> Flaw | None:
    # UTF-16 for scripts that take three bytes a letter in UTF-8, which alone packs by a half.
    coding = "utf-16-le" if dominant_script(text) in UNSPACED | {"hangul"} else "utf-8"
    for start in range(0, max(1, len(text) - _WINDOW // 2), _WINDOW // 2):
        piece = text[start : start + _WINDOW]
        data = piece.encode(coding, "replace")
        ratio = len(data) / len(zlib.compress(data, 9))
        if len(piece) >= _SHORTEST_PACKED and ratio > _MOST_COMPRESSION:
            return Flaw(f"compresses {ratio:.1f} times", (start, start + len(piece)))
    return None


_RUN = 3
_NEARLY = 0.6


def nearly_equal(text: str, other: str) -> bool:
    """Whether two texts share most of their runs of three words.

    Where a script has no spaces, runs of three characters.
    """
    runs = []
    for one in (text, other):
        words = _WORD.findall(one.lower())
        if dominant_script(one) in UNSPACED:
            words = [char for char in one if char.isalnum()]
        runs.append({tuple(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1)})
    return len(runs[0] & runs[1]) > _NEARLY * len(runs[0] | runs[1])


# ---- language

_LETTERS = re.compile(r"[^\W\d_]+")
# UTF-8 read as Windows-1252 or Latin-1, byte-level vocabulary shown raw, byte fallback.
_GARBLED = re.compile(
    "\ufffd|[ÃÂ][\u00a0-\u00bf]|â€|ï¿½|ï»¿|[ÐÑ][\u00a0-\u00bf‚-„†-‰]|ã[\u0080-\u00bf€]|å[\u00a0-\u00bf]"
    r"|[ĠĊ▁]\w|\w[ĠĊ▁]|<0x[0-9A-Fa-f]{2}>|\\u[0-9a-f]{4}|\\n|\\x[0-9a-f]{2}"
)
_LONGEST_WORD = 45
_VOWEL = re.compile("[aeiouyàáâãäåæèéêëìíîïòóôõöøùúûüýœāēīōūăąęěėıůű]", re.IGNORECASE)
_NO_VOWEL_SHARE = 0.15
_MOST_SYMBOLS = 0.35

_BRACKETED = re.compile(r"[\"“«「『(][^\"”»」』)]{0,200}[\"”»」』)]")
_MOST_FOREIGN = 0.05
_FEWEST_LATIN_WORDS = 12


# Scripts of the languages that targets name; all others that they name are in Latin letters.
_SCRIPTS_OF = {
    "Chinese": {"han"},
    "Japanese": {"kana", "han"},
    "Korean": {"hangul"},
    "Russian": {"cyrillic"},
    "Ukrainian": {"cyrillic"},
    "Arabic": {"arabic"},
    "Persian": {"arabic"},
    "Hindi": {"devanagari"},
    "Hebrew": {"hebrew"},
    "Greek": {"greek"},
    "Thai": {"thai"},
}
# T5's vocabulary spells these, and makes one unknown token of a word in any other.
_T5_SCRIPTS = frozenset({"latin", "cyrillic"})


def language(text: str, request: UserRequest, target: Target) -> Flaw | None:
    """Find what is wrong with an answer's language.

    The answer may be in any language of the target, in that of the short prompt, or in English,
    as long as the target's encoder has letters for it; where the target is written in one
    language and no other, it must be in that.
    """
    return (
        _garbled(text)
        or _not_as_ordered(text, target)
        or _wrong_script(text, request, target)
        or _wrong_language(text, request, target)
    )


def _garbled(text: str) -> Flaw | None:
    """Find where a text has been damaged on its way, or is no language at all."""
    if found := _GARBLED.search(text):
        return Flaw(f"garbled text: {found[0]!r}", found.span())
    classes = Counter[str]()
    for at, char in enumerate(text):
        category = "Zs" if char.isspace() else unicodedata.category(char)
        if category in ("Co", "Cn", "Cc"):
            return Flaw(f"a character without a meaning: U+{ord(char):04X}", (at, at + 1))
        classes[category[0]] += 1
    solid = classes.total() - classes.pop("Z", 0)
    symbols = solid - sum(classes[kind] for kind in "LNM")
    if solid >= 20 and symbols > _MOST_SYMBOLS * solid:
        return Flaw("mostly symbols", (0, len(text)))
    return _unpronounceable(text)


def _unpronounceable(text: str) -> Flaw | None:
    words = [word for word in _LETTERS.finditer(text) if script_of(word[0][0]) == "latin"]
    long = next((word for word in words if len(word[0]) > _LONGEST_WORD), None)
    if long:
        return Flaw(f"no word: {long[0][:24]!r}...", long.span())
    odd = [
        word
        for word in words
        if len(word[0]) > 3 and not word[0].isupper() and not _VOWEL.search(word[0])
    ]
    if len(odd) > 2 and len(odd) > _NO_VOWEL_SHARE * len(words):
        return Flaw(f"no words: {' '.join(word[0] for word in odd[:3])!r}", odd[0].span())
    return None


def _not_as_ordered(text: str, target: Target) -> Flaw | None:
    if not target.writes or target.languages != (target.writes,):
        return None
    words = hide_quotes(text)  # which may have to stay in another language
    script, found = dominant_script(words), language_of(words)
    known = target.writes in FUNCTION_WORDS
    scripts = _SCRIPTS_OF.get(target.writes, {"latin"} if known else set())
    if script is not None and scripts and script not in scripts:
        return Flaw(f"in {script} script; it is to be in {target.writes}", (0, len(text)))
    others = FUNCTION_WORDS.keys() - {target.writes} if known else {"English"}
    if found in others and len(_LETTERS.findall(words)) >= _FEWEST_LATIN_WORDS:
        return Flaw(f"in {found}; it is to be in {target.writes}", (0, len(text)))
    return None


def _wrong_script(text: str, request: UserRequest, target: Target) -> Flaw | None:
    script = dominant_script(text)
    if script is None:
        return None
    whole = (0, len(text))
    # Han is part of Japanese, and other scripts borrow Latin letters for names.
    wanted = {dominant_script(request.text) or "latin"}
    asked = set(script_counts(request.text)) | ({"han"} if "kana" in wanted else set())
    read = {"latin"}.union(*(_SCRIPTS_OF.get(name, ()) for name in target.languages))
    if target.encoder == "t5" and script not in _T5_SCRIPTS | read:
        return Flaw(f"in {script} script, of which {target.name}'s T5 encoder has nothing", whole)
    if script not in asked | read:
        return Flaw(f"in {script} script; {_expected(request, target)}", whole)
    counts = script_counts(text)
    borrowed = asked | {script, "latin", "greek"} | ({"han"} if script == "kana" else set())
    foreign = {name: number for name, number in counts.items() if name not in borrowed}
    if not foreign:
        return None
    if sum(foreign.values()) > _MOST_FOREIGN * counts.total():
        return Flaw(f"mixes {', '.join(sorted(foreign))} script into the text", whole)
    unquoted = _BRACKETED.sub(lambda found: " " * len(found[0]), text)
    for word in _LETTERS.finditer(unquoted):
        if script_of(word[0][0]) in foreign and not SHOWN_TEXT.search(text):
            name = script_of(word[0][0])
            return Flaw(f"slips into {name} script: {word[0][:20]!r}", word.span())
    return None


def _wrong_language(text: str, request: UserRequest, target: Target) -> Flaw | None:
    if dominant_script(text) != "latin" or len(_LETTERS.findall(text)) < _FEWEST_LATIN_WORDS:
        return None
    found = language_of(text)
    if found in (None, "English", request.language, *target.languages):
        return None
    if request.language is None and dominant_script(request.text) is not None:
        return None  # it may be in this language
    return Flaw(f"in {found}; {_expected(request, target)}", (0, len(text)))


def _expected(request: UserRequest, target: Target) -> str:
    if request.language is None:
        return f"{target.name} reads {' and '.join(target.languages)}"
    script = " script" if request.language.islower() else ""
    return f"the short prompt is in {request.language}{script}"


# ---- looks of control videos

_NEVER = "(?!)"
_GROUND = (
    r"(?:solid|plain|pure|completely)? ?(?:black|dark)(?:,? \w+)? (?:background|backdrop|void"
    r"|canvas)"
)
_THIN = "(?:white|thin|glowing|bright|neon|colou?red|light|gr[ea]y)"
_LINES = "(?:lines?|edges?|outlines?|contours?|strokes?)"
_BLURRED = "(?:blurry|blurred|indistinct|hazy|fuzzy|smeared|pixell?ated)"
_SHAPES = "(?:silhouettes?|shapes?|forms?|figures?|blobs?|outlines?)"
_PICTURE = "(?:image|video|scene|footage|view|picture|frame|everything)"
# People out of focus behind the subject are how a lens sees, not how a blur control looks.
_NOT_BEHIND = r"(?!(?: \w+){0,6} (?:background|distance|distant|behind|beyond|pass))"

# The looks of control videos that no camera picture has: edges, depth, labels, blur, drawn lines.
_CERTAIN = rf"""
    \b{_THIN} (?:\w+ ){{0,2}}{_LINES} (?:\w+ ){{0,4}}?(?:on|against|over|across|upon)
    [ ](?:an? |the )?{_GROUND}
    |\b{_GROUND} (?:\w+ ){{0,5}}?{_THIN} (?:\w+ ){{0,2}}{_LINES}
    |\b(?:black[- ]and[- ]white|monochrome|monochromatic|minimalist) (?:line )?(?:outlines?|sketch
    |drawing|line art|contours?)\b
    |\bcanny\b|\bsobel\b|\bedge[- ](?:detect(?:ion|ed)|maps?|video|image)\b
    |\bline[- ]drawn (?:figures?|forms?|shapes?|objects?|people)\b
    |\bdrawn (?:entirely |only |purely )?(?:in|with|as) (?:thin |white )*{_LINES}\b
    |\bdepth[- ]?(?:maps?|image|video|shading|visuali[sz]ation)\b
    |\bgr[ea]y[- ]?scale (?:depth|gradients?)|\bgr[ea]y gradients?\b
    |\bpoint[- ]clouds?\b|\blidar (?:point|scan|sweep|return|data|image)s?\b
    |\b(?:false[- ]colou?r|heat ?map)\b
    |\b(?:segmentation|segmented|semantic|instance|binary|alpha) (?:masks?|maps?|image|video|regions
    |areas|view|labels)\b
    |\b(?:colou?r[- ]coded|(?:flat|uniformly|solid)[- ]colou?red) (?:\w+ )?(?:regions?|areas?
    |shapes?|blocks?|silhouettes?|segments?|masks?|patches|objects)\b
    |\b(?:blocks|patches|regions|areas|shapes) of (?:flat|solid|uniform) colou?rs?\b
    |\b(?:solid|flat|uniform) blocks of colou?rs?\b
    |\b{_PICTURE} (?:is|appears|looks|remains) (?:(?:very|extremely|heavily|quite|completely
    |entirely|slightly|somewhat|all) )?(?:blurry|blurred|out of focus|pixelated|smeared)\b
    |\b(?:heavily|extremely|strongly|completely|entirely) blurred\b(?! (?:background|backdrop|city))
    |\bwire[- ]?frames?\b|\bhd[- ]?map\b|\blane graph\b
    |\b(?:skeleton|stick[- ]figure|key[- ]?points?) (?:overlay|lines|joints|pose|drawing)\b
    |\bcontrol (?:video|clip|image|signal|map|input)s?\b
    """
# Looks that a camera picture may have too: two different ones tell, or one of the whole picture.
_MILD = rf"""
    \b{_BLURRED} (?:\w+ )?{_SHAPES}\b{_NOT_BEHIND}
    |\b{_SHAPES} (?:is|are|appears?|looks?|remains?) (?:\w+ )?(?:blurry|blurred|indistinct|smeared
    |out of focus)\b{_NOT_BEHIND}
    |\b(?:outlined|outline) (?:figures?|forms?|shapes?|objects?|people)\b
    |\b(?:white|thin) (?:outlines?|contours?)\b
    """
# Looks that are certain, and those that are mild, where such a control was shown.
_SHOWN_LOOKS = {
    "edge": (
        r"\b(?:line art|line drawings?|monochrom\w+)\b",
        r"\b(?:outlines?|outlined|sketch(?:ed|y)|silhouettes?)\b",
    ),
    "depth": (
        r"""
        \b(?:gr[ea]y[- ]?scale|monochrom\w+)\b
        |\b(?:near(?:er|est|by)?|clos(?:e|er|est))\b[^.]{0,60}\b(?:bright|light|white|pale)\w*\b
        [^.]{0,80}\b(?:far|farther|farthest|further|distant|distance|background|deeper)\b
        [^.]{0,60}\b(?:dark|black|dim|fad)\w*
        """,
        r"\b(?:black[- ]and[- ]white|shades of gr[ea]y)\b",
    ),
    "seg": (r"\b(?:flat|solid|uniform) colou?rs?\b", r"\bsilhouettes?\b"),
    "blur": (
        r"\b(?:low[- ]resolution|hazy shapes?)\b",
        r"\b(?:blurry|blurred|out of focus|soft[- ]focus)\b",
    ),
    "lines": (_NEVER, r"\b(?:colou?red|glowing|thin) lines\b"),
    "mask": (_NEVER, r"\b(?:silhouettes?|black[- ]and[- ]white)\b"),
}
_LOOKS = {
    kind: (regex(f"{_CERTAIN}|{certain}"), regex(f"{_MILD}|{mild}"))
    for kind, (certain, mild) in {"": (_NEVER, _NEVER), **_SHOWN_LOOKS}.items()
}
# How a lens draws what lies behind its subject.
_LENS = re.compile(
    r"\b(?:background|backdrop|behind|surrounding|beyond|distan\w+|depth of field|bokeh)\b",
    re.IGNORECASE,
)
_WHOLE = re.compile(
    rf"\b(?:{_PICTURE}|world|setting|environment) (?:is|appears|looks|remains|seems|consists of"
    r"|shows) [^.,;]*\Z",
    re.IGNORECASE,
)


_CONTENT_WORD = re.compile(r"[a-z]{4,}")
# How the words of a look begin that nobody says without meaning the look.
_LOOK_STEMS = word_set("""
    line edge outl cont stro silh blur indi smea pixe fuzz hazy mono mini sket draw cann sobe dept
    gray grey grad poin lida heat fals segm sema inst bina mask alph flat soli unif code wire skel
    stic keyp focu shad reso soft glow neon
""")


def artefact(text: str, short_prompt: str = "", control: Kind | None = None) -> Flaw | None:
    """Find words that describe a control video's look.

    Args:
        text: The cleaned answer.
        short_prompt: The user's words; a look that they ask for ("a wireframe car", "line art on
            black") is no artefact.
        control: What the engine was shown; with a control video, milder signs of its look count.
    """
    asked = {word[:4] for word in _CONTENT_WORD.findall(short_prompt.lower())}

    def telling(found: re.Match[str]) -> frozenset[str]:
        words = _CONTENT_WORD.findall(found[0].lower())
        own = _LOOK_STEMS.intersection(word[:4] for word in words)
        return frozenset() if own & asked else own or frozenset({found[0].lower()})

    certain, mild = _LOOKS.get(control or "", _LOOKS[""])
    for found in certain.finditer(text):
        if telling(found):
            return Flaw(repr(found[0]), found.span())
    looks = set[frozenset[str]]()
    for found in mild.finditer(text):
        start = text.rfind(".", 0, found.start()) + 1
        sentence = text[start:].split(".", 1)[0]
        behind = _LENS.search(sentence) and (control == "blur" or "blur" in found[0].lower())
        if behind or not telling(found):
            continue
        looks.add(telling(found))
        if len(looks) > 1 or (control and _WHOLE.search(text[start : found.start()])):
            return Flaw(repr(found[0]), found.span())
    return _label_colors(text, asked) if control == "seg" else None


# The colors that the labels of a segmentation have, on things that people make.
_VIVID = re.compile(
    r"\b(yellow|pink|blue|purple|magenta|cyan|green|orange|red|violet|lime|turquoise|teal|fuchsia)"
    r"[ -](?:[a-z]+[ -])?([a-z]+)\b",
    re.IGNORECASE,
)
_MOST_VIVID = 2


def _has_label_color(noun: str) -> bool:
    """Whether a color of this thing tells; people wear any."""
    made = noun_kind(noun) in ("artifact", "person", "animal")
    return made and not {"clothing", "headdress"}.intersection(ancestors(noun))


def _label_colors(text: str, asked: set[str]) -> Flaw | None:
    found = dict[str, re.Match[str]]()
    for color in _VIVID.finditer(text):
        things = [lemma(word) for word in re.split("[ -]", color[0].lower())[1:]]
        if color[1].lower()[:4] not in asked and any(map(_has_label_color, things)):
            found.setdefault(color[1].lower(), color)
    if len(found) <= _MOST_VIVID:
        return None
    last = list(found.values())[-1]
    return Flaw(f"colors of a segmentation: {', '.join(found)}", last.span())

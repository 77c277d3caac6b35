"""Which script and which language a text is written in."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ENGLISH_FUNCTION_WORDS",
    "FUNCTION_WORDS",
    "UNSPACED",
    "dominant_script",
    "guess_language",
    "language_name",
    "script_counts",
    "script_of",
    "word_set",
]


def word_set(words: str) -> frozenset[str]:
    """Make a set of words that are written with spaces between them."""
    return frozenset(words.split())


# Scripts that put no space between words.
UNSPACED = word_set("han kana thai lao khmer burmese")

# Where Unicode's name of a letter begins with another word than the script is called here.
_FIRST_WORDS = {
    **dict.fromkeys(("cjk", "ideographic"), "han"),
    **dict.fromkeys(("hiragana", "katakana"), "kana"),
    **dict.fromkeys(("bengali", "gurmukhi", "gujarati", "oriya", "tamil"), "indic"),
    **dict.fromkeys(("telugu", "kannada", "malayalam", "sinhala"), "indic"),
    **dict.fromkeys(("feminine", "masculine", "micro"), "latin"),
    "myanmar": "burmese",
}


@lru_cache(maxsize=4096)
def script_of(char: str) -> str:
    """Name the script of one letter or combining mark.

    Returns:
        A lower-case name such as ``latin`` or ``han``; ``other`` for a letter without a name.
    """
    name = unicodedata.name(char, "other").lower()
    first = re.split("[ -]", re.sub("^(fullwidth|halfwidth|combining) ", "", name), maxsplit=1)[0]
    return _FIRST_WORDS.get(first, first)


def script_counts(text: str) -> Counter[str]:
    """Count the letters of a text by script; anything but a letter is not counted."""
    counts: Counter[str] = Counter()
    for char, number in Counter(filter(str.isalpha, text)).items():
        counts[script_of(char)] += number
    return counts


@lru_cache(maxsize=64)  # the checks on one answer ask about the same texts ten times
def dominant_script(text: str) -> str | None:
    """Name the script that most letters of a text are in; None where it has no letter.

    Han and kana count as one where kana is present: that is how Japanese is written.
    """
    counts = script_counts(text)
    if counts["kana"]:
        counts["kana"] += counts.pop("han", 0)
    return max(counts, key=counts.__getitem__) if counts else None


# ISO 639-1, 639-2 (both codes where there are two), and the English name.
_CODES = """
ar ara Arabic, bg bul Bulgarian, bn ben Bengali, ca cat Catalan, cs ces cze Czech, da dan Danish,
de deu ger German, el ell gre Greek, en eng English, es spa Spanish, et est Estonian,
fa fas per Persian, fi fin Finnish, fr fra fre French, he heb Hebrew, hi hin Hindi,
hr hrv Croatian, hu hun Hungarian, id ind Indonesian, it ita Italian, ja jpn Japanese,
ko kor Korean, lt lit Lithuanian, lv lav Latvian, ms msa may Malay, nb nob no nor Norwegian,
nl nld dut Dutch, pl pol Polish, pt por Portuguese, ro ron rum Romanian, ru rus Russian,
sk slk slo Slovak, sl slv Slovenian, sr srp Serbian, sv swe Swedish, ta tam Tamil, te tel Telugu,
th tha Thai, tl tgl Tagalog, tr tur Turkish, uk ukr Ukrainian, ur urd Urdu, vi vie Vietnamese,
zh zho chi cmn Chinese
"""
_NAME_OF = {
    code: words[-1] for part in _CODES.split(",") for words in [part.split()] for code in words[:-1]
}


def language_name(text: str) -> str:
    """The English name of a language, from a name in any case or a code such as ``pt-BR``.

    What is not known is returned as it is.
    """
    given = text.strip()
    code = re.split("[-_]", given.lower(), maxsplit=1)[0]
    names = {name.lower(): name for name in _NAME_OF.values()}
    return _NAME_OF.get(code) or names.get(given.lower(), given)


# Words that carry grammar, not content, by language; used to tell languages apart and to leave
# them out of what an answer must keep.
FUNCTION_WORDS: dict[str, frozenset[str]] = {
    "English": word_set("""
        a about above across after again against all along also although always am among an
        and another any are around as at away back be because been before behind being below
        beneath beside between beyond both but by can could did do does doing done down
        during each either else even ever every few for from further gets getting gives
        given had has have having he her here hers herself him himself his how however i if
        in inside into is it its itself just last least less let like many may me might mine
        more most much must my near neither next no nor not now of off often on once one
        only onto or other our out outside over own per quite rather same she should since
        so some something soon still such than that the their them then there these they
        this those though through throughout till to together too toward towards under until
        up upon us very via was we well were what when where whether which while who whole
        whom whose why will with within without would yet you your
    """),
    "German": word_set("""
        aber alle als am an auch auf aus bei beim bis das dass dem den der des die dies
        diese dieser doch dort durch ein eine einem einen einer eines er es fällt für gegen
        hat hinter ihre ihrem ihren im in ins ist kein keine mehr mit nach neben nicht noch
        nur ob oder ohne sehr sich sie sind so über um und unter vom von vor war werden wie
        wird während zu zum zur zwischen
    """),
    "French": word_set("""
        au aux avec ce ces cette chez comme contre dans de derrière des devant donc du elle
        elles en entre est et eux il ils je jusque la le les leur leurs lui mais ne nous on
        ou où par pas pendant pour qu que qui sa sans se ses si son sont sous sur tandis
        très un une vers vous à été être
    """),
    "Spanish": word_set("""
        al ante bajo como con contra cuando de del desde detrás donde durante el ella ellas
        ellos en entre es esta este esto está están hacia hasta la las le les lo los
        mientras muy más ni no nos o para pero por que se sin sobre son su sus también tras
        un una uno unos y ya
    """),
    "Italian": word_set("""
        accanto agli ai al alla alle anche che con contro da dal dalla dalle degli dei del
        della delle di dietro dove durante e ed è gli i il in la le lo ma mentre nel nella
        nelle non per più poi quando sono su sua sue sul sulla suo tra un una uno verso
    """),
    "Portuguese": word_set("""
        ao aos as até com como contra da das de depois do dos durante e em enquanto entre
        está estão foi mais mas na nas no nos não o os ou para pela pelas pelo pelos por que
        se sem seu seus sob sobre sua suas são também um uma à às é
    """),
    "Dutch": word_set("""
        aan achter als bij dan dat de deze die dit door een en er haar heeft het hij hun in
        is langs maar met naar naast niet nog of om onder ook op over te terwijl tegen tot
        tussen uit van voor was wordt zich zijn zonder
    """),
}

ENGLISH_FUNCTION_WORDS = FUNCTION_WORDS["English"]

_LEAST_SHARE = 0.08  # of the words, that must be function words of the language
_BY_WORD: dict[str, list[str]] = {}
for _language, _words in FUNCTION_WORDS.items():
    for _word in _words:
        _BY_WORD.setdefault(_word, []).append(_language)


def guess_language(words: Iterable[str]) -> str | None:
    """Guess the language of words in Latin letters by the function words among them.

    Args:
        words: Lower-case words.

    Returns:
        A language of `FUNCTION_WORDS`, or None where no language stands out.
    """
    counts = Counter(words)
    hits: Counter[str] = Counter()
    for word, number in counts.items():
        for language in _BY_WORD.get(word, ()):
            hits[language] += number
    ranked = hits.most_common(2)
    if not ranked or ranked[0][1] < _LEAST_SHARE * counts.total():
        return None
    if len(ranked) == 2 and ranked[0][1] == ranked[1][1]:
        return None
    return ranked[0][0]

"""The checks for what is said to the reader instead of to the generator.

Speech in the picture is quoted, so all but the marks of a wrapping is looked for outside quotation
marks only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from promptlift.review.clean import MEDIUM, hide_quotes, regex, thought_tags

if TYPE_CHECKING:
    from promptlift.review.result import TextSpan

__all__ = ["Flaw", "meta", "refusal", "second_person", "thinking"]


class Flaw(NamedTuple):
    """What is wrong, in words, and where in the cleaned text; None where it is nowhere."""

    message: str
    span: TextSpan | None = None


def _quoting(found: re.Match[str], name: str = "") -> Flaw:
    """The matched text as a problem, without the blanks around it."""
    text = found[0].strip()
    start = found.start() + found[0].index(text)
    return Flaw(f"{name}: {text!r}" if name else repr(text), (start, start + len(text)))


# ---- refusals

_REFUSAL = regex(
    r"""
    \A["'“]?(?:(?:i['’]?m|i am) (?:(?:very|so|really) )?sorry|sorry|(?:my )?apologies|i apologi[sz]e
    |unfortunately,? i|(?:es )?tut mir leid|entschuldigung|leider kann ich|(?:je suis )?désolée?
    |lo siento|lamento|извините|простите|к сожалению, я)\b
    |\bas an? (?:ai|artificial intelligence|language model)(?=[ ,.](?:language |text|assistant
    |model|i\b|it\b|,| i\b))
    |\bi(?:['’]m| am)? (?:cannot|can['’]?t|can not|won['’]t|will not|unable to|not able to
    |(?:not|don['’]t feel|do not feel) comfortable|(?:must|have to) decline)\b
    |\bi (?:don['’]t|do not) (?:see|have) (?:any|an|access|the ability|enough)\b
    |\bno (?:image|video|picture|frame)s? (?:was|were|is|are|has been|have been) (?:provided
    |attached|given|uploaded|included|visible)\b
    |\b(?:please|could you|can you) (?:provide|upload|share|attach|send|clarify|specify)\b
    |\b(?:violates?|against) (?:my|our|the|openai['’]s)? ?(?:guidelines|policy|policies
    |content policy|usage policies)\b
    |\bich kann (?:dir |ihnen |dabei |das |dieses |diese |leider )?nicht\b|\bje ne peux pas\b
    |\bno puedo (?:ayudar|describir|proporcionar|crear|generar|ver)\b|\bя не могу\b
    |\A(?:抱歉|对不起|很抱歉|非常抱歉|不好意思)|作为(?:一个|一名)?(?:人工智能|AI|语言模型)
    |我(?:无法|不能|没办法)(?:提供|描述|生成|协助|查看|看到|帮助|完成|满足|处理|识别)
    |申し訳(?:ありません|ございません)|できません。?\Z|죄송합니다|할 수 없습니다
    """
)


def refusal(text: str) -> Flaw | None:
    """Find where the answer declines to answer, or asks for what it was given."""
    found = _REFUSAL.search(hide_quotes(text) if len(text) > 60 else text)
    return _quoting(found) if found else None


# ---- thoughts

_WANTING = (
    r"(?:wants?|wanted|asks? (?:for|me|to)|asked|requests?|requested|is asking|would like|expects"
    r"|provided|mentions?|mentioned|specifie[sd]|is looking for|['’]s (?:request|prompt|words))"
)
_SAYING = (
    r"(?:wants?|asks?|asked|says?|said|needs?|requires?|describes?|mentions?|gives|specifie[sd]"
    r"|states?|expects?|calls for|is asking|doesn['’]t|does not|is (?:to|for|about|very|quite))"
)
# The first person, which a user may speak in too: "my dog and I walk".
_OWN_VOICE = regex(
    r"""
    (?<![\w'’.])(?<!War )(?<!Part )(?<!Act )I ?(?:need|should|must|have|['’]?ll|will|['’]m|am
    |could|may|might|would|['’]d|['’]ve|want|think|guess|believe|know|suppose|notice|understand
    |wonder|recall|remember|assume|imagine|also|just|was|do not|don['’]t|can (?:start|describe|add
    |use|mention)|describe|start|write|mention|focus|avoid|include|keep|add|use)\b
    |\b[Ll]et me\b|(?:\A|[.!?:,]\s)[Ll]et['’]s (?!go\b)(?=[a-z])
    |\b[Ww]e (?:need|should|must|have to|(?:are|were) (?:asked|given|told|to)|could|want|['’]ll
    |will (?:describe|write|include|need)|can (?:describe|infer|assume|mention|add|include|start)
    |don['’]t|do not)\b
    |(?:首先|现在|所以|然后)，?我|我(?:需要|应该|必须|得先)|让我(?:想|看看|们|先)
    """,
    re.NOFLAG,
)
_THOUGHT = regex(
    rf"""
    (?:\A|[.!?:]\s)(?:Wait|Hmm+|Hm|Okay|Ok|OK|Alright|Well|Actually|So|Right|Got it)
    (?:,|\.{{2,}}|…|—| -)(?=\s[a-zI(])
    |(?:\A|[.!?]\s)(?:(?:Need|Must|Should|Gotta) (?:to |be |not |mention|include|describe|keep
    |ensure|make|avoid)|Maybe )
    |(?i:(?:\A|[.!?:,]\s|\bso |\b(?:that|and|but|since|because) )the user {_WANTING}\b
    |\bthe (?:request|instructions?|query) {_SAYING}\b)
    |\b[Mm]y (?:task|goal|job|plan|answer|response|output|description|prompt)\b
    |(?i:\A\W*(?:thinking|thought|reasoning)(?: process)?\s?:|\b(?:analy[sz]e|understand|interpret
    |re-?read|break down|look at) the (?:user|request|prompt|input|task|instructions?)\b
    |\b(?:how|what) should (?:this|it|the (?:prompt|description))\b
    |\b(?:der nutzer|l['’]utilisateur|el usuario|o usuário|l['’]utente) \w+)
    |用户(?:想|要|希望|需要|的(?:要求|请求|提示)|提供|说)|пользователь (?:хочет|просит)|ユーザーは
    |사용자(?:가|는)
    """,
    re.NOFLAG,
)
_FIRST_PERSON = re.compile(r"\b(?:i|me|my|we|us|our|let['’]s|pov)\b|我", re.IGNORECASE)


def thinking(text: str, short_prompt: str = "") -> Flaw | None:
    """Find a thought that was never closed, or thinking aloud without any mark of it.

    A prompt has a subject of the third person: a planning "I" or "we" outside quotation marks, or
    what "the user wants", is the model's own voice, unless the user speaks so too.
    """
    for start, end, _ in thought_tags(text):
        return Flaw(
            f"a thought, and no answer after it ({text[start:end]!r} is not closed): switch the "
            "model's thinking off, or the server's reasoning parser, or raise --reserve",
            (start, end),
        )
    said, spoken = short_prompt.lower(), hide_quotes(text)
    for pattern in [_THOUGHT] if _FIRST_PERSON.search(said) else [_OWN_VOICE, _THOUGHT]:
        for found in pattern.finditer(spoken):
            if found[0].lower() not in said:
                return _quoting(found, "thinking aloud")
    return None


# ---- talk about the answer and the picture

_ALOUD = {
    "a code fence": "```",
    "a tag": r"</?[a-z][a-z0-9_]{0,15}(?:\s[^<>\n]{0,80})?/?>",
    "a special token": r"<\|[a-z_0-9]{1,30}\|>|\[/?INST\]",
    "a chat role": r"(?:\A|[\n.!?]\s?)(?:user|human|assistant|system)\s?:",
    "a table": r"\|[^|\n]{1,80}\|[^|\n]{1,80}\|",
    "markdown": r"\*\*|(?:\A|\s)#{2,6}\s",
    "several options": r"\b(?:option|version|variant|prompt) (?:1|2|a|b|one|two)\s?:",
    "talk of the answer": rf"""
        \b(?:enhanced|upsampled|refined|rewritten|detailed|revised|original|short|input|final
        |expanded) prompt\b
        |\bthe (?:user {_WANTING}|(?:prompt|request|instructions) {_SAYING})\b
        |\b(?:the|this) user['’]s (?:request|prompt|words)\b
        |\b(?:as|per|from|matching|following|fulfilling|than|in|by|to|(?:satisf|fulfil|match|address
        |meet|honou?r)\w*) (?:the|this|your) (?:request|prompt|brief)\b(?! of)
        |\bas (?:requested|instructed)\b|\bI can (?:only )?see\b
        |\bbased on the (?:provided |given )?(?:prompt|request|images?|frames?|video|input)\b
        """,
    "an instruction to the generator": r"""
        \b(?:the (?:generator|model|video|clip|output|image|footage|animation|result|prompt
        |description) (?:should|must|needs to|has to|ought to)|should (?:not |also |always )?(?:be
        |have|show|include|mention|describe|stay|keep|start|feel|look|match|remain|contain|focus))\b
        |(?:\A|[.!?]\s)(?:(?:Make|Be) sure (?:that|to|the|not)|(?:Ensure|Remember|Note|Keep in mind)
        [ ](?:that|to)|(?:Do not|Don['’]t|Avoid) (?:include|add|show|use|mention|any|includ|us))
        """,
}
_TALK = {name: regex(pattern) for name, pattern in _ALOUD.items()}
# Data has quotation marks of its own, so it is looked for in all of the text.
_DATA = re.compile(r"\A[\[{]\s*[\"'{\[]|[\"']\s?:\s?[\"{\[]")
_ADDRESS = re.compile(r"\bhttps?://", re.IGNORECASE)
# Words after which letters of another script, or an address, are written on something in view.
SHOWN_TEXT = re.compile(
    r"\b(?:sign|signs|read|reads|reading|says|text|letter|letters|character|characters|word|words|"
    r"kanji|hanzi|label|labels|labelled|labeled|written|writing|logo|banner|poster|symbol|symbols|"
    r"script|marked|called|named|calligraphy|lettering|billboard|screen|printed|painted)\b",
    re.IGNORECASE,
)
_SECTION = regex(r"""
    (?:\A|[.!?;]\s+|\s)(?:subject|setting|scene|action|camera|lighting|style|mood|background
    |foreground|characters?|environment|colou?rs?|atmosphere|movement|motion|composition|details?
    |location|time|weather|objects?)\s?:
    """)
_STILL = "(?:frame|image|picture|photo|photograph|screenshot|still)"
_SENT = "(?:provided|given|input|attached|uploaded)"
_SHOWS = """
    (?:show|depict|display|illustrate|capture|feature|contain|present|reveal|are|is|have|has|differ
    |look|appear|seem)s?"""
# Pictures in a row, or those that were sent, as what is spoken of. A photo on a wall is a thing.
_FRAMES = regex(rf"""
    \b(?:frames?|images?|pictures?|screenshots?) ?#?\d\b
    |\b(?:second|third|fourth|next|previous|last|other) (?:video )?{_STILL} {_SHOWS}\b
    |\b(?:two|both|these|three|four|{_SENT}) (?:video )?{_STILL}s {_SHOWS}\b
    |\b{_SENT} (?:video |reference )?{_STILL}s?\b
    |\b(?:in|from|between|across|by|to|with) (?:the |all |both |these )?(?:first|second|third|fourth
    |last|next|previous|two|both|three|four|other) (?:video )?{_STILL}s?\b(?! (?:of|on))
    """)
_FIRST_FRAME = re.compile(r"\bfirst (?:video )?frame\b", re.IGNORECASE)


def meta(text: str, short_prompt: str) -> Flaw | None:
    """Find what is left in a cleaned text that is no part of a prompt."""
    said, spoken = short_prompt.lower(), hide_quotes(text)
    data = _DATA.search(text)
    if data and data[0] not in said:
        return _quoting(data, "data instead of prose")
    for name, pattern in _TALK.items():
        found = pattern.search(spoken)
        asked = found and ("should" in found[0] and "should" in said)
        if found and not asked and found[0].strip().lower() not in said:
            return _quoting(found, name)
    address = _ADDRESS.search(spoken)
    if address and "http" not in said and not SHOWN_TEXT.search(spoken[: address.start()][-80:]):
        return _quoting(address, "an address")
    # The makers of some targets begin with "Style: ...".
    sections = [found for found in _SECTION.finditer(spoken) if found[0].lower() != "style:"]
    if len(sections) > 1 and not _SECTION.search(short_prompt):
        return Flaw("labelled sections instead of prose", sections[1].span())
    # A film begins with its first frame; makers of generators write so themselves.
    frames = (found for found in _FRAMES.finditer(spoken) if not _FIRST_FRAME.search(found[0]))
    frame = None if MEDIUM.search(short_prompt) else next(frames, None)
    return frame and _quoting(frame, "talk about the picture")


_SECOND_PERSON = re.compile(r"\b(?:you|your|yours|yourself)\b", re.IGNORECASE)


def second_person(text: str, short_prompt: str) -> Flaw | None:
    """Find where the answer speaks to somebody, which the user does not."""
    found = _SECOND_PERSON.search(hide_quotes(text))
    if found is None or _SECOND_PERSON.search(short_prompt):
        return None
    return _quoting(found, "it speaks to somebody")

"""The engine that needs nothing: it composes from the user's words and what was measured.

No model, no download, no GPU. It never looks at the frames, so it cannot name what is in them;
what it says is what was said to it or measured for it. See `promptlift.core.compose`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from promptlift.core.compose import MAX_WORDS, REVISION, compose
from promptlift.engines.base import Completion, EngineInfo
from promptlift.errors import ItemEngineError

if TYPE_CHECKING:
    from promptlift.engines.base import Request

__all__ = ["NO_MODEL_NOTICE", "EmbeddedEngine"]

NO_MODEL_NOTICE = (
    "no vision-language model is set up: this prompt is made of your words and of what can be "
    "measured without one; see `promptlift doctor`"
)
"""What a command says once on stderr where this engine answers."""

# An English word takes about 1.3 tokens of any of the usual vocabularies; this is the safe side.
_TOKENS_PER_WORD = 1.5


class EmbeddedEngine:
    """Composes a prompt of up to 150 words, in well under a second, the same on every machine.

    The wording is seeded by the request's key and its sampling seed. The user's words are always
    kept whole, also where they are longer than `Sampling.max_tokens`; sentences are added to them
    only as far as both limits leave room.
    """

    async def describe(self) -> EngineInfo:
        """Say who answers: the composer, its revision being that of its phrase book."""
        from promptlift import __version__

        return EngineInfo(
            name="embedded",
            model="composer",
            revision=REVISION,
            version=__version__,
            context=None,
            family=None,
            max_images=1_000_000,
            reads_text=False,
        )

    async def complete(self, request: Request) -> Completion:
        """Compose from the request's short prompt and facts; its frames and text are not read.

        Raises:
            ItemEngineError: Nothing was said and nothing was measured.
        """
        text = compose(
            request.short_prompt,
            request.facts,
            seed=f"{request.key or request.short_prompt}/{request.sampling.seed}",
            max_words=min(MAX_WORDS, int(request.sampling.max_tokens / _TOKENS_PER_WORD)),
        )
        if not text:
            raise ItemEngineError(
                "there is nothing to compose from: the prompt is empty and nothing was measured",
                remedy="give a short prompt, or set up a vision-language model that looks at the "
                "video (see `promptlift doctor`)",
            )
        return Completion(text, "stop")

    async def close(self) -> None:
        """Hold nothing, give back nothing."""

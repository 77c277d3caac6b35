"""What the records of a run say together: tokens, seconds, attempts, and a fair sample of them.

Each item's record is read once, however many rows share it, and let go again; what is kept does
not grow with their number but for a set of keys.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptlift.batch.distribution import Distribution
from promptlift.batch.outcomes import Outcome, failed_checks, outcomes, with_record
from promptlift.batch.policy import FIT
from promptlift.batch.run_dir import RunDir, open_run

__all__ = ["DECODE", "ENGINE", "Measured", "Sampled", "measure", "measure_run"]

DECODE = ("survey", "look")
"""The stages in which a video is opened and decoded."""
ENGINE = ("ask",)
"""The stages in which the engine is waited for."""

Sampled = tuple[Outcome, dict[str, Any]]

_FIT_SAMPLED = 8
_REJECTED_SAMPLED = 4


@dataclass(slots=True)
class Measured:
    """What the records say.

    Attributes:
        items: Records that were read.
        attempts: How many items took how many requests.
        failed_checks: Items by each check that their best answer failed.
        prompt_tokens: Tokens of all prompts that were sent, pictures included.
        answer_tokens: Tokens of all answers, rejected ones included.
        stages: Seconds by stage, added up over items that ran at once.
        decode_s: Seconds of decoding of each item.
        engine_s: Seconds of waiting for the engine of each item.
        target_tokens: How many results have how many tokens for the target's text encoder.
        prompt_sizes: Tokens of each item's prompt.
        target_limits: The most that the targets take, by their names.
        shrunk: Items whose frames had to be planned smaller than at first.
        used: What was used, by kind: ``engine``, ``model``, ``template``, ...
        fit: A sample of items with a result that is fit to use.
        rejected: A sample of items without.
    """

    items: int = 0
    attempts: Counter[int] = field(default_factory=Counter)
    failed_checks: Counter[str] = field(default_factory=Counter)
    prompt_tokens: int = 0
    answer_tokens: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    decode_s: Distribution = field(default_factory=Distribution)
    engine_s: Distribution = field(default_factory=Distribution)
    target_tokens: Counter[int] = field(default_factory=Counter)
    prompt_sizes: Distribution = field(default_factory=Distribution)
    target_limits: dict[str, int] = field(default_factory=dict)
    shrunk: int = 0
    used: dict[str, Counter[str]] = field(default_factory=dict)
    fit: list[Sampled] = field(default_factory=list)
    rejected: list[Sampled] = field(default_factory=list)

    @property
    def sample(self) -> list[Sampled]:
        """Both samples, the rejected ones last."""
        return self.fit + self.rejected

    def seconds(self, stages: tuple[str, ...]) -> float:
        """Seconds of some stages, added up over items that ran at once."""
        return sum(self.stages.get(stage, 0.0) for stage in stages)

    def take(self, outcome: Outcome, record: dict[str, Any]) -> None:
        """Count one item's record."""
        self.items += 1
        self._count_answers(record)
        self._count_seconds(record.get("timings") or {})
        self._count_tokens(record)
        self.shrunk += bool((record.get("plan") or {}).get("shrinks"))
        for kind, name in _used(record):
            self.used.setdefault(kind, Counter())[name] += 1
        if outcome.status in FIT:
            _keep(self.fit, _FIT_SAMPLED, outcome, record)
        elif outcome.status == "rejected":
            _keep(self.rejected, _REJECTED_SAMPLED, outcome, record)

    def _count_answers(self, record: Mapping[str, Any]) -> None:
        attempts = record.get("attempts") or ()
        self.attempts[len(attempts)] += 1
        self.failed_checks.update(failed_checks(record) or ())
        self.answer_tokens += sum(one.get("completion_tokens") or 0 for one in attempts)

    def _count_seconds(self, timings: Mapping[str, float]) -> None:
        for stage, seconds in timings.items():
            self.stages[stage] = self.stages.get(stage, 0.0) + seconds
        for stages, spread in ((DECODE, self.decode_s), (ENGINE, self.engine_s)):
            if any(stage in timings for stage in stages):
                spread.add(sum(timings.get(stage, 0.0) for stage in stages))

    def _count_tokens(self, record: Mapping[str, Any]) -> None:
        tokens = record.get("tokens") or {}
        counted = tokens.get("actual") or tokens.get("counted") or tokens.get("predicted")
        if counted is not None:
            self.prompt_sizes.add(counted)
            self.prompt_tokens += counted * len(record.get("attempts") or ())
        if record.get("prompt") is not None and tokens.get("target") is not None:
            self.target_tokens[tokens["target"]] += 1
        if tokens.get("target_limit") is not None:
            self.target_limits[str(record.get("target"))] = tokens["target_limit"]


def measure(run_dir: Path) -> Measured:
    """Read the record of every item of a run.

    Raises:
        OptionError: The folder is no run.
        OutputError: It cannot be read.
    """
    with open_run(run_dir) as run:
        return measure_run(run)


def measure_run(run: RunDir) -> Measured:
    """The same for a run that is open."""
    made = Measured()
    seen: set[bytes] = set()
    for outcome in outcomes(run):
        if outcome.key is None or (packed := bytes.fromhex(outcome.key)) in seen:
            continue
        seen.add(packed)
        found, record = with_record(run.index, outcome)
        if record is not None:
            made.take(found, record)
    return made


def _used(record: Mapping[str, Any]) -> list[tuple[str, str]]:
    engine = record.get("engine") or {}
    plan = record.get("plan") or {}
    named = {
        "engine": " ".join(filter(None, (engine.get("name"), engine.get("version")))),
        "model": engine.get("model"),
        "revision": engine.get("revision"),
        "token formula": plan.get("family"),
        "target": record.get("target"),
        "template": record.get("template"),
        "promptlift": record.get("promptlift"),
    }
    return [(kind, str(name)) for kind, name in named.items() if name]


def _keep(sample: list[Sampled], most: int, outcome: Outcome, record: dict[str, Any]) -> None:
    """Keep the least keys: they are hashes, so that this is a fair sample, and always the same."""
    insort(sample, (outcome, record), key=_key_of)
    del sample[most:]


def _key_of(sampled: Sampled) -> str:
    return sampled[0].key or ""

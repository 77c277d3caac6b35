"""What ``--upsample_prompt`` of Cosmos-Transfer1 would do on a spec, before anything is loaded."""

from __future__ import annotations

import json
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from promptlift.core.budget import Budget, Cost, make_plan
from promptlift.core.tokens import PIXTRAL
from promptlift.core.video import Size, VideoInfo
from promptlift.cosmos import transfer1_rules as rules
from promptlift.cosmos.region_rules import regions
from promptlift.cosmos.transfer1_rules import End, Outcome, Said, Shown, Spoken
from promptlift.errors import BudgetError, SpecError, VideoError
from promptlift.frames import probe
from promptlift.tokenizers.counting import counter_for

__all__ = ["Checked", "Command", "check"]

_MOST_BYTES = 16 * 2**20
_FRAMES = 2
_DESCRIBE = "describe the following images"
# As argparse has it in transfer.py:55-61.
_DEFAULT_PROMPT = (
    "The video captures a stunning, photorealistic scene with remarkable attention to detail, "
    "giving it a lifelike appearance that is almost indistinguishable from reality. It appears "
    "to be from a high-budget 4K movie, showcasing ultra-high-definition quality with impeccable "
    "resolution."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What stands on the command line besides the spec, as ``--key value``; None for nothing.

    Attributes:
        prompt: ``--prompt``.
        input_video: ``--input_video_path``.
        sigma_max: ``--sigma_max``.
        root: The folder that the command is run in; None for the current one, or the nearest
            above the spec from which the paths lead somewhere.
    """

    prompt: str | None = None
    input_video: str | None = None
    sigma_max: float | None = None
    root: Path | None = None


@dataclass(slots=True, kw_only=True)
class Checked:
    """One run of the upsampler, or what becomes of it.

    Attributes:
        spec: The spec file.
        line: The line of a batch file; None without one.
        outcome: What comes of it.
        said: Why, in sentences with their sources.
        control: The control that is shown; None for none.
        video: The file that is shown, or that the control is made from.
        made: Whether the control is made first.
        size: Pixels of each frame that is shown.
        frames: How many frames are shown.
        tokens: Tokens of the whole prompt.
        better: What promptlift would show instead.
    """

    spec: Path
    line: int | None = None
    outcome: Outcome = "works"
    said: list[Said] = field(default_factory=list)
    control: str | None = None
    video: str | None = None
    made: bool = False
    size: Size | None = None
    frames: int | None = None
    tokens: int | None = None
    better: Cost | None = None

    @property
    def room(self) -> int | None:
        """Tokens left for the answer; below 0 where the prompt alone is too long."""
        return None if self.tokens is None else rules.CONTEXT - self.tokens


def check(
    spec: Path, *, batch: Path | None = None, command: Command | None = None
) -> list[Checked]:
    """Go Cosmos-Transfer1's way with a spec, or with each item of a batch.

    Args:
        spec: The file for ``--controlnet_specs``.
        batch: The file for ``--batch_input_path``.
        command: What else stands on the command line.

    Returns:
        One result for the spec, or one for each line of the batch.

    Raises:
        SpecError: A file cannot be read, or is of another kind.
    """
    given = command or Command()
    text = _read(spec)
    try:
        controls, arguments, video = _loaded(spec, text, given)
        items = [_Item(None, video, given.prompt or arguments.get("prompt", _DEFAULT_PROMPT))]
        if batch is not None:
            items = list(_batch_items(batch))
    except End as end:
        return [Checked(spec=spec, outcome=end.outcome, said=[end.said])]
    root = given.root
    return [_Run(spec, root, controls, arguments, item).result() for item in items]


@dataclass(frozen=True, slots=True)
class _Item:
    """What is upsampled: the line of a batch, its video, its prompt, its overrides."""

    line: int | None
    video: str | None
    prompt: str | None
    overrides: Mapping[str, Any] = field(default_factory=dict)


def _read(path: Path) -> str:
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise SpecError(f"{str(path)!r} is not a file", remedy="give a spec file")
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except OSError as error:
        what = f"{str(path)!r} cannot be read: {error.strerror}"
        raise SpecError(what, remedy="check the path") from error
    if len(data) > _MOST_BYTES:
        raise SpecError(f"{str(path)!r} has more than 16 MiB", remedy="give a spec file")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            f"{str(path)!r} is not UTF-8 (byte {error.start + 1})", remedy="convert it to UTF-8"
        ) from None


def _loaded(
    path: Path, text: str, given: Command
) -> tuple[Mapping[str, Any], Mapping[str, Any], str]:
    """The controls, the arguments and the input video, through Cosmos's own checks."""
    content = _parsed(path, text)
    if isinstance(content, dict) and _is_transfer25(content):
        raise End(
            "ignored",
            "This is a Cosmos-Transfer2.5 spec: that generator has no prompt upsampler and no "
            "--upsample_prompt.",
            "cosmos-transfer2.5/cosmos_transfer2/config.py:311-520",
        )
    controls, arguments = rules.split(content)
    video = given.input_video or arguments.get("input_video_path") or ""
    sigma = arguments.get("sigma_max") if given.sigma_max is None else given.sigma_max
    rules.validate(controls, video, sigma)
    return controls, arguments, video


def _parsed(path: Path, text: str) -> object:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        first = text.lstrip("\ufeff").lstrip().partition("\n")[0]
        if '"visual_input"' in first:
            raise SpecError(
                f"{str(path)!r} is a batch file",
                remedy="give the controlnet spec that it is run with, and this with --batch",
            ) from None
        rules.fails(
            f"json.load stops at line {error.lineno}, column {error.colno}: {error.msg}.",
            f"{rules.UTILS}:1198-1199",
        )


def _is_transfer25(content: Mapping[str, Any]) -> bool:
    controls = [content[key] for key in ("edge", "depth", "vis", "seg") if key in content]
    has_path = any(isinstance(one, dict) and "control_path" in one for one in controls)
    return has_path or ("video_path" in content and "input_video_path" not in content)


def _batch_items(path: Path) -> Iterator[_Item]:
    """Each line, as Cosmos reads it: all of them before anything else."""
    for number, line in enumerate(_read(path).splitlines(), 1):
        try:
            item = json.loads(line.strip())
        except json.JSONDecodeError as error:
            what = "is blank" if not line.strip() else f"is no JSON: {error.msg}"
            rules.fails(f"Line {number} of the batch {what}: nothing runs.", f"{rules.READER}:36")
        if not isinstance(item, dict):
            rules.fails(
                f"Line {number} of the batch is not an object: AttributeError.",
                f"{rules.TRANSFER}:300",
            )
        overrides = item.get("control_overrides") or {}
        yield _Item(number, item.get("visual_input"), item.get("prompt"), overrides)


class _Run:
    """One item's way through the pipeline."""

    def __init__(
        self,
        spec: Path,
        root: Path | None,
        controls: Mapping[str, Any],
        arguments: Mapping[str, Any],
        item: _Item,
    ) -> None:
        self._spec = spec
        self._root = root
        self._controls = controls
        self._arguments = arguments
        self._item = item
        self._said = Spoken()
        self._out = Checked(spec=spec, line=item.line)

    def result(self) -> Checked:
        """Go the way to its end."""
        try:
            self._walk()
        except End as end:
            self._out.outcome = end.outcome
            self._said.said.append(end.said)
        self._add_better()
        self._out.said = self._said.said
        return self._out

    def _walk(self) -> None:
        item, out = self._item, self._out
        if any(key in self._controls for key in ("vis", "edge", "seg", "depth")):
            self._preprocess()
            regions(
                self._arguments.get("regional_prompts"),
                first=item.line in (None, 1),
                is_there=lambda named: self._info(named) is not None,
                said=self._said,
            )
            if item.prompt is None:
                rules.fails(
                    "The item has no prompt: TypeError, 'NoneType' object is not subscriptable.",
                    f"{rules.PIPELINE}:717",
                )
        shown = rules.choose(self._controls, item.video, item.overrides, self._said)
        out.control, out.video, out.made = shown.control, shown.video, shown.made
        info = self._probed(shown)
        size = _coded(info)
        out.size = rules.made_size(size, self._said) if shown.made else size
        out.frames = 1 if info.is_still else min(_FRAMES, info.frame_count or _FRAMES)
        self._count(out.size, out.frames)

    def _preprocess(self) -> None:
        needed = rules.preprocessed(self._controls, self._item.overrides)
        if needed and self._info(self._item.video) is None:
            rules.fails(
                f"The {' and '.join(needed)} control is to be made from the input video "
                f"{self._item.video or ''!r}, which cannot be read.",
                f"{rules.TRANSFER}:324-332",
                f"{rules.PREPROCESSORS}:141-188",
            )

    def _probed(self, shown: Shown) -> VideoInfo:
        info = self._info(shown.video)
        if info is None:
            raise End(
                "blind",
                f"{shown.video} cannot be read: no frame comes of it, and the model is silently "
                "asked without a picture.",
                f"{rules.MISC}:45-48",
                f"{rules.UPSAMPLER}:96-105",
            )
        return info

    def _count(self, size: Size, frames: int) -> None:
        """The arithmetic of the bare request."""
        text = PIXTRAL.chat("", self._item.prompt or _DESCRIBE, frames, counter_for(PIXTRAL))
        tokens = self._out.tokens = PIXTRAL.prompt(size, frames, text)
        room = rules.CONTEXT - tokens
        shown = "Its only frame" if frames == 1 else "Its first two frames"
        cost = f"{shown}, {size}, and the prompt take {tokens:,} tokens of {rules.CONTEXT:,}"
        where = f"{rules.UPSAMPLER}:55", f"{rules.MISC}:40-55"
        if room < 0:
            rules.fails(f"{cost}, {-room:,} too many: vLLM raises ValueError.", *where)
        if room < rules.RESERVE:
            self._out.outcome = "cut"
            self._said.add(
                f"{cost}, so that {room:,} are left for an answer of up to {rules.RESERVE}: one "
                "that is cut in the middle is passed on all the same.",
                *where,
                f"{rules.UPSAMPLER}:117-118",
            )
        else:
            self._said.add(f"{cost}; {room:,} are left for an answer of {rules.RESERVE}.", *where)

    def _add_better(self) -> None:
        """What promptlift would do with the same: the video itself, as large as fits."""
        own = self._info(self._item.video)
        info = own or self._info(self._out.video)
        if info is None:
            return
        frames = 1 if info.is_still else min(_FRAMES, info.frame_count or _FRAMES)
        text = PIXTRAL.chat("", self._item.prompt or _DESCRIBE, frames, counter_for(PIXTRAL))
        try:
            made = make_plan(info.size, frames, Budget(chat_tokens=text))
        except BudgetError:
            return
        self._out.better = made.chosen
        what = "the video itself" if own else "the control"
        self._said.add(
            f"promptlift shows {what} at {made.size}: {made.chosen.prompt_tokens:,} tokens, with "
            f"{rules.RESERVE} kept for the answer."
        )

    def _info(self, named: str | None) -> VideoInfo | None:
        """The probe of a file, from where the command would find it; None if it has no picture."""
        if not named or not isinstance(named, str):
            return None
        paths = (folder / named for folder in self._folders())
        try:
            there = next((path for path in paths if path.exists()), None)
            return None if there is None else probe(there)
        except (VideoError, OSError, ValueError):  # a name too long, or with a null in it
            return None

    def _folders(self) -> Sequence[Path]:
        if self._root is not None:
            return [self._root]
        return [Path(), *self._spec.absolute().parents]


def _coded(info: VideoInfo) -> Size:
    """The size that OpenCV and imageio decode: turned upright, pixels taken for square."""
    size = Size(info.coded_width, info.coded_height)
    return Size(size.height, size.width) if info.rotation % 180 else size

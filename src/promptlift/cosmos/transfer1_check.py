"""What Cosmos-Transfer1's own command does with a spec, step by step, without running it.

Read from cosmos-transfer1 at commit 5005e82; each rule names its file and lines there. `check_spec`
follows ``torchrun transfer.py --controlnet_specs SPEC --upsample_prompt`` and stops where that
would stop.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from promptlift.cosmos.formats import SpecItem
from promptlift.cosmos.spec_file import Node, Spec, read_spec, read_text
from promptlift.errors import BudgetError, SpecError, VideoError
from promptlift.files import GIT_LFS_REMEDY
from promptlift.planning import Budget, Cost, make_plan
from promptlift.text import counted
from promptlift.tokens import PIXTRAL
from promptlift.tokens.text import counter_for
from promptlift.types import Size, VideoInfo, fit
from promptlift.video.source import probe

__all__ = ["CheckEnd", "CheckFinding", "CheckResult", "check_spec", "control_size"]

COMMIT = "5005e82"
CONTEXT = 4096
RESERVE = 300
_SIGMA_ALONE = 80
_SIGMA_DEFAULT = 70.0  # transfer.py:81

_DIFFUSION = "cosmos_transfer1/diffusion/inference"
PIPELINE = f"{_DIFFUSION}/world_generation_pipeline.py"
UTILS = f"{_DIFFUSION}/inference_utils.py"
TRANSFER = f"{_DIFFUSION}/transfer.py"
PREPROCESSORS = f"{_DIFFUSION}/preprocessors.py"
UPSAMPLER = "cosmos_transfer1/auxiliary/upsampler/model/upsampler.py"
MISC = "cosmos_transfer1/utils/misc.py"
READER = "cosmos_transfer1/utils/io.py"
_MULTIVIEW = f"{_DIFFUSION}/transfer_multiview.py"
_MULTIVIEW_KEYS = ("prompts", "view_condition_video")
AUGMENTORS = "cosmos_transfer1/diffusion/datasets/augmentors/control_input.py"
WRITER = "cosmos_transfer1/auxiliary/guardrail/common/io_utils.py"
_VIDEO = "cosmos_transfer1/utils/video_utils.py"
_REGIONAL = "cosmos_transfer1/utils/regional_prompting_utils.py"

BOX = Size(1280, 704)
"""VIDEO_RES_SIZE_INFO["720"]["16,9"], whatever the video's own shape."""

# As argparse has it in transfer.py:55-61.
_DEFAULT_PROMPT = (
    "The video captures a stunning, photorealistic scene with remarkable attention to detail, "
    "giving it a lifelike appearance that is almost indistinguishable from reality. It appears "
    "to be from a high-budget 4K movie, showcasing ultra-high-definition quality with impeccable "
    "resolution."
)

CheckOutcome: TypeAlias = Literal["works", "cut", "fails", "ignored", "blind"]
"""What comes of ``--upsample_prompt``.

``works``: the model is shown two frames and has room to answer. ``cut``: there is less room than
the answer may take. ``fails``: an exception. ``ignored``: the flag silently does nothing.
``blind``: the model is asked without any picture, silently.
"""


@dataclass(frozen=True, slots=True)
class CheckFinding:
    """One sentence about what happens.

    Attributes:
        text: The sentence.
        source: File and lines of the rule in cosmos-transfer1; empty for promptlift's own.
    """

    text: str
    source: str = ""


class CheckEnd(Exception):
    """The command goes no further.

    Args:
        text: The sentence that says so.
        source: File and lines of the rule.
        outcome: What comes of it.
    """

    def __init__(self, text: str, source: str, outcome: CheckOutcome = "fails") -> None:
        super().__init__(text)
        self.outcome = outcome
        self.finding = CheckFinding(text, source)


@dataclass(slots=True)
class CheckResult:
    """One run of the upsampler, or what becomes of it.

    Attributes:
        spec: The spec file.
        line: The line of a batch file; None without one.
        outcome: What comes of it.
        findings: Why, in sentences with their sources.
        control: The control that is shown; None for none.
        video: The file that is shown, or that the control is made from.
        made: Whether the control is made first.
        size: Pixels of each frame that is shown.
        frames: How many frames are shown.
        tokens: Tokens of the whole prompt.
        room: Tokens left for the answer; below 0 where the prompt alone is too long.
        better: What promptlift would show instead.
    """

    spec: Path
    line: int | None = None
    outcome: CheckOutcome = "works"
    findings: list[CheckFinding] = field(default_factory=list)
    control: str | None = None
    video: str | None = None
    made: bool = False
    size: Size | None = None
    frames: int | None = None
    tokens: int | None = None
    room: int | None = None
    better: Cost | None = None


def check_spec(
    spec: Path,
    *,
    batch: Path | None = None,
    prompt: str | None = None,
    input_video: str | None = None,
    sigma_max: float | None = None,
    root: Path | None = None,
) -> list[CheckResult]:
    """Go Cosmos-Transfer1's way with a spec, or with each item of a batch.

    Args:
        spec: The file for ``--controlnet_specs``.
        batch: The file for ``--batch_input_path``.
        prompt: ``--prompt``.
        input_video: ``--input_video_path``.
        sigma_max: ``--sigma_max``.
        root: The folder that the command is run in; None for the current one, or the nearest
            above the spec from which the paths lead somewhere.

    Returns:
        One result for the spec, or one for each line of the batch.
    """
    try:
        read = read_spec(spec)
        whole = read.items[0]
        video = input_video or _value(whole.owner, "input_video_path")
        notes = _check_loading(read, str(video or ""), sigma_max)
        items = [whole] if batch is None else _batch_items(batch, spec)
    except SpecError as error:
        return [CheckResult(spec, outcome="fails", findings=[CheckFinding(str(error))])]
    except CheckEnd as end:
        return [CheckResult(spec, outcome=end.outcome, findings=[end.finding])]
    folders = [root] if root is not None else [Path(), *spec.absolute().parents]
    results = []
    for item in items:
        own_prompt = _value(item.owner, "prompt")
        if batch is None:
            item = replace(item, video=input_video or item.video)
            if prompt or "prompt" not in item.owner.members:
                own_prompt = prompt or _DEFAULT_PROMPT
        item = replace(item, prompt=own_prompt if isinstance(own_prompt, str) else None)
        line = int(item.where.removeprefix("line ")) if batch is not None else None
        out = CheckResult(spec, line, findings=list(notes))
        results.append(_Check(folders, read, item, out).result())
    return results


def _batch_items(batch: Path, spec: Path) -> tuple[SpecItem, ...]:
    """The lines of a batch; Cosmos reads all of them before it works on the first."""
    try:
        blank = [line.strip() for line in read_text(batch).splitlines()].count("")
        if blank:
            raise SpecError(f"it has {counted(blank, 'blank line')}", remedy="delete blank lines")
        items = read_spec(batch, form="transfer1-batch", base=spec).items
        for item in items:
            if item.error is not None:
                raise item.error
    except SpecError as error:
        raise CheckEnd(f"The batch {str(batch)!r}: {error}", f"{READER}:36") from None
    return items


def _value(owner: Node, key: str) -> object:
    member = owner.members.get(key)
    return None if member is None else member.value


def _check_loading(spec: Spec, video: str | None, sigma: object) -> list[CheckFinding]:
    """Cosmos's own checks of a spec, in their order; what does not end them is returned."""
    item, name = spec.items[0], spec.format.name
    owner, hints = item.owner, item.hints
    if name == "transfer1" and any("control_path" in owner.members[key].members for key in hints):
        name = "transfer2.5"
    if name != "transfer1":
        raise CheckEnd(
            f"This is a spec of {name}: --upsample_prompt is a flag of Cosmos-Transfer1.",
            "",
            "ignored",
        )
    is_multiview = any(
        isinstance(_value(owner.members[key], "input_control"), list) for key in hints
    )
    if is_multiview:
        others = [key for key in owner.members if key not in (*hints, *_MULTIVIEW_KEYS)]
        if others:
            raise CheckEnd(
                f"{others[0]!r} is in a spec of several views, and transfer_multiview.py takes "
                f"nothing there but controls and {' and '.join(_MULTIVIEW_KEYS)}: ValueError.",
                f"{_MULTIVIEW}:243,271-273",
            )
        for key in hints:
            _check_weight(owner, key, f"{_MULTIVIEW}:280-296")
        raise CheckEnd(
            "An array of control videos is for transfer_multiview.py, which makes no upsampler: "
            "the flag silently does nothing. sigma_max is always 80 there, whatever is said.",
            f"{_MULTIVIEW}:223,379-399",
            "ignored",
        )
    notes: list[CheckFinding] = []
    given = _value(owner, "sigma_max") if sigma is None else sigma
    # NVIDIA runs its specs of driving scenes, which have no video, with --sigma_max 80.
    is_av = bool(hints) and hints.keys() <= {"hdmap", "lidar"} and given is None
    sigma = _SIGMA_DEFAULT if given is None else given
    for key in hints:
        if not video and (not isinstance(sigma, int | float) or sigma < _SIGMA_ALONE):
            what = "There is no input_video_path, and sigma_max is below "
            what += f"{_SIGMA_ALONE}: ValueError. With --sigma_max {_SIGMA_ALONE} it would go on."
            if not is_av:
                raise CheckEnd(what, f"{UTILS}:1236-1237")
            notes = [CheckFinding(what, f"{UTILS}:1236-1237")]
        if not video and "input_control" not in owner.members[key].members:
            what = f'"{key}" has no input_control and there is no input_video_path: ValueError.'
            raise CheckEnd(what, f"{UTILS}:1239-1242")
        _check_weight(owner, key, f"{UTILS}:1264-1275")
    return notes


def _check_weight(owner: Node, key: str, source: str) -> None:
    weight = _value(owner.members[key], "control_weight")
    try:
        number = 0.0 if weight is None or str(weight).endswith(".pt") else float(str(weight))
    except ValueError:
        number = -1.0
    if not number >= 0:
        raise CheckEnd(f'The control_weight of "{key}" is {weight!r}: ValueError.', source)


def control_size(source: Size) -> Size:
    """The size of a control that is made from a video: inside 1280x704, whatever the shape.

    Raises:
        CheckEnd: It cannot be written.
    """
    made = fit(source, BOX)
    if made.width % 2 or made.height % 2:
        raise CheckEnd(
            f"The control that is made from {source} is {made}, and H.264 in yuv420p takes no odd "
            "side: ValueError from save_video.",
            f"{AUGMENTORS}:104-125; {WRITER}:69-78",
        )
    return made


@dataclass(slots=True)
class _Check:
    """One item's way through the pipeline."""

    folders: list[Path]
    spec: Spec
    item: SpecItem
    out: CheckResult

    def result(self) -> CheckResult:
        """Go the way to its end."""
        out = self.out
        try:
            if not self.spec.items[0].hints.keys().isdisjoint(("vis", "edge", "seg", "depth")):
                self._preprocess()
                self._check_regions()
                if self.item.prompt is None:
                    raise CheckEnd("The item has no prompt: TypeError.", f"{PIPELINE}:717")
            self._choose()
            info = self._probe(out.video)
            if info is None:
                raise CheckEnd(
                    f"{out.video} cannot be read: no frame comes of it, and the model is silently "
                    "asked without a picture.",
                    f"{MISC}:45-48; {UPSAMPLER}:96-105",
                    "blind",
                )
            self._count(info)
        except CheckEnd as end:
            out.outcome = end.outcome
            out.findings.append(end.finding)
        self._add_better()
        return out

    def _add(self, text: str, source: str = "") -> None:
        self.out.findings.append(CheckFinding(text, source))

    def _preprocess(self) -> None:
        """Make the controls that have no video, before anything is upsampled."""
        item = self.item
        made = ("depth", "seg", "keypoint", "vis", "edge")
        needed = [key for key, video in item.hints.items() if key in made and not video]
        if needed and self._probe(item.video) is None:
            raise CheckEnd(
                f"The {' and '.join(needed)} control is to be made from the input video "
                f"{item.video or ''!r}, which cannot be read.",
                f"{TRANSFER}:324-332; {PREPROCESSORS}:141-188",
            )

    def _check_regions(self) -> None:
        """Go through the regional prompts as the preprocessors do."""
        regions = self.spec.items[1:]
        for region in regions:
            named = _value(region.owner, "region_definitions_path")
            if not {"mask_prompt", "region_definitions_path"} & region.owner.members.keys():
                self._add(
                    f"{region.where} names no region: ValueError after the upsampling, since "
                    "prompts and regions are counted.",
                    f"{_REGIONAL}:191-195",
                )
            if "mask_prompt" in region.owner.members or not isinstance(named, str):
                continue
            if self._probe(region.region_mask) is None:
                raise CheckEnd(
                    f"The region of {region.where} is {named[:200]!r}, which is no video that is "
                    "there: ValueError: Invalid video file.",
                    f"{PREPROCESSORS}:115-123; {_VIDEO}:102-116",
                )
            if self.out.line not in (None, 1):
                raise CheckEnd(
                    "The first item has put a tensor's name, which ends in .pt, in the place of "
                    f"the mask of {region.where}: ValueError: Invalid video file.",
                    f"{PREPROCESSORS}:119-123; {TRANSFER}:324-333",
                )
        if regions:
            self._add("Regional prompts are not upsampled.", f"{TRANSFER}:335-340")

    def _choose(self) -> None:
        """Find the video that is shown: of vis, else edge, else the first of seg and depth."""
        controls, out = self.spec.items[0].hints, self.out
        shown = [key for key in ("vis", "edge") if key in controls]
        shown += [key for key in controls if key in ("seg", "depth")]
        if not shown:
            has = f"only {', '.join(controls)}" if controls else "no control"
            raise CheckEnd(
                f"The spec has {has}: without vis, edge, seg or depth no upsampler is made, and "
                "the flag silently does nothing.",
                f"{PIPELINE}:264-277,713",
                "ignored",
            )
        key = shown[0]
        given = controls[key]
        if self.item.hints[key] != given:
            self._add(
                f'The override of "{key}" is not looked at: the upsampler reads the controls of '
                "the spec and not those of the item.",
                f"{PIPELINE}:302-315; {TRANSFER}:313-333",
            )
        if given is None and key in ("seg", "depth"):
            raise CheckEnd(
                f'"{key}" has no input_control in the spec, and what the preprocessor makes is '
                "not passed on: TypeError, 'NoneType' object is not iterable.",
                f"{PIPELINE}:315; {UPSAMPLER}:96-105",
            )
        out.control, out.made = key, given is None
        out.video = self.item.video if given is None else given
        made = "made from " if out.made else ""
        self._add(
            f'The model is shown the control "{key}", {made}{out.video}, and not the video itself.',
            f"{PIPELINE}:264-269,302-317",
        )

    def _count(self, info: VideoInfo) -> None:
        """The arithmetic of the bare request."""
        out = self.out
        # OpenCV and imageio turn a video upright, and take its pixels for square.
        size = Size(info.coded_width, info.coded_height)
        out.size = source = Size(size.height, size.width) if info.rotation % 180 else size
        if out.made:
            out.size = control_size(source)
            if out.size != source:
                self._add(f"It is shrunk from {source} to fit {BOX}.", f"{AUGMENTORS}:104-125")
        out.frames, text = self._asked(info)
        out.tokens = PIXTRAL.prompt(out.size, out.frames, text)
        out.room = room = CONTEXT - out.tokens
        shown = "Its only frame" if out.frames == 1 else "Its first two frames"
        cost = f"{shown}, {out.size}, and the prompt take {out.tokens:,} tokens of {CONTEXT:,}"
        where = f"{UPSAMPLER}:55; {MISC}:40-55"
        if room < 0:
            raise CheckEnd(f"{cost}, {-room:,} too many: vLLM raises ValueError.", where)
        if room < RESERVE:
            out.outcome = "cut"
            self._add(
                f"{cost}, so that {room:,} are left for an answer of up to {RESERVE}: one that is "
                "cut in the middle is passed on all the same.",
                f"{UPSAMPLER}:55,117-118; {MISC}:40-55",
            )
        else:
            self._add(f"{cost}; {room:,} are left for an answer of {RESERVE}.", where)

    def _asked(self, info: VideoInfo) -> tuple[int, int]:
        """How many frames are shown, and the tokens of the text that goes with them."""
        frames = 1 if info.is_still else min(2, info.frame_count or 2)
        prompt = self.item.prompt or "describe the following images"
        return frames, PIXTRAL.chat("", prompt, frames, counter_for(PIXTRAL))

    def _add_better(self) -> None:
        """What promptlift would show instead: the video itself, as large as fits."""
        own = self._probe(self.item.video)
        info = own or self._probe(self.out.video)
        if info is None:
            return
        frames, text = self._asked(info)
        try:
            self.out.better = made = make_plan(info.size, frames, Budget(chat_tokens=text)).chosen
        except BudgetError:
            return
        self._add(
            f"promptlift shows {'the video itself' if own else 'the control'} at {made.size}: "
            f"{made.prompt_tokens:,} tokens, with {RESERVE} kept for the answer."
        )

    def _probe(self, named: str | None) -> VideoInfo | None:
        """What a file is, from where the command would find it; None if it has no picture."""
        if not named:
            return None
        try:
            paths = (folder / named for folder in self.folders)
            there = next((path for path in paths if path.exists()), None)
            return None if there is None else probe(there)
        except VideoError as error:
            pointer = CheckFinding(str(error))
            if error.remedy == GIT_LFS_REMEDY and pointer not in self.out.findings:
                self.out.findings.append(pointer)
        except (OSError, ValueError):  # a name too long, or with a null in it
            pass
        return None

"""Frames: promptlift beside ffmpeg, OpenCV and the bare decode, in one run.

``python benchmarks/frames.py [--rounds 5] [--clip NAME] [--large]`` prints Markdown. Each way has
a process of its own that is warm (imports are not counted); the ways take turns, so that a slow
minute of the machine slows all of them. The peak is that of the process, without its children.

The ways:

``promptlift``  hint frames, in-process
``ffmpeg``      the usual shell command into a hint clip, and the clip read back
``opencv``      seek with OpenCV, full size, through a PNG on the disk, as Cosmos-Transfer1 does
``decode``      nothing but decoding the packets that are needed: the floor

The second table is what an engine that sees needs of a new video (analysis and frames), beside the
decode of the whole clip.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from fractions import Fraction
from multiprocessing import get_context
from pathlib import Path

from clips import clips

WIDTH, FPS = 320, 2
CASES = [(strategy, count) for strategy in ("first", "fps", "spread") for count in (2, 8)]
SLOW_SECONDS = 15.0  # a way that takes longer is run once


def promptlift(clip: Path, strategy: str, count: int) -> None:
    """Open, choose, decode and scale."""
    from promptlift.instants import clip_size
    from promptlift.video.reader import FrameChoice, hint_frames
    from promptlift.video.source import open_video

    with open_video(clip) as reader:
        box = clip_size(reader.info.size, WIDTH)
        hint_frames(reader, FrameChoice(strategy, count, Fraction(FPS)), box=box)


def ffmpeg(clip: Path, strategy: str, count: int) -> None:
    """The command that people keep in their scripts, with the rate that spreads the frames."""
    import cv2
    import imageio_ffmpeg

    from promptlift import probe

    rate = Fraction(FPS) if strategy == "fps" else count / (probe(clip).duration or Fraction(1))
    filters = f"scale={WIDTH}:-2:flags=lanczos" + ("" if strategy == "first" else f",fps={rate}")
    with tempfile.TemporaryDirectory() as folder:
        hint = str(Path(folder) / "hint.mp4")
        program = shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()
        command = [program, "-y", "-loglevel", "error", "-i", str(clip), "-vf", filters]
        command += ["-vframes", str(count), "-c:v", "libx264", "-crf", "18", "-preset", "medium"]
        subprocess.run([*command, hint], check=True)
        video = cv2.VideoCapture(hint)
        while video.read()[0]:
            pass


def opencv(clip: Path, strategy: str, count: int) -> None:
    """Frames through full-size PNG files."""
    import cv2

    video = cv2.VideoCapture(str(clip))
    total, rate = video.get(cv2.CAP_PROP_FRAME_COUNT), video.get(cv2.CAP_PROP_FPS)
    with tempfile.TemporaryDirectory() as folder:
        for number in _numbers(strategy, count, int(total), rate):
            if strategy != "first":
                video.set(cv2.CAP_PROP_POS_FRAMES, number)
            good, picture = video.read()
            if good:
                path = str(Path(folder) / f"frame_{number}.png")
                cv2.imwrite(path, picture)
                cv2.imread(path)


def decode(clip: Path, strategy: str, count: int) -> None:
    """Decode from the keyframe before each wanted frame to that frame, each packet once."""
    import av

    position = -1
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        base, rate = stream.time_base, stream.average_rate
        assert base is not None
        assert rate is not None
        keys = [entry.timestamp for entry in stream.index_entries if entry.is_keyframe]
        frames = container.decode(stream)
        for number in _numbers(strategy, count, stream.frames, float(rate)):
            target = int(Fraction(number) / rate / base)
            key = max((k for k in keys if k <= target), default=0)
            if key > position >= 0 or (position < 0 < key):
                container.seek(target, stream=stream)
                frames = container.decode(stream)
            for frame in frames:
                position = frame.pts or 0
                if position >= target:
                    break


def analyse(clip: Path, strategy: str, count: int) -> None:
    """What an engine that sees needs of a new video: facts, and frames of at most 896x504."""
    from promptlift.types import Size, fit
    from promptlift.video.reader import FrameChoice, analyse_and_read

    choice = FrameChoice(strategy, count, Fraction(FPS), exact=False)
    analyse_and_read(
        clip, choice, lambda a: (count, fit(a.info.size, Size(896, 504))), detail="low"
    )


def decode_all(clip: Path, strategy: str, count: int) -> None:
    """Decode every packet of the clip, and nothing more."""
    import av

    del strategy, count
    with av.open(str(clip)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for _ in container.decode(stream):
            pass


def _numbers(strategy: str, count: int, total: int, rate: float) -> list[int]:
    if strategy == "first":
        return list(range(count))
    if strategy == "fps":
        return [round((n + 0.5) * rate / FPS) - 1 for n in range(count)]
    return [int(total * (n + 0.5) / count) for n in range(count)]


Way = Callable[[Path, str, int], None]
WAYS: dict[str, Way] = {each.__name__: each for each in (promptlift, ffmpeg, opencv, decode)}
PREPARING: dict[str, Way] = {each.__name__: each for each in (analyse, decode_all)}


class Worker:
    """A process that does one way of getting frames, again and again."""

    def __init__(self, way: Way) -> None:
        # Spawned: a process that is forked begins with the peak of its parent.
        self.process = ProcessPoolExecutor(1, get_context("spawn"))
        self._way = way
        self.seconds: list[float] = []
        self.peak_mb = 0.0

    def work(self, clip: Path, strategy: str, count: int) -> None:
        """Do it once and note how long it took."""
        done = self.process.submit(measure, self._way, clip, strategy, count)
        seconds, self.peak_mb = done.result()
        self.seconds.append(seconds)

    @property
    def median(self) -> float:
        """Median seconds, the first and cold run left out where there are others."""
        return statistics.median(self.seconds[1:] or self.seconds)


def measure(way: Way, clip: Path, strategy: str, count: int) -> tuple[float, float]:
    """Seconds of a way, and the peak of this process in MB."""
    start = time.perf_counter()
    way(clip, strategy, count)
    seconds = time.perf_counter() - start
    status = Path("/proc/self/status").read_text()
    return seconds, int(status.partition("VmHWM:")[2].split()[0]) / 1024


def compare(
    ways: dict[str, Way], clip: Path, strategy: str, count: int, rounds: int
) -> list[Worker]:
    """Let the ways take turns on one case."""
    workers = [Worker(way) for way in ways.values()]
    for _ in range(rounds + 1):
        for worker in workers:
            if not worker.seconds or worker.seconds[0] < SLOW_SECONDS:
                worker.work(clip, strategy, count)
    for worker in workers:
        worker.process.shutdown()
    return workers


def main() -> None:
    """Print a table for each clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clip", default="")
    parser.add_argument("--large", action="store_true", help="the 10-minute and the 4K clip too")
    given = parser.parse_args()
    found = clips(large=given.large)
    chosen = {name: clip for name, clip in found.items() if given.clip in name}
    for name, clip in chosen.items():
        print(f"### {name}\n")
        print(f"| frames | {' | '.join(WAYS)} | ffmpeg ÷ | opencv ÷ | ÷ decode | peak MB |")
        print("|---|" + "--:|" * (len(WAYS) + 4))
        for strategy, count in CASES:
            ours, theirs, full, floor = compare(WAYS, clip, strategy, count, given.rounds)
            times = " | ".join(f"{one.median:.3f}" for one in (ours, theirs, full, floor))
            print(
                f"| {strategy} {count} | {times} | {theirs.median / ours.median:.1f} | "
                f"{full.median / ours.median:.1f} | {ours.median / floor.median:.2f} | "
                + " / ".join(f"{one.peak_mb:.0f}" for one in (ours, theirs, full, floor))
                + " |",
                flush=True,
            )
        print()
    print("| a new video | analysis and 2 frames, s | bare decode, s | ratio |\n|---|--:|--:|--:|")
    for name, clip in chosen.items():
        ours, floor = compare(PREPARING, clip, "spread", 2, given.rounds)
        ratio = ours.median / floor.median
        print(f"| {name} | {ours.median:.3f} | {floor.median:.3f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()

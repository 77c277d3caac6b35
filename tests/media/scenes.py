"""Scenes with a known truth: pictures like photographs, cameras that move, control videos.

The pictures follow the dead leaves model (discs of all sizes that hide one another, with sizes
and textures as in photographs), which shares edges, flat parts and spectrum with real ones.
"""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from promptlift.types import Size, Thumbnails

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FPS = 8
SHAPE = (180, 320)
WIDTH, HEIGHT = 640, 360  # of control pictures


def strip_of(
    images: NDArray[np.uint8], fps: int = FPS, stretches: tuple[int, ...] = ()
) -> Thumbnails:
    """A strip of pictures ``(count, height, width, 3)`` or of one picture."""
    stack = images if images.ndim == 4 else images[None]
    times = tuple(Fraction(i, fps) for i in range(len(stack)))
    size = Size(stack.shape[2], stack.shape[1])
    return Thumbnails(np.ascontiguousarray(stack), times, size, not stretches, stretches)


@lru_cache(maxsize=12)
def photograph(seed: int, width: int = 960, height: int = 540) -> Image.Image:
    """A picture like a photograph: textured discs and boxes that hide one another, with grain."""
    rng = np.random.default_rng(seed)
    # Noise whose amplitude falls as one over the frequency; mean 0, standard deviation 1.
    f = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :])
    phases = np.exp(2j * np.pi * rng.random(f.shape)) / np.maximum(f, 1 / max(height, width))
    texture = np.fft.irfft2(phases, s=(height, width))
    texture = (texture - texture.mean()) / texture.std()
    shade = np.linspace(0.8, 1.2, height)[:, None]
    picture = (120 + 25 * texture[..., None]) * shade[..., None] * rng.uniform(0.6, 1.2, 3)
    for _ in range(260):
        radius = 9 * rng.pareto(1.3) + 7
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        top, bottom = int(max(y - radius, 0)), int(min(y + radius, height))
        left, right = int(max(x - radius, 0)), int(min(x + radius, width))
        rows, columns = np.ogrid[top:bottom, left:right]
        inside = np.hypot(rows - y, columns - x) < radius
        if rng.random() < 0.3:
            inside = np.ones((bottom - top, right - left), dtype=bool)
        grey = rng.uniform(15, 235)
        colour = np.clip(grey + rng.normal(0, 28, 3), 4, 250)
        leaf = colour * (1 + 0.18 * rng.random() * texture[top:bottom, left:right, None])
        picture[top:bottom, left:right][inside] = leaf[inside]
    picture += rng.normal(0, 2, picture.shape)
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


def compressed(picture: Image.Image, quality: int = 60) -> Image.Image:
    """The picture after JPEG."""
    buffer = BytesIO()
    picture.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert("RGB")


def small(picture: Image.Image) -> NDArray[np.uint8]:
    """The picture at the size of a strip."""
    scale = 320 / max(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    return np.asarray(picture.resize(size, Image.Resampling.BILINEAR))


def filmed(
    picture: Image.Image,
    move: str,
    speed: float = 0,
    *,
    seconds: float = 3,
    seed: int = 0,
    noise: float = 3,
) -> NDArray[np.uint8]:
    """Film a picture with a camera that moves, with grain and compression.

    Args:
        picture: What is before the camera; continued by its mirror image.
        move: A move of `promptlift.facts.Camera`.
        speed: % of the picture's width a second; % a second of size for forward and backward;
            standard deviation in % of the width for shake and static.
        seconds: Length of the film.
        seed: Of the shake and the grain.
        noise: Standard deviation of the grain in levels.
    """
    rng = np.random.default_rng(seed)
    margins = ((picture.height, picture.height), (picture.width, picture.width), (0, 0))
    wide = Image.fromarray(np.pad(np.asarray(picture), margins, "symmetric"))
    height, width = SHAPE
    window = min(picture.width, picture.height * width / height) * 0.7
    count = round(seconds * FPS) + 1
    field = rng.normal(0, noise, (height + 32, width + 32, 3)).astype(np.float32)
    pictures = []
    for i in range(count):
        jitter = rng.normal(0, speed / 100, 2) if move in {"shake", "static"} else (0.0, 0.0)
        way = speed / 100 * (i / FPS - seconds / 2)
        x = {"pan right": 1, "pan left": -1}.get(move, 0) * way + jitter[0]
        y = {"tilt down": 1, "tilt up": -1}.get(move, 0) * way + jitter[1]
        across = window * np.exp({"forward": -1, "backward": 1}.get(move, 0) * way)
        x0 = wide.width / 2 + x * window - across / 2
        y0 = wide.height / 2 + y * window - across * height / width / 2
        box = (x0, y0, x0 + across, y0 + across * height / width)
        frame = wide.transform(
            (width, height), Image.Transform.EXTENT, box, Image.Resampling.BICUBIC
        )
        down, right = rng.integers(0, 32, 2)
        grain = np.asarray(frame) + field[down : down + height, right : right + width]
        clean = Image.fromarray(np.clip(grain, 0, 255).astype(np.uint8))
        pictures.append(np.asarray(compressed(clean)))
    return np.stack(pictures)


def _grey_of(picture: Image.Image) -> NDArray[np.float64]:
    return np.asarray(picture.convert("L"), dtype=np.float64)


def _image(values: NDArray[np.float64]) -> Image.Image:
    rgb = values if values.ndim == 3 else values[..., None].repeat(3, axis=2)
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


def spoilt(picture: Image.Image, seed: int = 0) -> Iterator[tuple[str, Image.Image]]:
    """A photograph in every bad way that a camera or an encoder makes, by name."""
    rng = np.random.default_rng(seed)
    colours = np.asarray(picture, dtype=np.float64)
    grey = _grey_of(picture)
    half = picture.resize((512, round(512 * picture.height / picture.width)))
    square = picture.resize((picture.height * 3 // 4, picture.height))
    barred = Image.new("RGB", (picture.height * 16 // 9, picture.height))
    barred.paste(square, ((barred.width - square.width) // 2, 0))
    yield "plain", picture
    yield "grey", _image(grey)
    yield "dark", _image(colours * 0.15)
    yield "darker", _image(colours * 0.06)
    yield "dark and grey", _image(grey * 0.06)
    yield "hazy", _image(colours * 0.35 + 150)
    yield "hazy and grey", _image(grey * 0.35 + 150)
    yield "over-exposed", _image(colours * 2.2 + 30)
    yield "over-exposed and grey", _image(grey * 2.2 + 30)
    yield "soft focus", half.filter(ImageFilter.GaussianBlur(3))
    yield "soft and grey", half.filter(ImageFilter.GaussianBlur(3)).convert("L").convert("RGB")
    yield "smoothed", picture.filter(ImageFilter.MedianFilter(7))
    yield "noisy", _image(colours + rng.normal(0, 25, colours.shape))
    yield "pillarboxed", barred
    yield "low bitrate", compressed(picture.resize((256, 144)), 8)
    yield "contrasty", _image((colours - 128) * 2.5 + 128)


def edges(picture: Image.Image, threshold: float) -> Image.Image:
    """Thin white edges on black, as Canny draws them: maxima of the gradient along itself."""
    smooth = _grey_of(picture.filter(ImageFilter.GaussianBlur(2)))
    down, right = np.gradient(smooth)
    size = np.hypot(down, right)
    way = (np.round(np.degrees(np.arctan2(down, right)) / 45) % 4).astype(int)
    steps = ((0, 1), (1, 1), (1, 0), (1, -1))
    peak = np.zeros(size.shape, dtype=bool)
    for number, (y, x) in enumerate(steps):
        ahead, behind = np.roll(size, (-y, -x), (0, 1)), np.roll(size, (y, x), (0, 1))
        peak |= (way == number) & (size > ahead) & (size >= behind)
    return _image((peak & (size > threshold)) * 255.0)


def depth_map(seed: int) -> Image.Image:
    """Grey ground that comes nearer downward, with smooth things standing on it."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    near = 20 + 150 * np.clip((rows / HEIGHT - 0.35) / 0.65, 0, 1)
    for _ in range(6):
        x, foot, level = rng.uniform(0, WIDTH), rng.uniform(0.5, 1) * HEIGHT, rng.uniform(60, 230)
        wide, tall = rng.uniform(20, 90), rng.uniform(60, 200)
        inside = ((columns - x) / wide) ** 2 + ((rows - foot + tall / 2) / tall) ** 2 < 1
        near = np.where(inside, level - 12 * np.abs(columns - x) / wide, near)
    return _image(near).filter(ImageFilter.GaussianBlur(0.8))


def lidar(seed: int, returns: float = 1) -> Image.Image:
    """Depth seen by a lidar: black sky, and below it this share of the pixels gives a return."""
    rng = np.random.default_rng(seed)
    depth = np.array(depth_map(seed).convert("L"), dtype=np.float64)
    depth[: HEIGHT // 3] = 0
    depth[rng.random(depth.shape) >= returns] = 0
    return _image(depth)


def mask(seed: int) -> Image.Image:
    """White shapes on black with hard edges."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(picture)
    for _ in range(3):
        x, y = rng.uniform(0, WIDTH * 0.7), rng.uniform(0, HEIGHT * 0.6)
        w, h = rng.uniform(60, 220), rng.uniform(60, 160)
        draw.ellipse((x, y, x + w, y + h), fill=(255, 255, 255))
    return picture


LABELS = (
    (128, 64, 128), (0, 255, 0), (70, 130, 255), (255, 0, 255), (0, 0, 255), (255, 85, 0),
    (0, 255, 128), (128, 128, 0), (255, 220, 0), (220, 20, 60),
)  # fmt: skip


def label_map(seed: int) -> Image.Image:
    """Regions in the bright flat colours of a segmentation."""
    rng = np.random.default_rng(seed)
    sky, road = (LABELS[i] for i in rng.choice(len(LABELS), 2, replace=False))
    picture = Image.new("RGB", (WIDTH, HEIGHT), sky)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, HEIGHT * 0.55, WIDTH, HEIGHT), fill=road)
    for number in range(9):
        x, y = rng.uniform(0, WIDTH * 0.9), rng.uniform(0.2, 0.7) * HEIGHT
        w, h = rng.uniform(30, 140), rng.uniform(40, 140)
        box = (x, y, x + w, y + h)
        colour = LABELS[(number + seed) % len(LABELS)]
        (draw.ellipse if number % 2 else draw.rectangle)(box, fill=colour)
    return picture


def road_lines(seed: int) -> Image.Image:
    """Lanes, poles and boxes as coloured lines on black, as an HD map is drawn."""
    rng = np.random.default_rng(seed)
    picture = Image.new("RGB", (WIDTH, HEIGHT))
    draw = ImageDraw.Draw(picture)
    horizon = HEIGHT * 0.45
    for lane in np.linspace(-1.2, 2.2, 8):
        draw.line((WIDTH / 2, horizon, WIDTH * lane, HEIGHT), fill=(98, 183, 249), width=4)
    for _ in range(10):
        x, y = rng.uniform(0, WIDTH), horizon + rng.uniform(0, 60)
        w, h = rng.uniform(30, 90), rng.uniform(25, 60)
        draw.rectangle((x, y - h, x + w, y), outline=(255, 0, 0), width=3)
        draw.rectangle((x + 8, y - h - 6, x + w + 8, y - 6), outline=(255, 0, 0), width=3)
        draw.line((x, horizon - 80, x, horizon + 20), fill=(66, 40, 255), width=3)
    draw.polygon([(0, HEIGHT), (WIDTH * 0.3, HEIGHT * 0.75), (WIDTH, HEIGHT)], fill=(186, 117, 58))
    return picture

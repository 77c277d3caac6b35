"""Light, named colours and sharpness of pictures whose truth is known."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
from PIL import Image, ImageFilter

from media.scenes import photograph, small
from promptlift.facts._image import halve, lab, luma, spread_indices, window_max
from promptlift.facts.colours import COLOURS, NEUTRALS
from promptlift.facts.light import light
from promptlift.facts.palette import name_of, palette
from promptlift.facts.sharpness import sharpness
from promptlift.facts.texture import texture


def pixels(*parts: tuple[tuple[int, int, int], float]) -> np.ndarray:
    """CIELAB pixels of a picture made of colours, each with its share of 1000 pixels."""
    rows = [np.full((round(share * 1000), 3), colour, dtype=np.uint8) for colour, share in parts]
    return lab(np.concatenate(rows))


@pytest.mark.parametrize(
    ("level", "exposure"),
    [(8, "very dark"), (50, "dark"), (110, "medium"), (175, "bright"), (235, "very bright")],
)
def test_exposure_follows_the_mean_lightness(level: int, exposure: str) -> None:
    """Five steps of grey are called by the five words, from very dark to very bright."""
    found = light(pixels(((level, level, level), 1)))
    assert found.value.exposure == exposure


def test_exposure_rises_with_every_step_of_light() -> None:
    """A photograph that is lightened step by step never seems darker than before."""
    order = ["very dark", "dark", "medium", "bright", "very bright"]
    picture = small(photograph(1)).astype(float)
    steps = [np.clip(picture * gain, 0, 255).astype(np.uint8) for gain in (0.05, 0.2, 0.8, 2, 5)]
    ranks = [order.index(light(lab(step.reshape(-1, 3))).value.exposure) for step in steps]
    assert ranks == sorted(ranks)
    assert ranks[0] == 0
    assert ranks[-1] >= 3


def test_contrast_follows_the_span_of_lightness() -> None:
    """Haze is low contrast, black beside white is high, most pictures are neither."""
    hazy = pixels(((150, 150, 150), 0.5), ((185, 185, 185), 0.5))
    usual = pixels(((60, 60, 60), 0.5), ((180, 180, 180), 0.5))
    stark = pixels(((5, 5, 5), 0.5), ((250, 250, 250), 0.5))
    assert [light(p).value.contrast for p in (hazy, usual, stark)] == ["low", "normal", "high"]


@pytest.mark.parametrize(
    ("cast", "temperature"),
    [((1.1, 1.0, 0.82), "warm"), ((1.0, 1.0, 1.0), "neutral"), ((0.86, 1.0, 1.16), "cool")],
)
def test_temperature_is_the_cast_of_the_greys(
    cast: tuple[float, float, float], temperature: str
) -> None:
    """White balance is told from what is nearly grey; a red thing does not make light warm."""
    greys = [np.clip(np.array(cast) * level, 0, 255).astype(int) for level in (70, 120, 190)]
    parts = [((int(g[0]), int(g[1]), int(g[2])), 0.25) for g in greys]
    assert light(pixels(*parts, ((200, 20, 20), 0.25))).value.temperature == temperature


def test_no_temperature_without_greys() -> None:
    """Where all is paint, the light cannot be told from it."""
    vivid = pixels(((220, 30, 30), 0.5), ((20, 40, 230), 0.5))
    assert light(vivid).value.temperature is None


def test_cool_hills_under_a_warm_sky_are_neither() -> None:
    """Greys of one cast in a picture of the other say nothing about the light."""
    dusk = pixels(((88, 92, 106), 0.3), ((240, 150, 60), 0.7))
    assert light(dusk).value.temperature is None


def test_a_cast_on_the_whole_picture_tells_without_greys() -> None:
    """A picture that is orange all over is warm, one that is blue all over is cool."""
    assert light(pixels(((200, 120, 50), 0.5), ((120, 60, 20), 0.5))).value.temperature == "warm"
    assert light(pixels(((50, 90, 190), 0.5), ((20, 40, 120), 0.5))).value.temperature == "cool"


def test_confidence_falls_toward_the_limit_between_two_words() -> None:
    """A picture on the edge of a word is less sure than one in the middle of it."""
    middle = light(pixels(((112, 112, 112), 1)))
    edge = light(pixels(((66, 66, 66), 1)))
    assert edge.confidence < middle.confidence


@pytest.mark.parametrize(("name", "colour"), COLOURS)
def test_every_colour_of_the_table_bears_its_own_name(
    name: str, colour: tuple[int, int, int]
) -> None:
    """No two entries are so close that one hides the other."""
    assert name_of(colour) == name


@pytest.mark.parametrize(
    ("colour", "names"),
    [
        ((255, 255, 255), {"white"}),
        ((0, 0, 0), {"black"}),
        ((128, 128, 128), {"gray"}),
        ((139, 0, 0), {"dark red"}),
        ((255, 0, 0), {"red"}),
        ((0, 0, 128), {"navy blue"}),
        ((210, 180, 140), {"tan", "beige"}),
        ((255, 165, 0), {"orange", "amber"}),
        ((139, 69, 19), {"brown", "rust"}),
        ((135, 206, 235), {"sky blue"}),
        ((34, 139, 34), {"green"}),
        ((0, 100, 0), {"dark green", "green"}),
        ((255, 192, 203), {"pink", "pale pink"}),
        ((128, 0, 128), {"purple"}),
        ((0, 128, 128), {"teal"}),
        ((255, 255, 0), {"yellow"}),
        ((64, 224, 208), {"turquoise"}),
        ((245, 245, 220), {"cream", "white"}),
        ((128, 128, 0), {"olive"}),
    ],
)
def test_well_known_colours_have_the_names_people_use(
    colour: tuple[int, int, int], names: set[str]
) -> None:
    """The CSS colours of these names are called so, or by a close neighbour."""
    assert name_of(colour) in names


@pytest.mark.parametrize("hue", range(0, 360, 30))
def test_a_vivid_colour_is_never_called_grey(hue: int) -> None:
    """Full colours at any hue and three lightnesses have a name with a hue in it."""
    for value in (0.35, 0.6, 0.95):
        red, green, blue = colorsys.hsv_to_rgb(hue / 360, 0.9, value)
        assert name_of((round(red * 255), round(green * 255), round(blue * 255))) not in NEUTRALS


@pytest.mark.parametrize("level", range(0, 256, 15))
def test_a_grey_is_never_given_a_hue(level: int) -> None:
    """Greys, also with a slight cast, are named as greys."""
    assert name_of((level, level, level)) in NEUTRALS
    assert name_of((min(level + 4, 255), level, max(level - 3, 0))) in NEUTRALS


def test_dominant_colours_come_by_area_and_small_vivid_ones_are_accents() -> None:
    """Patches of known size are named in order; a vivid two per cent is an accent."""
    patches = [((22, 32, 86), 0.5), ((184, 148, 108), 0.3), ((246, 246, 246), 0.18)]
    found = palette(pixels(*patches, ((212, 30, 34), 0.02)))
    assert found is not None
    assert found.value.dominant == ("navy blue", "tan", "white")
    assert found.value.accents == ("red",)


def test_greys_do_not_drown_the_colours() -> None:
    """Of five greys over nine tenths at most two are named, and the brown is among the rest."""
    greys = [((v, v, v), 0.18) for v in (10, 48, 84, 128, 190)]
    found = palette(pixels(*greys, ((114, 72, 42), 0.1)))
    assert found is not None
    assert len(set(found.value.dominant) & NEUTRALS) == 2
    assert "brown" in found.value.dominant


def test_shades_too_small_alone_make_one_accent_together() -> None:
    """Three reds of half a percent each are one red thing, and named once."""
    shades = [((212, 30, 34), 0.006), ((120, 20, 24), 0.005), ((84, 18, 36), 0.004)]
    found = palette(pixels(((128, 128, 130), 0.985), *shades))
    assert found is not None
    assert found.value.accents == ("red",)


def test_what_is_under_one_per_cent_is_no_accent() -> None:
    """A vivid speck is not a colour of the picture."""
    found = palette(pixels(((128, 128, 130), 0.995), ((212, 30, 34), 0.005)))
    assert found is not None
    assert found.value.accents == ()


def test_a_mottled_picture_without_any_area_has_no_palette() -> None:
    """Where no colour covers enough, none is named."""
    many = [(colour, 1 / len(COLOURS)) for _, colour in COLOURS]
    dull = [(c, s) for c, s in many if np.hypot(*lab(np.array([c], np.uint8))[0, 1:]) < 28]
    spread = [part for part in dull if name_of(part[0]) not in NEUTRALS]
    found = palette(pixels(*spread))
    assert found is None or not found.value.accents


@pytest.mark.parametrize(
    ("radius", "word"), [(0, "sharp"), (2, "soft"), (5, "blurred"), (9, "blurred")]
)
@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_sharpness_follows_the_blur(seed: int, radius: float, word: str) -> None:
    """The same picture is sharp as it is, soft after a slight blur, blurred after a heavy one."""
    picture = Image.fromarray(small(photograph(seed))).filter(ImageFilter.GaussianBlur(radius))
    found = texture(np.asarray(picture)[None])
    assert found is not None
    said = sharpness(found)
    assert said is not None
    assert said.value == word


def test_a_plain_picture_has_no_sharpness() -> None:
    """Fog has no edge that could be sharp."""
    found = texture(np.full((1, 180, 320, 3), 120, dtype=np.uint8))
    assert found is not None
    assert sharpness(found) is None


@pytest.mark.parametrize(
    ("colour", "expected"),
    [
        ((255, 255, 255), (100, 0, 0)),
        ((0, 0, 0), (0, 0, 0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
        ((119, 119, 119), (50.03, 0, 0)),
    ],
)
def test_cielab_has_the_published_values(
    colour: tuple[int, int, int], expected: tuple[float, float, float]
) -> None:
    """The primaries of sRGB have their well-known places in CIELAB (D65)."""
    assert lab(np.array([colour], np.uint8))[0] == pytest.approx(expected, abs=0.06)


def test_luma_weighs_the_components_as_bt_709_does() -> None:
    """White is 255, green counts most and blue least."""
    one = np.array([[[[255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255]]]], np.uint8)
    assert luma(one)[0, 0] == pytest.approx([255, 54.2, 182.4, 18.4], abs=0.1)


def test_halving_averages_blocks_and_drops_the_odd_edge() -> None:
    """A 3 x 5 picture becomes 1 x 2, each the mean of four."""
    picture = np.arange(15, dtype=np.float32).reshape(1, 3, 5)
    assert halve(picture).tolist() == [[[3, 5]]]


@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.bool_])
def test_the_window_maximum_is_that_of_each_window(dtype: type) -> None:
    """It equals a plain loop over all windows."""
    values = (np.random.default_rng(0).random((2, 7, 9)) * 200 > 60) * 1
    planes: np.ndarray = values.astype(dtype)
    expected = [
        [[planes[n, y : y + 5, x : x + 5].max() for x in range(5)] for y in range(3)]
        for n in range(2)
    ]
    assert window_max(planes, 2).tolist() == np.array(expected).tolist()


@pytest.mark.parametrize(("count", "wanted"), [(1, 4), (4, 4), (5, 4), (33, 6), (241, 6)])
def test_samples_are_spread_evenly_and_never_twice(count: int, wanted: int) -> None:
    """Every index is within range, none comes twice, and the ends are not left out."""
    found = spread_indices(count, wanted)
    assert len(set(found.tolist())) == len(found) == min(count, wanted)
    assert found.min() >= 0
    assert found.max() < count
    assert np.ptp(np.diff(found)) <= 1 if len(found) > 2 else True

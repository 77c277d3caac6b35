"""What the page tells, as plain values: words, marks, bars, sessions, lists, specs, files."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import time
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from promptlift.config import Strategy
from promptlift.core.facts import Camera, Confident, Facts, Light, Movement, Palette
from promptlift.core.record import Planned, Priced, Probe, Record, Tokens, Video
from promptlift.core.review import CHECKS, Check
from promptlift.core.targets import TARGETS
from promptlift.cosmos.spec import read_spec
from promptlift.server.errors import Refusal
from promptlift.server.models import UpsampleAsked
from promptlift.server.page import assets, entrance, views, words
from promptlift.server.page.asked import FIELDS, another_seed, asked_of
from promptlift.server.page.batch_store import BatchRow, BatchStore
from promptlift.server.page.cost import cost_of
from promptlift.server.page.downloads import has_spec, spec_of
from promptlift.server.page.marks import pair
from promptlift.server.page.pictures import THUMB_SIDE, Thumbnails, encode
from promptlift.server.page.rendering import html
from promptlift.server.security import OPEN_PATHS, Door
from promptlift.server.sessions import COOKIE, SESSION_SECONDS, Sessions

EVIL = "<script>alert(1)</script><img src=x onerror='a'>\"&"
KEY = "a-key-that-is-long-enough"


def sure(value: Any) -> Any:
    """A fact, as measured."""
    return Confident(value=value, confidence=0.9)


def texts(**facts: Any) -> list[str]:
    """The sentences of some facts."""
    return [fact.text for fact in words.facts_in_words(Facts(**facts))]


class TestWords:
    """Measurements and checks, as sentences."""

    def test_every_value_of_every_fact_has_words(self) -> None:
        """Whatever the facts may say is told in a sentence that ends, and none is left out."""
        values = {
            "kind": ("rgb", "edge", "depth", "seg", "blur", "lines", "mask"),
            "sharpness": ("sharp", "soft", "blurred"),
        }
        for name, known in values.items():
            for value in known:
                (text,) = texts(**{name: {"value": value, "confidence": 0.5}})
                assert text.endswith(".")
        moves = get_args(get_args(Camera.model_fields["moves"].annotation)[0])
        told = {texts(camera=sure(Camera(moves=(move,), strength="slow")))[0] for move in moves}
        assert len(told) == len(moves)
        assert "The camera does not move." in told
        assert "The camera pans left slowly." in told

    def test_two_moves_are_told_together(self) -> None:
        """The stronger stands first, and the speed at the end."""
        camera = Camera(moves=("pan right", "shake"), strength="fast")
        assert texts(camera=sure(camera)) == [
            "The camera pans right fast and shakes, as if held by hand."
        ]

    def test_what_moves_what_is_lit_and_which_colours(self) -> None:
        """Amount and place; exposure, contrast and warmth; dominant colours and accents."""
        assert texts(movement=sure(Movement(amount="none"))) == ["Nothing moves by itself."]
        assert texts(movement=sure(Movement(amount="some", where="left"))) == [
            "Some of the picture moves by itself, mostly on the left."
        ]
        light = Light(exposure="very dark", contrast="high", temperature="cool")
        assert texts(light=sure(light)) == ["Very dark, high contrast, cool light."]
        palette = Palette(dominant=("grey", "brown", "teal"), accents=("red",))
        assert texts(palette=sure(palette)) == ["Mostly grey, brown and teal, with accents of red."]
        assert texts(palette=sure(Palette(accents=("red", "gold")))) == ["Accents of red and gold."]
        assert texts(palette=sure(Palette())) == ["No colour stands out."]

    def test_cuts_are_told_and_what_is_unknown_is_not(self) -> None:
        """No cut is something known; a clip that was not looked at as a whole is not."""
        assert texts(cuts=()) == ["One shot from beginning to end."]
        assert texts(cuts=(1.0, 2.5)) == ["The shot changes at 1.00 s and 2.50 s."]
        assert texts() == []

    def test_every_check_has_two_statements(self) -> None:
        """What it means to pass and what it means to fail differ, for each check there is."""
        for name in CHECKS:
            passed, failed = (
                words.check_words(Check(name=name, passed=outcome)) for outcome in (True, False)
            )
            assert passed != failed

    def test_every_strategy_has_words(self) -> None:
        """No strategy is told by its name."""
        for strategy in get_args(Strategy):
            assert words.strategy_words(strategy) != strategy

    def test_a_clip_is_told_in_a_line(self) -> None:
        """Size, length, rate, codec and bytes; a still has no rate."""
        assert words.clip_words(probe(), 1_100_000) == (
            "1280×720, 5.04 s, 23.98 frames/s, h264, 1.1 MB"
        )
        still = probe(is_still=True, duration=None, frame_rate=None, codec="png")
        assert words.clip_words(still, 12_345) == "1280×720, a still picture, png, 12 kB"

    def test_numbers_are_read_at_a_glance(self) -> None:
        """Nouns in their number, bytes in their unit, times as how long ago."""
        assert [words.count(number, "row") for number in (0, 1, 2000)] == [
            "0 rows",
            "1 row",
            "2,000 rows",
        ]
        assert words.megabytes(2 * 2**30) == "2 GiB"
        now = time.time()
        assert [words.ago(now - past) for past in (2, 130, 7300)] == [
            "just now",
            "2 min ago",
            "2 h ago",
        ]
        assert words.ago(0) == "01 Jan 1970"
        assert words.clock(0) == "1970-01-01T00:00:00Z"


def probe(**fields: Any) -> Probe:
    """What a file is."""
    known: dict[str, Any] = {
        "container": "mp4",
        "codec": "h264",
        "width": 1280,
        "height": 720,
        "coded_width": 1280,
        "coded_height": 720,
        "rotation": 0,
        "sample_aspect_ratio": "1",
        "frame_rate": "24000/1001",
        "duration": str(Fraction(121, 24)),
        "frame_count": 121,
        "pixel_format": "yuv420p",
        "bit_depth": 8,
        "transfer": "",
        "full_range": False,
        "has_alpha": False,
        "is_still": False,
        "size_bytes": 1,
    }
    return Probe(**{**known, **fields})


class TestMarks:
    """The user's words in both prompts."""

    def test_kept_words_are_marked_and_lost_ones_too(self) -> None:
        """Endings do not matter, grammar does not count, and repeats are all marked."""
        both = pair("a robot hands the blue cup over", "The robot's hand holds a cup, a red cup.")
        assert [piece.text for piece in both.long if piece.kind] == ["robot", "hand", "cup", "cup"]
        assert [piece for piece in both.short if piece.kind == "lost"] == [("blue", "lost")]
        assert (both.kept, both.said) == (3, 4)

    def test_an_empty_prompt_marks_nothing(self) -> None:
        """Asked to describe, the model keeps no words and loses none."""
        both = pair("", "A quiet lake.")
        assert both.short == []
        assert both.long == [("A quiet lake.", "")]
        assert (both.kept, both.said) == (0, 0)

    @given(st.text(max_size=80), st.text(max_size=200))
    def test_the_pieces_are_the_texts(self, short: str, long: str) -> None:
        """Put together, the pieces give both texts letter by letter, whatever they are."""
        both = pair(short, long)
        assert "".join(piece.text for piece in both.short) == short
        assert "".join(piece.text for piece in both.long) == long
        assert 0 <= both.kept <= both.said


def planned(source: tuple[int, int], sent: tuple[int, int], tokens: tuple[int, int]) -> Planned:
    """A plan for two frames in 4096 tokens, with 20 of text and 300 kept."""

    def priced(size: tuple[int, int], each: int) -> Priced:
        total = 2 * each + 20
        return Priced(
            width=size[0],
            height=size[1],
            frames=2,
            tokens_per_frame=each,
            prompt_tokens=total,
            fits=total + 300 <= 4096,
        )

    return Planned(
        strategy="spread",
        exact=False,
        family="pixtral",
        context=4096,
        reserve=300,
        text_tokens=20,
        source=priced(source, tokens[0]),
        plan=priced(sent, tokens[1]),
    )


class TestCost:
    """The bars."""

    def test_the_parts_are_the_whole_context(self) -> None:
        """Frames, words, answer and what is free add up, and lie side by side without a gap."""
        cost = cost_of(planned((1280, 720), (896, 512), (2340, 1824)))
        amounts = {part.kind: part.tokens for part in cost.sent.parts}
        assert amounts == {"image": 3648, "text": 20, "answer": 300, "free": 128}
        assert sum(amounts.values()) == 4096
        edges = [(part.left, part.left + part.width) for part in cost.sent.parts]
        for (_, right), (left, _) in pairwise(edges):
            assert right == pytest.approx(left, abs=0.01)
        assert edges[-1][1] == pytest.approx(cost.sent.limit, abs=0.01)

    def test_what_does_not_fit_goes_past_the_limit(self) -> None:
        """The source's bar is as long as what it costs, on the same scale as the other."""
        cost = cost_of(planned((1280, 720), (896, 512), (2340, 1824)))
        assert cost.source is not None
        assert (cost.source.total, cost.source.fits, cost.source.beyond) == (5000, False, False)
        last = cost.source.parts[-1]
        assert last.left + last.width == pytest.approx(100, abs=0.01)
        assert cost.source.limit == cost.sent.limit == pytest.approx(81.92, abs=0.01)
        assert cost.smaller == pytest.approx(2.009, abs=0.001)

    def test_what_is_far_too_much_is_drawn_to_the_edge(self) -> None:
        """Ten times the context does not make the plan's own bar a hair."""
        cost = cost_of(planned((7680, 4320), (896, 512), (40_000, 1824)))
        assert cost.source is not None
        assert cost.source.beyond
        assert max(part.left + part.width for part in cost.source.parts) <= 100.001
        assert cost.sent.limit > 50

    def test_frames_at_their_own_size_have_one_bar(self) -> None:
        """Nothing is set against it; what the engine counted stands beside what was foretold."""
        plan = planned((640, 480), (640, 480), (1230, 1230))
        cost = cost_of(plan, Tokens(predicted=2480, counted=2481, actual=2482))
        assert cost.source is None
        assert (cost.foretold, cost.said) == (2480, 2482)

    @pytest.mark.parametrize(
        ("source", "sent", "tokens", "words"),
        [
            ((1280, 720), (896, 512), (2340, 1824), "904 more than there are"),
            ((1280, 720), (1024, 576), (1800, 1800), "shrinks larger pictures to this by itself"),
            ((320, 180), (316, 176), (252, 231), "the size above fills whole patches"),
            ((640, 480), (320, 240), (1230, 320), "that would fit as well"),
            ((640, 480), (640, 480), (1230, 1230), "shown at the video's own size"),
        ],
    )
    def test_why_the_frames_have_their_size_is_said(
        self, source: tuple[int, int], sent: tuple[int, int], tokens: tuple[int, int], words: str
    ) -> None:
        """Too large, shrunk by the model itself, cut to whole patches, asked for, or as it is."""
        told = html("_cost.html", cost=cost_of(planned(source, sent, tokens)))
        assert words in " ".join(told.replace("&#39;", "'").split())


class TestSessions:
    """A cookie that stands for a key."""

    def test_a_session_is_its_owners_until_it_ends(self) -> None:
        """Then it is nobody's."""
        now = [1_000_000.0]
        sessions = Sessions(lambda: now[0])
        # Cookies of other servers on the same host come along, well formed or not.
        cookies = f'other={{"a": [1]}}; =; {COOKIE}={sessions.issue("abc")}; more=2'
        assert sessions.owner(cookies) == "abc"
        now[0] += SESSION_SECONDS - 1
        assert sessions.owner(cookies) == "abc"
        now[0] += 2
        assert sessions.owner(cookies) is None

    def test_what_was_not_given_here_is_worth_nothing(self) -> None:
        """Another process, another owner, a later end, or nonsense."""
        sessions = Sessions()
        value = sessions.issue("abc")
        owner, until, mac = value.split(".")
        assert Sessions().owner(f"{COOKIE}={value}") is None
        for forged in (
            f"abd.{until}.{mac}",
            f"{owner}.{int(until) + 1}.{mac}",
            f"{owner}.{until}.{mac[:-1]}",
            f"{owner}.{until}.",
            mac,
            "..",
            "",
        ):
            assert sessions.owner(f"{COOKIE}={forged}") is None

    @given(st.text(max_size=60))
    def test_no_cookie_breaks_it(self, cookies: str) -> None:
        """Whatever a browser sends is an owner or none."""
        assert Sessions().owner(cookies) is None
        assert Sessions().owner(f"{COOKIE}={cookies}") is None

    def test_the_door_opens_for_a_key_or_a_session(self) -> None:
        """A key is looked at first, a session works beside it, and neither opens nothing."""
        door = Door([KEY])
        owner = door.owner({"x-api-key": KEY})
        assert owner
        cookie = {"cookie": f"{COOKIE}={door.sessions.issue(owner)}"}
        assert door.owner(cookie) == owner
        assert door.owner({**cookie, "authorization": "Bearer wrong"}) == owner
        assert door.owner({"cookie": f"{COOKIE}=x"}) is None
        assert Door([]).owner(cookie) == ""

    @pytest.mark.parametrize(
        ("wanted", "given"),
        [
            ("/history?q=cup", "/history?q=cup"),
            ("//elsewhere.example/", "/"),
            ("/\\elsewhere.example", "/"),
            ("https://elsewhere.example/", "/"),
            ("/a\r\nSet-Cookie: x", "/"),
        ],
    )
    def test_the_way_in_leads_nowhere_else(self, wanted: str, given: str) -> None:
        """After the key comes an address of this page, whatever the form said."""
        assert entrance._ours(wanted) == given

    def test_little_is_open_before_the_key(self) -> None:
        """The tabs, which then ask for it; the form; the files of the page. No data."""
        open_paths = OPEN_PATHS | views.PATHS | entrance.PATHS | assets.PATHS
        data = [path for path in open_paths if not path.startswith("/page/static/")]
        assert sorted(data) == [
            "/",
            "/batch",
            "/compare",
            "/healthz",
            "/history",
            "/openapi.json",
            "/page/enter",
            "/readyz",
        ]


class TestFiles:
    """What is shipped, and what is kept."""

    def test_third_party_files_are_what_their_notice_says(self) -> None:
        """Each has its sum, its version and its licence, and nothing else lies beside them."""
        folder = Path(assets.__file__).parent / "static" / "vendor"
        notice = (folder / "NOTICE.txt").read_text()
        entry = r"(?ms)^(\S+\.(?:js|woff2))$.*?\((LICENSE\S+)\).*?sha256: (\w+)"
        named = re.findall(entry, notice)
        assert len(named) == 4
        for name, licence, digest in named:
            assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
            assert (folder / licence).stat().st_size > 100
        listed = {"NOTICE.txt", *(one[0] for one in named), *(one[1] for one in named)}
        assert {path.name for path in folder.iterdir()} == listed

    def test_addresses_change_with_the_content(self) -> None:
        """The version in an address is of the very bytes, so that it can be kept for a year."""
        path = Path(assets.__file__).parent / "static" / "page.css"
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        assert assets.address("page.css") == f"/page/static/page.css?v={digest}"

    def test_the_page_names_no_other_host(self) -> None:
        """No address of another host is in what we wrote, apart from namespaces of SVG."""
        root = Path(assets.__file__).parent
        ours = [*root.glob("templates/*.html"), *root.glob("static/*.*")]
        assert len(ours) > 15
        for path in ours:
            found = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text())
            assert set(found) <= {"http://www.w3.org"}, path.name

    def test_no_template_has_script_or_style_of_its_own(self) -> None:
        """The policy would refuse them: inline scripts, styles and handlers."""
        root = Path(assets.__file__).parent / "templates"
        for path in root.glob("*.html"):
            text = path.read_text()
            assert not re.search(r"\sstyle=|<style|\son\w+=|hx-on|javascript:|\|\s*safe", text), (
                path
            )
            assert not re.search(r"<script(?![^>]*\ssrc=)", text), path.name

    def test_thumbnails_outlive_their_videos(self, tmp_path: Path) -> None:
        """They are small, kept by content, and a second does not replace the first."""
        thumbnails = Thumbnails(tmp_path / "thumbs")
        picture = encode(np.zeros((720, 1280, 3), np.uint8), "webp", side=THUMB_SIDE)
        assert thumbnails.get("sha256:1") is None
        asyncio.run(thumbnails.keep("sha256:1", picture))
        asyncio.run(thumbnails.keep("sha256:1", b"another"))
        assert thumbnails.get("sha256:1") == picture
        assert thumbnails.get("sha256:2") is None
        assert thumbnails.get("../../etc/passwd") is None

    def test_pictures_keep_their_pixels_where_they_should(self) -> None:
        """PNG has the very pixels."""
        from io import BytesIO

        from PIL import Image

        image = np.random.default_rng(1).integers(0, 256, (18, 32, 3), np.uint8)
        back = np.asarray(Image.open(BytesIO(encode(image, "png"))))
        assert np.array_equal(back, image)
        assert Image.open(BytesIO(encode(image, "webp", side=16))).size == (16, 9)

    def test_lists_of_batches_are_their_owners(self, tmp_path: Path) -> None:
        """The newest first; another key's, a damaged one and a made-up id are not there."""
        store = BatchStore(tmp_path / "batches")
        assert store.newest("me", 5) == []
        rows = [BatchRow(number=1, video="a.mp4", prompt=EVIL, job="0" * 32)]
        first = asyncio.run(store.keep("me", "first", rows))
        other = asyncio.run(store.keep("you", "other", rows))
        last = asyncio.run(store.keep("me", "last", rows))
        assert [one.name for one in store.newest("me", 5)] == ["last", "first"]
        assert [one.name for one in store.newest("me", 1)] == ["last"]
        assert store.get(first.id, "me").rows == tuple(rows)
        (tmp_path / "batches" / f"{last.id}.json").write_text("{")
        for batch_id in (other.id, last.id, "../batches/" + first.id, "0" * 32):
            with pytest.raises(Refusal):
                store.get(batch_id, "me")


class TestForms:
    """What a form asks for."""

    def test_every_field_of_a_form_is_one_of_the_api(self) -> None:
        """And what the API has besides is not for a form: a path, the key of an answer."""
        known = set(UpsampleAsked.model_fields)
        assert set(FIELDS) <= known
        assert known - set(FIELDS) == {"path", "fresh", "deadline", "controls", "on_reject"}

    def test_texts_become_values(self) -> None:
        """As a browser sends them."""
        asked = asked_of(
            {"upload_id": "0" * 32, "frames": "3", "exact": "true", "size": "640x360", "x": "y"}
        )
        assert (asked.frames, asked.exact, asked.size) == (3, True, "640x360")

    def test_what_does_not_fit_is_named(self) -> None:
        """By its field, with what would fit; and no video is no video."""
        with pytest.raises(Refusal, match="frames: Input should be less than or equal to 64"):
            asked_of({"upload_id": "0" * 32, "frames": "99"})
        with pytest.raises(Refusal, match="there is no video yet"):
            asked_of({"prompt": "x"})

    def test_another_seed_is_another(self) -> None:
        """Everything else stays, and an answer that is known for it may stand."""
        asked = UpsampleAsked(upload_id="0" * 32, prompt="x", seed=7, fresh=True)
        other = another_seed(asked)
        assert other.seed != 7
        assert other.model_copy(update={"seed": 7, "fresh": True}) == asked
        assert not other.fresh

    def test_templates_escape_whatever_they_are_given(self) -> None:
        """A name and a prompt with markup are text in every fragment that shows them."""
        clip = {"id": "0" * 32, "name": EVIL, "about": EVIL}
        made = html("_clip.html", clip=clip, suggestion=EVIL)
        assert "<script" not in made
        assert "onerror='" not in made
        both = pair(EVIL, EVIL)
        told = html("_text.html", said={"text": EVIL})
        assert "<script" not in told
        assert "".join(piece.text for piece in both.long) == EVIL


def record(target: str, kind: str | None = None, name: str = "my clip.mp4") -> Record:
    """A record of a video that is of that kind."""
    facts = TypeAdapter(Facts).validate_python(
        {"kind": {"value": kind, "confidence": 0.9}} if kind else {}
    )
    return Record(
        status="ok",
        video=Video(name=name),
        short_prompt="x",
        prompt="A long prompt.",
        target=target,
        facts=facts,
        promptlift="0",
    )


class TestSpecs:
    """Specs that Cosmos reads."""

    @pytest.mark.parametrize("target", [name for name in TARGETS if has_spec(name)])
    @pytest.mark.parametrize("kind", [None, "rgb", "edge", "depth", "seg", "blur", "lines"])
    def test_a_spec_is_read_back_as_what_it_is(
        self, tmp_path: Path, target: str, kind: str | None
    ) -> None:
        """Its format is told from its keys alone, and prompt and video are found in it."""
        path = tmp_path / "spec.json"
        path.write_text(json.dumps(spec_of(record(target, kind), "Ein Fluß.")))
        spec = read_spec(path)
        assert spec.format.target == target
        assert spec.warnings == ()
        (item,) = spec.items
        assert getattr(item, "prompt", None) == "Ein Fluß."
        assert getattr(item, "video", None) == "my clip.mp4"

    def test_a_control_video_is_what_the_generator_follows(self) -> None:
        """A depth video is given as depth, a blurred one under the name that Cosmos has for it."""
        assert spec_of(record("cosmos-transfer1", "depth"), "x")["depth"] == {
            "input_control": "my clip.mp4",
            "control_weight": 1.0,
        }
        assert spec_of(record("cosmos-transfer2.5", "blur"), "x")["vis"] == {
            "control_path": "my clip.mp4",
            "control_weight": 1.0,
        }
        assert "input_control" not in spec_of(record("cosmos-transfer1", "rgb"), "x")["edge"]

    def test_other_generators_have_no_spec(self) -> None:
        """And it is said what to do instead."""
        for target in set(TARGETS) - {name for name in TARGETS if has_spec(name)}:
            with pytest.raises(Refusal, match="no spec file that is known here"):
                spec_of(record(target), "x")

"""The door, the rates, the paths, and what messages do not say."""

from __future__ import annotations

import hmac
import socket
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptlift.errors import (
    BudgetError,
    ConfigEngineError,
    EngineBusy,
    ItemEngineError,
    OptionError,
    OutputError,
    PromptliftError,
    TransientEngineError,
    VideoNotFound,
    VideoTimeout,
)
from promptlift.server import security
from promptlift.server.errors import (
    Refusal,
    failure_of,
    hide,
    status_of,
    status_of_code,
    without_paths,
)
from promptlift.server.limits import Rates
from promptlift.server.paths import AllowedPaths, content_of
from promptlift.server.security import Door
from promptlift.server.serving import listening
from promptlift.server.settings import Settings, is_loopback

KEYS = ("first-key-of-the-door", "second-key-of-the-door")


class TestDoor:
    """Keys, compared by digest and in constant time."""

    def test_each_key_opens_and_has_its_own_name(self) -> None:
        """The name says nothing of the key, and is the same every time."""
        door = Door(KEYS)
        owners = [door.owner({"authorization": f"Bearer {key}"}) for key in KEYS]
        assert None not in owners
        assert owners[0] != owners[1]
        assert owners == [Door(KEYS[::-1]).owner({"x-api-key": key}) for key in KEYS]
        assert not any(key[:6] in str(owner) for key, owner in zip(KEYS, owners, strict=True))

    def test_without_keys_it_stands_open(self) -> None:
        """Whatever is sent."""
        assert Door(()).owner({}) == ""
        assert Door(()).owner({"x-api-key": "anything"}) == ""

    @given(st.text())
    def test_nothing_else_opens(self, said: str) -> None:
        """No text but a key."""
        door = Door(KEYS)
        for headers in ({"authorization": f"Bearer {said}"}, {"x-api-key": said}):
            assert (door.owner(headers) is not None) == (
                said in KEYS or (said.strip() in KEYS and "authorization" in headers)
            )

    def test_every_key_is_compared_every_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """All of them, by `hmac.compare_digest`, whichever fits: the time tells nothing."""
        compared: list[tuple[bytes, bytes]] = []

        def counting(one: bytes, other: bytes) -> bool:
            compared.append((one, other))
            return hmac.compare_digest(one, other)

        class Spy:
            compare_digest = staticmethod(counting)

        monkeypatch.setattr(security, "hmac", Spy)
        door = Door(KEYS)
        for key in (*KEYS, "neither"):
            compared.clear()
            door.owner({"x-api-key": key})
            assert len(compared) == 2
            assert {len(digest) for pair in compared for digest in pair} == {32}


class TestRates:
    """So many a second, and ten seconds' worth at once."""

    def test_a_burst_and_then_the_rate(self) -> None:
        """Each client has its own bucket, which fills again with time."""
        now = [0.0]
        rates = Rates(2.0, lambda: now[0])
        assert [rates.take("a") for _ in range(20)] == [0.0] * 20
        assert rates.take("a") == pytest.approx(0.5)
        assert rates.take("b") == 0.0
        now[0] = 1.0
        assert [rates.take("a") for _ in range(2)] == [0.0, 0.0]
        assert rates.take("a") > 0

    def test_zero_is_no_limit(self) -> None:
        """As the option says."""
        rates = Rates(0)
        assert {rates.take("a") for _ in range(10_000)} == {0.0}

    def test_memory_is_bounded(self) -> None:
        """A flood of addresses is forgotten, the oldest first."""
        rates = Rates(1.0, lambda: 0.0)
        for _ in range(10):
            rates.take("victim")
        assert rates.take("victim") > 0
        for number in range(20_000):
            rates.take(str(number))
        assert rates.take("victim") == 0.0


class TestPaths:
    """Files below the allowed folders."""

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        """A folder with a file, a neighbour whose name begins alike, and links."""
        for name in ("allowed/in", "allowed-not", "other"):
            (tmp_path / name).mkdir(parents=True)
        for name in ("allowed/a.mp4", "allowed/in/b.mp4", "allowed-not/c.mp4", "other/d.mp4"):
            (tmp_path / name).write_bytes(b"x")
        (tmp_path / "allowed/out").symlink_to(tmp_path / "other")
        (tmp_path / "allowed/back").symlink_to(tmp_path / "allowed/in/b.mp4")
        (tmp_path / "allowed/loop").symlink_to(tmp_path / "allowed/loop")
        return tmp_path

    def test_what_is_inside_is_found(self, tree: Path) -> None:
        """Relative, absolute, through a link that stays inside, in either folder."""
        paths = AllowedPaths([tree / "allowed", tree / "other"])
        for named, found in (
            ("a.mp4", "allowed/a.mp4"),
            ("in/../in/b.mp4", "allowed/in/b.mp4"),
            ("back", "allowed/in/b.mp4"),
            (str(tree / "other/d.mp4"), "other/d.mp4"),
            ("out/d.mp4", "other/d.mp4"),
        ):
            assert paths.resolve(named) == tree / found

    @pytest.mark.parametrize(
        "named",
        [
            "../allowed-not/c.mp4",
            "out/d.mp4",
            "loop",
            "in",
            "",
            ".",
            "..",
            "none",
            "a\0",
            "a.mp4/x",
        ],
    )
    def test_what_is_not_has_one_answer(self, tree: Path, named: str) -> None:
        """A neighbour, a link out, a loop, a folder, nothing."""
        with pytest.raises(Refusal) as caught:
            AllowedPaths([tree / "allowed"]).resolve(named)
        assert (caught.value.status_code, caught.value.failure.code) == (404, "path_not_found")
        said = "there is no such file below the folders that are allowed"
        assert caught.value.detail == said

    def test_no_folder_no_path(self, tree: Path) -> None:
        """Whatever is named."""
        with pytest.raises(Refusal) as caught:
            AllowedPaths([]).resolve(str(tree / "allowed/a.mp4"))
        assert caught.value.status_code == 403

    def test_content_is_named_as_the_pipeline_names_it(self, tree: Path) -> None:
        """So that the key told beforehand is the key of the record."""
        digest = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881"
        assert content_of(tree / "allowed/a.mp4") == f"sha256:{digest}"
        with pytest.raises(VideoNotFound):
            content_of(tree / "allowed/none")


class TestMessages:
    """Errors as a client may see them."""

    def test_paths_are_taken_out(self, tmp_path: Path) -> None:
        """The video's own becomes "the video"; others that exist here are hidden as well."""
        video = tmp_path / "uploads" / "0123"
        error = VideoTimeout(f"{video}: it hangs", remedy=f"look at {tmp_path}/log, then ask")
        failure = failure_of(error, video)
        assert failure.message == "the video: it hangs"
        assert failure.remedy == "look at (a file of the server), then ask"
        assert type(without_paths(error, video)) is VideoTimeout

    @pytest.mark.parametrize(
        ("text", "hidden"),
        [
            ("read its log, '/usr/lib/engine.log'", "read its log, '(a file of the server)'"),
            ("cannot open /etc/passwd: no", "cannot open (a file of the server): no"),
            ("http://localhost:8000/v1/models is down", "http://localhost:8000/v1/models is down"),
            ("the server has no /v1/models", "the server has no /v1/models"),
            ("2 and/or 3 of 4/5", "2 and/or 3 of 4/5"),
            ("application/json", "application/json"),
        ],
    )
    def test_only_paths_are(self, text: str, hidden: str) -> None:
        """Addresses, routes and fractions are left as they are."""
        assert hide(text) == hidden

    @pytest.mark.parametrize(
        ("cls", "status"),
        [
            *((BudgetError, 422), (OptionError, 422), (VideoTimeout, 422), (VideoNotFound, 404)),
            *((OutputError, 507), (TransientEngineError, 503), (EngineBusy, 503)),
            *((ConfigEngineError, 503), (ItemEngineError, 502)),
        ],
    )
    def test_each_error_has_its_status(self, cls: type[PromptliftError], status: int) -> None:
        """As raised, and as only its code is known from the journal."""
        assert status_of(cls("a", remedy="b")) == status
        assert status_of_code(cls.code) == status

    def test_codes_of_the_server_have_theirs(self) -> None:
        """And an unknown one is ours to answer for."""
        assert status_of_code("deadline") == 504
        assert status_of_code("cancelled") == 410
        assert status_of_code("internal") == 500


class TestSettings:
    """What it refuses to start with."""

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"host": "0.0.0.0"}, "--insecure-no-auth"),
            ({"host": "gpu-box"}, "--api-key-file"),
            ({"keys": ("short",)}, "5 characters"),
            ({"allow_paths": (Path("/no/such/folder"),)}, "no folder"),
        ],
    )
    def test_mistakes(self, tmp_path: Path, settings: dict[str, Any], words: str) -> None:
        """With what to do, and without the key."""
        with pytest.raises(OptionError, match=words) as caught:
            Settings(data=tmp_path, **settings)
        assert "short" not in str(caught.value)

    def test_what_is_allowed(self, tmp_path: Path) -> None:
        """A key, or the words for none; names are checked where there is no key."""
        assert not Settings(data=tmp_path, host="0.0.0.0", keys=KEYS).checks_hosts
        assert Settings(data=tmp_path, host="0.0.0.0", insecure_no_auth=True).checks_hosts
        assert KEYS[0] not in repr(Settings(data=tmp_path, keys=KEYS))

    def test_loopback(self) -> None:
        """All of 127, ::1 and the name; nothing that only looks like it."""
        assert all(map(is_loopback, ("127.0.0.1", "127.8.9.1", "::1", "localhost")))
        assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.evil", "")))


def test_answers_are_sent_without_delay(tmp_path: Path) -> None:
    """Asyncio sends at once on sockets that say they are TCP; others wait for acknowledgements."""
    with listening(Settings(data=tmp_path, port=0)) as listener:
        assert listener.proto == socket.IPPROTO_TCP
        with pytest.raises(OptionError, match="--port"):
            listening(Settings(data=tmp_path, port=listener.getsockname()[1]))

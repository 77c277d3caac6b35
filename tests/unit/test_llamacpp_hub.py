"""Files of the hub, fetched by the real huggingface_hub from a stub on loopback.

The hub itself is not asked by any test.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptlift.engines.llamacpp.hub import _refused, locate
from promptlift.errors import ConfigEngineError, TransientEngineError
from stubs.gguf_models import SENTENCE, pair
from stubs.hub import COMMIT, StubHub

errors = pytest.importorskip("huggingface_hub.errors", exc_type=ImportError)

REPO = "acme/tiny-gguf"
FILE = "model-Q4_K_M.gguf"
WHERE = f"{REPO}/{FILE}"
# The hub's client writes by 10 MiB, so that what is shorter is begun again and not gone on with.
CONTENT = bytes(range(256)) * 2**16
_CUT = 11 * 2**20

_LOCATE = """
import json, sys
from promptlift.engines.llamacpp.hub import locate
from promptlift.errors import EngineError
for name in sys.argv[1:]:
    try:
        print(json.dumps(["path", str(locate(name))]))
    except EngineError as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""

_ANSWER = """
import asyncio, sys
from promptlift.engines.base import Request
from promptlift.engines.llamacpp import LlamaCppEngine

async def main():
    engine = LlamaCppEngine(*sys.argv[1:], threads=1)
    print((await engine.complete(Request("hi", ()))).text)
    await engine.close()

asyncio.run(main())
"""


@pytest.fixture
def hub() -> Iterator[StubHub]:
    """A hub with one file."""
    served = StubHub({WHERE: CONTENT}).start()
    yield served
    served.stop()


def child(hub: StubHub, cache: Path, script: str, *names: str, **extra: str) -> list[str]:
    """Lines that a fresh process prints whose hub is the stub; the hub's variables are its own."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    variables = {"HF_ENDPOINT": hub.address, "HF_HOME": str(cache), "NO_PROXY": "*", **extra}
    done = subprocess.run(
        [sys.executable, "-c", script, *names],
        env=own | variables,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def located(hub: StubHub, cache: Path, *names: str, **extra: str) -> list[tuple[str, str]]:
    """What each name leads to: a path, or an error's class and text."""
    return [tuple(json.loads(line)) for line in child(hub, cache, _LOCATE, *names, **extra)]


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    """Whatever is not named as a file of the hub is a path, and is not looked for here."""
    assert locate(tmp_path / "model.gguf") == tmp_path / "model.gguf"
    assert locate("models/tiny.gguf") == Path("models/tiny.gguf")
    assert locate("~/tiny.gguf") == Path.home() / "tiny.gguf"
    assert locate("acme/tiny-gguf") == Path("acme/tiny-gguf")


@pytest.mark.parametrize(
    "name",
    [
        "hub:",
        "hub:tiny.gguf",
        "hub:acme/tiny",
        "hub:acme/tiny:",
        "hub:acme/tiny:README.md",
        "hub:a/b/c:tiny.gguf",
        "hub:acme tools/tiny:tiny.gguf",
    ],
)
def test_a_name_that_makes_no_sense_is_refused(name: str) -> None:
    """Nothing is asked of anybody; the error shows how to write it."""
    with pytest.raises(ConfigEngineError, match="hub:OWNER/REPO:FILE"):
        locate(name)


def test_a_file_is_fetched_once(hub: StubHub, tmp_path: Path) -> None:
    """It lies in the hub's own cache, whole, and the next process only asks whether it is new."""
    ((kind, path),) = located(hub, tmp_path, f"hub:{REPO}:{FILE}")
    assert kind == "path"
    assert Path(path).read_bytes() == CONTENT
    assert Path(path).is_relative_to(tmp_path)
    assert COMMIT in path
    hub.asked.clear()
    assert located(hub, tmp_path, f"hub:{REPO}:{FILE}") == [("path", path)]
    assert [method for method, name, _ in hub.asked if name == WHERE] == ["HEAD"]


def test_a_fetch_that_was_cut_off_goes_on(hub: StubHub, tmp_path: Path) -> None:
    """After a broken line only what is missing is asked for, and the file is whole."""
    hub.cut[WHERE] = _CUT
    outcomes = located(hub, tmp_path, *2 * (f"hub:{REPO}:{FILE}",))
    kind, path = outcomes[-1]
    assert kind == "path"
    assert Path(path).read_bytes() == CONTENT
    starts = [start for method, name, start in hub.asked if (method, name) == ("GET", WHERE)]
    assert starts[0] == 0
    assert 0 < starts[1] <= _CUT


def test_all_parts_of_a_model_are_fetched(hub: StubHub, tmp_path: Path) -> None:
    """A model in parts is named by the first, and the others lie beside it."""
    names = [f"big-{part:05}-of-00003.gguf" for part in (1, 2, 3)]
    hub.files |= {f"{REPO}/{name}": name.encode() for name in names}
    ((kind, path),) = located(hub, tmp_path, f"hub:{REPO}:{names[0]}")
    assert kind == "path"
    assert Path(path).name == names[0]
    assert sorted(each.name for each in Path(path).parent.iterdir()) == names


def test_a_file_that_is_not_there_is_a_fault_of_the_settings(hub: StubHub, tmp_path: Path) -> None:
    """No such file, no such repository, or one that is not given to everybody: each is told."""
    hub.errors = {
        "acme/secret/x.gguf": (401, "RepoNotFound"),
        "acme/gated/x.gguf": (403, "GatedRepo"),
    }
    file, secret, gated = located(
        hub, tmp_path, f"hub:{REPO}:no.gguf", "hub:acme/secret:x.gguf", "hub:acme/gated:x.gguf"
    )
    assert file[0] == secret[0] == gated[0] == "ConfigEngineError"
    assert f"{REPO} has no file no.gguf" in file[1]
    assert "no repository acme/secret" in secret[1]
    assert "accept its terms" in gated[1].lower()


def test_a_hub_that_does_not_answer_may_answer_later(hub: StubHub, tmp_path: Path) -> None:
    """Where nobody may be asked, and nothing was fetched before, it is no fault of the settings."""
    ((kind, text),) = located(hub, tmp_path, f"hub:{REPO}:{FILE}", HF_HUB_OFFLINE="1")
    assert kind == "TransientEngineError"
    assert "does not answer" in text
    assert hub.asked == []


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.LocalEntryNotFoundError("nobody there"), "does not answer"),
        (OSError(28, "No space left on device"), "could not be fetched (No space left on device)"),
        (ConnectionResetError(), "could not be fetched (ConnectionResetError)"),
    ],
)
def test_what_may_pass_is_told_by_its_class(error: Exception, words: str) -> None:
    """A dead line, a hub that is down and a full disk are told, and may be tried again.

    The hub's own client waits for half a minute before it gives a dead hub up.
    """
    told = _refused(REPO, FILE, error)
    assert type(told) is TransientEngineError
    assert words in str(told)


def test_what_was_fetched_is_there_offline(hub: StubHub, tmp_path: Path) -> None:
    """Once fetched, a file is found without the hub."""
    name = f"hub:{REPO}:{FILE}"
    fetched = located(hub, tmp_path, name)
    hub.asked.clear()
    assert located(hub, tmp_path, name, HF_HUB_OFFLINE="1") == fetched
    assert hub.asked == []


def test_a_model_of_the_hub_answers(hub: StubHub, tmp_path: Path) -> None:
    """Model and projector are fetched when the engine is first asked, and then run."""
    pytest.importorskip("xllamacpp", exc_type=ImportError)
    made = pair()
    for path in (made.model, made.mmproj):
        hub.files[f"{REPO}/gguf/{path.name}"] = path.read_bytes()
    names = [f"hub:{REPO}:gguf/{path.name}" for path in (made.model, made.mmproj)]
    assert child(hub, tmp_path, _ANSWER, *names) == [SENTENCE]


def test_without_huggingface_hub_the_error_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The package is only needed where a file of the hub is named."""
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigEngineError, match="pip install huggingface_hub"):
        locate(f"hub:{REPO}:{FILE}")

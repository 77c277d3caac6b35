"""GGUF files: what their heads say, whether two belong together, and the hub that has them.

Files of the hub are fetched by the real huggingface_hub from a stub on loopback; the hub itself is
not asked by any test.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import gguf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.engines.llamacpp.gguf import inspect_model, locate, read_gguf
from promptlift.errors import ConfigEngineError
from promptlift.tokens import family as token_family
from stubs.gguf_models import Pair, pair, write_model, write_projector
from stubs.hub import StubHub


@pytest.fixture(scope="module")
def files() -> Pair:
    """A model and its projector."""
    return pair()


# ---- heads


def test_the_head_says_what_gguf_py_says(tmp_path: Path, files: Pair) -> None:
    """Every single value, of any type, and every shape is as the format's own library reads it."""
    typed = tmp_path / "values.gguf"
    writer = gguf.GGUFWriter(typed, "llama")
    for name, number in (("uint8", 200), ("int8", -100), ("uint16", 60_000), ("int16", -30_000)):
        getattr(writer, f"add_{name}")(name, number)
    for name, number in (("uint32", 4 * 10**9), ("int32", -(2**31)), ("uint64", 2**63)):
        getattr(writer, f"add_{name}")(name, number)
    writer.add_int64("int64", -(2**62))
    writer.add_float32("float32", 0.5)
    writer.add_float64("float64", 0.1)
    writer.add_bool("yes", True)
    writer.add_string("text", " größer ")
    writer.add_array("names", ["one", "two"])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    for path in (typed, files.model, files.mmproj):
        ours, theirs = read_gguf(path), gguf.GGUFReader(path)
        for key, field in theirs.fields.items():
            if field.types and field.types[0] == gguf.GGUFValueType.ARRAY:
                assert key not in ours
            elif not key.startswith("GGUF."):
                assert ours[key] == pytest.approx(field.contents())


def _refused(model: Path, mmproj: Path) -> str:
    with pytest.raises(ConfigEngineError) as caught:
        inspect_model(model, mmproj)
    return str(caught.value)


def test_what_is_no_gguf_file_is_named(tmp_path: Path, files: Pair) -> None:
    """Other content, other versions and odd heads are each told apart."""
    path = tmp_path / "odd.gguf"
    whole = files.mmproj.read_bytes()
    one_field = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
    for content, words in (
        (b"<html>not found</html>", "is not a GGUF file. Download it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"GGUF", "cut off"),
        (whole[:200], "cut off"),
        (b"GGUF" + struct.pack("<I", 9) + whole[8:], "version 9"),
        (one_field + struct.pack("<IIQ", 9, 9, 1), "list of the unknown type 9"),
        (one_field + struct.pack("<I", 77), "unknown type 77"),
    ):
        path.write_bytes(content)
        assert words in _refused(path, files.mmproj)
    absent = tmp_path / "absent.gguf"
    assert f"model {str(absent)!r} does not exist" in _refused(absent, files.mmproj)
    assert "is a folder" in _refused(tmp_path, files.mmproj)


@settings(max_examples=100, deadline=None)
@given(at=st.integers(8, 6000), byte=st.integers(0, 255))
def test_a_wrong_byte_never_crashes_the_reader(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    """A head with one byte changed is read, or refused; nothing else happens."""
    content = bytearray(pair().mmproj.read_bytes())
    content[at] = byte
    path = tmp_path_factory.getbasetemp() / "flipped.gguf"
    path.write_bytes(content)
    with contextlib.suppress(ValueError):
        read_gguf(path)


# ---- a model and its projector


def test_a_pair_is_described_by_its_files(tmp_path: Path, files: Pair) -> None:
    """Name, training context, revision and family come from the files; nothing is loaded."""
    model = inspect_model(files.model, files.mmproj)
    assert (model.name, model.architecture) == ("Tiny Pixtral", "llama")
    assert (model.trained_context, model.family) == (4096, "pixtral")
    assert model.image_tokens == (1024 // 16) ** 2
    digests = [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (files.model, files.mmproj)
    ]
    assert model.revision == "+".join(f"sha256:{digest}" for digest in digests)
    nameless = tmp_path / "SmolVLM-Q4.gguf"
    write_model(nameless, name="")
    assert inspect_model(nameless, files.mmproj).name == "SmolVLM-Q4"


def test_files_in_each_others_place_are_refused(tmp_path: Path, files: Pair) -> None:
    """A projector given as the model, a model as the projector, and things that are neither."""
    assert "not a model's" in _refused(files.mmproj, files.model)
    assert "is not a projector that takes pictures" in _refused(files.model, files.model)
    deaf = tmp_path / "audio.gguf"
    write_projector(deaf, fields={"clip.has_vision_encoder": False})
    assert "is not a projector that takes pictures" in _refused(files.model, deaf)


def test_a_model_in_parts_needs_all_of_them(tmp_path: Path, files: Pair) -> None:
    """The first part leads to the others, and all contents are in the revision."""
    write_model(tmp_path / "big.gguf", tensors_a_part=5)
    first, _, last = sorted(tmp_path.iterdir())
    revision = inspect_model(first, files.mmproj).revision
    assert revision.count("sha256:") == 4
    assert hashlib.sha256(last.read_bytes()).hexdigest() in revision
    last.unlink()
    assert f"{last.name} is missing" in _refused(first, files.mmproj)


@pytest.mark.parametrize(
    ("projector", "name", "family"),
    [
        ("pixtral", "Tiny", "pixtral"),
        ("pixtral", "Mistral-Small-3.1 24B", "mistral-small"),
        ("pixtral", "A finetune of Qwen3-VL", "pixtral"),
        ("qwen2.5vl_merger", "Cosmos Reason1 7B", "cosmos-reason1"),
        ("idefics3", "SmolVLM2 256M Video Instruct", "smolvlm2-small"),
        ("idefics3", "SmolVLM2 2.2B Instruct", "smolvlm2"),
        ("internvl", "InternVL3 8B", "unknown"),
    ],
)
def test_the_family_goes_by_projector_and_name(
    tmp_path: Path, projector: str, name: str, family: str
) -> None:
    """The projector's type decides; the name tells apart the models that share it."""
    write_model(tmp_path / "model.gguf", name=name)
    write_projector(tmp_path / "mmproj.gguf", fields={"clip.projector_type": projector})
    model = inspect_model(tmp_path / "model.gguf", tmp_path / "mmproj.gguf")
    assert model.family == family
    assert family == "unknown" or token_family(family).name == family
    assert (model.image_tokens is not None) == (projector == "pixtral")


# ---- the hub

REPO = "acme/tiny-gguf"
FILE = "model-Q4_K_M.gguf"
NAME = f"hub:{REPO}:{FILE}"

_LOCATE = """
import json, sys
from promptlift.engines.llamacpp.gguf import locate
from promptlift.errors import EngineError
for name in sys.argv[1:]:
    try:
        print(json.dumps(["path", str(locate(name))]))
    except EngineError as error:
        print(json.dumps([type(error).__name__, str(error)]))
"""


def test_what_is_no_file_of_the_hub(tmp_path: Path) -> None:
    """A path is taken as it is; a name of the hub that makes no sense is refused."""
    assert locate(tmp_path / "model.gguf") == tmp_path / "model.gguf"
    assert locate("~/tiny.gguf") == Path.home() / "tiny.gguf"
    for name in ("hub:", "hub:acme/tiny", "hub:acme/tiny:README.md", "hub:a/b/c:t.gguf"):
        with pytest.raises(ConfigEngineError, match="hub:OWNER/REPO:FILE"):
            locate(name)


def test_files_of_the_hub(tmp_path: Path) -> None:
    """A file is fetched once, into the hub's own cache; what cannot be had is one error."""
    pytest.importorskip("huggingface_hub", exc_type=ImportError)
    hub = StubHub({f"{REPO}/{FILE}": b"content"}).start()
    hub.errors = {
        "acme/secret/x.gguf": (401, "RepoNotFound"),
        "acme/gated/x.gguf": (403, "GatedRepo"),
    }
    own = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
    own |= {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path), "NO_PROXY": "*"}

    def located(*names: str, **extra: str) -> list[list[str]]:
        """What each name leads to in a fresh process: a path, or an error's class and text."""
        command = [sys.executable, "-c", _LOCATE, *names]
        done = subprocess.run(command, env=own | extra, capture_output=True, text=True, check=True)
        return [json.loads(line) for line in done.stdout.splitlines()]

    try:
        absent = f"hub:{REPO}:no.gguf"
        found, *refused = located(NAME, absent, "hub:acme/secret:x.gguf", "hub:acme/gated:x.gguf")
        assert found[0] == "path"
        assert Path(found[1]).read_bytes() == b"content"
        assert Path(found[1]).is_relative_to(tmp_path)
        for kind, text in refused:
            assert kind == "ConfigEngineError"
            assert "does not give it to everybody" in text
        hub.asked.clear()
        cached, (kind, text) = located(NAME, "hub:acme/new:x.gguf", HF_HUB_OFFLINE="1")
        assert cached == found
        assert (kind, "cannot be fetched" in text) == ("TransientEngineError", True)
        assert hub.asked == []
    finally:
        hub.stop()

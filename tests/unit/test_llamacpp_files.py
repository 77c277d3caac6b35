"""Reading the head of GGUF files, and checking that a model and a projector belong together."""

from __future__ import annotations

import contextlib
import hashlib
import struct
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptlift.core.tokens import FAMILIES
from promptlift.engines.llamacpp.gguf import DamagedGguf, parts_of, read_gguf
from promptlift.engines.llamacpp.model import _FAMILIES, inspect_model
from promptlift.errors import ConfigEngineError
from promptlift.files import content_id
from stubs.gguf_models import WIDTH, Pair, pair, write_model, write_projector


@pytest.fixture(scope="module")
def files() -> Pair:
    """A model and its projector."""
    return pair()


def test_the_head_says_what_gguf_py_says(files: Pair) -> None:
    """Every single value and every tensor's shape is as the format's own library reads it."""
    for path in (files.model, files.mmproj):
        ours, theirs = read_gguf(path), gguf.GGUFReader(path)
        for key, field in theirs.fields.items():
            if key.startswith("GGUF."):
                continue
            if field.types[0] == gguf.GGUFValueType.ARRAY:
                assert key not in ours.fields
            else:
                assert ours.fields[key] == pytest.approx(field.contents())
        assert ours.shapes == {each.name: tuple(map(int, each.shape)) for each in theirs.tensors}
        assert ours.file_bytes == path.stat().st_size


def test_every_type_of_value_is_read(tmp_path: Path) -> None:
    """Numbers of every width and sign, truth values and text come back as they were written."""
    path = tmp_path / "values.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_uint8("u8", 200)
    writer.add_int8("i8", -100)
    writer.add_uint16("u16", 60_000)
    writer.add_int16("i16", -30_000)
    writer.add_uint32("u32", 4_000_000_000)
    writer.add_int32("i32", -2_000_000_000)
    writer.add_uint64("u64", 2**63)
    writer.add_int64("i64", -(2**62))
    writer.add_float32("f32", 0.5)
    writer.add_float64("f64", 0.1)
    writer.add_bool("yes", True)
    writer.add_string("text", " größer ")
    writer.add_array("names", ["one", "two"])
    writer.add_array("numbers", [1, 2, 3])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    read = read_gguf(path)
    numbers = {"u8": 200, "i8": -100, "u16": 60_000, "i16": -30_000, "u32": 4_000_000_000}
    longer = {"i32": -2_000_000_000, "u64": 2**63, "i64": -(2**62), "f32": 0.5, "f64": 0.1}
    others = {"general.architecture": "llama", "yes": True, "text": " größer "}
    assert read.fields == numbers | longer | others
    assert read.text("text") == "größer"
    assert read.text("u8") == read.text("absent") == ""
    assert read.number("u8") == 200
    assert read.number("i8") is read.number("yes") is read.number("text") is None


def _damaged(path: Path) -> str:
    with pytest.raises(DamagedGguf) as caught:
        read_gguf(path)
    return str(caught.value)


def test_what_is_no_gguf_file_is_named(tmp_path: Path, files: Pair) -> None:
    """Other content, other versions and the other byte order are each told apart."""
    path = tmp_path / "odd.gguf"
    start = files.model.read_bytes()[:4096]
    for content, words in (
        (b"", "not a GGUF"),
        (b"GGML" + bytes(100), "not a GGUF"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "Git LFS pointer"),
        (b"GGUF", "cut off"),
        (b"GGUF" + struct.pack("<I", 1) + start[8:], "version 1"),
        (b"GGUF" + struct.pack("<I", 9) + start[8:], "version 9"),
        (b"GGUF" + struct.pack(">I", 3) + start[8:], "big-endian"),
        (start[:200], "cut off"),
    ):
        path.write_bytes(content)
        assert words in _damaged(path)
    assert "cannot be read" in _damaged(tmp_path / "absent.gguf")
    assert "cannot be read" in _damaged(tmp_path)


def test_a_list_of_lists_without_end_is_refused(tmp_path: Path) -> None:
    """A head that would be read for ever, or with ever deeper recursion, is damaged."""
    path = tmp_path / "deep.gguf"
    nested = struct.pack("<IQ", 9, 1) * 500
    key = struct.pack("<Q", 1) + b"k"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + key + struct.pack("<I", 9) + nested)
    assert "without end" in _damaged(path)
    unknown = key + struct.pack("<I", 77)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + unknown)
    assert "unknown type 77" in _damaged(path)


def test_half_a_download_is_recognised(tmp_path: Path, files: Pair) -> None:
    """Wherever a file was cut before its last tensor, the head alone tells."""
    whole = files.mmproj.read_bytes()
    path = tmp_path / "half.gguf"
    last = max(each.data_offset for each in gguf.GGUFReader(files.mmproj).tensors)
    for size in [*range(0, 3000, 97), *range(3000, last, 10_007), last]:
        path.write_bytes(whole[:size])
        _damaged(path)
    path.write_bytes(whole[: last + 1])
    read_gguf(path)


@settings(max_examples=200, deadline=None)
@given(at=st.integers(8, 6000), byte=st.integers(0, 255))
def test_a_wrong_byte_never_crashes_the_reader(
    tmp_path_factory: pytest.TempPathFactory, at: int, byte: int
) -> None:
    """A head with one byte changed is read, or is damaged; nothing else happens."""
    content = bytearray(pair().mmproj.read_bytes())
    content[at] = byte
    path = tmp_path_factory.getbasetemp() / "flipped.gguf"
    path.write_bytes(content)
    with contextlib.suppress(DamagedGguf):
        assert read_gguf(path).file_bytes == len(content)


def test_a_pair_is_described_by_its_files(files: Pair) -> None:
    """Name, training context, revision and family come from the files; nothing is loaded."""
    model = inspect_model(files.model, files.mmproj)
    assert (model.name, model.architecture) == ("Tiny Pixtral", "llama")
    assert (model.trained_context, model.family) == (4096, "pixtral")
    assert model.image_tokens == (1024 // 16) ** 2
    digests = [
        hashlib.sha256(path.read_bytes()).hexdigest() for path in (files.model, files.mmproj)
    ]
    assert model.revision == "+".join(f"sha256:{digest}" for digest in digests)


def test_a_model_without_a_name_has_its_files_name(tmp_path: Path, files: Pair) -> None:
    """Where the file does not name the model, the file's own name is taken."""
    path = tmp_path / "SmolVLM-Q4.gguf"
    write_model(path, name="")
    assert inspect_model(path, files.mmproj).name == "SmolVLM-Q4"


def _refused(model: Path, mmproj: Path) -> str:
    with pytest.raises(ConfigEngineError) as caught:
        inspect_model(model, mmproj)
    return str(caught.value)


def test_missing_and_damaged_files_are_refused(tmp_path: Path, files: Pair) -> None:
    """The error has the path, what is wrong with it, and what to do."""
    absent = tmp_path / "absent.gguf"
    text = tmp_path / "text.gguf"
    text.write_text("<html>not found</html>")
    assert f"model {str(absent)!r} does not exist" in _refused(absent, files.mmproj)
    assert f"projector {str(absent)!r} does not exist" in _refused(files.model, absent)
    assert "is a folder" in _refused(tmp_path, files.mmproj)
    assert "is not a GGUF file. Download it again" in _refused(text, files.mmproj)


def test_files_in_each_others_place_are_refused(tmp_path: Path, files: Pair) -> None:
    """A projector given as the model, a model as the projector, and things that are neither."""
    assert "is a projector and not a model. Give it as --mmproj" in _refused(
        files.mmproj, files.model
    )
    assert "is not a projector" in _refused(files.model, files.model)
    deaf = tmp_path / "audio.gguf"
    write_projector(deaf, fields={"clip.has_vision_encoder": False})
    assert "takes no pictures" in _refused(files.model, deaf)
    adapter = tmp_path / "adapter.gguf"
    write_projector(adapter, fields={"general.type": "adapter", "general.architecture": "llama"})
    assert "not a model's" in _refused(adapter, files.mmproj)


def test_another_models_projector_is_refused(tmp_path: Path, files: Pair) -> None:
    """The projector's width must be the model's; both numbers are in the error."""
    wide = tmp_path / "mmproj-wide.gguf"
    write_projector(wide, width=2 * WIDTH)
    refused = _refused(files.model, wide)
    assert f"vectors of {2 * WIDTH}" in refused
    assert f"takes {WIDTH}" in refused


def test_an_old_projector_with_clips_own_width_is_taken(tmp_path: Path, files: Pair) -> None:
    """Old LLaVA files name CLIP's width; the shapes of the last matrices are what counts."""
    old = tmp_path / "mmproj-old.gguf"
    write_projector(old, fields={"clip.vision.projection_dim": 768})
    assert inspect_model(files.model, old).name == "Tiny Pixtral"


def test_a_model_in_parts_needs_all_of_them(tmp_path: Path, files: Pair) -> None:
    """The first part leads to the others, and all contents are in the revision.

    A missing part is named, and so is a part that is given for the first.
    """
    write_model(tmp_path / "big.gguf", tensors_a_part=5)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert len(names) == 3
    assert parts_of(names[0]) == names
    assert parts_of("big.gguf") == ["big.gguf"]
    first, _, last = (tmp_path / name for name in names)
    revision = inspect_model(first, files.mmproj).revision
    assert revision.count("sha256:") == 4
    assert hashlib.sha256(last.read_bytes()).hexdigest() in revision
    last.unlink()
    assert f"{last.name} is missing" in _refused(first, files.mmproj)
    renamed = first.rename(tmp_path / "renamed.gguf")
    assert "one of 3 parts" in _refused(renamed, files.mmproj)


@pytest.mark.parametrize(
    ("projector", "name", "family"),
    [
        ("pixtral", "Tiny", "pixtral"),
        ("pixtral", "Mistral-Small-3.1 24B", "mistral-small"),
        ("pixtral", "Pixtral 12b HF", "pixtral-hf"),
        ("pixtral", "A finetune of Qwen3-VL", "pixtral"),
        ("qwen2vl_merger", "Tiny", "qwen2-vl"),
        ("qwen2.5vl_merger", "Tiny", "qwen2.5-vl"),
        ("qwen2.5vl_merger", "Cosmos Reason1 7B", "cosmos-reason1"),
        ("qwen3vl_merger", "Cosmos-Reason2-2B", "cosmos-reason2"),
        ("idefics3", "SmolVLM2 256M Video Instruct", "smolvlm2-small"),
        ("idefics3", "SmolVLM2 2.2B Instruct", "smolvlm2"),
        ("internvl", "InternVL3 8B", "unknown"),
        ("gemma3", "Tiny", "gemma3"),
        ("mlp", "LLaVA v1.6 Mistral 7B", "unknown"),
        ("mlp", "Tiny", "unknown"),
        ("something-new", "Tiny", "unknown"),
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
    assert (model.image_tokens is not None) == (projector == "pixtral")


def test_every_family_named_here_is_known() -> None:
    """No projector leads to a family that has no formula."""
    assert {name for names in _FAMILIES.values() for name in names} <= FAMILIES.keys()


@pytest.mark.parametrize("size", [0, 1, 64 * 2**20, 64 * 2**20 + 1, 70 * 2**20 + 12_345])
def test_a_change_anywhere_near_is_another_name(tmp_path: Path, size: int) -> None:
    """Whole or sampled, the name says which, and another content has another name."""
    path = tmp_path / "content"
    block = np.random.default_rng(size).bytes(min(size, 3000))
    with path.open("wb") as file:
        file.write(block)
        file.truncate(size)
        file.seek(max(0, size - 2000))
        file.write(block[: min(size, 2000)])
    with path.open("rb") as file:
        named = content_id(file, size)
    assert named.startswith("sha256-sampled:" if size > 64 * 2**20 else "sha256:")
    with path.open("r+b") as file:
        file.seek(0)
        file.write(b"changed")
    with path.open("rb") as file:
        assert content_id(file, path.stat().st_size) != named

"""Counting with a generator's own tokenizer file, of both kinds, and what is wrong with others."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
import sentencepiece
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from promptlift.errors import OptionError
from promptlift.tokens.text import load_target_counter

_SENTENCES = [
    "a robot arm hands a coffee cup to a woman in a modern office",
    "two red cars race along a wet road at dusk",
    "a dog runs on the beach and small waves roll in behind it",
]


@pytest.fixture
def json_file(tmp_path: Path) -> Path:
    """A tokenizer of one token a word, with an end token, as T5's file has it."""
    words = sorted({word for sentence in _SENTENCES for word in sentence.split()})
    vocabulary = {word: number for number, word in enumerate(["<unk>", "</s>", *words])}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    path = tmp_path / "tokenizer.json"
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SentencePiece model with an end token."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(_SENTENCES * 20),
        model_writer=model,
        vocab_size=60,
        hard_vocab_limit=False,
        eos_id=1,
        bos_id=-1,
        minloglevel=2,
    )
    path = tmp_path_factory.mktemp("models") / "spiece.model"
    path.write_bytes(model.getvalue())
    return path


@pytest.mark.parametrize(("text", "tokens"), [("a robot arm", 4), ("", 1), ("a zebra", 3)])
def test_a_tokenizer_json_counts_words_and_its_end_token(
    json_file: Path, text: str, tokens: int
) -> None:
    """The tokens of the text and the special token that the file adds are all counted."""
    assert load_target_counter(json_file)(text) == tokens


def test_a_file_that_cuts_or_fills_is_counted_without_either(json_file: Path) -> None:
    """A file that asks for exactly 5 tokens must not hide that a prompt has more, or fewer."""
    tokenizer = Tokenizer.from_file(str(json_file))
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=5)
    tokenizer.save(str(json_file))
    count = load_target_counter(json_file)
    assert count("a dog runs on the beach and small waves roll in") == 12
    assert count("a dog") == 3


def test_a_sentencepiece_model_counts_its_pieces_and_the_end_token(model_file: Path) -> None:
    """T5 appends an end token that its SentencePiece model knows but does not add itself."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(model_file)).encode(_SENTENCES[0])
    count = load_target_counter(model_file)
    assert count(_SENTENCES[0]) == len(pieces) + 1
    assert count("") == 1


@pytest.mark.parametrize("text", ["\ud800 dog", "\x00", "狗\n\n\u200b", "a" * 50_000])
def test_no_text_is_refused(json_file: Path, model_file: Path, text: str) -> None:
    """Lone surrogates, control characters and long texts are counted like any other."""
    assert load_target_counter(json_file)(text) >= 1
    assert load_target_counter(model_file)(text) >= 1


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("a.json", b"{}", "not a tokenizer"),
        ("a.json", b"\xff\xfe", "not a tokenizer"),
        ("a.json", b"[" * 100_000, "not a tokenizer"),
        ("a.model", b"hello", "not a SentencePiece model"),
        ("a.model", b"", "empty"),
        ("a.txt", b"hello", "neither"),
    ],
)
def test_a_file_that_is_no_tokenizer_is_refused(
    tmp_path: Path, name: str, content: bytes, says: str
) -> None:
    """The error names the file and says what is wrong with it."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(OptionError, match=says) as caught:
        load_target_counter(path)
    assert name in caught.value.message


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    """Neither is readable, and the error says which it is."""
    with pytest.raises(OptionError, match="there is no tokenizer file"):
        load_target_counter(tmp_path / "none.json")
    with pytest.raises(OptionError, match="cannot be read"):
        load_target_counter(tmp_path)


@pytest.mark.parametrize(
    ("library", "name"), [("tokenizers", "a.json"), ("sentencepiece", "a.model")]
)
def test_a_missing_library_is_named_with_the_way_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, name: str
) -> None:
    """Both libraries are extras; without them the error gives the command that installs them."""
    monkeypatch.setitem(sys.modules, library, None)
    (tmp_path / name).write_bytes(b"{}")
    with pytest.raises(OptionError, match=library) as caught:
        load_target_counter(tmp_path / name)
    assert caught.value.remedy == "run `pip install 'promptlift[targets]'`"

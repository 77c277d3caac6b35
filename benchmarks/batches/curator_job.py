"""The job through Bespoke curator: ``ROWS FOLDER URL MODEL SLOTS``.

Run with the Python of `batches.peers`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import litellm  # type: ignore[import-not-found]

# It counts tokens with a table that tiktoken would download; litellm carries a copy.
_TABLES = Path(litellm.__file__).parent / "litellm_core_utils" / "tokenizers"
os.environ["TIKTOKEN_CACHE_DIR"] = str(_TABLES)

from bespokelabs import curator  # type: ignore[import-not-found]  # noqa: E402 - reads it

_NO_LIMIT = 1_000_000_000


class Upsampler(curator.LLM):  # type: ignore[misc]
    """One request for each row."""

    return_completions_object = False

    def prompt(self, row: dict[str, Any]) -> Any:
        """The text and its pictures."""
        return (row["text"], *(curator.types.Image(url=path) for path in row["images"]))

    def parse(self, row: dict[str, Any], answer: str) -> dict[str, Any]:
        """A line of the output."""
        return {"prompt": row["prompt"], "answer": answer}


def main() -> None:
    """Do the rows."""
    rows, folder, url, model, slots = sys.argv[1:]
    lines = [json.loads(line) for line in Path(rows).read_text().splitlines()]
    llm = Upsampler(
        model_name=model,
        backend="openai",
        backend_params={
            "base_url": url,
            "api_key": "none",
            "max_concurrent_requests": int(slots),
            "max_requests_per_minute": _NO_LIMIT,
            "max_tokens_per_minute": _NO_LIMIT,
            "require_all_responses": False,
        },
        generation_params={"max_tokens": 300},
    )
    answers = llm(lines, working_dir=f"{folder}/work").dataset
    out = Path(folder, "out")
    out.mkdir(exist_ok=True)
    text = "".join(json.dumps(dict(answer)) + "\n" for answer in answers)
    (out / "answers.jsonl").write_text(text)


if __name__ == "__main__":
    main()

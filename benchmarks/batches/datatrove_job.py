"""The job through datatrove's InferenceRunner: ``ROWS FOLDER URL MODEL SLOTS``.

Run with the Python of `batches.peers`. Checkpoints are on, as one who fears a kill would have them.
"""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any

from datatrove.data import Document  # type: ignore[import-not-found]
from datatrove.executor.local import LocalPipelineExecutor  # type: ignore[import-not-found]
from datatrove.pipeline.inference.run_inference import (  # type: ignore[import-not-found]
    InferenceConfig,
    InferenceRunner,
)
from datatrove.pipeline.readers.jsonl import JsonlReader  # type: ignore[import-not-found]
from datatrove.pipeline.writers import JsonlWriter  # type: ignore[import-not-found]

_PER_CHUNK = 100


def picture(path: str) -> dict[str, Any]:
    """A picture file as a part of a message."""
    data = base64.b64encode(Path(path).read_bytes()).decode()
    kind = Path(path).suffix.removeprefix(".")
    return {"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{data}"}}


async def rollout(document: Document, generate: Any) -> str:
    """One request."""
    parts = [*map(picture, document.metadata["images"])]
    parts.append({"type": "text", "text": document.text})
    answer = await generate({"messages": [{"role": "user", "content": parts}], "max_tokens": 300})
    return str(answer.text)


def row(_: Any, data: dict[str, Any], *__: Any) -> dict[str, Any]:
    """A line of the input as a document, whose id is its prompt."""
    return {"text": data["text"], "id": data["prompt"], "metadata": {"images": data["images"]}}


def line(_: Any, document: Document) -> dict[str, Any]:
    """A document as a line of the output."""
    return {"prompt": document.id, "answer": document.metadata["rollout_results"][0]}


def main() -> None:
    """Do the rows."""
    rows, folder, url, model, slots = sys.argv[1:]
    name = "${rank}_chunk_${chunk_index}.jsonl"
    runner = InferenceRunner(
        rollout_fn=rollout,
        config=InferenceConfig(
            server_type="endpoint",
            endpoint_url=url.removesuffix("/v1"),
            model_name_or_path=model,
            max_concurrent_generations=int(slots),
        ),
        records_per_chunk=_PER_CHUNK,
        checkpoints_local_dir=f"{folder}/checkpoints",
        output_writer=JsonlWriter(
            f"{folder}/out", output_filename=name, compression=None, adapter=line
        ),
    )
    reader = JsonlReader(str(Path(rows).parent), glob_pattern=Path(rows).name, adapter=row)
    LocalPipelineExecutor([reader, runner], logging_dir=f"{folder}/logs").run()
    done = sum(1 for _ in Path(folder, "out").rglob("*.jsonl"))
    print(json.dumps({"files": done}))


if __name__ == "__main__":
    main()

"""How each kind of server answers: its pages, its lists of models, its way with a full context."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

__all__ = ["STYLES", "Style"]

Pages = Callable[[int, bool], dict[str, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class Style:
    """One kind of server.

    Attributes:
        clamps: An answer's limit that does not fit is lowered; otherwise the request is refused.
        card: What the list of models says of a model, from its name and the context.
        pages: Pages at the server's root, from the context and whether the model sees.
        counts: ``/tokenize`` counts messages, images included.
        any_name: Every model name is answered to.
        guards_all: The key is wanted at every page, not only below ``/v1``.
    """

    clamps: bool
    card: Callable[[str, int], dict[str, Any]]
    pages: Pages
    counts: bool = False
    any_name: bool = False
    guards_all: bool = False


def _vllm_card(name: str, context: int) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": 1,
        "owned_by": "vllm",
        "root": name,
        "parent": None,
        "max_model_len": context,
        "permission": [],
    }


def _sglang_card(name: str, context: int) -> dict[str, Any]:
    card = _vllm_card(name, context)
    return {**card, "owned_by": "sglang"}


def _llama_card(name: str, context: int) -> dict[str, Any]:
    # The context that the model was trained with is not the one that the server gives it.
    meta = {"n_vocab": 131072, "n_ctx_train": 8 * context, "n_params": 12_000_000_000}
    return {"id": name, "object": "model", "created": 1, "owned_by": "llamacpp", "meta": meta}


def _hosted_card(name: str, _context: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 1, "owned_by": "system"}


def _llama_pages(context: int, sees: bool) -> dict[str, dict[str, Any]]:
    return {
        "/props": {
            "default_generation_settings": {"id": 0, "n_ctx": context, "params": {}},
            "total_slots": 1,
            "model_path": "/models/model.gguf",
            "build_info": "b7000-abcdef0",
            "modalities": {"vision": sees, "audio": False},
        }
    }


STYLES: dict[str, Style] = {
    "vllm-0.32": Style(
        clamps=True,
        card=_vllm_card,
        pages=lambda _context, _sees: {"/version": {"version": "0.32.0"}},
        counts=True,
    ),
    "sglang": Style(
        clamps=False,
        card=_sglang_card,
        pages=lambda _context, _sees: {"/server_info": {"version": "0.5.9", "tp_size": 1}},
        guards_all=True,
    ),
    "llama-server": Style(
        clamps=True, card=_llama_card, pages=_llama_pages, any_name=True, guards_all=True
    ),
    "hosted": Style(
        clamps=False, card=_hosted_card, pages=lambda _context, _sees: {}, guards_all=True
    ),
}

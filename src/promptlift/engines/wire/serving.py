"""What a server says about itself: which models it has, their context, its software.

=============  ==========================  ===============================
software       context                     version
=============  ==========================  ===============================
vLLM           ``max_model_len``           ``/version``
SGLang         ``max_model_len``           ``/server_info``, once ``/get_server_info``
llama-server   ``n_ctx`` of ``/props``     ``build_info`` of ``/props``
hosted APIs    not told                    not told
=============  ==========================  ===============================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from promptlift.engines.wire.client import Client
from promptlift.engines.wire.fields import field, positive, string
from promptlift.errors import ConfigEngineError

__all__ = ["Served", "inspect"]

_MISSING = (404, 405, 501)
_ANY_REFUSAL = range(300, 600)
_NAMES_SHOWN = 12


@dataclass(frozen=True, slots=True)
class Served:
    """One model behind an API.

    Attributes:
        model: Its name in requests.
        origin: The name or path it was loaded from; the same where it is not told.
        parent: The model that an adapter is put on; empty for a whole model.
        software: ``vllm``, ``sglang``, ``llamacpp``, another name, or empty if unknown.
        version: Of the software; empty if unknown.
        context: Tokens of prompt and answer together; None if unknown.
        sees: False where the server says that the model takes no images.
    """

    model: str
    origin: str
    parent: str = ""
    software: str = ""
    version: str = ""
    context: int | None = None
    sees: bool = True


async def inspect(client: Client, wanted: str | None) -> Served:
    """Ask a server about the model that is wanted, or about its only one.

    Raises:
        ConfigEngineError: It does not have that model, or has none or several and none is named.
        EngineError: It does not answer.
    """
    host = client.address.host
    models = await client.call(f"{client.address.base}/models", read=_models, absent=_MISSING)
    if models is None and wanted is None:
        raise ConfigEngineError(f"{host} gives no list of its models", remedy="name one: --model")
    return await _looked_up(client, _chosen(models or (), wanted, host))


def _models(listing: object) -> tuple[Served, ...]:
    entries = field(listing, "data")
    if not isinstance(entries, list):
        raise ValueError("not a list of models")
    return tuple(_model(entry) for entry in entries if string(field(entry, "id")))


def _model(entry: object) -> Served:
    name, meta = string(field(entry, "id")), field(entry, "meta")
    return Served(
        model=name,
        origin=string(field(entry, "root")) or name,
        parent=string(field(entry, "parent")),
        software=string(field(entry, "owned_by")),
        context=positive(field(entry, "max_model_len"))
        or positive(field(meta, "n_ctx"))
        or positive(field(meta, "n_ctx_train")),
    )


def _chosen(models: Sequence[Served], wanted: str | None, host: str) -> Served:
    if wanted is None:
        return _only(models, host)
    for model in models:
        if model.model == wanted:
            return _with_parents_context(model, models)
    if any(model.software in ("vllm", "sglang") for model in models):
        raise ConfigEngineError(
            f"{host} does not serve {wanted!r}", remedy=f"name one that it does: {_names(models)}"
        )
    # Others do not list every name they answer to: aliases, dated versions, any name at all.
    software = models[0].software if len(models) == 1 else ""
    return Served(wanted, wanted, software=software)


def _only(models: Sequence[Served], host: str) -> Served:
    whole = [model for model in models if not model.parent]
    if not whole:
        raise ConfigEngineError(f"{host} serves no model", remedy="load one, or name one: --model")
    if len({model.origin for model in whole}) > 1:
        raise ConfigEngineError(
            f"{host} serves {len(whole)} models, and none is named",
            remedy=f"name one with --model: {_names(whole)}",
        )
    return whole[0]


def _with_parents_context(model: Served, models: Sequence[Served]) -> Served:
    if model.context is not None:
        return model
    parents = (other for other in models if model.parent in (other.model, other.origin))
    return replace(model, context=next((parent.context for parent in parents), None))


def _names(models: Sequence[Served]) -> str:
    names = [model.model for model in models]
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    return ", ".join(names[:_NAMES_SHOWN]) + more


async def _looked_up(client: Client, model: Served) -> Served:
    """Add what only the server's own pages tell. Hosted APIs have none, and are not asked."""
    root = client.address.root
    if model.software == "llamacpp":
        props = await client.call(f"{root}/props", read=_page, absent=_ANY_REFUSAL)
        return _with_props(model, props)
    pages = {"sglang": ("/server_info", "/get_server_info"), "vllm": ("/version",)}
    for page in pages.get(model.software, ()):
        told = await client.call(root + page, read=_page, absent=_ANY_REFUSAL)
        if version := string(field(told, "version")):
            return replace(model, version=version)
    return model


def _page(answer: object) -> object:
    return answer


def _with_props(model: Served, props: object) -> Served:
    settings = field(props, "default_generation_settings")
    return replace(
        model,
        origin=string(field(props, "model_path")) or model.origin,
        version=string(field(props, "build_info")),
        context=positive(field(settings, "n_ctx")) or model.context,
        sees=field(field(props, "modalities"), "vision") is not False,
    )

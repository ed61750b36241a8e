"""What was paid for under another name or in another form: a question is put as the store has its answer.

A newer price list may know that a model can be held to a schema, or its server have been found to take none, and the
names of models once had their servers' addresses in them: none of it must make anyone pay again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from ltgc_cli.keys import key
from ltgc_cli.ports import ImageRequest

if TYPE_CHECKING:
    from ltgc_cli.store import Store

Req = TypeVar("Req", bound=msgspec.Struct)


def as_stored(store: Store, forms: Sequence[Req], earlier: Callable[[], Sequence[str]]) -> Req:
    """Returns the first form of a request that the store has an answer to, also under earlier names of its model.

    forms -- the request, and what else it may have been; the first one where the store has none
    earlier -- returns the names; called where no form has an answer
    """
    found = _first(store, forms)
    if found is None:
        found = _first(store, [msgspec.structs.replace(one, model=name) for name in earlier() for one in forms])
    return forms[0] if found is None else found


def _first(store: Store, requests: Sequence[Req]) -> Req | None:
    by_key = {key(request): request for request in requests}
    held = store.held(list(by_key)) if by_key else ()
    return next((request for k, request in by_key.items() if k in held), None)


def names(
    store: Store, kind: type[msgspec.Struct], spec: str, api_base: str | None, model_id: str | None, prefix: str = ""
) -> Sequence[str]:
    """Returns the names that the store has of a model with its server's address, that of the server in use first.

    Another server's answers are not those of a model that has a name of the user's own.
    """
    here = prefix + server(spec, api_base)
    found = store.models(kind, f"{prefix}{spec}@")
    return [here] * (here in found) + [name for name in found if name != here and not model_id]


def names_of_images(store: Store, spec: str, options: Mapping[str, Any]) -> Sequence[str]:
    """Returns the same for the model of an image API."""
    model, base, model_id = spec.removeprefix("litellm:"), options.get("api_base"), options.get("model_id")
    return names(store, ImageRequest, model, base, model_id, "litellm:")


def server(spec: str, api_base: str | None) -> str:
    """Returns the name that a model had with its server's address in it."""
    from ltgc_cli.providers.llm import litellm

    return litellm.old_identity(spec, api_base)

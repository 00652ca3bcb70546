"""GET of one object.

Reads see the newest published state, so every resourceVersion up to it is satisfied; one that has not been issued
answers 504, which clients retry.
"""

from __future__ import annotations

from kloster.apimachinery import errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import answers, options, storage
from kloster.apiserver.call import Call
from kloster.stores.api import Entry, Key


def serve(call: Call) -> answers.Answer:
    call.form()  # refused before anybody looks whether there is such an object
    return answers.entry(call, find(call))


def find(call: Call) -> Entry:
    """The published entry that the call names. Raises StatusError 404."""
    served, target, store = call.resource, call.target, call.shown
    if call.request.query:
        check_version(call, call.request.param("resourceVersion"))
    found = store.get(Key(served.id, target.namespace if served.namespaced else "", target.name))
    if found is None:
        raise storage.missing(served, target.name)
    return found


def check_version(call: Call, text: str) -> None:
    """Refuses a resourceVersion that is none, or that has not been issued."""
    if not text:
        return
    try:
        asked = options.parse_version(text)
    except ValueError as error:
        raise StatusError(500, "", str(error)) from None
    if asked > call.shown.revision:
        raise errors.too_large_resource_version(asked, call.shown.revision)

"""Tables and bare metadata: the views that kubectl and controllers ask for with ``as=``.

A Table row holds the cells and, beside them, the object's metadata, the whole object or nothing, as
``includeObject`` says. Cells come from the kind's strategy, columns from its version's data.
"""

from __future__ import annotations

import orjson

from kloster.apimachinery import Object, errors
from kloster.apiserver import forms, storage
from kloster.apiserver.call import Call
from kloster.apiserver.negotiation import Form
from kloster.apiserver.resources import Served
from kloster.stores.api import Entry

_INCLUDE = ("", "Metadata", "None", "Object")


def include(call: Call) -> str:
    """What stands beside the cells. Raises StatusError 400."""
    asked = call.request.param("includeObject")
    if asked not in _INCLUDE:
        shown = errors.shown(asked)
        raise errors.bad_request(
            "Unable to convert to Table as requested: "
            f"includeObject: Invalid value: {shown}: must be 'Metadata', 'Object', 'None', or empty"
        )
    return asked or "Metadata"


def check(form: Form, served: Served, is_list: bool) -> None:
    """406 for the view of a list where there is a single object, and the other way round."""
    if form.view == "PartialObjectMetadataList" and not is_list:
        go_type = f"*{_package(served)}.{served.kind.kind}"
        text = f"you requested PartialObjectMetadataList, but the requested object is not a list ({go_type})"
        raise errors.not_acceptable(text)
    if form.view == "PartialObjectMetadata" and is_list:
        go_type = f"*{_package(served)}.{served.list_kind}"
        text = f"you requested PartialObjectMetadata, but the requested object is a list ({go_type})"
        raise errors.not_acceptable(text)


def _package(served: Served) -> str:
    """The Go package that upstream's text names."""
    if not served.kind.builtin:
        return "unstructured"
    return served.group.partition(".")[0] or "core"


def columns(served: Served) -> bytes:
    """columnDefinitions as JSON."""
    listed = [
        {"name": name, "type": type_, "format": format_, "description": "", "priority": priority}
        for name, type_, format_, priority in served.kind.columns
    ]
    return orjson.dumps(listed)


def metadata_object(version: str, metadata: bytes) -> bytes:
    """A PartialObjectMetadata."""
    return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%s","metadata":%b}' % (
        version.encode(),
        metadata,
    )


def table(version: str, metadata: bytes, definitions: bytes, rows: bytes) -> bytes:
    return b'{"kind":"Table","apiVersion":"meta.k8s.io/%s","metadata":%b,"columnDefinitions":%b,"rows":[%b]}' % (
        version.encode(),
        metadata,
        definitions,
        rows,
    )


def row(call: Call, served: Served, entry: Entry, form: Form, included: str, revision: int = 0) -> bytes:
    """One row as JSON."""
    known = call.cluster.forms
    cells = known.cells(served, entry, call.cluster.clock.now())
    if included == "None":
        return b'{"cells":%b,"object":null}' % cells
    if included == "Object":
        return b'{"cells":%b,"object":%b}' % (cells, known.document(served, entry, revision))
    metadata = known.metadata(served, entry, revision)
    return b'{"cells":%b,"object":%b}' % (cells, metadata_object(form.version, metadata))


def single(call: Call, served: Served, entry: Entry, form: Form) -> bytes:
    """A stored object in the view asked for."""
    check(form, served, is_list=False)
    if form.view == "Table":
        metadata = b'{"resourceVersion":"%d"}' % entry.revision
        return table(form.version, metadata, columns(served), row(call, served, entry, form, include(call)))
    return metadata_object(form.version, call.cluster.forms.metadata(served, entry))


def unstored(served: Served, item: Object, form: Form, included: str, now: float) -> bytes:
    """An object that is not stored, in the view asked for."""
    check(form, served, is_list=False)
    metadata = storage.metadata_bytes(served, item["metadata"])
    if form.view != "Table":
        return metadata_object(form.version, metadata)
    beside = b"null" if included == "None" else metadata_object(form.version, metadata)
    if included == "Object":
        beside = storage.document(served, item)
    cells = orjson.dumps(forms.cells(served, item, now))
    version = item["metadata"].get("resourceVersion", "")
    about = orjson.dumps({"resourceVersion": version} if version else {})
    return table(form.version, about, columns(served), b'{"cells":%b,"object":%b}' % (cells, beside))

"""serviceaccounts/token: a TokenRequest, answered with a signed token for the account, bound to what it names.

Source: https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/
"""

from __future__ import annotations

from functools import partial

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object, errors
from kloster.apimachinery.apply import track_update
from kloster.apimachinery.errors import invalid_value
from kloster.apiserver import answers, aside, asking, bodies, write_options, writes
from kloster.apiserver.admission.api import CREATE, Shape
from kloster.apiserver.authentication.tokens import Bound, Order, validate_lifetime
from kloster.apiserver.bodies import Expected
from kloster.apiserver.call import Call
from kloster.apiserver.verbs import get
from kloster.client.transport import Response
from kloster.stores.api import Key

_GROUP, _KIND = "authentication.k8s.io", "TokenRequest"
_HOUR = 3600
_FIXED = ("name", "namespace", "uid", "creationTimestamp")


async def serve(call: Call) -> Response:
    cluster, name, namespace = call.cluster, call.target.name, call.target.namespace
    tokens = cluster.ports.tokens
    if tokens is None:
        raise errors.path_not_found()
    options = write_options.parse(call, "CreateOptions")
    type_ = cluster.catalog.type(_GROUP, "v1", _KIND)
    assert type_ is not None
    expected, long = Expected(_GROUP, "v1", _KIND, type_), aside.is_long(call)
    request = await aside.run(call, long, lambda: bodies.read(call, expected, options.validation))
    _check_place(request, namespace, name)
    account = cluster.forms.object(call.resource, get.find(call))["metadata"]
    meta, spec = request["metadata"], request.setdefault("spec", {})
    if meta.get("uid") and meta["uid"] != account["uid"]:
        text = (
            f"the UID in the token request ({meta['uid']}) does not match the UID of the service account "
            f"({account['uid']})"
        )
        raise errors.conflict(_GROUP, _KIND, name, text)
    now = cluster.clock.now()
    if spec.get("expirationSeconds") is None:
        spec["expirationSeconds"] = _HOUR
    track = partial(
        track_update,
        None,
        request,
        type_,
        manager=write_options.manager_of(call, options),
        api_version=f"{_GROUP}/v1",
        now=rfc3339(now),
        subresource="token",
    )
    meta["namespace"] = namespace
    writes.set_managed(request, await aside.run(call, long, track))

    def settle(item: Object) -> None:
        given = item.get("metadata") or {}
        item["metadata"] = {
            "name": name,
            "namespace": namespace,
            "uid": account["uid"],
            "creationTimestamp": rfc3339(now),
            **{key: value for key, value in given.items() if key not in _FIXED},
        }

        if not item["spec"].get("audiences"):
            item["spec"]["audiences"] = list(tokens.audiences)

    shape, told = Shape(_GROUP, "v1", _KIND, type_), options.told(CREATE)
    request = await asking.asked(call, request, shape, told, dry_run=options.dry_run, settle=settle)
    spec = request["spec"]
    findings = validate_lifetime(spec["expirationSeconds"])
    if findings:
        raise errors.invalid(_GROUP, _KIND, "", findings)
    minted = tokens.mint(_order(call, namespace, Bound(name, account["uid"]), spec))
    request["status"] = {"token": minted.token, "expirationTimestamp": rfc3339(minted.expires)}
    return answers.typed(call, request, type_, 201)


def _check_place(request: Object, namespace: str, name: str) -> None:
    meta = request["metadata"]
    for field, wanted in (("name", name), ("namespace", namespace)):
        given = meta.get(field)
        if given and given != wanted:
            finding = invalid_value(f"metadata.{field}", given, f"must match the service account {field} if specified")
            raise errors.invalid(_GROUP, _KIND, name, [finding])


def _order(call: Call, namespace: str, account: Bound, spec: Object) -> Order:
    """What the token shall say, with what it is bound to. Raises StatusError 400, 404, 409."""
    bound: dict[str, Bound] = {}
    reference = spec.get("boundObjectRef")
    if reference:
        bound = _bound(call, namespace, account.name, reference)
    return Order(
        namespace=namespace,
        service_account=account,
        seconds=spec["expirationSeconds"],
        audiences=spec["audiences"],
        pod=bound.get("pod"),
        secret=bound.get("secret"),
        node=bound.get("node"),
    )


def _bound(call: Call, namespace: str, account: str, reference: Object) -> dict[str, Bound]:
    kind, name = reference.get("kind", ""), reference.get("name", "")
    group = reference.get("apiVersion", "").rpartition("/")[0]
    found: dict[str, Bound] = {}
    if group or kind not in ("Pod", "Secret", "Node"):
        version = reference.get("apiVersion", "")
        shown = version if "/" in version else f"/{version}"
        raise errors.bad_request(f"cannot bind token to object of type {shown}, Kind={kind}")
    plural = f"{kind.lower()}s"
    item = _read(call, plural, "" if kind == "Node" else namespace, name)
    if item is None:
        raise errors.not_found("", plural, name)
    if kind == "Pod":
        spec = item.get("spec") or {}
        if spec.get("serviceAccountName") != account:
            other = "to pod running with different serviceaccount name."
            raise errors.bad_request(f'cannot bind token for serviceaccount "{account}" {other}')
        node = spec.get("nodeName")
        if node:
            known = _read(call, "nodes", "", node)
            found["node"] = Bound(node, "" if known is None else known["metadata"]["uid"])
    uid = item["metadata"]["uid"]
    if reference.get("uid") and reference["uid"] != uid:
        text = (
            f"the UID in the bound object reference ({reference['uid']}) does not match the UID in record. "
            "The object might have been deleted and then recreated"
        )
        raise errors.conflict("", kind, name, text)
    found[kind.lower()] = Bound(name, uid)
    return found


def _read(call: Call, plural: str, namespace: str, name: str) -> Object | None:
    cluster = call.cluster
    served = cluster.resources.stored_as(f"/{plural}")
    entry = cluster.store.get(Key(f"/{plural}", namespace, name))
    return None if served is None or entry is None else cluster.forms.object(served, entry)

"""What may change in a Service: cluster IPs and families stay, only second ones come and go.

Source: https://kubernetes.io/docs/concepts/services-networking/dual-stack/
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value
from kloster.kinds.core.servicechecks import is_headless, needs_health_check_port, validate_cluster_ips


def validate_update(new: Object, old: Object) -> Iterable[FieldError]:
    """Only what compares both; the pipeline validates the new object as well."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if any(validate_cluster_ips(spec)):
        return
    yield from _validate_cluster_ip_change(spec, before)
    yield from _validate_family_change(spec, before)
    if spec.get("type") == before.get("type") == "LoadBalancer":
        class_name = spec.get("loadBalancerClass")
        if class_name != before.get("loadBalancerClass"):
            yield invalid_value("spec.loadBalancerClass", class_name, "may not change once set")
    port, port_before = spec.get("healthCheckNodePort"), before.get("healthCheckNodePort")
    if needs_health_check_port(spec) and needs_health_check_port(before) and port != port_before:
        yield forbidden_field("spec.healthCheckNodePort", "field is immutable")


def _validate_cluster_ip_change(new: Object, old: Object) -> Iterable[FieldError]:
    """A cluster IP stays; only a second one may come and go."""
    if "ExternalName" in (new.get("type"), old.get("type")) or (is_headless(new) and is_headless(old)):
        return
    ips, before = new.get("clusterIPs") or [], old.get("clusterIPs") or []
    if len(ips) == len(before):
        for index, ip in enumerate(before):
            if ip != ips[index]:
                yield invalid_value(f"spec.clusterIPs[{index}]", ips, "may not change once set")
        return
    if not ips:
        yield invalid_value("spec.clusterIPs[0]", None, "primary clusterIP can not be unset")
    elif before and ips[0] != before[0]:
        yield invalid_value("spec.clusterIPs[0]", ips, "may not change once set")
    if len(ips) == 1 < len(before) and new.get("ipFamilyPolicy") != "SingleStack":
        text = "must be set to 'SingleStack' when releasing the secondary clusterIP"
        yield invalid_value("spec.ipFamilyPolicy", new.get("ipFamilyPolicy"), text)


def _validate_family_change(new: Object, old: Object) -> Iterable[FieldError]:
    if "ExternalName" in (new.get("type"), old.get("type")) or is_headless(new) or is_headless(old):
        return
    families, before = new.get("ipFamilies") or [], old.get("ipFamilies") or []
    at = "spec.ipFamilies[0]"
    if len(families) == len(before):
        for index, family in enumerate(before):
            if family != families[index]:
                yield invalid_value(at, families, "may not change once set")
        return
    if len(families) < len(before) and not new.get("clusterIPs"):
        yield invalid_value(at, families or None, "primary ipFamily can not be unset")
    if families and before and families[0] != before[0]:
        yield invalid_value(at, new.get("clusterIPs"), "may not change once set")
    if len(families) == 1 < len(before) and new.get("ipFamilyPolicy") != "SingleStack":
        text = "must be set to 'SingleStack' when releasing the secondary ipFamily"
        yield invalid_value("spec.ipFamilyPolicy", new.get("ipFamilyPolicy"), text)

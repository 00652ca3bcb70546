"""Volumes and classes are not deleted while they are used."""

from __future__ import annotations

from kloster.client.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, VOLUME_ATTRIBUTES_CLASSES

from .world import World, world

VOLUME = {
    "capacity": {"storage": "1Gi"},
    "accessModes": ["ReadWriteOnce"],
    "csi": {"driver": "d.example.com", "volumeHandle": "h"},
    "storageClassName": "",
}
CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}


@world
async def test_a_bound_volume_stays(cluster: World) -> None:
    cluster.run("*")
    made = await cluster.create(PERSISTENT_VOLUMES, "v", spec=VOLUME)
    assert made["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
    await cluster.patch(PERSISTENT_VOLUMES, "v", {"status": {"phase": "Bound"}}, subresource="status")
    await cluster.client.delete(PERSISTENT_VOLUMES, "", "v")
    await cluster.settle()
    assert await cluster.exists(PERSISTENT_VOLUMES, "v")
    await cluster.patch(PERSISTENT_VOLUMES, "v", {"status": {"phase": "Released"}}, subresource="status")
    await cluster.settle()
    assert not await cluster.exists(PERSISTENT_VOLUMES, "v")


@world
async def test_a_class_stays_as_long_as_a_claim_has_it(cluster: World) -> None:
    cluster.run("*")
    made = await cluster.create(VOLUME_ATTRIBUTES_CLASSES, "fast", driverName="d.example.com", parameters={"iops": "9"})
    assert made["metadata"]["finalizers"] == ["kubernetes.io/vac-protection"]
    await cluster.create(PERSISTENT_VOLUME_CLAIMS, "c", spec={**CLAIM, "volumeAttributesClassName": "fast"})
    await cluster.settle()
    await cluster.client.delete(VOLUME_ATTRIBUTES_CLASSES, "", "fast")
    await cluster.settle()
    assert await cluster.exists(VOLUME_ATTRIBUTES_CLASSES, "fast")
    await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, "default", "c")
    await cluster.settle()
    assert not await cluster.exists(PERSISTENT_VOLUME_CLAIMS, "c")
    assert not await cluster.exists(VOLUME_ATTRIBUTES_CLASSES, "fast")

"""Everything that syncs one virtual cluster, as controllers for the dispatcher."""

from __future__ import annotations

from kloster.runtime.api import Controller
from kloster.syncer.engine import Syncer
from kloster.syncer.events import event_controller
from kloster.syncer.nodes import node_controller
from kloster.syncer.storage import class_controller, volume_controller
from kloster.syncer.tokens import token_controller
from kloster.syncer.translators import TABLE

CROSSING = {
    "configMaps": "configmaps",
    "secrets": "secrets",
    "persistentVolumeClaims": "persistentvolumeclaims",
    "services": "services",
    "endpointSlices": "endpointslices",
    "pods": "pods",
}


def syncer_controllers(syncer: Syncer, enabled: frozenset[str]) -> list[Controller]:
    """The controllers of one cluster, those first on whose objects pods depend.

    enabled    keys of spec.sync.toHost and spec.sync.fromHost that are switched on
    """
    plurals = frozenset(plural for key, plural in CROSSING.items() if key in enabled)
    syncer.crossing = plurals
    translated = [syncer.controller(one) for one in TABLE if one.resource.plural in plurals]
    controllers = [token_controller(syncer), *translated] if "pods" in enabled else translated
    if "persistentVolumeClaims" in enabled:
        controllers.append(volume_controller(syncer))
    if "storageClasses" in enabled:
        controllers.append(class_controller(syncer, everything="storageClasses.all" in enabled))
    if "events" in enabled:
        controllers.append(event_controller(syncer))
    if "nodes" in enabled:
        controllers.append(node_controller(syncer))
    return controllers

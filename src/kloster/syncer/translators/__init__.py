"""One module a kind: pure functions between a virtual object and its host object.

What crosses is an allow-list: a translator builds the host object from fields that it knows, it never copies
an object and takes things out. `TABLE` lists them.
"""

from __future__ import annotations

from kloster.syncer.translator import Translator
from kloster.syncer.translators import (
    configmaps,
    endpointslices,
    persistentvolumeclaims,
    pods,
    secrets,
    services,
)

TABLE: tuple[Translator, ...] = (
    configmaps.TRANSLATOR,
    secrets.TRANSLATOR,
    persistentvolumeclaims.TRANSLATOR,
    services.TRANSLATOR,
    endpointslices.TRANSLATOR,
    pods.TRANSLATOR,
)

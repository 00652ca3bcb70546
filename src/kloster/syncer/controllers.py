"""Everything that syncs one virtual cluster, as controllers for the dispatcher."""

from __future__ import annotations

from kloster.runtime.api import Controller
from kloster.syncer.engine import Syncer
from kloster.syncer.events import event_controller
from kloster.syncer.nodes import node_controller
from kloster.syncer.tokens import token_controller
from kloster.syncer.translators import TABLE


def syncer_controllers(syncer: Syncer) -> list[Controller]:
    """The controllers of one cluster, those first on whose objects pods depend."""
    translated = [syncer.controller(translator) for translator in TABLE]
    return [token_controller(syncer), *translated, event_controller(syncer), node_controller(syncer)]

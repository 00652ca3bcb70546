"""What the stages of one request leave behind for its audit event; made only if somebody listens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kloster.apimachinery.errors import StatusError
from kloster.apiserver.ports import Verdict
from kloster.client.transport import User

MOST_ANNOTATIONS, LONGEST_ANNOTATION = 100, 4096


@dataclass(slots=True)
class Trace:
    """One request's.

    bodies         whether bodies are of interest
    authenticated  who asks; None if nobody could be authenticated
    acting         whom they act as (impersonation)
    verdict        the authorizer's last word
    failure        the error that was the answer
    given          name, uid and resourceVersion of the object in the body
    sent           the object, patch or options in the body, as JSON
    annotations    what admission webhooks want to have noted
    """

    bodies: bool = False
    authenticated: User | None = None
    acting: User | None = None
    verdict: Verdict | None = None
    failure: StatusError | None = None
    given: dict[str, str] = field(default_factory=dict)
    sent: bytes = b""
    annotations: dict[str, str] = field(default_factory=dict)

    def annotate(self, webhook: str, given: Mapping[str, str]) -> None:
        """Note a webhook's auditAnnotations, as many as an event may have. What was noted first stays."""
        for key, value in given.items():
            if len(self.annotations) < MOST_ANNOTATIONS:
                self.annotations.setdefault(f"{webhook}/{key}"[:LONGEST_ANNOTATION], value[:LONGEST_ANNOTATION])

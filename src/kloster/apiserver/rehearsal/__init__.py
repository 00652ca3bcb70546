"""What a test may ask of a cluster beside Kubernetes: which requests came, and that some of them fail.

Pure state and decisions; the pipeline's part is `apiserver.rehearsing`. A cluster has a `Rehearsal` only if its
VirtualCluster asks for it (``spec.testing.enabled``): otherwise nothing is recorded and nothing can be made to fail.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kloster.apiserver.rehearsal.faults import Faults
from kloster.apiserver.rehearsal.recording import Recording

SPECTATOR = "kloster-testing"
"""The user agent of who rehearses: its requests are not recorded and never fail."""


@dataclass(slots=True)
class Rehearsal:
    """One cluster's, for as long as it is served."""

    recording: Recording = field(default_factory=Recording)
    faults: Faults = field(default_factory=Faults)

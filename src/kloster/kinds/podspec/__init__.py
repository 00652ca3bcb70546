"""The pod spec, which pods share with the templates of workloads: defaults and validation, one file a theme.

What other kinds need of it is exported here and, for templates, by `kloster.kinds.podtemplate`.
"""

from kloster.kinds.podspec.claims import validate_claim_spec, validate_claim_template
from kloster.kinds.podspec.requirements import validate_resources
from kloster.kinds.podspec.scheduling import (
    validate_effect,
    validate_node_selector,
    validate_node_selector_requirement,
    validate_tolerations,
)

__all__ = [
    "validate_claim_spec",
    "validate_claim_template",
    "validate_effect",
    "validate_node_selector",
    "validate_node_selector_requirement",
    "validate_resources",
    "validate_tolerations",
]

"""Label and field selectors: parsing with upstream's texts, matching by one compiled function.

    parse_labels("a=b,c in (d,e),!f")   the labelSelector of a request
    of_object(spec.selector)            a LabelSelector object: matchLabels and matchExpressions
    parse_fields("metadata.name=x")     the fieldSelector of a request

What cannot be understood raises StatusError 400. Requirements are sorted by key, as upstream sorts them.
Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from kloster.apimachinery.selectors.fields import ALL_FIELDS, FieldSelector, FieldTerm, parse_fields
from kloster.apimachinery.selectors.labels import EVERYTHING, NOTHING, LabelSelector, Requirement, of_object, of_set
from kloster.apimachinery.selectors.names import key_errors, value_errors
from kloster.apimachinery.selectors.parsing import parse_labels

__all__ = [
    "ALL_FIELDS",
    "EVERYTHING",
    "NOTHING",
    "FieldSelector",
    "FieldTerm",
    "LabelSelector",
    "Requirement",
    "key_errors",
    "of_object",
    "of_set",
    "parse_fields",
    "parse_labels",
    "value_errors",
]

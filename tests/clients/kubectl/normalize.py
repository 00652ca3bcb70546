"""What may differ between two servers that behave alike: identities, times, addresses and generated suffixes.

Everything else is compared to the letter. A rule that replaces too much makes the comparison blind, so each one names
the shape that it replaces.
"""

from __future__ import annotations

import re

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_AGE = r"(?:\d+y)?(?:\d+d)?(?:\d+h)?(?:\d+m)?(?:\d+s)?"
# The letters of generated names (k8s.io/apimachinery/pkg/util/rand): no vowels, none that look alike.
_SUFFIX = "[bcdfghjklmnpqrstvwxz2456789]"

RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.MULTILINE), replacement)
    for pattern, replacement in (
        # kubectl's watch and its own time-out end together; which it notices first is chance.
        (r"^I\d{4} .* reflector\.go:.*very short watch: .*\n", ""),
        (_UUID, "UID"),
        (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)", "TIME"),
        (r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d \w{3} \d{4} \d\d:\d\d:\d\d [+-]\d{4}", "TIME"),
        (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)? [+-]\d{4}(?: UTC)?", "TIME"),
        (r"eyJ[\w-]+\.[\w-]+\.[\w-]+", "TOKEN"),
        (r"(resourceVersion\"?: ?)\"\d+\"", r"\1RV"),
        (r"(Resource Version:\s+)\d+", r"\1RV"),
        (r"https://127\.0\.0\.1:\d+(?:/clusters/\S+)?", "SERVER"),
        (r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b", "IP"),
        (r"/tmp/\S*?(LIVE|MERGED)-\d+", r"\1"),
        (r"\+kloster\.\d+", ""),
        (r"(nodePort\"?: )3\d{4}\b", r"\1PORT"),
        (r"(NodePort:\s+\S+\s+)3\d{4}/", r"\1PORT/"),
        (r":3\d{4}/(TCP|UDP)", r":PORT/\1"),
        # Upstream hashes a template as Go prints it; another server's hashes differ, and stand for the same.
        (rf"((?:pod-template-hash|controller-revision-hash)\"?[=:] ?\"?(?:[a-z]+-)?){_SUFFIX}{{6,10}}\b", r"\1HASH"),
        (rf"-{_SUFFIX}{{7,10}}(?=\b)", "-HASH"),
        (rf"-{_SUFFIX}{{5}}\b", "-SUFFIX"),
        (r"\.[0-9a-f]{16}\b", ".SUFFIX"),
        (r"/tmp/kubectl-edit-\d+", "/tmp/kubectl-edit"),
        # Which program serves, and where.
        (r"^( *\"?(?:gitCommit|gitTreeState|goVersion|compiler)\"?: ).*$", r"\1BUILD"),
        (r"(\"serverAddress\":)\"[^\"]*\"", r"\1ADDRESS"),
        # An age stands alone in a column, or before "ago" or "(x3 over 5s)" in descriptions.
        (rf"(?<=\s\s){_AGE}(?=\s|$)(?<=[ydhms])", "AGE"),
        (rf"^{_AGE}(?<=[ydhms])(?= )", "AGE"),
        (rf"\b{_AGE}(?<=[ydhms]) ago\b", "AGE ago"),
        (rf"\(x(\d+) over {_AGE}\)", r"(x\1 over AGE)"),
        # Columns are as wide as their widest cell.
        (r"(?<=\S) {2,}", "  "),
        (r"[ \t]+$", ""),
    )
)


_MANAGED = re.compile(r"^( *)managedFields:\n((?:\1- .*\n|\1  .*\n)+)", re.MULTILINE)


def normalized(text: str) -> str:
    """The text without what may differ."""
    for pattern, replacement in RULES:
        text = pattern.sub(replacement, text)
    return _MANAGED.sub(_sorted_entries, text)


def _sorted_entries(found: re.Match[str]) -> str:
    """Entries of managedFields stand in the order of their times, of which whole seconds count: chance decides."""
    indent, block = found.groups()
    entries = re.split(rf"^(?={indent}- )", block, flags=re.MULTILINE)
    return f"{indent}managedFields:\n" + "".join(sorted(entries))

"""Layers without any store: stacking, flattening, the price of an overlay."""

from __future__ import annotations

import itertools
import random
import tracemalloc

import pytest

from kloster.stores.api import Entry, Event, Key
from kloster.stores.layers import Layer, Stack, flatten, look_up, surplus
from kloster.stores.state import Overlay

from .storefiles import bodies, entry, pod_key

BOTTOM = Layer.of("bottom", 3, [entry("a", 1, "bottom"), entry("b", 2, "bottom"), entry("c", 3, "bottom")])
MIDDLE = Layer.of("middle", 6, [entry("b", 4, "middle"), entry("d", 5, "middle")], [pod_key("c")])
TOP = Layer.of("top", 9, [entry("c", 7, "top")], [pod_key("a"), pod_key("d")])

STACKS = [
    pytest.param([BOTTOM], {"a": "bottom", "b": "bottom", "c": "bottom"}, id="one layer"),
    pytest.param([MIDDLE, BOTTOM], {"a": "bottom", "b": "middle", "d": "middle"}, id="replaced, hidden, added"),
    pytest.param([TOP, MIDDLE, BOTTOM], {"b": "middle", "c": "top"}, id="hidden and put again"),
    pytest.param([TOP, BOTTOM], {"b": "bottom", "c": "top"}, id="a tombstone over nothing"),
    pytest.param([], {}, id="nothing"),
]


@pytest.mark.parametrize(("layers", "expected"), STACKS)
def test_a_stack_reads_from_the_top(layers: list[Layer], expected: dict[str, str]) -> None:
    assert bodies(Stack([layer.tables for layer in layers])) == expected


@pytest.mark.parametrize(("layers", "expected"), STACKS)
def test_flattening_changes_nothing_that_can_be_read(layers: list[Layer], expected: dict[str, str]) -> None:
    flat = flatten("flat", layers)
    assert bodies(Stack([flat.tables])) == expected
    assert all(found is not None for _, found in flat.entries()), "at the bottom, tombstones hide nothing"
    assert flat.revision == max((layer.revision for layer in layers), default=0)


def test_flattening_the_upper_part_keeps_tombstones_that_hide_something() -> None:
    flat = flatten("flat", [TOP, MIDDLE], [BOTTOM])
    assert bodies(Stack([flat.tables, BOTTOM.tables])) == {"b": "middle", "c": "top"}
    assert [key.name for key, found in flat.entries() if found is None] == ["a"]


def test_long_merged_scans_agree_with_a_dictionary() -> None:
    chance = random.Random(7)
    names = [f"{index:05}" for index in range(3000)]
    layers, expected = [], dict[str, str]()
    for height in range(4):
        put = {name: str(height) for name in chance.sample(names, 900)}
        gone = set(chance.sample(names, 300)) - put.keys()
        layers.insert(
            0,
            Layer.of(str(height), 1, [entry(n, 1, body) for n, body in put.items()], map(pod_key, gone)),
        )
        expected = {name: body for name, body in (expected | put).items() if name not in gone}
    maps = [layer.tables for layer in layers]
    assert bodies(Stack(maps)) == dict(sorted(expected.items()))
    paged: list[str] = []
    while page := list(
        itertools.islice(Stack(maps).scan("/pods", "default", ("default", paged[-1]) if paged else None), 70)
    ):
        paged += [found.key.name for found in page]
    assert paged == sorted(expected)


FEW_ON_MANY = [
    pytest.param([], [], id="nothing changed"),
    pytest.param(["00000"], [], id="the first"),
    pytest.param(["02999"], [], id="the last"),
    pytest.param(["01000", "01001"], ["01002"], id="neighbours"),
    pytest.param(["00500x", "zzz"], [], id="between, and behind"),
    pytest.param(["01500"], ["00015", "00016", "00017", "02998", "02999"], id="deletions"),
    pytest.param([f"{index:05}" for index in range(100, 300)], [f"{index:05}" for index in range(300, 500)], id="runs"),
]


@pytest.mark.parametrize(("put", "gone"), FEW_ON_MANY)
def test_few_changes_on_many_objects_read_as_one(put: list[str], gone: list[str]) -> None:
    many = Layer.of("many", 1, [entry(f"{index:05}", 1, "below") for index in range(3000)])
    few = Layer.of("few", 2, [entry(name, 2, "above") for name in put], map(pod_key, gone))
    expected = {f"{index:05}": "below" for index in range(3000)} | dict.fromkeys(put, "above")
    expected = {name: expected[name] for name in sorted(expected.keys() - set(gone))}
    view = Stack([few.tables, many.tables])
    read = [(found.key.name, found.head[1:].decode()) for found in view.scan("/pods")]
    assert read == list(expected.items())
    assert [found.key.name for found in view.scan("/pods", "default", ("default", "01001"))] == [
        name for name in expected if name > "01001"
    ]


def apply(overlay: Overlay, name: str, new: Entry | None) -> None:
    revision = overlay.revision + 1
    overlay.apply([Event(revision, pod_key(name), overlay.get(pod_key(name)), new)])


def test_a_deletion_leaves_a_tombstone_only_over_something() -> None:
    overlay = Overlay([BOTTOM])
    apply(overlay, "own", entry("own", 4))
    apply(overlay, "own", None)
    apply(overlay, "a", None)
    assert list(overlay.own()) == [(pod_key("a"), None)]


def test_freezing_copies_nothing_and_isolates() -> None:
    overlay = Overlay([BOTTOM])
    apply(overlay, "x", entry("x", 4))
    tables = overlay.changes
    layer = overlay.freeze("frozen")
    assert layer.tables is tables and overlay.changes == {} and overlay.layers == (layer, BOTTOM)
    apply(overlay, "x", None)
    assert look_up([layer.tables], pod_key("x")) is not None and overlay.get(pod_key("x")) is None


def test_a_replaced_entry_drops_what_its_reader_derived() -> None:
    overlay = Overlay([BOTTOM])
    first = entry("x", 4)
    apply(overlay, "x", first)
    shared = overlay.get(pod_key("a"))
    assert shared is not None
    first.memo = shared.memo = "decoded"
    apply(overlay, "x", entry("x", 5))
    apply(overlay, "a", entry("a", 6))
    assert first.memo is None
    assert shared.memo == "decoded", "a layer's entries serve other clusters too"


def test_a_small_cluster_on_a_template_costs_little() -> None:
    template = Layer.of("t", 1, [Entry(Key("/x", "", str(n)), 1, b"x" * 900, b"", {}, {}, "v1") for n in range(1000)])
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    overlays = [Overlay([template]) for _ in range(50)]
    for overlay in overlays:
        for number in range(20):
            apply(overlay, f"own{number}", entry(f"own{number}", number + 2, "x" * 500))
    used = tracemalloc.get_traced_memory()[0] - before
    tracemalloc.stop()
    assert used / len(overlays) < 32 * 1024


def stack_of(*sizes: int) -> list[Layer]:
    """Layers of so many entries, the topmost first."""
    return [
        Layer.of(str(place), 1, [entry(f"{place}-{number}", 1) for number in range(size)])
        for place, size in enumerate(sizes)
    ]


SURPLUS = [
    pytest.param((5,), 3, 0, id="template alone"),
    pytest.param((1, 1, 5), 3, 0, id="as many as there may be"),
    pytest.param((1, 1, 9, 5), 3, 2, id="one too many"),
    pytest.param((1, 1, 1, 9, 5), 3, 3, id="a large layer is left alone"),
    pytest.param((1, 1, 2, 9, 5), 4, 3, id="a layer no larger than what lies above it is taken in"),
    pytest.param((4, 4, 4, 4, 99), 4, 4, id="never the template"),
    pytest.param((4, 4), 1, 0, id="what cannot be lessened"),
]


@pytest.mark.parametrize(("sizes", "deepest", "count"), SURPLUS)
def test_how_many_layers_are_merged(sizes: tuple[int, ...], deepest: int, count: int) -> None:
    layers = stack_of(*sizes)
    assert surplus(layers, deepest) == count
    if count > 1:
        merged = [flatten("m", layers[:count], layers[count:]), *layers[count:]]
        assert len(merged) <= deepest
        assert bodies(Stack([one.tables for one in merged])) == bodies(Stack([one.tables for one in layers]))

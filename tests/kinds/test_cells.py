"""What cells have in common: spans, labels, lists."""

from __future__ import annotations

import pytest

from kloster.kinds import cells

MINUTE, HOUR, DAY = 60, 3600, 86400


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(-2, "<invalid>", id="future"),
        pytest.param(-1.9, "0s", id="clocks-disagree"),
        pytest.param(0, "0s", id="now"),
        pytest.param(119, "119s", id="seconds"),
        pytest.param(120, "2m", id="two-minutes"),
        pytest.param(121, "2m1s", id="minutes-seconds"),
        pytest.param(10 * MINUTE + 59, "10m", id="minutes"),
        pytest.param(179 * MINUTE, "179m", id="many-minutes"),
        pytest.param(3 * HOUR, "3h", id="three-hours"),
        pytest.param(3 * HOUR + 5 * MINUTE, "3h5m", id="hours-minutes"),
        pytest.param(8 * HOUR + 5 * MINUTE, "8h", id="hours"),
        pytest.param(47 * HOUR, "47h", id="many-hours"),
        pytest.param(48 * HOUR, "2d", id="two-days"),
        pytest.param(49 * HOUR, "2d1h", id="days-hours"),
        pytest.param(8 * DAY + HOUR, "8d", id="days"),
        pytest.param(729 * DAY, "729d", id="many-days"),
        pytest.param(730 * DAY, "2y", id="two-years"),
        pytest.param(740 * DAY, "2y10d", id="years-days"),
        pytest.param(8 * 365 * DAY, "8y", id="years"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert cells.duration(seconds) == text


def test_since_and_until() -> None:
    assert cells.since(None, 0) == "<unknown>"
    assert cells.since("0001-01-01T00:00:00Z", 0) == "<unknown>"
    assert cells.since("1970-01-01T00:01:00Z", 65) == "5s"
    assert cells.since("1970-01-01T01:01:00.5+01:00", 65) == "4s"
    assert cells.until("1970-01-01T00:01:00Z", 0) == "60s"


def test_lists() -> None:
    assert cells.labels(None) == "<none>"
    assert cells.labels({"b": "c", "a": ""}) == "a=,b=c"
    assert cells.listed([]) == "<unset>"
    assert cells.listed(["a", "b", "c"]) == "a,b,c"
    assert cells.listed(["a", "b", "c", "d", "e"]) == "a,b,c + 2 more..."
    assert cells.containers([{"name": "a", "image": "x"}, {"name": "b"}]) == ("a,b", "x,")
    assert cells.access_modes(["ReadWriteOncePod", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOnce"]) == "RWO,RWX,RWOP"

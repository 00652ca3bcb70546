"""docs/reference/operator-suites.md, from the records in tests/clients/suites."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

RECORDS = Path(__file__).resolve().parents[2] / "tests" / "clients" / "suites"
ORDER = ("kopf", "kuberay-1.31", "kuberay-1.34")

INTRODUCTION = """
# Operators' own test suites

Own tests of three real projects, which nobody here wrote, run on Kloster as they are. Those of kopf and KubeRay are
compared, test by test, with the same run on a real kube-apiserver: a new failure makes `make test-clients` fail, and
so does a test that passes although the record says otherwise. A test that fails on the real server has to fail on
Kloster, and to say the same about it.

| suite | where it comes from | runs on | tests | real server | Kloster |
|---|---|---|---|---|---|
"""

CONTROLLER_RUNTIME = """
## controller-runtime

`sigs.k8s.io/controller-runtime` v0.22.5, from the Go module proxy: the tests of thirteen of its packages (envtest
itself, clients, caches, managers, controllers, webhooks), 980 specs, through `kloster envtest use 1.34`. All pass.
Left out:

- `should not leak goroutines when manager is stopped with warmup runnable and with leader election enabled`: it
  counts the connections of its own process. Over HTTP/2 there is one; Kloster speaks HTTP/1.1, and there is one more
  while two requests are under way.

```
pytest -m clients tests/clients/test_envtest.py
```
"""

KOPF = """
## kopf

[kopf](https://kopf.dev) 1.45.2, its source distribution: `tests/e2e`, which runs its examples by `kopf run` and acts
upon them with kubectl, and the tests of `examples`. On Kloster they are dealt out to six virtual clusters of a fleet
with simulated nodes, as they wait more than they work; the fleet may call webhooks of its own machine (`kloster up
--local-webhooks`), which the example of admission serves. The environment is what kopf's own CI
installs: beside kopf, oscrypto as it is between two releases (`tests/clients/suites/kopf.py` says more). kopf's tests
take every warning for a failure and name `-W` as the way around it: one is ignored, here and on the real server. It
says that Python has collected an event loop whose connections were not closed yet, a race within the client which fails
single tests on a busy machine.

```
pytest -m clients tests/clients/test_operator_suites.py -k kopf
```

By hand, in the unpacked source distribution, with kubectl on PATH and an environment that has kopf's test
dependencies and pykube-ng:

```
kloster up --local-webhooks && kloster create kopf --kubernetes-version 1.34
pytest --timeout=30 --only-e2e -W ignore::pytest.PytestUnraisableExceptionWarning tests/e2e examples
```
"""

KUBERAY = """
## KubeRay

[KubeRay](https://docs.ray.io/en/latest/cluster/kubernetes/index.html)'s operator
(`github.com/ray-project/kuberay/ray-operator` v1.5.0, from the Go module proxy): the packages `controllers/ray` and
`pkg/webhooks/v1`, with their plain Go tests, through the envtest drop-in. They run in parts, each with a
control plane of its own (`-ginkgo.focus-file`, `-ginkgo.focus`), in the order of seed 1. KubeRay's own CI uses the
control plane of Kubernetes 1.24. From 1.32 on no server lets anybody report a job complete in one step, which some
specs of RayJobs do; hence all of the suite runs on 1.31, and the specs of RayJobs once more on 1.34, where the same
ones fail as on a real 1.34, with the same words.

```
pytest -m clients tests/clients/test_operator_suites.py -k kuberay
```

By hand, in a copy of the module:

```
export KUBEBUILDER_ASSETS=$(kloster envtest use 1.31 -p path)
go test ./controllers/ray ./pkg/webhooks/v1 -ginkgo.seed=1
```
"""

REPEAT = """
## Make the records again

A record is `tests/clients/suites/NAME.json`. Making one keeps its reasons and says which lines have none:

```
python -m tests.clients.suites.record kopf --kubeconfig FILE
python -m tests.clients.suites.record kuberay-1.31 --assets DIR
python -m tests.clients.suites.record kuberay-1.34 --assets DIR
```

`FILE` reaches a fresh cluster with a controller manager and a scheduler, `DIR` has upstream's kube-apiserver, etcd
and kubectl. The record for 1.31 was made with a kube-apiserver 1.34.4 that has `--feature-gates=JobManagedBy=false`, as
1.31 has by default.
"""

ABOUT = {
    "kopf": ("kopf 1.45.2: `tests/e2e`, `examples`", "its source distribution"),
    "kuberay-1.31": ("KubeRay 1.5.0: `controllers/ray`, `pkg/webhooks/v1`", "Go module proxy"),
    "kuberay-1.34": ("KubeRay 1.5.0: RayJobs in `controllers/ray`", "Go module proxy"),
}


def page(note: str) -> str:
    records = {name: json.loads((RECORDS / f"{name}.json").read_text()) for name in ORDER}
    first = ("[controller-runtime](#controller-runtime) 0.22.5", "Go module proxy", "v1.34")
    rows = [f"| {' | '.join(first)} | 980 | not recorded | 980 passed |"]
    rows += [_row(name, record) for name, record in records.items()]
    lines = "".join(f"\n### Lines of {name} that do not pass\n\n{_lines(record)}" for name, record in records.items())
    return "".join(
        [
            note,
            INTRODUCTION,
            "\n".join(rows),
            "\n",
            CONTROLLER_RUNTIME,
            KOPF,
            KUBERAY,
            "\n## Line by line\n\nEvery test and its outcome is in `tests/clients/suites/*.json`.\n",
            lines,
            REPEAT,
        ]
    )


def _row(name: str, record: Mapping[str, Any]) -> str:
    suite, source = ABOUT[name]
    chance = {test for one in record["races"] for test in one["tests"]}
    real = {test: "by chance" if test in chance else state for test, state in record["outcomes"].items()}
    ours = {**real, **{test: one["state"] for one in record["differences"] for test in one["tests"]}}
    return f"| {suite} | {source} | {record['about']['server']} | {len(real)} | {_counts(real)} | {_counts(ours)} |"


def _counts(outcomes: Mapping[str, str]) -> str:
    return ", ".join(f"{number} {state}" for state, number in sorted(Counter(outcomes.values()).items()))


def _lines(record: Mapping[str, Any]) -> str:
    return "\n".join(_explained(record)) + "\n"


def _explained(record: Mapping[str, Any]) -> Iterator[str]:
    if not record["reasons"]:
        yield "On the real server: none."
    for entry in record["reasons"]:
        yield f"On both: {entry['why']}\n"
        yield from (f"- {record['outcomes'][test]}: {test}" for test in entry["tests"])
        yield ""
    if not record["differences"]:
        yield "On Kloster alone: none."
    for entry in record["differences"]:
        yield f"On Kloster {entry['state']}: {entry['why']}\n"
        yield from (f"- on the real server {record['outcomes'][test]}: {test}" for test in entry["tests"])
        yield ""
    for entry in record["races"]:
        yield f"By chance, on any server: {entry['why']}\n"
        yield from (f"- {test}" for test in entry["tests"])
        yield ""

"""Jobs, CronJobs and TTLs against the real pipeline."""

from __future__ import annotations

from typing import Any

import pytest

from kloster.aio.clock import parse_rfc3339
from kloster.apimachinery import Object
from kloster.client.resources import CRON_JOBS, JOBS, PODS
from kloster.controllers.cronjobs import schedule as schedules
from kloster.controllers.jobs import indexes

from .world import CONTAINERS, NS, World, world


def template(restart: str = "Never") -> Object:
    return {"spec": {"restartPolicy": restart, "containers": CONTAINERS}}


def conditions(job: Object) -> list[tuple[str, str]]:
    return [(item["type"], item["reason"]) for item in job["status"].get("conditions", [])]


async def start(cluster: World, **spec: Any) -> None:
    cluster.run("*")
    await cluster.create(JOBS, "j", spec={"template": template(), **spec})
    await cluster.settle()


@world
async def test_a_job_completes_as_upstream(cluster: World) -> None:
    await start(cluster)
    job = await cluster.get(JOBS, "j")
    assert {name: job["status"][name] for name in ("active", "ready", "terminating", "uncountedTerminatedPods")} == {
        "active": 1, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {},
    }  # fmt: skip
    (pod,) = await cluster.all(PODS)
    assert pod["metadata"]["finalizers"] == ["batch.kubernetes.io/job-tracking"]
    await cluster.set_phase(pod["metadata"]["name"], "Succeeded")
    await cluster.settle()
    job = await cluster.get(JOBS, "j")
    assert conditions(job) == [("SuccessCriteriaMet", "CompletionsReached"), ("Complete", "CompletionsReached")]
    status = {name: value for name, value in job["status"].items() if name not in ("conditions", "startTime")}
    assert status.pop("completionTime") == job["status"]["conditions"][1]["lastTransitionTime"]
    assert status == {"ready": 0, "succeeded": 1, "terminating": 0, "uncountedTerminatedPods": {}}
    (pod,) = await cluster.all(PODS)
    assert "finalizers" not in pod["metadata"]
    assert await cluster.events("Completed") == ["Job completed"]


@world
async def test_parallelism_and_completions(cluster: World) -> None:
    await start(cluster, completions=5, parallelism=2)
    most = 0
    for _ in range(10):
        await cluster.settle()
        active = [pod for pod in await cluster.all(PODS) if pod["status"]["phase"] == "Pending"]
        most = max(most, len(active))
        if not active:
            break
        await cluster.set_phase(active[0]["metadata"]["name"], "Succeeded")
    job = await cluster.get(JOBS, "j")
    assert (most, job["status"]["succeeded"], len(await cluster.all(PODS))) == (2, 5, 5)
    assert conditions(job)[-1] == ("Complete", "CompletionsReached")


@world
async def test_failures_back_off_and_exhaust_the_limit(cluster: World) -> None:
    await start(cluster, backoffLimit=1)
    (pod,) = await cluster.all(PODS)
    await cluster.set_phase(pod["metadata"]["name"], "Failed")
    await cluster.settle()
    assert len(await cluster.all(PODS)) == 1
    await cluster.advance(6)
    assert len(await cluster.all(PODS)) == 1
    await cluster.advance(6)
    pods = await cluster.all(PODS)
    assert len(pods) == 2
    (second,) = [pod for pod in pods if pod["status"]["phase"] == "Pending"]
    await cluster.set_phase(second["metadata"]["name"], "Failed")
    await cluster.settle()
    job = await cluster.get(JOBS, "j")
    assert conditions(job) == [("FailureTarget", "BackoffLimitExceeded"), ("Failed", "BackoffLimitExceeded")]
    assert job["status"]["failed"] == 2
    assert await cluster.events("BackoffLimitExceeded") == ["Job has reached the specified backoff limit"]


@world
async def test_a_deadline_ends_the_job(cluster: World) -> None:
    await start(cluster, activeDeadlineSeconds=30)
    await cluster.advance(28)
    assert conditions(await cluster.get(JOBS, "j")) == []
    await cluster.advance(2)
    await cluster.converge()
    assert conditions(await cluster.get(JOBS, "j"))[-1] == ("Failed", "DeadlineExceeded")
    assert await cluster.all(PODS) == []


@world
async def test_suspending_and_resuming(cluster: World) -> None:
    await start(cluster, suspend=True)
    assert await cluster.all(PODS) == []
    assert conditions(await cluster.get(JOBS, "j")) == [("Suspended", "JobSuspended")]
    await cluster.patch(JOBS, "j", {"spec": {"suspend": False}})
    await cluster.settle()
    assert len(await cluster.all(PODS)) == 1
    assert conditions(await cluster.get(JOBS, "j")) == [("Suspended", "JobResumed")]
    await cluster.patch(JOBS, "j", {"spec": {"suspend": True}})
    await cluster.converge()
    assert await cluster.all(PODS) == []
    assert await cluster.events("Suspended") == ["Job suspended"]


@world
async def test_an_indexed_job_gives_each_index_a_pod(cluster: World) -> None:
    await start(cluster, completions=3, parallelism=3, completionMode="Indexed")
    pods = await cluster.all(PODS)
    found = {pod["metadata"]["annotations"][indexes.ANNOTATION]: pod for pod in pods}
    assert sorted(found) == ["0", "1", "2"]
    first = found["0"]
    assert first["metadata"]["generateName"] == "j-0-"
    assert first["spec"]["hostname"] == "j-0"
    (variable,) = first["spec"]["containers"][0]["env"]
    assert variable["name"] == "JOB_COMPLETION_INDEX"
    await cluster.set_phase(found["1"]["metadata"]["name"], "Failed")
    await cluster.set_phase(found["2"]["metadata"]["name"], "Succeeded")
    await cluster.advance(11)
    again = [pod for pod in await cluster.all(PODS) if pod["metadata"]["annotations"][indexes.ANNOTATION] == "1"]
    assert len(again) == 2
    for pod in await cluster.all(PODS):
        if pod["status"]["phase"] == "Pending":
            await cluster.set_phase(pod["metadata"]["name"], "Succeeded")
    await cluster.settle()
    job = await cluster.get(JOBS, "j")
    assert (job["status"]["completedIndexes"], job["status"]["succeeded"], job["status"]["failed"]) == ("0-2", 3, 1)
    assert conditions(job)[-1] == ("Complete", "CompletionsReached")


@world
async def test_back_off_limit_per_index(cluster: World) -> None:
    await start(cluster, completions=2, parallelism=2, completionMode="Indexed", backoffLimitPerIndex=1)
    for _ in range(4):
        for pod in await cluster.all(PODS):
            if pod["status"]["phase"] == "Pending":
                failing = pod["metadata"]["annotations"][indexes.ANNOTATION] == "0"
                await cluster.set_phase(pod["metadata"]["name"], "Failed" if failing else "Succeeded")
        await cluster.advance(30)
    job = await cluster.get(JOBS, "j")
    assert (job["status"]["failedIndexes"], job["status"]["completedIndexes"]) == ("0", "1")
    assert conditions(job)[-1] == ("Failed", "FailedIndexes")
    assert sum(pod["metadata"]["annotations"][indexes.ANNOTATION] == "0" for pod in await cluster.all(PODS)) == 2


@world
async def test_a_pod_failure_policy_fails_the_job_at_once(cluster: World) -> None:
    rule = {"action": "FailJob", "onExitCodes": {"operator": "In", "values": [1]}}
    await start(cluster, podFailurePolicy={"rules": [rule]})
    (pod,) = await cluster.all(PODS)
    name = pod["metadata"]["name"]
    await cluster.set_phase(name, "Failed")
    await cluster.settle()
    job = await cluster.get(JOBS, "j")
    assert conditions(job)[-1] == ("Failed", "PodFailurePolicy")
    text = f"Container c for pod {NS}/{name} failed with exit code 1 matching FailJob rule at index 0"
    assert job["status"]["conditions"][-1]["message"] == text


@world
async def test_pods_of_a_deleted_job_are_released(cluster: World) -> None:
    await start(cluster)
    await cluster.client.delete(JOBS, NS, "j", propagation_policy="Background")
    await cluster.converge()
    assert await cluster.all(PODS) == []
    assert await cluster.all(JOBS) == []


@world
async def test_finished_jobs_go_after_their_ttl(cluster: World) -> None:
    await start(cluster, ttlSecondsAfterFinished=100)
    (pod,) = await cluster.all(PODS)
    await cluster.set_phase(pod["metadata"]["name"], "Succeeded")
    await cluster.settle()
    await cluster.advance(95)
    assert await cluster.exists(JOBS, "j")
    await cluster.advance(10)
    await cluster.converge()
    assert not await cluster.exists(JOBS, "j")
    assert await cluster.all(PODS) == []


@world
async def test_a_cron_job_starts_jobs_on_time(cluster: World) -> None:
    cluster.run("*")
    job_template = {"spec": {"template": template()}}
    spec = {"schedule": "*/10 * * * *", "jobTemplate": job_template, "successfulJobsHistoryLimit": 1}
    await cluster.create(CRON_JOBS, "c", spec=spec)
    await cluster.settle()
    assert await cluster.all(JOBS) == []
    for _ in range(3):
        await cluster.advance(600)
        for pod in await cluster.all(PODS):
            if pod["status"]["phase"] == "Pending":
                await cluster.set_phase(pod["metadata"]["name"], "Succeeded")
        await cluster.settle()
    (job,) = await cluster.all(JOBS)
    cron_job = await cluster.get(CRON_JOBS, "c")
    at = parse_rfc3339(cron_job["status"]["lastScheduleTime"])
    assert job["metadata"]["name"] == f"c-{int(at) // 60}"
    assert at % 600 == 0
    stamp = job["metadata"]["annotations"]["batch.kubernetes.io/cronjob-scheduled-timestamp"]
    assert parse_rfc3339(stamp) == at
    assert "active" not in cron_job["status"]
    assert len(await cluster.events("SawCompletedJob")) == 3
    assert len(await cluster.events("SuccessfulDelete")) == 2


@pytest.mark.parametrize(
    ("policy", "jobs", "event"),
    [("Allow", 2, "SuccessfulCreate"), ("Forbid", 1, "JobAlreadyActive"), ("Replace", 1, "SuccessfulDelete")],
)
def test_concurrency_policies(policy: str, jobs: int, event: str) -> None:
    @world
    async def run(cluster: World) -> None:
        cluster.run("*")
        spec = {"schedule": "* * * * *", "concurrencyPolicy": policy, "jobTemplate": {"spec": {"template": template()}}}
        await cluster.create(CRON_JOBS, "c", spec=spec)
        await cluster.settle()
        await cluster.advance(60)
        await cluster.converge()
        (first,) = await cluster.names(JOBS)
        await cluster.advance(60)
        await cluster.converge()
        assert len(await cluster.names(JOBS)) == jobs
        assert (first in await cluster.names(JOBS)) == (policy != "Replace")
        assert await cluster.events(event)

    run()


@pytest.mark.parametrize(
    ("numbers", "text"),
    [((), ""), ((3,), "3"), ((1, 2), "1,2"), ((0, 1, 2, 5, 7, 8), "0-2,5,7,8")],
    ids=["none", "one", "pair", "mixed"],
)
def test_indexes_as_text(numbers: tuple[int, ...], text: str) -> None:
    assert indexes.text(numbers) == text
    assert indexes.parse(text, 10) == set(numbers)


@pytest.mark.parametrize(
    ("text", "zone", "after", "expected"),
    [
        ("0 9 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T07:00:00Z"),
        ("@hourly", None, "2026-07-01T00:10:00Z", "2026-07-01T01:00:00Z"),
        ("@every 90s", None, "2026-07-01T00:00:00Z", "2026-07-01T00:01:30Z"),
        ("TZ=Asia/Tokyo 0 0 * * *", None, "2026-07-01T00:00:00Z", "2026-07-01T15:00:00Z"),
    ],
    ids=["zone", "descriptor", "every", "embedded zone"],
)
def test_schedules(text: str, zone: str | None, after: str, expected: str) -> None:
    assert schedules.parse(text, zone).after(parse_rfc3339(after)) == parse_rfc3339(expected)


@pytest.mark.parametrize("text", ["", "* * * *", "61 * * * *", "@every x", "@sometimes"])
def test_bad_schedules(text: str) -> None:
    with pytest.raises(schedules.BadSchedule):
        schedules.parse(text)


def test_only_the_most_recent_missed_time_counts() -> None:
    minutely = schedules.parse("* * * * *")
    assert schedules.most_recent(minutely, 0, 600) == schedules.Due(600.0)
    assert schedules.most_recent(minutely, 0, 60 * 1000 + 5) == schedules.Due(60_000.0, True)
    assert schedules.most_recent(minutely, 590, 599) == schedules.Due(None)

"""The official Python client: typed calls, watches, the dynamic client, patches, custom objects, streams."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config, dynamic, stream, utils, watch
from kubernetes.client.exceptions import ApiException
from tests.clients.fleets import Cluster

pytestmark = pytest.mark.filterwarnings("default")
DEFINITION = Path(__file__).parent / "manifests" / "websites.yaml"
GROUP, VERSION = "clients.kloster.dev", "v1"


@pytest.fixture
def api(cluster: Cluster) -> Iterator[client.ApiClient]:
    with config.new_client_from_config(str(cluster.kubeconfig)) as made:
        yield made


def _deployment(name: str, replicas: int) -> client.V1Deployment:
    labels = {"app": name}
    pod = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(containers=[client.V1Container(name="web", image="web:1")]),
    )
    spec = client.V1DeploymentSpec(
        replicas=replicas, selector=client.V1LabelSelector(match_labels=labels), template=pod
    )
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=spec)


def _ready(apps: client.AppsV1Api, namespace: str, name: str, replicas: int) -> None:
    ends = time.monotonic() + 20
    while apps.read_namespaced_deployment_status(name, namespace).status.ready_replicas != replicas:
        assert time.monotonic() < ends, "the deployment did not become ready"
        time.sleep(0.1)


def test_versions_and_discovery(api: client.ApiClient) -> None:
    assert client.VersionApi(api).get_code().git_version.startswith("v1.34")
    assert "v1" in client.CoreApi(api).get_api_versions().versions
    groups = {group.name for group in client.ApisApi(api).get_api_versions().groups}
    assert {"apps", "batch", "networking.k8s.io"} <= groups
    assert any(one.name == "pods/exec" for one in client.CoreV1Api(api).get_api_resources().resources)


def test_objects_are_created_read_changed_and_deleted(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    body = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="cm", labels={"a": "b"}), data={"k": "v"})
    made = core.create_namespaced_config_map(namespace, body)
    assert made.metadata.uid
    with pytest.raises(ApiException) as twice:
        core.create_namespaced_config_map(namespace, body)
    assert (twice.value.status, twice.value.reason) == (409, "Conflict")
    made.data["k"] = "w"
    stored = core.replace_namespaced_config_map("cm", namespace, made)
    assert stored.metadata.resource_version != made.metadata.resource_version
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("cm", namespace, made)
    assert stale.value.status == 409
    assert [one.metadata.name for one in core.list_namespaced_config_map(namespace, label_selector="a=b").items] == [
        "cm"
    ]
    page = core.list_namespaced_config_map(namespace, limit=1)
    assert page.metadata._continue
    rest = core.list_namespaced_config_map(namespace, limit=1, _continue=page.metadata._continue)
    assert {one.metadata.name for one in page.items + rest.items} == {"cm", "kube-root-ca.crt"}
    assert core.delete_namespaced_config_map("cm", namespace)["status"] == "Success"
    with pytest.raises(ApiException) as gone:
        core.read_namespaced_config_map("cm", namespace)
    assert gone.value.status == 404


@pytest.mark.parametrize(
    ("content_type", "patch"),
    [
        pytest.param("application/json-patch+json", [{"op": "add", "path": "/data/k", "value": "p"}], id="json"),
        pytest.param("application/merge-patch+json", {"data": {"k": "p"}}, id="merge"),
        pytest.param("application/strategic-merge-patch+json", {"data": {"k": "p"}}, id="strategic"),
        pytest.param(
            "application/apply-patch+yaml",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "cm"}, "data": {"k": "p"}},
            id="apply",
        ),
    ],
)
def test_every_kind_of_patch(content_type: str, patch: Any, api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "cm"}, "data": {"other": "kept"}})
    more = {"field_manager": "test", "force": True} if "apply" in content_type else {}
    done = core.patch_namespaced_config_map("cm", namespace, patch, _content_type=content_type, **more)
    assert done.data == {"other": "kept", "k": "p"}


def test_a_deployment_runs_and_scales(api: client.ApiClient, namespace: str) -> None:
    apps, core = client.AppsV1Api(api), client.CoreV1Api(api)
    apps.create_namespaced_deployment(namespace, _deployment("web", 2))
    _ready(apps, namespace, "web", 2)
    scale = apps.read_namespaced_deployment_scale("web", namespace)
    scale.spec.replicas = 3
    apps.replace_namespaced_deployment_scale("web", namespace, scale)
    _ready(apps, namespace, "web", 3)
    pods = core.list_namespaced_pod(namespace, label_selector="app=web").items
    assert {one.status.phase for one in pods} == {"Running"}
    assert all(one.status.pod_ip and one.spec.node_name for one in pods)
    apps.delete_namespaced_deployment("web", namespace, propagation_policy="Foreground")
    ends = time.monotonic() + 20
    while core.list_namespaced_pod(namespace, label_selector="app=web").items:
        assert time.monotonic() < ends, "pods of a deleted deployment stay"
        time.sleep(0.1)


def test_a_watch_sees_every_change_and_resumes(api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    begin = core.list_namespaced_config_map(namespace).metadata.resource_version

    def work() -> None:
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "seen"}})
        core.patch_namespaced_config_map("seen", namespace, {"data": {"a": "b"}})
        core.delete_namespaced_config_map("seen", namespace)

    worker = threading.Thread(target=work)
    worker.start()
    found = []
    for event in watch.Watch().stream(
        core.list_namespaced_config_map, namespace, resource_version=begin, timeout_seconds=20
    ):
        found.append((event["type"], event["object"].metadata.name, event["object"].data))
        if event["type"] == "DELETED":
            break
    worker.join()
    assert found == [("ADDED", "seen", None), ("MODIFIED", "seen", {"a": "b"}), ("DELETED", "seen", {"a": "b"})]
    again = watch.Watch().stream(core.list_namespaced_config_map, namespace, resource_version=begin, timeout_seconds=1)
    assert [event["type"] for event in again] == ["ADDED", "MODIFIED", "DELETED"]


def test_the_dynamic_client_finds_and_applies(api: client.ApiClient, namespace: str) -> None:
    found = dynamic.DynamicClient(api)
    maps = found.resources.get(api_version="v1", kind="ConfigMap")
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"a": "b"}}
    applied = maps.server_side_apply(body=body, namespace=namespace, field_manager="test")
    assert applied.metadata.managedFields[0].operation == "Apply"
    assert maps.get(name="dynamic", namespace=namespace).data.a == "b"
    deployments = found.resources.get(api_version="apps/v1", kind="Deployment")
    assert deployments.namespaced
    assert "scale" in deployments.subresources


def test_custom_objects(api: client.ApiClient, namespace: str) -> None:
    extensions, custom = client.ApiextensionsV1Api(api), client.CustomObjectsApi(api)
    definition = yaml.safe_load(DEFINITION.read_text())
    try:
        extensions.create_custom_resource_definition(definition)
    except ApiException as error:
        assert error.status == 409
    ends = time.monotonic() + 20
    while True:
        seen = extensions.read_custom_resource_definition("websites.clients.kloster.dev").status
        if any(one.type == "Established" and one.status == "True" for one in seen.conditions or ()):
            break
        assert time.monotonic() < ends
        time.sleep(0.1)
    where = (GROUP, VERSION, namespace, "websites")
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": "Website", "metadata": {"name": "a"}, "spec": {"page": "x"}}
    made = custom.create_namespaced_custom_object(*where, body)
    assert made["spec"] == {"page": "x", "replicas": 1}
    status = {"status": {"readyReplicas": 1}}
    custom.patch_namespaced_custom_object_status(*where, "a", status)
    got = custom.get_namespaced_custom_object(*where, "a")
    assert got["status"] == {"readyReplicas": 1}
    with pytest.raises(ApiException) as invalid:
        custom.create_namespaced_custom_object(*where, {**body, "metadata": {"name": "b"}, "spec": {"replicas": -1}})
    assert invalid.value.status == 422
    assert len(custom.list_namespaced_custom_object(*where)["items"]) == 1
    custom.delete_namespaced_custom_object(*where, "a")


def test_yaml_of_several_objects(api: client.ApiClient, namespace: str, tmp_path: Path) -> None:
    text = "\n---\n".join(
        yaml.safe_dump({"apiVersion": "v1", "kind": kind, "metadata": {"name": "many"}})
        for kind in ("ConfigMap", "Secret", "ServiceAccount")
    )
    path = tmp_path / "many.yaml"
    path.write_text(text)
    made = utils.create_from_yaml(api, str(path), namespace=namespace)
    assert len(made) == 3


def test_exec_and_logs_say_that_the_pod_is_simulated(cluster: Cluster, api: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api)
    core.create_namespaced_pod(
        namespace, {"metadata": {"name": "one"}, "spec": {"containers": [{"name": "a", "image": "b"}]}}
    )
    ends = time.monotonic() + 20
    while core.read_namespaced_pod("one", namespace).status.phase != "Running":
        assert time.monotonic() < ends
        time.sleep(0.1)
    with pytest.raises(ApiException) as logs:
        core.read_namespaced_pod_log("one", namespace)
    assert "simulated" in logs.value.body
    own = config.new_client_from_config(str(cluster.kubeconfig))  # a stream changes its client for good
    execute = client.CoreV1Api(own).connect_get_namespaced_pod_exec
    with own, pytest.raises(ApiException) as refused:
        stream.stream(execute, "one", namespace, command=["ls"], stdout=True)
    assert refused.value.status in (0, 501, 500, 400)


def test_a_service_account_token_is_good_for_what_its_role_grants(
    cluster: Cluster, api: client.ApiClient, namespace: str
) -> None:
    core, rbac = client.CoreV1Api(api), client.RbacAuthorizationV1Api(api)
    core.create_namespaced_service_account(namespace, {"metadata": {"name": "robot"}})
    rules = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list"]}]
    rbac.create_namespaced_role(namespace, {"metadata": {"name": "lister"}, "rules": rules})
    subjects = [{"kind": "ServiceAccount", "name": "robot", "namespace": namespace}]
    role = {"kind": "Role", "name": "lister", "apiGroup": "rbac.authorization.k8s.io"}
    rbac.create_namespaced_role_binding(
        namespace, {"metadata": {"name": "lister"}, "roleRef": role, "subjects": subjects}
    )
    spec = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=3600))
    token = core.create_namespaced_service_account_token("robot", namespace, spec).status.token
    settings = client.Configuration()
    settings.host = api.configuration.host
    settings.ssl_ca_cert = api.configuration.ssl_ca_cert
    settings.api_key = {"authorization": f"Bearer {token}"}
    with client.ApiClient(settings) as own:
        assert client.CoreV1Api(own).list_namespaced_config_map(namespace).items
        with pytest.raises(ApiException) as refused:
            client.CoreV1Api(own).list_namespaced_secret(namespace)
        assert refused.value.status == 403
        who = client.AuthenticationV1Api(own).create_self_subject_review({}).status.user_info
        assert who.username == f"system:serviceaccount:{namespace}:robot"

"""A small operator: for each Greeting it keeps a ConfigMap with the text, and says in its status what it did."""

import kopf
from kubernetes import client


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_):
    settings.posting.level = 30  # events for warnings only


@kopf.on.create("example.com", "v1", "greetings")
@kopf.on.update("example.com", "v1", "greetings")
def greet(spec, name, namespace, patch, **_):
    text = f"Hello, {spec['whom']}!"
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}}
    kopf.adopt(config_map)
    core = client.CoreV1Api()
    try:
        core.create_namespaced_config_map(namespace, config_map)
    except client.ApiException as error:
        if error.status != 409:
            raise
        core.patch_namespaced_config_map(name, namespace, {"data": {"text": text}})
    patch.status["text"] = text

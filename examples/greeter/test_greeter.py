import pytest

from kloster.testing import StatusError


def greeting(whom):
    return {
        "apiVersion": "example.com/v1",
        "kind": "Greeting",
        "metadata": {"name": "world"},
        "spec": {"whom": whom},
    }


def test_a_greeting_is_written_and_kept_up_to_date(cluster):
    cluster.apply(greeting("World"))
    cluster.wait_for("configmap/world jsonpath={.data.text}=Hello, World!")
    cluster.wait_for("greeting/world jsonpath={.status.text}=Hello, World!")
    cluster.apply(greeting("Moon"))
    cluster.wait_for("configmap/world jsonpath={.data.text}=Hello, Moon!")


def test_what_it_made_goes_with_the_greeting(cluster):
    cluster.apply(greeting("World"))
    cluster.wait_for("configmap/world")
    cluster.delete("greeting/world")
    cluster.wait_for("configmap/world delete")


@pytest.mark.kubernetes("1.31", "1.37")
def test_nobody_is_greeted_without_a_name(kloster_cluster):
    with pytest.raises(StatusError, match="whom"):
        kloster_cluster.apply(greeting(""))

"""What a node is told: own addresses, keys that only root reads, values that survive a shell."""

import io
import json
import shlex
import tarfile

import pytest

from schedcp_lab.node_config import (
    CONFIG_FOLDER,
    NodeCredentials,
    NodeSettings,
    Taint,
    config_disk,
    config_files,
    kubelet_configuration,
)

CREDENTIALS = NodeCredentials(
    kubeconfig="kind: Config\n", client_ca="CA", serving_certificate="CERT", serving_key="KEY"
)


def node(index: int = 1, *, taints: tuple[Taint, ...] = ()) -> NodeSettings:
    labels = {"pool": "general", "tier": "a b"}
    return NodeSettings(f"node-{index}", index, api_port=20001, labels=labels, taints=taints)


def variables(settings: NodeSettings) -> dict[str, str]:
    lines = config_files(settings, CREDENTIALS)["node.env"].splitlines()
    words = [shlex.split(line) for line in lines]
    assert all(len(word) == 1 for word in words)
    return dict(word[0].split("=", 1) for word in words)


def test_nodes_have_addresses_of_their_own() -> None:
    nodes = [node(index) for index in range(1, 255)]
    assert len({n.address for n in nodes}) == len(nodes)
    assert len({n.pod_cidr for n in nodes}) == len(nodes)
    assert (nodes[0].address, nodes[0].pod_cidr) == ("10.76.0.1", "10.244.1.0/24")


@pytest.mark.parametrize("index", [0, 255, -1])
def test_an_index_without_an_address_is_refused(index: int) -> None:
    with pytest.raises(ValueError, match=r"is not in 1\.\.254"):
        node(index)


def test_a_shell_reads_the_variables_as_they_were_meant() -> None:
    read = variables(node())
    assert read["NODE_NAME"] == "node-1"
    assert read["NODE_LABELS"] == "pool=general,tier=a b"
    assert read["API_PORT"] == "20001"


def test_the_kubelets_certificates_are_in_the_folder_that_is_named() -> None:
    text = json.dumps(kubelet_configuration(node(), folder="/somewhere"))
    assert text.count('"/somewhere/') == 3
    assert "/etc/" not in text
    assert json.dumps(kubelet_configuration(node())) == text.replace("/somewhere", CONFIG_FOLDER)


def test_the_kubelet_trusts_nobody_without_a_certificate_or_token() -> None:
    configuration = kubelet_configuration(node())
    authentication = configuration["authentication"]
    assert isinstance(authentication, dict)
    assert authentication["anonymous"] == {"enabled": False}
    assert configuration["authorization"] == {"mode": "Webhook"}


def test_taints_are_registered() -> None:
    settings = node(taints=(Taint("dedicated", "batch", "NoSchedule"),))
    configuration = json.loads(config_files(settings, CREDENTIALS)["kubelet.yaml"])
    assert configuration["registerWithTaints"] == [
        {"key": "dedicated", "value": "batch", "effect": "NoSchedule"}
    ]


def test_the_disk_is_a_tar_that_only_root_reads() -> None:
    files = config_files(node(), CREDENTIALS)
    with tarfile.open(fileobj=io.BytesIO(config_disk(files))) as archive:
        members = archive.getmembers()
        key = archive.extractfile("kubelet.key")
        assert key is not None
        assert key.read() == b"KEY"
    assert {member.name for member in members} == set(files)
    assert {(member.mode, member.uid) for member in members} == {(0o600, 0)}


def test_keys_are_not_shown() -> None:
    assert "KEY" not in repr(CREDENTIALS)
    assert "kind: Config" not in repr(CREDENTIALS)

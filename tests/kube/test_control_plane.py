import http.server
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from schedcp_lab.certificates import Credential, write_private
from schedcp_lab.control_plane import ALL_COMPONENTS, ControlPlane
from schedcp_lab.errors import CommandFailed, LabError, ProcessLost
from schedcp_lab.https_probe import https_ok
from schedcp_lab.kube_binaries import KubeBinaries
from schedcp_lab.processes import environment, run, wait_until
from schedcp_lab.prometheus import Prometheus, Target

DEADLINE_SECONDS = 120.0
NODE_ADDRESS = "10.76.0.9"


@pytest.fixture(scope="module")
def full(
    kube_binaries: KubeBinaries, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """A whole control plane, in a place with a space in its name."""
    state_dir = tmp_path_factory.mktemp("whole plane")
    with ControlPlane.start(state_dir, binaries=kube_binaries, components=ALL_COMPONENTS) as plane:
        yield plane


@contextmanager
def tls_server(credential: Credential, folder: Path, body: bytes) -> Iterator[int]:
    """An HTTPS server on loopback that answers every GET with `body`; yields its port."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Tests are quiet."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*credential.write(folder, "server"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(timeout=DEADLINE_SECONDS)


WIDGETS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.lab.test"},
    "spec": {
        "group": "lab.test",
        "names": {"kind": "Widget", "plural": "widgets"},
        "scope": "Cluster",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "low": {"type": "integer"},
                                    "high": {"type": "integer"},
                                },
                                "required": ["low", "high"],
                                "x-kubernetes-validations": [
                                    {
                                        "rule": "self.low <= self.high",
                                        "message": "low must not exceed high",
                                    }
                                ],
                            }
                        },
                    }
                },
            }
        ],
    },
}


def widget(name: str, low: int, high: int) -> str:
    return json.dumps(
        {
            "apiVersion": "lab.test/v1",
            "kind": "Widget",
            "metadata": {"name": name},
            "spec": {"low": low, "high": high},
        }
    )


def test_objects_are_kept(kube: ControlPlane) -> None:
    kube.kubectl("create", "namespace", "kept")
    assert kube.kubectl("get", "namespace", "kept", "-o", "name").stdout == "namespace/kept\n"


def test_cel_rules_of_a_crd_hold(kube: ControlPlane) -> None:
    kube.kubectl("apply", "-f", "-", stdin=json.dumps(WIDGETS))
    kube.kubectl("wait", "--for=condition=Established", "crd/widgets.lab.test", "--timeout=60s")
    kube.kubectl("apply", "-f", "-", stdin=widget("good", 1, 2))
    with pytest.raises(CommandFailed, match="low must not exceed high"):
        kube.kubectl("apply", "-f", "-", stdin=widget("bad", 2, 1))


def test_a_node_may_do_only_what_a_node_may(
    kube: ControlPlane, kube_binaries: KubeBinaries, tmp_path: Path
) -> None:
    inside = kube.node_kubeconfig("one")
    assert "https://10.0.2.2:" in inside
    outside = write_private(tmp_path / "node", inside.replace("10.0.2.2", "127.0.0.1"))
    command: list[str | Path] = [kube_binaries.kubectl, "--kubeconfig", outside]
    who = run(
        [*command, "auth", "whoami", "-o", "jsonpath={.status.userInfo}"],
        timeout_seconds=DEADLINE_SECONDS,
        env=environment({"KUBECACHEDIR": str(tmp_path)}),
    )
    assert json.loads(who.stdout)["username"] == "system:node:one"
    assert "system:nodes" in json.loads(who.stdout)["groups"]
    with pytest.raises(CommandFailed, match="Forbidden"):
        run(
            [*command, "get", "secrets", "--all-namespaces"],
            timeout_seconds=DEADLINE_SECONDS,
            env=environment({"KUBECACHEDIR": str(tmp_path)}),
        )


def test_a_clusters_client_is_no_client_of_etcd(kube: ControlPlane) -> None:
    folder = kube.pki.folder
    own = (folder / "apiserver-etcd.crt", folder / "apiserver-etcd.key")
    clusters = (folder / "apiserver-kubelet.crt", folder / "apiserver-kubelet.key")
    port, authority = kube.ports.etcd, kube.pki.etcd.pem
    assert https_ok(port, "/health", authority_pem=authority, identity=own)
    assert not https_ok(port, "/health", authority_pem=authority, identity=clusters)
    assert not https_ok(port, "/health", authority_pem=authority)


def test_a_component_that_is_not_there_is_named(kube: ControlPlane) -> None:
    with pytest.raises(LabError, match="no component 'kube-scheduler', only etcd, kube-apiserver"):
        kube.kill("kube-scheduler")


def test_the_controllers_work(full: ControlPlane) -> None:
    full.kubectl("create", "deployment", "idle", "--image=localhost/none")
    wait_until(
        lambda: full.kubectl("get", "pods", "-l", "app=idle", "-o", "name").stdout != "",
        what="the deployment has a pod",
        timeout_seconds=DEADLINE_SECONDS,
    )


def test_a_killed_apiserver_comes_back_with_everything(full: ControlPlane) -> None:
    full.kubectl("create", "namespace", "survivor")
    full.kill("kube-apiserver")
    with pytest.raises(ProcessLost, match="kube-apiserver ended with status -9"):
        full.require_alive()
    full.restart_apiserver()
    full.require_alive()
    full.kubectl("get", "namespace", "survivor")


def test_a_node_is_reached_through_its_route_and_not_without(
    full: ControlPlane, tmp_path: Path
) -> None:
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "one"}}
    full.kubectl("create", "-f", "-", stdin=json.dumps(node))
    status = {
        "addresses": [{"type": "InternalIP", "address": NODE_ADDRESS}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
    }
    patch = json.dumps({"status": status})
    full.kubectl("patch", "node", "one", "--subresource=status", "--type=merge", "-p", patch)
    proxied = ("get", "--raw", "/api/v1/nodes/https:one:10250/proxy/configz")
    with pytest.raises(CommandFailed, match="403"):
        full.kubectl(*proxied)
    credentials = full.node_credentials("one", NODE_ADDRESS)
    serving = Credential(credentials.serving_certificate, credentials.serving_key)
    with tls_server(serving, tmp_path, b"from the kubelet") as port:
        full.add_route(NODE_ADDRESS, "127.0.0.1", port)
        assert full.kubectl(*proxied).stdout == "from the kubelet"
    full.remove_route(NODE_ADDRESS)
    with pytest.raises(CommandFailed, match="403"):
        full.kubectl(*proxied)


def test_prometheus_scrapes_over_tls_and_keeps_what_it_has(
    kube: ControlPlane, tmp_path: Path
) -> None:
    serving = kube.pki.product_server("agent.test")
    with (
        tls_server(serving, tmp_path, b"schedcp_test_value 42\n") as port,
        Prometheus.start(
            tmp_path, authority_pem=kube.pki.product.pem, server_name="agent.test"
        ) as prometheus,
    ):
        prometheus.set_targets([Target(f"127.0.0.1:{port}", {"node": "one"})])

        def values() -> list[str]:
            answer = httpx.get(
                f"{prometheus.url}/api/v1/query",
                params={"query": "last_over_time(schedcp_test_value[1h])"},
                timeout=DEADLINE_SECONDS,
            )
            result = answer.raise_for_status().json()["data"]["result"]
            return [f"{row['metric']['node']}={row['value'][1]}" for row in result]

        wait_until(
            lambda: values() == ["one=42"],
            what="the value is scraped",
            timeout_seconds=DEADLINE_SECONDS,
        )
        prometheus.set_targets([])
        prometheus.kill()
        assert not prometheus.alive
        prometheus.restart()
        assert values() == ["one=42"]

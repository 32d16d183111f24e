"""What helm makes of the chart's values."""

import json
from pathlib import Path

import pytest

from schedcp_agent.keys import REVOKED_NAME, parse_revocations
from schedcp_agent.settings import AgentSettings
from schedcp_api.base import digest_of
from schedcp_api.tokens import Revocations
from schedcp_lab.errors import CommandFailed
from schedcp_operator.job_verifier import job_manifest
from schedcp_operator.settings import JobSettings
from schedcp_operator.settings import Settings as OperatorSettings
from support.agent_installation import Manifest, find, render

OPERATOR = "schedcp-operator"
AGENT = "schedcp-agent"
DIRECTORY = "DirectoryOrCreate"
AUTHORITY = "-----BEGIN CERTIFICATE-----"
ACCOUNTS = ("operator", "verifier", "agent", "uninstall")
JOB_POD: Manifest = job_manifest("x", JobSettings(image="x"))["spec"]["template"]["spec"]


def pod_of(rendered: list[Manifest], kind: str, name: str) -> Manifest:
    found: Manifest = find(rendered, kind, name)["spec"]["template"]["spec"]
    return found


def variables(pod: Manifest) -> dict[str, Manifest]:
    return {entry["name"]: entry for entry in pod["containers"][0]["env"]}


def mounts(pod: Manifest) -> dict[str, Manifest]:
    """Return a pod's volume sources by where its container has them."""
    sources = {v["name"]: {k: v[k] for k in v if k != "name"} for v in pod["volumes"]}
    return {m["mountPath"]: sources[m["name"]] for m in pod["containers"][0]["volumeMounts"]}


class TestRendering:
    """What helm makes of values."""

    @pytest.mark.parametrize("part", ["operator", "verifier", "agent"])
    def test_an_image_that_is_not_named_is_asked_for(self, repository: Path, part: str) -> None:
        with pytest.raises(CommandFailed, match=f"{part}.image.repository is needed"):
            render(repository, f"--set={part}.image.repository=")

    def test_an_operator_elsewhere_needs_the_agents_image_alone(self, repository: Path) -> None:
        options = ["operator.enabled=false", "operator.externalURL=https://10.0.0.1:8443"]
        options += ["operator.image.repository=", "verifier.image.repository="]
        rendered = render(repository, *(f"--set={option}" for option in options))
        assert not any(found["kind"] == "Deployment" for found in rendered)
        assert self.forbids_every_verification(rendered), "no image of the verifier's is known"

    @staticmethod
    def forbids_every_verification(rendered: list[Manifest]) -> bool:
        policy = find(rendered, "ValidatingAdmissionPolicy", "schedcp-operator-verifications")
        rules = policy["spec"]["validations"]
        return any(found["expression"] == "!variables.makesJob" for found in rules)

    def test_the_verifiers_own_image_is_admitted_and_no_other(self, repository: Path) -> None:
        rendered = render(repository)
        assert not self.forbids_every_verification(rendered)
        policy = find(rendered, "ValidatingAdmissionPolicy", "schedcp-operator-verifications")
        assert any("c.image == " in r["expression"] for r in policy["spec"]["validations"])

    @pytest.mark.parametrize("enabled", ["true", "false"])
    def test_a_verification_has_no_network_wherever_the_operator_runs(
        self, repository: Path, enabled: str
    ) -> None:
        elsewhere = "--set=operator.externalURL=https://10.0.0.1:8443"
        rendered = render(repository, f"--set=operator.enabled={enabled}", elsewhere)
        spec = find(rendered, "NetworkPolicy", "schedcp-verifier")["spec"]
        labels = job_manifest("x", JobSettings(image="x"))["spec"]["template"]["metadata"]["labels"]
        assert spec["podSelector"]["matchLabels"].items() <= labels.items()
        assert spec["policyTypes"] == ["Ingress", "Egress"]
        assert not spec.keys() & {"ingress", "egress"}

    @pytest.mark.parametrize(
        ("option", "volume"),
        [
            (
                "persistentVolumeClaim.claimName=kernels",
                {"persistentVolumeClaim": {"claimName": "kernels"}},
            ),
            ("hostPath.path=/srv/kernels", {"hostPath": {"path": "/srv/kernels"}}),
            ("image.reference=r/k:1", {"image": {"reference": "r/k:1"}}),
        ],
    )
    def test_the_kernels_volume_reaches_the_operator(
        self, repository: Path, option: str, volume: Manifest
    ) -> None:
        rendered = render(repository, f"--set=verifier.kernels.volume.{option}")
        pod = find(rendered, "Deployment", OPERATOR)["spec"]["template"]["spec"]
        environment = {e["name"]: e.get("value") for e in pod["containers"][0]["env"]}
        assert json.loads(environment["SCHEDCP_OPERATOR_JOB__KERNELS_VOLUME"]) == volume
        assert environment["SCHEDCP_OPERATOR_JOB__SERVICE_ACCOUNT"] == "schedcp-verifier"

    def test_two_kinds_of_kernels_volume_are_refused(self, repository: Path) -> None:
        options = ("hostPath.path=/a", "image.reference=b")
        with pytest.raises(CommandFailed, match=r"maxProperties|at most 1"):
            render(repository, *(f"--set=verifier.kernels.volume.{o}" for o in options))

    @pytest.mark.parametrize(
        ("options", "settings"),
        [
            ((), JobSettings()),
            (
                ("kvmResource=devices.kubevirt.io/kvm", "runtimeClassName=kata-qemu"),
                JobSettings(kvm_resource="devices.kubevirt.io/kvm", runtime_class="kata-qemu"),
            ),
            (
                ("resources.cpu=1500m", "resources.cpuLimit=3", "resources.memory=4Gi"),
                JobSettings(cpu="1500m", cpu_limit="3", memory="4Gi"),
            ),
        ],
    )
    def test_where_verifications_run_reaches_the_operator(
        self, repository: Path, options: tuple[str, ...], settings: JobSettings
    ) -> None:
        # As words: a number would be another type.
        rendered = render(repository, *(f"--set-string=verifier.{option}" for option in options))
        environment = {
            name.removeprefix("SCHEDCP_OPERATOR_JOB__").lower(): entry["value"]
            for name, entry in variables(pod_of(rendered, "Deployment", OPERATOR)).items()
            if name.startswith("SCHEDCP_OPERATOR_JOB__")
        }
        assert set(environment) <= set(JobSettings.model_fields)
        read = JobSettings.model_validate(environment)
        fields = ("cpu", "cpu_limit", "memory", "kvm_resource", "runtime_class")
        assert [getattr(read, f) for f in fields] == [getattr(settings, f) for f in fields]

    def test_what_is_revoked_reaches_agents_and_signers(self, repository: Path) -> None:
        nonce, digest = "0" * 32, digest_of(b"x")
        options = (
            *("--set-string", f"revoked.nonces[0]={nonce}"),
            *("--set-string", f"revoked.objectDigests[0]={digest}"),
        )
        for given, expected in (
            ((), Revocations()),
            (options, Revocations(nonces=(nonce,), object_digests=(digest,))),
        ):
            rendered = render(repository, *given)
            source = mounts(pod_of(rendered, "DaemonSet", AGENT))["/etc/schedcp/trusted-keys"]
            secret = find(rendered, "Secret", source["secret"]["secretName"])
            operator = variables(pod_of(rendered, "Deployment", OPERATOR))
            named = operator["SCHEDCP_OPERATOR_JOB__TRUSTED_KEYS_SECRET"]["value"]
            assert named == secret["metadata"]["name"]
            assert parse_revocations(secret["stringData"][REVOKED_NAME].encode()) == expected

    @pytest.mark.parametrize("option", ["revoked.nonces[0]=1", "revoked.keyIds[0]=x"])
    def test_what_cannot_be_revoked_is_refused(self, repository: Path, option: str) -> None:
        with pytest.raises(CommandFailed, match="revoked"):
            render(repository, "--set-string", option)

    @pytest.mark.parametrize("name", ["", "kata-qemu"])
    def test_only_the_named_runtime_class_is_admitted(self, repository: Path, name: str) -> None:
        rendered = render(repository, f"--set=verifier.runtimeClassName={name}")
        policy = find(rendered, "ValidatingAdmissionPolicy", "schedcp-operator-verifications")
        (rule,) = (
            found["expression"]
            for found in policy["spec"]["validations"]
            if "runtime class" in found.get("message", "")
        )
        wanted = f"has(p.runtimeClassName) && p.runtimeClassName == '{name}'"
        assert rule == f"variables.pod.all(p, {wanted if name else '!has(p.runtimeClassName)'})"

    @pytest.mark.parametrize(
        "option",
        [
            "kvmResource=kvm",
            "kvmResource=/dev/kvm",
            "runtimeClassName=Kata QEMU",
            "runtimeClassName=x' || true || 'x",
            "kernels.path=/kernels' || true || '",
            "resources.memory=much",
        ],
    )
    def test_verifier_values_that_do_not_fit_are_refused(
        self, repository: Path, option: str
    ) -> None:
        with pytest.raises(CommandFailed, match=option.partition("=")[0].replace(".", "/")):
            render(repository, f"--set-string=verifier.{option}")

    def test_the_agent_can_read_the_kernels_log_and_no_device(self, repository: Path) -> None:
        pod = find(render(repository), "DaemonSet", "schedcp-agent")["spec"]["template"]["spec"]
        context = pod["containers"][0]["securityContext"]
        assert context["capabilities"]["add"] == [
            *("BPF", "PERFMON", "SYS_NICE", "IPC_LOCK", "SYS_RESOURCE", "SYSLOG")
        ]
        assert "privileged" not in context
        assert not any("/dev" in str(volume) for volume in pod["volumes"])

    def test_pull_secrets_reach_every_pod_by_its_account(self, repository: Path) -> None:
        rendered = render(repository, "--set=imagePullSecrets[0].name=registry")
        for account in ACCOUNTS:
            found = find(rendered, "ServiceAccount", f"schedcp-{account}")
            assert found["imagePullSecrets"] == [{"name": "registry"}], account
        accounts = [f for f in rendered if f["kind"] == "ServiceAccount"]
        assert len(accounts) == len(ACCOUNTS)
        pods = [f["spec"]["template"]["spec"] for f in rendered if "template" in f.get("spec", {})]
        used = {pod["serviceAccountName"] for pod in [*pods, JOB_POD]}
        assert used == {f["metadata"]["name"] for f in accounts}
        # A pod that names its own gets none of its account's.
        assert not any("imagePullSecrets" in pod for pod in [*pods, JOB_POD])

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ((), "system-node-critical"),
            (("agent.priorityClassName=ours",), "ours"),
            (("agent.priorityClassName=",), None),
        ],
    )
    def test_the_agents_priority_class(
        self, repository: Path, options: tuple[str, ...], expected: str | None
    ) -> None:
        rendered = render(repository, *(f"--set={option}" for option in options))
        assert pod_of(rendered, "DaemonSet", AGENT).get("priorityClassName") == expected

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ((), {"/usr/src": {"path": "/usr/src", "type": "Directory"}}),
            (
                ("agent.headers.path=/opt/src", "agent.headers.type=DirectoryOrCreate"),
                {"/opt/src": {"path": "/opt/src", "type": "DirectoryOrCreate"}},
            ),
            (("agent.headers.path=",), {}),
        ],
    )
    def test_the_headers_are_where_the_node_has_them(
        self, repository: Path, options: tuple[str, ...], expected: dict[str, Manifest]
    ) -> None:
        rendered = render(repository, *(f"--set={option}" for option in options))
        found = mounts(pod_of(rendered, "DaemonSet", AGENT))
        hosts = {path: v["hostPath"] for path, v in found.items() if "hostPath" in v}
        others = ("/run/schedcp", "/host/sys/fs/cgroup", "/lib/modules")
        assert {path: v for path, v in hosts.items() if path not in others} == expected

    def test_the_agents_record_outlives_its_pod_and_the_objects_do_not(
        self, repository: Path
    ) -> None:
        found = mounts(pod_of(render(repository), "DaemonSet", AGENT))
        state = str(AgentSettings().state_dir)
        assert found[state] == {"hostPath": {"path": "/var/lib/schedcp", "type": DIRECTORY}}
        assert set(found[f"{state}/objects"]) == {"emptyDir"}

    @pytest.mark.parametrize(
        ("options", "variable", "strategy"),
        [
            ((), {"value": ""}, "Recreate"),
            (("redisURL=rediss://r:1",), {"value": "rediss://r:1"}, "RollingUpdate"),
            (
                ("redisURLSecret.name=store", "replicas=2"),
                {"valueFrom": {"secretKeyRef": {"name": "store", "key": "url"}}},
                "RollingUpdate",
            ),
            (
                ("redisURLSecret.name=store", "redisURLSecret.key=redis"),
                {"valueFrom": {"secretKeyRef": {"name": "store", "key": "redis"}}},
                "RollingUpdate",
            ),
        ],
    )
    def test_the_stores_address(
        self, repository: Path, options: tuple[str, ...], variable: Manifest, strategy: str
    ) -> None:
        rendered = render(repository, *(f"--set=operator.{option}" for option in options))
        pod = pod_of(rendered, "Deployment", OPERATOR)
        name = "SCHEDCP_OPERATOR_REDIS_URL"
        assert variables(pod)[name] == {"name": name, **variable}
        embedded = strategy == "Recreate"
        assert ("persistentVolumeClaim" in mounts(pod)["/var/lib/schedcp"]) is embedded
        assert any(f["kind"] == "PersistentVolumeClaim" for f in rendered) is embedded
        assert find(rendered, "Deployment", OPERATOR)["spec"]["strategy"]["type"] == strategy

    def test_prometheus_authority_reaches_the_operator(self, repository: Path) -> None:
        options = ("operator.prometheusURL=https://p:9090", f"operator.prometheusCA={AUTHORITY}")
        rendered = render(repository, *(f"--set={option}" for option in options))
        pod = pod_of(rendered, "Deployment", OPERATOR)
        file = Path(variables(pod)["SCHEDCP_OPERATOR_PROMETHEUS_CA_FILE"]["value"])
        source = mounts(pod)[str(file.parent)]
        config_map = find(rendered, "ConfigMap", source["configMap"]["name"])
        assert config_map["data"] == {file.name: AUTHORITY}

    def test_every_variable_is_a_setting(self, repository: Path) -> None:
        options = ("operator.prometheusURL=https://p:9090", f"operator.prometheusCA={AUTHORITY}")
        rendered = render(repository, *(f"--set={option}" for option in options))
        for kind, name, prefix, settings in (
            ("Deployment", OPERATOR, "SCHEDCP_OPERATOR_", OperatorSettings),
            ("DaemonSet", AGENT, "SCHEDCP_AGENT_", AgentSettings),
        ):
            for variable in variables(pod_of(rendered, kind, name)):
                field = variable.removeprefix(prefix).partition("__")[0].lower()
                assert field in settings.model_fields, variable

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("replicas=2",), "replicas above 1 needs"),
            (("redisURL=redis://r", "redisURLSecret.name=s"), "leave the other empty"),
            (("redisURLSecret.name=s", "redisURLSecret.key="), "redisURLSecret/key"),
            ((f"prometheusCA={AUTHORITY}",), "begins with https://"),
            (("prometheusURL=https://p", "prometheusCA=p"), "prometheusCA"),
            (("prometheusURL=https://user:secret@p:9090/x",), "prometheusURL"),
            (("prometheusURL=https://user@p",), "prometheusURL"),
        ],
    )
    def test_operator_values_that_do_not_fit_are_refused(
        self, repository: Path, options: tuple[str, ...], said: str
    ) -> None:
        with pytest.raises(CommandFailed, match=said):
            render(repository, *(f"--set=operator.{option}" for option in options))


class TestPrograms:
    """The image's own programs run where an administrator says so, and nowhere else."""

    def test_by_default_none_is_run(self, repository: Path) -> None:
        pod = pod_of(render(repository), "DaemonSet", "schedcp-agent")
        assert "SCHEDCP_AGENT_PROGRAMS_DIR" not in variables(pod)
        assert not {"/boot", "/var/run/scx"} & set(mounts(pod))

    def test_they_get_what_they_need_and_no_more_rights(self, repository: Path) -> None:
        plain = pod_of(render(repository), "DaemonSet", "schedcp-agent")
        pod = pod_of(
            render(repository, "--set=agent.programs.enabled=true"), "DaemonSet", "schedcp-agent"
        )
        assert variables(pod)["SCHEDCP_AGENT_PROGRAMS_DIR"]["value"] == "/usr/lib/schedcp/stock"
        new = {path: source for path, source in mounts(pod).items() if path not in mounts(plain)}
        assert new == {
            "/boot": {"hostPath": {"path": "/boot", "type": "Directory"}},
            "/var/run/scx": {"emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}},
        }
        (container,), (before,) = pod["containers"], plain["containers"]
        assert container["securityContext"] == before["securityContext"]
        (boot,) = [m for m in container["volumeMounts"] if m["name"] == "boot"]
        assert boot["readOnly"] is True

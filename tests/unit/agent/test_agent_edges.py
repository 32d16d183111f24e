"""The edges' own decisions: blobs, keys, objects of the API, events of the loader, settings."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from schedcp_agent.blobs import ObjectCache
from schedcp_agent.errors import CorruptBlob, NodeUnsuitable, RequestFailed
from schedcp_agent.kernel_probe import SchedExt, read_kernel_profile, read_sched_ext
from schedcp_agent.keys import TrustedKeys, parse_keys
from schedcp_agent.kube import parse_object, read_status
from schedcp_agent.loader import parse_event
from schedcp_agent.records import Record, RecordFile, merged
from schedcp_agent.settings import AgentSettings
from schedcp_api.base import digest_of
from schedcp_api.nodestates import (
    AssignmentStatus,
    Quarantined,
    RunState,
    SchedulerNodeStateStatus,
)
from support.agent import NOW, OBJECT, SIGNER, STRANGER, ImmediateExecutor, MemoryBlobs, wish

DIGEST = digest_of(OBJECT)


def json_values(children: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.sampled_from(["quarantine", "conditions", "switchback", "blocks", "new", "kernel"])
    return st.lists(children, max_size=3) | st.dictionaries(names, children, max_size=4)


def pem(key: Any) -> bytes:
    text: bytes = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text


class TestObjects:
    """Objects on the node's disk."""

    def cache(self, blobs: MemoryBlobs, folder: Path) -> ObjectCache:
        return ObjectCache(blobs, folder / "objects", ImmediateExecutor())

    def test_an_object_arrives(self, tmp_path: Path) -> None:
        cache = self.cache(MemoryBlobs({DIGEST: OBJECT}), tmp_path)
        cache.request(DIGEST)
        assert cache.present == frozenset()
        cache.collect()
        assert cache.present == {DIGEST}
        assert cache.path(DIGEST).read_bytes() == OBJECT

    @pytest.mark.parametrize(
        ("error", "permanent", "reason"),
        [
            (CorruptBlob("other bytes"), True, "CorruptObject"),
            (RequestFailed("denied", status=403), True, "FetchFailed"),
            (RequestFailed("not there", status=404), False, "FetchFailed"),
            (RequestFailed("no answer"), False, "FetchFailed"),
            (RequestFailed("trouble", status=503), False, "FetchFailed"),
        ],
    )
    def test_a_failure(
        self, tmp_path: Path, error: Exception, permanent: bool, reason: str
    ) -> None:
        blobs = MemoryBlobs({DIGEST: OBJECT}, failures=[error])
        cache = self.cache(blobs, tmp_path)
        cache.request(DIGEST)
        cache.collect()
        failure = cache.failures[DIGEST]
        assert (failure.attempts, failure.permanent, failure.reason) == (1, permanent, reason)
        cache.request(DIGEST)
        assert blobs.gets == 1, "it must wait before it asks again"

    def test_a_new_wish_asks_again_and_a_bad_copy_is_dropped(self, tmp_path: Path) -> None:
        blobs = MemoryBlobs({DIGEST: OBJECT}, failures=[CorruptBlob("other bytes")])
        cache = self.cache(blobs, tmp_path)
        cache.request(DIGEST)
        cache.collect()
        cache.forgive(DIGEST)
        cache.request(DIGEST)
        cache.collect()
        assert (cache.present, cache.failures) == ({DIGEST}, {})
        cache.drop(DIGEST)
        assert cache.present == frozenset()
        assert not cache.path(DIGEST).exists()

    def test_old_objects_go(self, tmp_path: Path) -> None:
        contents = [b"object %d" % number for number in range(12)]
        cache = self.cache(MemoryBlobs({digest_of(c): c for c in contents}), tmp_path)
        for content in contents:
            cache.request(digest_of(content))
            cache.collect()
        assert len(cache.present) == 8
        assert len(list((tmp_path / "objects").iterdir())) == 8


class TestKeys:
    """Trusted keys."""

    def test_several_keys_and_rubbish(self) -> None:
        text = pem(SIGNER) + b"some words\n" + pem(generate_private_key(SECP256R1()))
        text += b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n" + pem(STRANGER)
        assert parse_keys(text) == (SIGNER.public_key(), STRANGER.public_key())

    @given(st.binary(max_size=300))
    def test_any_bytes(self, text: bytes) -> None:
        assert parse_keys(text) == ()

    def test_a_changed_file_is_read_again(self, tmp_path: Path) -> None:
        path = tmp_path / "keys.pem"
        keys = TrustedKeys(path)
        assert keys.current() == ()
        path.write_bytes(pem(SIGNER))
        assert keys.current() == (SIGNER.public_key(),)
        (tmp_path / "new").write_bytes(pem(STRANGER))
        os.utime(tmp_path / "new", ns=(1, 1))
        (tmp_path / "new").replace(path)
        assert keys.current() == (STRANGER.public_key(),)
        path.unlink()
        assert keys.current() == ()


class TestNodeStateObjects:
    """What the API server says."""

    def test_a_spec(self) -> None:
        spec = wish()
        found = parse_object({"metadata": {"generation": 4}, "spec": spec.to_json()}, "17")
        assert (found.spec, found.generation, found.resource_version) == (spec, 4, "17")

    def test_a_spec_of_a_newer_operator(self) -> None:
        spec = {**wish().to_json(), "somethingNew": 1}
        found = parse_object({"metadata": {}, "spec": spec}, "1")
        assert found.spec is None
        assert "somethingNew" in found.problem

    def test_a_newer_agents_status_keeps_what_can_be_read(self) -> None:
        entry = Quarantined(
            object_digest=DIGEST, kernel_digest=digest_of(b"kernel"), reason="Stall", at=NOW
        )
        row = AssignmentStatus(
            run="checkout-1", object_digest=DIGEST, state=RunState.EJECTED, since=NOW
        )
        left = SchedulerNodeStateStatus(
            observed_epoch=7, quarantine=(entry,), assignments=(row,), boot_id="b"
        ).to_json()
        left["somethingNew"] = {"deep": 1}
        left["quarantine"][0]["severity"] = 9
        left["assignments"].append({**row.to_json(), "state": "Levitating"})
        left["conditions"] = [{"type": "lower case"}]
        left["lastExit"] = {"kind": "a word"}
        left["switchback"] = 3
        found = parse_object({"metadata": {}, "spec": {}, "status": left}, "1").status
        assert found == SchedulerNodeStateStatus(
            observed_epoch=7, quarantine=(entry,), assignments=(row,), boot_id="b"
        )

    @given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), json_values))
    def test_any_status(self, left: Any) -> None:
        assert read_status(left) is not None


class TestRecord:
    """What is kept on the node's disk."""

    ENTRY = Quarantined(
        object_digest=DIGEST, kernel_digest=digest_of(b"kernel"), reason="Stall", at=NOW
    )

    def test_it_is_there_again(self, tmp_path: Path) -> None:
        path = tmp_path / "record.json"
        file = RecordFile(path)
        assert file.record == Record()
        file.keep(Record(epoch=4, quarantine=(self.ENTRY,)))
        assert RecordFile(path).record == Record(epoch=4, quarantine=(self.ENTRY,))
        assert [entry.name for entry in tmp_path.iterdir()] == ["record.json"]

    def test_what_cannot_be_kept_is_said_and_tried_again(self, tmp_path: Path) -> None:
        path = tmp_path / "gone" / "record.json"
        file = RecordFile(path)
        file.keep(Record(epoch=4))
        assert "cannot be kept" in file.problem
        path.parent.mkdir()
        file.keep(Record(epoch=4))
        assert file.problem == ""
        assert RecordFile(path).record.epoch == 4

    @pytest.mark.parametrize("text", ["", "{", '{"epoch": -1}', "[]"])
    def test_a_broken_record_is_no_record(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "record.json").write_text(text)
        assert RecordFile(tmp_path / "record.json").record == Record()

    def test_each_object_is_named_once_and_the_oldest_go(self) -> None:
        entries = [
            self.ENTRY.replace(object_digest=digest_of(bytes([n])), at=NOW + timedelta(seconds=n))
            for n in range(70)
        ]
        assert merged(entries[:40], entries[30:]) == tuple(entries[6:])


class TestLoaderEvents:
    """What the loader says."""

    def test_attached(self) -> None:
        event = parse_event(b'{"event":"attached","ops":"schedcp_x","enableSeq":3,"more":1}')
        assert event is not None
        assert (event.event, event.ops, event.enable_seq) == ("attached", "schedcp_x", 3)

    @given(st.binary(max_size=200))
    def test_any_line(self, line: bytes) -> None:
        event = parse_event(line)
        assert event is None or event.event

    @pytest.mark.parametrize("line", [b"{}", b"[]", b"null", b'{"event":1}', b'"event"'])
    def test_what_is_not_an_event(self, line: bytes) -> None:
        assert parse_event(line) is None


class TestKernel:
    """What sysfs says."""

    def test_sched_ext(self, tmp_path: Path) -> None:
        (tmp_path / "kernel").mkdir()
        assert read_sched_ext(tmp_path) == SchedExt()
        folder = tmp_path / "kernel" / "sched_ext"
        (folder / "root").mkdir(parents=True)
        for name, text in {
            "state": "enabled\n",
            "root/ops": "schedcp_x\n",
            "enable_seq": "5\n",
            "nr_rejected": "0\n",
            "root/events": "SCX_EV_DISPATCH_KEEP_LAST 7\nSCX_EV_BYPASS_ACTIVATE 2\n",
        }.items():
            (folder / name).write_text(text)
        assert read_sched_ext(tmp_path) == SchedExt(True, "enabled", "schedcp_x", 5, 0, 2)
        assert not read_sched_ext(tmp_path).idle
        for name in ("root/ops", "root/events"):
            (folder / name).unlink()
        (folder / "state").write_text("disabled\n")
        assert read_sched_ext(tmp_path).idle

    @pytest.mark.parametrize("unreadable", ["state", "enable_seq", "nr_rejected", "root/ops"])
    @pytest.mark.parametrize("how", ["missing", "empty", "a folder"])
    def test_what_cannot_be_read_is_not_idle(
        self, tmp_path: Path, unreadable: str, how: str
    ) -> None:
        folder = tmp_path / "kernel" / "sched_ext"
        (folder / "root").mkdir(parents=True)
        for name in ("state", "enable_seq", "nr_rejected"):
            (folder / name).write_text("disabled" if name == "state" else "3")
        assert read_sched_ext(tmp_path).idle
        (folder / unreadable).unlink(missing_ok=True)
        if how == "empty":
            (folder / unreadable).touch()
        if how == "a folder":
            (folder / unreadable).mkdir()
        seen = read_sched_ext(tmp_path)
        only_while_attached = unreadable == "root/ops" and how != "a folder"
        assert ("cannot be read" in seen.problem) is not only_while_attached
        assert seen.idle is only_while_attached

    def test_without_sysfs_nobody_can_tell(self, tmp_path: Path) -> None:
        assert not read_sched_ext(tmp_path / "nowhere").idle

    def test_no_btf(self, tmp_path: Path) -> None:
        with pytest.raises(NodeUnsuitable, match="CONFIG_DEBUG_INFO_BTF"):
            read_kernel_profile(tmp_path)


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "6443")
    monkeypatch.setenv("SCHEDCP_AGENT_NODE_NAME", "node-1")
    settings = AgentSettings()
    assert settings.kube_url == "https://[fd00::1]:6443"
    assert settings.node_name == "node-1"
    assert NOW.tzinfo is not None

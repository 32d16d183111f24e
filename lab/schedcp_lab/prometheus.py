"""Debian's Prometheus on loopback, scraping the agents over TLS.

Targets are a file that Prometheus watches, so nodes may come and go while it runs.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from schedcp_lab.errors import ToolMissing
from schedcp_lab.https_probe import http_ok
from schedcp_lab.ports import free_ports
from schedcp_lab.processes import Process, ProcessSpec, Supervisor
from schedcp_lab.toolchain import find_program

__all__ = ["Prometheus", "Target"]

LOOPBACK = "127.0.0.1"
SCRAPE_INTERVAL_SECONDS = 1
SCRAPE_TIMEOUT_SECONDS = 1
READY_TIMEOUT_SECONDS = 60.0
RETENTION = "1d"


@dataclass(frozen=True)
class Target:
    """One endpoint to scrape, with the labels that its samples get."""

    address: str
    labels: Mapping[str, str] = field(default_factory=dict)


class Prometheus:
    """A running Prometheus. As a context manager it stops when the block ends."""

    def __init__(self, folder: Path, port: int, spec: ProcessSpec) -> None:
        self.folder = folder
        self.port = port
        self._supervisor = Supervisor()
        self._process: Process = self._supervisor.start(spec)

    @classmethod
    def start(cls, state_dir: Path, *, authority_pem: str, server_name: str) -> Self:
        """Start with no targets yet; return when it is ready to serve.

        `authority_pem` vouches for the agents' certificates and `server_name` is the name in
        them, since the address scraped is a forward. `state_dir/prometheus` is emptied first.
        """
        program = find_program("prometheus")
        if program is None:
            raise ToolMissing("prometheus is not on PATH; run `make setup`")
        folder = state_dir.resolve() / "prometheus"
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
        (folder / "ca.crt").write_text(authority_pem)
        _write_targets(folder, [])
        config = folder / "prometheus.json"
        config.write_text(json.dumps(configuration(folder, server_name=server_name), indent=1))
        (port,) = free_ports(1)
        argv = (
            *(str(program), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"),
            *(f"--web.listen-address={LOOPBACK}:{port}", "--log.level=warn"),
            f"--storage.tsdb.retention.time={RETENTION}",
        )
        server = cls(folder, port, ProcessSpec("prometheus", argv, folder / "prometheus.log"))
        try:
            server.wait_ready()
        except BaseException:
            server.stop()
            raise
        return server

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The address of its HTTP interface."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def pid(self) -> int:
        """The process id of the present start."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Say whether it runs."""
        return self._process.alive

    def set_targets(self, targets: Sequence[Target]) -> None:
        """Replace what is scraped; Prometheus sees the change by itself."""
        _write_targets(self.folder, targets)

    def wait_ready(self) -> float:
        """Wait until it serves queries; return the seconds."""
        return self._process.wait_ready(
            lambda: http_ok(self.port, "/-/ready"), timeout_seconds=READY_TIMEOUT_SECONDS
        )

    def kill(self) -> None:
        """Kill it at once, as a crash would."""
        self._process.kill()

    def restart(self) -> float:
        """Start it again with its data and targets; return the seconds to ready."""
        self._process = self._supervisor.restart(self._process)
        return self.wait_ready()

    def stop(self) -> None:
        """Stop it."""
        self._supervisor.close()


def configuration(folder: Path, *, server_name: str) -> dict[str, object]:
    """Return Prometheus' configuration (JSON, which is YAML)."""
    agents = {
        "job_name": "schedcp-agent",
        "scheme": "https",
        "tls_config": {"ca_file": str(folder / "ca.crt"), "server_name": server_name},
        "file_sd_configs": [{"files": [str(folder / "targets.json")]}],
    }
    interval = {
        "scrape_interval": f"{SCRAPE_INTERVAL_SECONDS}s",
        "scrape_timeout": f"{SCRAPE_TIMEOUT_SECONDS}s",
    }
    return {"global": interval, "scrape_configs": [agents]}


def _write_targets(folder: Path, targets: Sequence[Target]) -> None:
    groups = [{"targets": [target.address], "labels": dict(target.labels)} for target in targets]
    fresh = folder / "targets.json.new"
    fresh.write_text(json.dumps(groups, indent=1))
    fresh.replace(folder / "targets.json")

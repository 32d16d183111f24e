"""Runs inside the verifier's Job: one verification, and a token if it is accepted.

The operator ships this file to the Job in a ConfigMap, so it uses the standard library only. It
starts `schedcp-verifier serve` on a private unix socket, asks it for the verification, and prints
one line with everything that came of it; the pod's log is the only way out of the pod.
"""

import base64
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

MARK = "schedcp-job-reply "
_READY_SECONDS = 60.0
_ASK_SECONDS = 60.0


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("verifier", timeout=_ASK_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket's file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def ask(path: str, method: str, url: str, body: Any = None) -> tuple[int, bytes]:
    """One request; return the status and the answer."""
    connection = _UnixConnection(path)
    try:
        text = json.dumps(body) if body is not None else None
        connection.request(method, url, body=text, headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def wait_ready(path: str, server: "subprocess.Popen[bytes]") -> None:
    """Return once the verifier answers; raise when it ends or takes too long."""
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        if server.poll() is not None:
            raise RuntimeError(f"schedcp-verifier serve ended with status {server.returncode}")
        try:
            if ask(path, "GET", "/v1/keys")[0] == 200:
                return
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def verification(path: str, request: Any, *, deadline: float) -> Any:
    """Start the verification and return it when it no longer runs."""
    status, answer = ask(path, "POST", "/v1/verifications", request)
    while True:
        if status >= 300:
            raise RuntimeError(f"the verifier answered {status}: {answer[:500]!r}")
        found = json.loads(answer)
        if found["state"] != "Running":
            return found
        if time.monotonic() > deadline:
            raise RuntimeError("the verification did not end in time")
        time.sleep(1.0)
        status, answer = ask(path, "GET", f"/v1/verifications/{found['id']}")


def reply_of(path: str, request: Any, claims: Any, *, deadline: float) -> Any:
    """Return the verification, the object, and the token of an accepted verdict."""
    found = verification(path, request, deadline=deadline)
    reply: dict[str, Any] = {"verification": found}
    verdict = found.get("verdict") or {}
    if verdict.get("digest"):
        status, data = ask(path, "GET", f"/v1/objects/{verdict['digest']}")
        if status == 200:
            reply["object"] = base64.b64encode(data).decode()
    if verdict.get("accepted"):
        body = {"verification": found["id"], "claims": claims}
        status, answer = ask(path, "POST", "/v1/tokens", body)
        if status == 200:
            reply["token"] = json.loads(answer)["token"]
    return reply


def main(arguments: list[str]) -> int:
    """Run the Job: request folder, key file, kernels folder, work folder, seconds."""
    given, key, kernels, work = (Path(argument) for argument in arguments[:4])
    deadline = time.monotonic() + float(arguments[4])
    state = work / "state"
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    shutil.copyfile(key, state / "signing-key.pem")
    (state / "signing-key.pem").chmod(0o600)
    path = str(work / "verifier.sock")
    command = ["schedcp-verifier", "serve", "--socket", path, "--kernels", str(kernels)]
    env = {**os.environ, "SCHEDCP_VERIFIER_STATE_DIR": str(state), "HOME": str(work)}
    server = subprocess.Popen(command, env=env, stdout=sys.stderr)
    try:
        wait_ready(path, server)
        request = json.loads((given / "request.json").read_text())
        claims = json.loads((given / "claims.json").read_text())
        reply = reply_of(path, request, claims, deadline=deadline)
    finally:
        server.terminate()
        try:
            server.wait(timeout=30)
        except subprocess.TimeoutExpired:
            server.kill()
    print(MARK + json.dumps(reply, separators=(",", ":")), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

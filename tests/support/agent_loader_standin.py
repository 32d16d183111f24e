"""A stand-in for the loader program: the same options, the same events, no kernel.

What it does is said by the object file's content: `attach`, `eject`, `refuse`, `hang`, `deaf`
(ignores SIGTERM), `die`, `wordless` (ends as `eject` does, and says nothing of it). What its two
files hold it says when it has attached and at each SIGHUP.
"""

import argparse
import json
import os
import select
import signal
import sys
import time
from pathlib import Path


def say(**event: object) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


def leave(reason: str, code: int) -> None:
    say(event="detached", reason=reason, exitCode=code)
    sys.exit(code)


def read(*paths: str) -> None:
    said = "|".join(Path(path).read_text() for path in paths)
    say(event="warning", code=f"Read {said}", message="")


def hold(lease_ms: int) -> None:
    until = time.monotonic() + lease_ms / 1000
    while time.monotonic() < until:
        ready, _, _ = select.select([0], [], [], 0.05)
        if ready:
            if not os.read(0, 256):
                leave("ParentGone", 23)
            until = time.monotonic() + lease_ms / 1000
    leave("LeaseExpired", 22)


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("object", "digest", "timeout-ms", "lease-ms", "rt-priority"):
        parser.add_argument(f"--{name}")
    for name in ("target-cgroups-file", "expected-file"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--knob", action="append", default=[])
    options = parser.parse_args()
    behaviour = Path(options.object).read_text()
    say(event="opened", ops="schedcp_x", knobs=options.knob)
    if behaviour == "hang":
        signal.pause()
    if behaviour == "refuse":
        say(event="error", code="DigestMismatch", message="not the object that was approved")
        sys.exit(10)
    signal.signal(signal.SIGTERM, lambda *_: leave("Detached", 0))
    if behaviour == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    files = (options.target_cgroups_file, options.expected_file)
    signal.signal(signal.SIGHUP, lambda *_: read(*files))
    say(event="attached", ops="schedcp_x", enableSeq=3)
    read(*files)
    sys.stdout.write("this is not JSON\n")
    if behaviour == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if behaviour == "wordless":
        sys.exit(20)
    if behaviour == "eject":
        say(event="exit", kind=1026, code=0, reason="stall", message="runnable task", dump="d")
        leave("Ejected", 20)
    hold(int(options.lease_ms))


if __name__ == "__main__":
    main()

"""A server's certificate, and the authority that a client must trust for it."""

import datetime
from pathlib import Path

from schedcp_lab.certificates import Authority


def issue(folder: Path, name: str) -> Authority:
    """Make an authority and write a server certificate of it into `folder`, for `name`."""
    now = datetime.datetime.now(datetime.UTC)
    made = Authority.create("test", now=now)
    made.issue_server(name, (name, "127.0.0.1"), now=now).write(folder, "tls")
    return made

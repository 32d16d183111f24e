"""Write what is made from something else: the CRDs in `crds/` and their copies in the chart, from
the models; docs/schedulers.md, from the manifests.

`python -m schedcp_lab.generate` writes; with `--check` it only compares, and fails when a file is
stale, missing, or left over.
"""

import sys
from pathlib import Path

import yaml

from schedcp_api.crds import custom_resource_definitions
from schedcp_lab.scheduler_docs import PAGE, manifests_in, schedulers_page

__all__ = ["main", "rendered", "stale", "write"]

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("crds", "charts/schedcp/crds")
HEADER = "# Made from crds/schedcp_api by `make generate`. Do not edit.\n"
PATTERN = "schedcp.io_*.yaml"


class _Dumper(yaml.SafeDumper):
    """A dumper without anchors, so that the files read like hand-written ones."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002
        return True


def rendered() -> dict[str, str]:
    """Return every CRD's YAML by file name."""
    return {
        name: HEADER + yaml.dump(crd, Dumper=_Dumper, sort_keys=False, width=100)
        for name, crd in custom_resource_definitions().items()
    }


def stale(root: Path) -> list[str]:
    """Return what differs from what it is made from, one line for each file."""
    expected = rendered()
    found: list[str] = []
    for folder in FOLDERS:
        for name, text in expected.items():
            path = root / folder / name
            if not path.is_file():
                found.append(f"{folder}/{name} is missing")
            elif path.read_text() != text:
                found.append(f"{folder}/{name} differs from the models")
        found += [
            f"{folder}/{path.name} has no model"
            for path in sorted((root / folder).glob(PATTERN))
            if path.name not in expected
        ]
    page = root / PAGE
    if not page.is_file() or page.read_text() != _page(root):
        found.append(f"{PAGE} differs from the manifests")
    return found


def write(root: Path) -> None:
    """Write every file, and remove those that no model stands behind."""
    expected = rendered()
    for folder in FOLDERS:
        target = root / folder
        target.mkdir(parents=True, exist_ok=True)
        for path in target.glob(PATTERN):
            if path.name not in expected:
                path.unlink()
        for name, text in expected.items():
            (target / name).write_text(text)
    page = root / PAGE
    page.parent.mkdir(exist_ok=True)
    page.write_text(_page(root))


def _page(root: Path) -> str:
    return schedulers_page(manifests_in(root / "schedulers" / "manifests"))


def main(arguments: list[str]) -> int:
    """Write or check; return the exit code."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m schedcp_lab.generate [--check]", file=sys.stderr)
        return 64
    if not arguments:
        write(ROOT)
        return 0
    problems = stale(ROOT)
    for line in problems:
        print(f"{line}; run `make generate` and commit the result", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Everything that a lab needs before it starts, made once and kept in the cache.

`prepare()` goes through the steps in order; what is there already costs a look. The result is a
frozen record of paths that the rest of the lab works with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from schedcp_lab.cache import Cache, digest_file
from schedcp_lab.debian import Debian
from schedcp_lab.errors import LabError
from schedcp_lab.images import ImageSpec, base_image, build_image, pause_image
from schedcp_lab.kernel_series import ensure_series
from schedcp_lab.kernels import ensure_kernel, ensure_second_kernel, require_headers
from schedcp_lab.kube_binaries import (
    KubeBinaries,
    ensure_go,
    ensure_helm,
    ensure_kube_binaries,
)
from schedcp_lab.node_image import NodeImage, ensure_node_image
from schedcp_lab.processes import run
from schedcp_lab.steps import StepClock, beside, in_turn
from schedcp_lab.stock import ensure_stock, pinned_programs, stock_here
from schedcp_lab.toolchain import NODE_TOOLS, ensure_host_tools
from schedcp_lab.wheels import wheelhouse

__all__ = [
    "AGENT_IMAGE",
    "OPERATOR_IMAGE",
    "SHOP_IMAGE",
    "STEPS",
    "VERIFIER_IMAGE",
    "Workshop",
    "build_schedulers",
    "cache_of",
    "prepare",
    "prepare_only",
    "product_images",
    "repository_root",
]

AGENT_IMAGE = "localhost/schedcp-agent:lab"
OPERATOR_IMAGE = "localhost/schedcp-operator:lab"
VERIFIER_IMAGE = "localhost/schedcp-verifier:lab"
SHOP_IMAGE = "localhost/schedcp-shop:lab"
STEPS = ("tools", "helm", "schedulers", "stock", "images", "kernels", "node")
SHOP_FLAGS = ("-O2", "-static", "-pthread", "-Wall", "-Werror")
BUILD_TIMEOUT_SECONDS = 600.0
Report = Callable[[str], None]


@dataclass(frozen=True)
class Workshop:
    """Where everything is."""

    root: Path
    cache: Cache
    kernel: Path
    kube: KubeBinaries
    helm: Path
    loader: Path
    node_image: NodeImage
    seconds: tuple[tuple[str, float], ...]
    """What each step took this time."""


def repository_root() -> Path:
    """Return the root of the checkout that this package is in."""
    return Path(__file__).resolve().parents[2]


def cache_of(root: Path) -> Cache:
    """Return the checkout's cache."""
    return Cache(root / ".cache")


def build_schedulers(root: Path, kernel: Path) -> Path:
    """Build schedulers, loader and guest programs for a kernel; return the output folder."""
    run(
        ["make", "-C", root / "schedulers", "-s", "-j2", f"KERNEL={kernel}", "all"],
        timeout_seconds=BUILD_TIMEOUT_SECONDS,
    )
    return root / "schedulers" / ".output"


def prepare(*, kernel_release: str | None = None, report: Report = print) -> Workshop:
    """Make or find everything; report each step that takes longer than a look.

    The Kubernetes programs, which take longest, are built beside what does not need them.
    """
    root = repository_root()
    cache = cache_of(root)
    report = in_turn(report)
    clock = StepClock(report)

    def make_kube() -> KubeBinaries:
        with clock.step("Kubernetes programs"):
            return ensure_kube_binaries(cache, report=report)

    with clock.step("host packages"):
        ensure_host_tools(cache, report=report)
        ensure_go(cache, report=report)
    with beside(make_kube) as building:
        with clock.step("kernel"):
            kernel = ensure_kernel(cache, kernel_release, report=report)
            require_headers(kernel)
        with clock.step("second kernel"):
            ensure_second_kernel(cache, report=report)
        with clock.step("schedulers"):
            output = build_schedulers(root, kernel)
        with clock.step("helm"):
            helm = ensure_helm(cache, report=report)
        debian = Debian.open(cache, report=report)
        with clock.step("container images"):
            images = _images(root, cache, debian)
        kube = building.result()
    with clock.step("node image"):
        node_image = ensure_node_image(
            cache, debian, kernel=kernel, kubelet=kube.kubelet, images=images
        )
    return Workshop(
        root=root,
        cache=cache,
        kernel=kernel,
        kube=kube,
        helm=helm,
        loader=output / "bin" / "schedcp-loader",
        node_image=node_image,
        seconds=tuple(clock.seconds),
    )


def prepare_only(
    steps: Sequence[str], *, kernel_release: str | None = None, report: Report = print
) -> None:
    """Do some of the `STEPS` alone: `schedulers` with the kernel that they are built for, `images`
    with all of the product's, of which a lab itself needs the agent's only, with the `stock`
    schedulers in them if they were built, `kernels` with the newest of each series, or the one that
    is named, and `node` with what this machine needs to be a node of a cluster itself.
    """
    root = repository_root()
    cache = cache_of(root)
    actions: dict[str, Callable[[], object]] = {
        "tools": lambda: ensure_host_tools(cache, report=report),
        "helm": lambda: ensure_helm(cache, report=report),
        "schedulers": lambda: build_schedulers(root, ensure_kernel(cache, report=report)),
        "stock": lambda: ensure_stock(cache, pinned_programs(root), report=report),
        "images": lambda: product_images(root, cache, report=report),
        "kernels": lambda: ensure_series(cache, kernel_release, report=report),
        "node": lambda: _machine_as_node(cache, report),
    }
    for step in steps:
        if step not in actions:
            raise LabError(f"there is no step {step!r}; there are {', '.join(actions)}")
        actions[step]()


def _machine_as_node(cache: Cache, report: Report) -> None:
    ensure_host_tools(cache, NODE_TOOLS, report=report)
    ensure_kube_binaries(cache, report=report)
    pause_image(cache)


def _images(root: Path, cache: Cache, debian: Debian) -> tuple[Path, ...]:
    base = base_image(cache, debian)
    return (
        pause_image(cache),
        _shop_image(root, cache),
        build_image(cache, _agent_image(root, cache), base=base),
    )


def product_images(root: Path, cache: Cache, *, report: Report = print) -> dict[str, Path]:
    """Return the artefact directories of the product's images by name; build what is not there."""
    base = base_image(cache, Debian.open(cache, report=report))
    images = {}
    for spec in (
        _agent_image(root, cache),
        ImageSpec(
            VERIFIER_IMAGE,
            root / "Dockerfile.node",
            _context(root, cache, extra="verifier"),
            target="verifier",
        ),
        ImageSpec(
            OPERATOR_IMAGE,
            root / "Dockerfile.operator",
            {
                "wheels": wheelhouse(cache, root, extras=("operator",)),
                "schedulers/manifests": root / "schedulers" / "manifests",
            },
        ),
    ):
        images[spec.name] = build_image(cache, spec, base=base)
        report(f"image {spec.name}: {images[spec.name] / 'image.tar'} (a docker archive)")
    return images


def _agent_image(root: Path, cache: Cache) -> ImageSpec:
    context = _context(root, cache, extra="agent")
    return ImageSpec(AGENT_IMAGE, root / "Dockerfile.node", context, target="agent")


def _context(root: Path, cache: Cache, *, extra: str) -> dict[str, Path]:
    """Return the build context of Dockerfile.node for one of its targets."""
    return {
        "wheels": wheelhouse(cache, root, extras=(extra,)),
        "schedulers": root / "schedulers",
        "stock": stock_here(cache, pinned_programs(root)),
    }


def _shop_image(root: Path, cache: Cache) -> Path:
    folder = root / "lab" / "workloads"
    source = folder / "shop.c"

    def build(target: Path) -> None:
        run(
            ["gcc", *SHOP_FLAGS, "-o", target / "shop", source],
            timeout_seconds=BUILD_TIMEOUT_SECONDS,
        )

    inputs = {"source": digest_file(source), "flags": " ".join(SHOP_FLAGS)}
    program = cache.artefact("images/shop-program", inputs, build)
    spec = ImageSpec(SHOP_IMAGE, folder / "Dockerfile", {"shop": program / "shop"}, from_base=False)
    return build_image(cache, spec, base=None)

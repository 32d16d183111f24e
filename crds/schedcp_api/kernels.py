"""What a kernel can do, as probed from it; candidates are proven for such a profile only.

Agent (on a node) and verifier (from a kernel bundle) must say the same of the same kernel, so the
function that reads BTF is here: bytes in, profile out.
"""

import struct
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import Digest, Noun, ShortText, digest_of

_BTF_MAGIC = 0xEB9F
_BTF_HEADER = struct.Struct("HBBIIIII")


class KernelFeature(StrEnum):
    """A capability found by asking BTF or sysfs, never by reading a version."""

    SCHED_EXT = "SchedExt"
    SUB_SCHEDULERS = "SubSchedulers"
    CGROUP_WEIGHT = "CgroupWeight"
    CGROUP_BANDWIDTH = "CgroupBandwidth"
    EVENTS = "Events"


class KernelProfile(Noun):
    """The identity of a kernel for verdicts, tokens, profiles and quarantines.

    Every field called `kernel_digest` is the `content_digest()` of one of these.
    """

    release: ShortText
    """`uname -r`; for people."""
    btf_digest: Digest
    """Digest of `/sys/kernel/btf/vmlinux`: types, kfuncs and enums, hence what a candidate sees."""
    features: Annotated[tuple[KernelFeature, ...], Field(max_length=32)] = ()


_NAMES = (
    (KernelFeature.SCHED_EXT, b"sched_ext_ops"),
    (KernelFeature.SUB_SCHEDULERS, b"sched_ext_ops_cid"),
    (KernelFeature.CGROUP_WEIGHT, b"cgroup_set_weight"),
    (KernelFeature.CGROUP_BANDWIDTH, b"cgroup_set_bandwidth"),
    (KernelFeature.EVENTS, b"scx_event_stats"),
)
"""The type or member whose name stands in BTF when the kernel has the feature."""


def features_of_btf(data: bytes) -> tuple[KernelFeature, ...]:
    """Return the features that raw BTF shows, in the order of `KernelFeature`.

    Raise ValueError for bytes that are not BTF.
    """
    if len(data) < _BTF_HEADER.size:
        raise ValueError(f"{len(data)} bytes are too few to be BTF")
    magic, _, _, header_length, _, _, offset, length = _BTF_HEADER.unpack_from(data)
    start = header_length + offset
    if magic != _BTF_MAGIC or start + length > len(data):
        raise ValueError("not raw BTF: the header's magic or its string section does not fit")
    strings = b"\0" + data[start : start + length]
    return tuple(feature for feature, name in _NAMES if b"\0" + name + b"\0" in strings)


def profile_of(release: str, btf: bytes) -> KernelProfile:
    """Return the profile of the kernel `release` whose `/sys/kernel/btf/vmlinux` is `btf`."""
    return KernelProfile(release=release, btf_digest=digest_of(btf), features=features_of_btf(btf))

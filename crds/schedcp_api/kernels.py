"""What a kernel can do, as probed from it; candidates are proven for such a profile only."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from .base import Digest, Noun, ShortText


class KernelFeature(StrEnum):
    """A capability found by asking BTF or sysfs, never by reading a version."""

    SCHED_EXT = "SchedExt"
    SUB_SCHEDULERS = "SubSchedulers"
    CGROUP_WEIGHT = "CgroupWeight"
    CGROUP_BANDWIDTH = "CgroupBandwidth"
    EVENTS = "Events"


class KernelProfile(Noun):
    """The identity of a kernel for verdicts and tokens."""

    release: ShortText
    """`uname -r`; for people."""
    btf_digest: Digest
    """Digest of `/sys/kernel/btf/vmlinux`: types, kfuncs and enums, hence what a candidate sees."""
    features: Annotated[tuple[KernelFeature, ...], Field(max_length=32)] = ()

"""What a scheduler may consist of. Allow-lists: what is new to the kernel waits for a thought.

Numbers of map types and helpers are the kernel's user-space interface (`enum bpf_map_type`,
`enum bpf_func_id` in `linux/bpf.h`) and never change.
"""

from __future__ import annotations

import re

__all__ = [
    "ALLOWED_HELPERS",
    "ALLOWED_INCLUDES",
    "ALLOWED_KFUNCS",
    "ALLOWED_MAP_TYPES",
    "ALLOWED_SECTIONS",
    "LIBBPF_ASSEMBLY",
    "LICENSES",
    "MAPS_OF_MAPS",
    "PRINTING_HELPERS",
    "REPORTING_CALLS",
    "SWITCH_PARTIAL",
    "imitated",
    "watchdog_put_off",
]

LICENSES = frozenset(
    {
        "GPL",
        "GPL v2",
        "GPL and additional rights",
        "Dual BSD/GPL",
        "Dual MIT/GPL",
        "Dual MPL/GPL",
    }
)
"""What the kernel's license_is_gpl_compatible() accepts."""

_TRUSTED_PREFIXES = ("schedcp_", "scx_")
"""Names that only the library's own schedulers may carry."""

_WELL_KNOWN = re.compile(
    r"(bpfland|chaos|cosmos|flash|lavd|layered|mitosis|p2dq|rlfifo|rustland|rusty|tickless)"
    r"(_v?\d.*)?"
)
"""What schedulers of the scx project report: their name, mostly with a version after it."""

SWITCH_PARTIAL = 1 << 3
"""SCX_OPS_SWITCH_PARTIAL."""

_WATCHDOG_LEAST_MS = 1000
_WATCHDOG_MOST_MS = 30_000
"""SCX_WATCHDOG_MAX_TIMEOUT; asking for all of it is asking not to be watched."""

ALLOWED_INCLUDES = re.compile(
    r"(vmlinux\.h|bpf/bpf_(helpers|tracing|core_read|endian)\.h|schedcp/[a-z0-9_]+(\.bpf)?\.h)"
)

ALLOWED_SECTIONS = re.compile(
    r"\??struct_ops(\.s)?(/[A-Za-z0-9_]+)?|\??\.struct_ops\.link|license|\.maps|\.ksyms|"
    r"\.(rodata|data|bss)(\.[A-Za-z0-9_.]+)?"
)

ALLOWED_MAP_TYPES = frozenset(
    {
        1,  # hash
        2,  # array
        5,  # per-CPU hash
        6,  # per-CPU array
        9,  # LRU hash
        10,  # LRU per-CPU hash
        *(12, 13),  # array and hash of maps; what they hold is looked at, too
        22,  # queue
        23,  # stack
        29,  # task storage
        30,  # bloom filter
        32,  # cgroup storage
        33,  # arena
    }
)

MAPS_OF_MAPS = frozenset({12, 13})

ALLOWED_KFUNCS = re.compile(
    r"(scx_bpf_|bpf_cpumask_|bpf_cgroup_|bpf_iter_(num|task|css|css_task|scx_dsq|bits)_|bpf_rbtree_|"
    r"bpf_list_|bpf_arena_|bpf_preempt_|bpf_local_irq_|bpf_rcu_read_|bpf_res_spin_)[a-z0-9_]*|"
    r"bpf_(percpu_)?obj_(new|drop)(_impl)?|bpf_refcount_acquire(_impl)?|bpf_timer_cancel_async|"
    r"bpf_task_(acquire|release|from_pid|"
    r"from_vpid|get_cgroup1)|bpf_task_under_cgroup|bpf_rdonly_cast|bpf_cast_to_kern_ctx|bpf_throw|"
    r"bpf_wq_(init|start|set_callback(_impl)?)"
)

PRINTING_HELPERS = frozenset({6, 177})
"""trace_printk and trace_vprintk."""

ALLOWED_HELPERS = frozenset(
    {
        *(1, 2, 3),  # map lookup, update, delete
        5,  # ktime_get_ns
        7,  # get_prandom_u32
        8,  # get_smp_processor_id
        14,  # get_current_pid_tgid
        15,  # get_current_uid_gid
        35,  # get_current_task
        42,  # get_numa_node_id
        80,  # get_current_cgroup_id
        *(87, 88, 89),  # map push, pop, peek
        *(93, 94),  # spin_lock, spin_unlock
        *(113, 115),  # probe_read_kernel, probe_read_kernel_str
        118,  # jiffies64
        123,  # get_current_ancestor_cgroup_id
        125,  # ktime_get_boot_ns
        *(153, 154),  # per_cpu_ptr, this_cpu_ptr
        *(156, 157),  # task_storage_get, task_storage_delete
        158,  # get_current_task_btf
        160,  # ktime_get_coarse_ns
        164,  # for_each_map_elem
        165,  # snprintf
        *(169, 170, 171, 172),  # timer init, set_callback, start, cancel
        181,  # loop
        194,  # kptr_xchg
        195,  # map_lookup_percpu_elem
        208,  # ktime_get_tai_ns
        *(210, 211),  # cgrp_storage_get, cgrp_storage_delete
    }
)

REPORTING_CALLS = frozenset(
    f"scx_bpf_{what}{how}" for what in ("error", "exit", "dump") for how in ("", "_bstr")
)
"""Where a task's name may be told; the trace pipe is open to whoever listens."""

LIBBPF_ASSEMBLY = frozenset(
    {
        rb"r1 = %[ctx]\n\t" rb"r2 = %[map]\n\t" rb"r3 = %[slot]\n\t" rb"call 12",
    }
)
"""Templates of libbpf's headers beside its empty ones: the tail call, which no scheduler makes."""


def watchdog_put_off(timeout_ms: int) -> str:
    """L15: return what is wrong with a time-out, empty when nothing is; 0 is the kernel's own."""
    if timeout_ms == 0 or _WATCHDOG_LEAST_MS <= timeout_ms < _WATCHDOG_MOST_MS:
        return ""
    return (
        f"timeout_ms {timeout_ms} puts the watchdog off: keep it from {_WATCHDOG_LEAST_MS} to "
        f"below {_WATCHDOG_MOST_MS}, or leave it out"
    )


def imitated(name: str) -> str:
    """L15: return what is wrong with the name of a stranger's scheduler, empty when nothing is.

    Letters, dots and leading lines are looked at as a person does who reads quickly.
    """
    plain = name.casefold().replace(".", "_").replace("-", "_").lstrip("_")
    if not plain.startswith(_TRUSTED_PREFIXES) and not _WELL_KNOWN.fullmatch(plain):
        return ""
    return (
        f"the name {name!r} imitates a scheduler of the library or of the scx project: use one "
        f"that does not begin with {' or '.join(_TRUSTED_PREFIXES)}, and is none of theirs"
    )

"""The kernel's functions and BPF's helpers by name, and what each does.

One table for old and new kernels. A name that is not in it is a call about which nothing is known:
it may return anything, and is never taken for an insert, a store or a consumer.
"""

from __future__ import annotations

from .arithmetic import FULL, Bounds
from .effects import CPUS_MAX, Effect, Signature

__all__ = ["signature_of_helper", "signature_of_kfunc"]

_CPU: Bounds = (0, CPUS_MAX - 1)
_CPU_OR_ERROR: Bounds = (-4095, CPUS_MAX - 1)
_COUNT: Bounds = (1, CPUS_MAX)
_BOOL: Bounds = (0, 1)
_STATUS: Bounds = (-4095, (1 << 31) - 1)
_U32: Bounds = (0, (1 << 32) - 1)
_ZERO_OR_ERROR: Bounds = (-4095, 0)


def _table(*signatures: Signature) -> dict[str, Signature]:
    return {signature.name: signature for signature in signatures}


_INSERT = ("task", "queue", "slice", "flags")
_INSERT_VTIME = ("task", "queue", "slice", "vtime", "flags")
_MOVE = ("iterator", "task", "queue", "flags")
_TEXT = ("format", "values", "size")

_QUEUES = _table(
    Signature("scx_bpf_dsq_insert", Effect.INSERT, _INSERT, _BOOL),
    Signature("scx_bpf_dispatch", Effect.INSERT, _INSERT, _BOOL),
    Signature("scx_bpf_dsq_insert_vtime", Effect.INSERT, _INSERT_VTIME, _BOOL),
    Signature("scx_bpf_dispatch_vtime", Effect.INSERT, _INSERT_VTIME, _BOOL),
    Signature("__scx_bpf_dsq_insert_vtime", Effect.INSERT, ("task", "insert_vtime"), _BOOL),
    Signature("scx_bpf_dsq_move", Effect.MOVE, _MOVE, _BOOL),
    Signature("scx_bpf_dispatch_from_dsq", Effect.MOVE, _MOVE, _BOOL),
    Signature("scx_bpf_dsq_move_vtime", Effect.MOVE, (*_MOVE, "ordered"), _BOOL),
    Signature("scx_bpf_dispatch_vtime_from_dsq", Effect.MOVE, (*_MOVE, "ordered"), _BOOL),
    Signature("scx_bpf_dsq_move_set_slice", Effect.NOTHING, ("iterator", "slice")),
    Signature("scx_bpf_dispatch_from_dsq_set_slice", Effect.NOTHING, ("iterator", "slice")),
    Signature("scx_bpf_dsq_move_set_vtime", Effect.NOTHING, ("iterator", "vtime")),
    Signature("scx_bpf_dispatch_from_dsq_set_vtime", Effect.NOTHING, ("iterator", "vtime")),
    Signature("scx_bpf_dsq_move_to_local", Effect.CONSUME, ("queue",), _BOOL),
    Signature("scx_bpf_dsq_move_to_local___v2", Effect.CONSUME, ("queue", "flags"), _BOOL),
    Signature("scx_bpf_consume", Effect.CONSUME, ("queue",), _BOOL),
    Signature("scx_bpf_sub_dispatch", Effect.SERVE_OTHERS, ("-",), _BOOL),
    Signature("scx_bpf_create_dsq", Effect.CREATE, ("queue", "-"), _ZERO_OR_ERROR, failure=True),
    Signature("scx_bpf_destroy_dsq", Effect.DESTROY, ("queue",)),
    Signature("scx_bpf_dsq_nr_queued", roles=("queue",), result=_STATUS, sources=("queue",)),
    Signature("scx_bpf_dsq_peek", Effect.FIND_TASK, ("queue",), sources=("queue",)),
    Signature("scx_bpf_dsq_reenq", Effect.REENQUEUE, ("queue", "-")),
    Signature("scx_bpf_reenqueue_local", Effect.REENQUEUE, (), _U32),
    Signature("scx_bpf_dispatch_cancel"),
    Signature("scx_bpf_dispatch_nr_slots", result=_U32, sources=("slots",)),
    Signature("scx_bpf_task_set_slice", Effect.SET_SLICE, ("task", "slice"), _BOOL),
    Signature("scx_bpf_task_set_dsq_vtime", Effect.SET_VTIME, ("task", "vtime"), _BOOL),
)

_IDLE = ("idle",)
_CPUS = _table(
    Signature("scx_bpf_task_cpu", roles=("task",), result=_CPU, sources=("place",), pure=True),
    Signature("scx_bpf_task_cid", roles=("task",), result=_CPU, sources=("place",), pure=True),
    Signature("scx_bpf_this_cid", result=_CPU, sources=("place",), pure=True),
    Signature("scx_bpf_nr_cpu_ids", result=_COUNT, sources=("machine",), pure=True),
    Signature("scx_bpf_nr_cids", result=_COUNT, sources=("machine",), pure=True),
    Signature("scx_bpf_nr_online_cids", result=_COUNT, sources=("machine",)),
    Signature("scx_bpf_nr_node_ids", result=(1, 1024), sources=("machine",), pure=True),
    Signature(
        "scx_bpf_cpu_node", roles=("cpu",), result=(0, 1023), sources=("machine",), pure=True
    ),
    Signature(
        "scx_bpf_cpu_to_cid", roles=("cpu",), result=_CPU_OR_ERROR, sources=("machine",), pure=True
    ),
    Signature(
        "scx_bpf_cid_to_cpu", roles=("cpu",), result=_CPU_OR_ERROR, sources=("machine",), pure=True
    ),
    Signature("scx_bpf_cid_topo", roles=("cpu", "-", "-"), output=(1, 32, FULL)),
    Signature("scx_bpf_cid_override", roles=("-", "-", "-", "-")),
    Signature("scx_bpf_kick_cpu", Effect.KICK, ("cpu", "flags")),
    Signature("scx_bpf_kick_cid", Effect.KICK, ("cpu", "flags")),
    Signature(
        "scx_bpf_select_cpu_dfl",
        Effect.ASK_IDLE,
        roles=("task", "cpu", "-", "-"),
        result=_CPU,
        sources=_IDLE,
        output=(3, 1, _BOOL),
    ),
    Signature(
        "scx_bpf_select_cpu_and",
        Effect.ASK_IDLE,
        roles=("task", "cpu", "-", "mask", "-"),
        result=_CPU_OR_ERROR,
        sources=_IDLE,
    ),
    Signature(
        "__scx_bpf_select_cpu_and",
        Effect.ASK_IDLE,
        roles=("task", "mask", "-"),
        result=_CPU_OR_ERROR,
        sources=_IDLE,
    ),
    Signature(
        "scx_bpf_pick_idle_cpu",
        Effect.ASK_IDLE,
        roles=("mask", "-"),
        result=_CPU_OR_ERROR,
        sources=_IDLE,
    ),
    Signature(
        "scx_bpf_pick_idle_cpu_node",
        Effect.ASK_IDLE,
        roles=("mask", "-", "-"),
        result=_CPU_OR_ERROR,
        sources=_IDLE,
    ),
    Signature("scx_bpf_pick_any_cpu", roles=("mask", "-"), result=_CPU_OR_ERROR, sources=_IDLE),
    Signature(
        "scx_bpf_pick_any_cpu_node", roles=("mask", "-", "-"), result=_CPU_OR_ERROR, sources=_IDLE
    ),
    Signature(
        "scx_bpf_test_and_clear_cpu_idle",
        Effect.ASK_IDLE,
        roles=("cpu",),
        result=_BOOL,
        sources=_IDLE,
    ),
    Signature("scx_bpf_get_idle_cpumask", Effect.ASK_IDLE, sources=_IDLE),
    Signature("scx_bpf_get_idle_cpumask_node", Effect.ASK_IDLE, roles=("-",), sources=_IDLE),
    Signature("scx_bpf_get_idle_smtmask", Effect.ASK_IDLE, sources=_IDLE),
    Signature("scx_bpf_get_idle_smtmask_node", Effect.ASK_IDLE, roles=("-",), sources=_IDLE),
    Signature("scx_bpf_put_idle_cpumask", roles=("-",)),
    Signature("scx_bpf_get_online_cpumask", sources=("machine",)),
    Signature("scx_bpf_get_possible_cpumask", sources=("machine",)),
    Signature("scx_bpf_online_cmask", sources=("machine",)),
    Signature("scx_bpf_put_cpumask", roles=("-",)),
    Signature("scx_bpf_cpuperf_cap", roles=("cpu",), result=_U32, sources=("machine",)),
    Signature("scx_bpf_cpuperf_cur", roles=("cpu",), result=_U32, sources=("machine",)),
    Signature("scx_bpf_cpuperf_set", Effect.SET_SPEED, ("cpu", "speed")),
    Signature("scx_bpf_cidperf_cap", roles=("cpu",), result=_U32, sources=("machine",)),
    Signature("scx_bpf_cidperf_cur", roles=("cpu",), result=_U32, sources=("machine",)),
    Signature("scx_bpf_cidperf_set", Effect.SET_SPEED, ("cpu", "speed"), _STATUS),
    Signature("scx_bpf_cpu_rq", roles=("cpu",), sources=("rq",)),
    Signature("scx_bpf_locked_rq", sources=("rq",)),
    Signature("scx_bpf_cpu_curr", roles=("cpu",), sources=("rq",)),
    Signature("scx_bpf_cid_curr", roles=("cpu",), sources=("rq",)),
    Signature("scx_bpf_task_running", roles=("task",), result=_BOOL, sources=("running",)),
    Signature("scx_bpf_task_cgroup", roles=("task",), sources=("cgroup",), pure=True),
    Signature("scx_bpf_now", sources=("time",)),
    Signature("scx_bpf_events", roles=("-", "-")),
    Signature("scx_bpf_sub_caps", roles=("-", "-", "-"), result=_STATUS),
    Signature("scx_bpf_sub_grant", roles=("-", "-", "-", "-"), result=_STATUS),
    Signature("scx_bpf_sub_revoke", roles=("-", "-", "-")),
    Signature("scx_bpf_sub_kill_bstr", roles=("-", *_TEXT), result=_STATUS),
    Signature("scx_bpf_error_bstr", Effect.REPORT, _TEXT),
    Signature("scx_bpf_exit_bstr", Effect.LEAVE, ("code", *_TEXT)),
    Signature("scx_bpf_dump_bstr", Effect.DUMP, _TEXT),
)

_MASKS = _table(
    *(
        Signature(f"bpf_cpumask_{name}", roles=("mask",), result=_BOOL, sources=("mask",))
        for name in ("empty", "full")
    ),
    Signature("bpf_cpumask_weight", roles=("mask",), result=_U32, sources=("mask",)),
    *(
        Signature(f"bpf_cpumask_{name}", roles=roles, result=(0, CPUS_MAX), sources=("mask",))
        for name, roles in (
            ("first", ("mask",)),
            ("first_zero", ("mask",)),
            ("first_and", ("mask", "mask")),
        )
    ),
    *(
        Signature(f"bpf_cpumask_{name}", roles=roles, result=(0, CPUS_MAX), sources=("mask", "any"))
        for name, roles in (
            ("any_distribute", ("mask",)),
            ("any_and_distribute", ("mask", "mask")),
        )
    ),
    *(
        Signature(f"bpf_cpumask_{name}", roles=("mask", "mask"), result=_BOOL, sources=("mask",))
        for name in ("equal", "intersects", "subset")
    ),
    *(
        Signature(f"bpf_cpumask_{name}", roles=("cpu", "mask"), result=_BOOL, sources=("mask",))
        for name in ("test_cpu", "test_and_set_cpu", "test_and_clear_cpu")
    ),
    *(Signature(f"bpf_cpumask_{name}", roles=("cpu", "-")) for name in ("set_cpu", "clear_cpu")),
    *(Signature(f"bpf_cpumask_{name}", roles=("-",)) for name in ("clear", "setall", "release")),
    *(
        Signature(f"bpf_cpumask_{name}", roles=("-", "mask", "mask"), result=_BOOL)
        for name in ("and", "or", "xor")
    ),
    Signature("bpf_cpumask_copy", roles=("-", "mask")),
    Signature("bpf_cpumask_populate", roles=("-", "-", "-"), result=_STATUS),
    Signature("bpf_cpumask_create", Effect.ALLOCATE),
    Signature("bpf_cpumask_acquire", Effect.ALLOCATE, ("-",)),
)

_ITERATORS = _table(
    *(
        Signature(f"bpf_iter_{kind}_new", Effect.ITERATE, ("iterator", *roles), _STATUS)
        for kind, roles in (
            ("num", ("low", "high")),
            ("scx_dsq", ("queue", "flags")),
            ("task", ("-", "-")),
            ("css", ("-", "-")),
            ("css_task", ("-", "-")),
            ("bits", ("-", "-")),
        )
    ),
    *(
        Signature(f"bpf_iter_{kind}_{word}", effect, ("iterator",))
        for kind in ("num", "scx_dsq", "task", "css", "css_task", "bits")
        for word, effect in (("next", Effect.NEXT), ("destroy", Effect.CLOSE))
    ),
)

_OBJECTS = _table(
    *(
        Signature(f"bpf_{name}{suffix}", effect, roles, FULL)
        for suffix, more in (("", ()), ("_impl", ("-",)))
        for name, effect, roles in (
            ("obj_new", Effect.ALLOCATE, ("-", *more)),
            ("percpu_obj_new", Effect.ALLOCATE, ("-", *more)),
            ("obj_drop", Effect.NOTHING, ("-", *more)),
            ("percpu_obj_drop", Effect.NOTHING, ("-", *more)),
            ("refcount_acquire", Effect.ALLOCATE, ("-", *more)),
            ("list_push_front", Effect.KEEP, ("-", "node", *more, *more)),
            ("list_push_back", Effect.KEEP, ("-", "node", *more, *more)),
            ("rbtree_add", Effect.KEEP, ("-", "node", "-", *more, *more)),
        )
    ),
    Signature("bpf_list_add", Effect.KEEP, ("-", "node", "-")),
    *(
        Signature(f"bpf_list_{name}", Effect.FIND_TASK, ("-",))
        for name in ("pop_front", "pop_back", "front", "back")
    ),
    Signature("bpf_list_del", Effect.FIND_TASK, ("-", "-")),
    Signature("bpf_list_empty", roles=("-",), result=_BOOL),
    Signature("bpf_list_is_first", roles=("-", "-"), result=_BOOL),
    Signature("bpf_list_is_last", roles=("-", "-"), result=_BOOL),
    *(
        Signature(f"bpf_rbtree_{name}", Effect.FIND_TASK, roles)
        for name, roles in (
            ("first", ("-",)),
            ("root", ("-",)),
            ("left", ("-", "-")),
            ("right", ("-", "-")),
            ("remove", ("-", "-")),
        )
    ),
    Signature("bpf_task_from_pid", Effect.FIND_TASK, ("pid",)),
    Signature("bpf_task_from_vpid", Effect.FIND_TASK, ("pid",)),
    Signature("scx_bpf_tid_to_task", Effect.FIND_TASK, ("pid",)),
    Signature("bpf_task_acquire", roles=("task",)),
    Signature("bpf_task_release", roles=("task",)),
    Signature("bpf_task_get_cgroup1", roles=("task", "-"), sources=("cgroup",)),
    Signature("bpf_task_under_cgroup", roles=("task", "-"), result=_STATUS, sources=("cgroup",)),
    Signature("bpf_cgroup_from_id", roles=("-",), sources=("cgroup",)),
    Signature("bpf_cgroup_ancestor", roles=("-", "-"), sources=("cgroup",)),
    Signature("bpf_cgroup_acquire", roles=("-",)),
    Signature("bpf_cgroup_release", roles=("-",)),
    Signature("bpf_rcu_read_lock"),
    Signature("bpf_rcu_read_unlock"),
    Signature("bpf_preempt_disable"),
    Signature("bpf_preempt_enable"),
    Signature("bpf_local_irq_save", roles=("-",)),
    Signature("bpf_local_irq_restore", roles=("-",)),
    Signature("bpf_res_spin_lock", roles=("-",), result=_STATUS),
    Signature("bpf_res_spin_unlock", roles=("-",)),
    Signature("bpf_res_spin_lock_irqsave", roles=("-", "-"), result=_STATUS),
    Signature("bpf_res_spin_unlock_irqrestore", roles=("-", "-")),
    Signature("bpf_throw", roles=("-",)),
    Signature("bpf_wq_init", roles=("-", "map", "-"), result=_ZERO_OR_ERROR),
    Signature("bpf_wq_start", roles=("-", "-"), result=_ZERO_OR_ERROR),
    Signature("bpf_wq_set_callback", Effect.CALLBACK, ("-", "callback", "-"), _ZERO_OR_ERROR),
    Signature(
        "bpf_wq_set_callback_impl", Effect.CALLBACK, ("-", "callback", "-", "-"), _ZERO_OR_ERROR
    ),
    *(
        Signature(f"bpf_{name}", Effect.COMPARE_TEXT, ("text", "text", "-"), _STATUS)
        for name in ("strcmp", "strcasecmp", "strncasecmp", "strstr", "strnstr", "strcasestr")
    ),
)

_KFUNCS = {**_QUEUES, **_CPUS, **_MASKS, **_ITERATORS, **_OBJECTS}

_TIME = ("time",)
_HELPERS: dict[int, Signature] = {
    1: Signature("bpf_map_lookup_elem", Effect.LOOKUP, ("map", "key")),
    2: Signature(
        "bpf_map_update_elem",
        Effect.UPDATE,
        ("map", "key", "value", "flags"),
        _ZERO_OR_ERROR,
        failure=True,
    ),
    3: Signature("bpf_map_delete_elem", Effect.DELETE, ("map", "key"), _ZERO_OR_ERROR),
    5: Signature("bpf_ktime_get_ns", sources=_TIME),
    6: Signature("bpf_trace_printk", Effect.PRINT, ("format", "size", "-", "-", "-"), _STATUS),
    7: Signature("bpf_get_prandom_u32", result=_U32, sources=("random",)),
    8: Signature("bpf_get_smp_processor_id", result=_CPU, sources=("place",), pure=True),
    14: Signature("bpf_get_current_pid_tgid", sources=("current",), pure=True),
    15: Signature("bpf_get_current_uid_gid", sources=("current",), pure=True),
    16: Signature("bpf_get_current_comm", roles=("-", "-"), output=(0, 16, FULL)),
    35: Signature("bpf_get_current_task", sources=("current",), pure=True),
    42: Signature("bpf_get_numa_node_id", result=(0, 1023), sources=("place",), pure=True),
    80: Signature("bpf_get_current_cgroup_id", sources=("current",), pure=True),
    87: Signature(
        "bpf_map_push_elem", Effect.PUSH, ("map", "value", "flags"), _ZERO_OR_ERROR, failure=True
    ),
    88: Signature("bpf_map_pop_elem", Effect.POP, ("map", "value"), _ZERO_OR_ERROR, failure=True),
    89: Signature("bpf_map_peek_elem", Effect.POP, ("map", "value"), _ZERO_OR_ERROR, failure=True),
    93: Signature("bpf_spin_lock", roles=("-",)),
    94: Signature("bpf_spin_unlock", roles=("-",)),
    113: Signature("bpf_probe_read_kernel", Effect.READ, ("to", "size", "from"), _ZERO_OR_ERROR),
    115: Signature("bpf_probe_read_kernel_str", Effect.READ, ("to", "size", "from"), _STATUS),
    118: Signature("bpf_jiffies64", sources=_TIME),
    123: Signature("bpf_get_current_ancestor_cgroup_id", roles=("-",), sources=("current",)),
    125: Signature("bpf_ktime_get_boot_ns", sources=_TIME),
    153: Signature("bpf_per_cpu_ptr", roles=("-", "cpu"), sources=("per_cpu",)),
    154: Signature("bpf_this_cpu_ptr", roles=("-",), sources=("per_cpu",)),
    156: Signature("bpf_task_storage_get", Effect.STORAGE, ("map", "task", "value", "flags")),
    157: Signature("bpf_task_storage_delete", Effect.DELETE, ("map", "task"), _ZERO_OR_ERROR),
    158: Signature("bpf_get_current_task_btf", sources=("current",), pure=True),
    160: Signature("bpf_ktime_get_coarse_ns", sources=_TIME),
    164: Signature("bpf_for_each_map_elem", Effect.FOR_EACH, ("map", "callback", "context", "-")),
    165: Signature("bpf_snprintf", Effect.FORMAT, ("to", "size", "format", "values", "-"), _STATUS),
    169: Signature("bpf_timer_init", roles=("-", "map", "-"), result=_ZERO_OR_ERROR),
    170: Signature("bpf_timer_set_callback", Effect.CALLBACK, ("-", "callback"), _ZERO_OR_ERROR),
    171: Signature("bpf_timer_start", Effect.START_TIMER, ("-", "after", "flags"), _ZERO_OR_ERROR),
    172: Signature("bpf_timer_cancel", roles=("-",), result=_STATUS),
    177: Signature("bpf_trace_vprintk", Effect.PRINT, ("format", "size", "values", "-"), _STATUS),
    181: Signature("bpf_loop", Effect.LOOP, ("count", "callback", "context", "-"), _STATUS),
    182: Signature("bpf_strncmp", Effect.COMPARE_TEXT, ("text", "-", "text"), _STATUS),
    194: Signature("bpf_kptr_xchg", Effect.KEEP, ("keeper", "node")),
    195: Signature("bpf_map_lookup_percpu_elem", Effect.LOOKUP, ("map", "key", "cpu")),
    208: Signature("bpf_ktime_get_tai_ns", sources=_TIME),
    210: Signature("bpf_cgrp_storage_get", Effect.STORAGE, ("map", "cgroup", "value", "flags")),
    211: Signature("bpf_cgrp_storage_delete", Effect.DELETE, ("map", "cgroup"), _ZERO_OR_ERROR),
}
_ARGUMENTS = ("-",) * 5


def signature_of_kfunc(name: str) -> Signature:
    """Return what is known of a function of the kernel; most versions (`___v2`) are one."""
    plain = name.partition("___")[0]
    found = _KFUNCS.get(name) or _KFUNCS.get(plain)
    return found or Signature(plain, roles=_ARGUMENTS, sources=(f"call:{plain}",))


def signature_of_helper(number: int) -> Signature:
    """Return what is known of a helper."""
    found = _HELPERS.get(number)
    return found or Signature(f"helper {number}", roles=_ARGUMENTS, sources=(f"call:{number}",))

// SPDX-License-Identifier: GPL-2.0
/*
 * T03: who waits is in a list of objects, and a task for which there is no memory is in none; when
 * memory is short.
 * Stopped at Bytecode.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <bpf/bpf_core_read.h>

char _license[] SEC("license") = "GPL";

#define MS 1000000ULL

#define __contains(name, node) __attribute__((btf_decl_tag("contains:" #name ":" #node)))

struct w {
	struct bpf_list_node n;
	s32 pid;
};

struct bpf_spin_lock lk SEC(".data.x");
struct bpf_list_head hd __contains(w, n) SEC(".data.x");
s32 SEC("struct_ops/links_select_cpu")
	BPF_PROG(links_select_cpu, struct task_struct *p, s32 prev_cpu, u64 wake_flags)
{
	bool idle = false;
	s32 cpu = scx_bpf_select_cpu_dfl(p, prev_cpu, wake_flags, &idle);

	if (idle)
		scx_bpf_dsq_insert(p, SCX_DSQ_LOCAL, 5 * MS, 0);
	return cpu;
}

void SEC("struct_ops/links_enqueue") BPF_PROG(links_enqueue, struct task_struct *p, u64 enq_flags)
{
	struct w *w = bpf_obj_new(bpf_core_type_id_local(struct w));

	if (!w)
		return;
	w->pid = p->pid;
	bpf_spin_lock(&lk);
	bpf_list_push_back(&hd, &w->n);
	bpf_spin_unlock(&lk);
}

void SEC("struct_ops/links_dispatch") BPF_PROG(links_dispatch, s32 cpu, struct task_struct *prev)
{
	struct bpf_list_node *n;
	struct task_struct *p;
	struct w *w;
	s32 pid;

	bpf_spin_lock(&lk);
	n = bpf_list_pop_front(&hd);
	bpf_spin_unlock(&lk);
	if (!n)
		return;
	w = container_of(n, struct w, n);
	pid = w->pid;
	bpf_obj_drop(w);
	p = bpf_task_from_pid(pid);
	if (!p)
		return;
	scx_bpf_dsq_insert(p, SCX_DSQ_GLOBAL, 5 * MS, 0);
	bpf_task_release(p);
}

SEC(".struct_ops.link")
struct sched_ext_ops links_ops = {
	.select_cpu = (void *)links_select_cpu,
	.enqueue = (void *)links_enqueue,
	.dispatch = (void *)links_dispatch,
	.name = "links",
};

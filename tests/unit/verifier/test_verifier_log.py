"""The kernel's refusal in one line."""

from __future__ import annotations

import pytest

from schedcp_verifier.verifierlog import refusal_of

EXPLAINED = """\
9: (79) r1 = *(u64 *)(r0 +0)
R0 invalid mem access 'map_value_or_null'

Verification failed: Register Type Safety: Invalid dereference

Reason:
  R0 may be NULL here (a nullable map value pointer). The program could dereference NULL on this
  path, so the verifier cannot prove this access is safe.

At:
  enqueue @ bad.bpf.c:31:9
  Source context:
      29 |         u64 *count = bpf_map_lookup_elem(&seen, &key);

Suggestion:
  Add a NULL check.

processed 9 insns (limit 1000000) max_states_per_insn 0
"""
PLAIN = """\
libbpf: prog 'bad_dispatch': BPF program load failed: Invalid argument
0: R1=ctx() R10=fp0
; while (scx_bpf_dsq_nr_queued(QUEUE) >= 0) @ l01.bpf.c:26
0: (b7) r1 = 33                       ; R1=33
infinite loop detected at insn 7
cur state: R0=scalar() R10=fp0
old state: R0=scalar() R10=fp0
processed 14 insns (limit 1000000) max_states_per_insn 0 total_states 1
-- END PROG LOAD LOG --
libbpf: prog 'bad_dispatch': failed to load: -22
"""


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (
            EXPLAINED,
            "Register Type Safety: Invalid dereference; R0 may be NULL here (a nullable map value "
            "pointer). The program could dereference NULL on this path, so the verifier cannot "
            "prove this access is safe.; enqueue @ bad.bpf.c:31:9; Add a NULL check.",
        ),
        (PLAIN, "infinite loop detected at insn 7 at l01.bpf.c:26"),
        ("libbpf: extern 'x': no such kfunc\n", "extern 'x': no such kfunc"),
        ("", "it gave no reason"),
    ],
)
def test_the_reason_and_the_place(log: str, words: str) -> None:
    assert refusal_of(log) == words

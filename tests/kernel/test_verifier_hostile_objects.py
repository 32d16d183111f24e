"""Objects and kernel types are input like any other, also when only a little of them is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schedcp_verifier.analysing import analyse_bytecode
from schedcp_verifier.btf import Btf
from schedcp_verifier.kernelfacts import kernel_facts
from schedcp_verifier.kernels import KernelBundle
from schedcp_verifier.objects import inspect
from schedcp_verifier.settings import Settings
from schedcp_verifier.verifying import Verifier
from support.laboratory import CONTRACT
from support.verifier import source_request

MOST_CHANGES = 8
BTF_HEADER_BYTES = 24


@dataclass(frozen=True)
class Object:
    """An object's bytes, which nobody wants to see when a test fails."""

    data: bytes = field(repr=False)


@pytest.fixture(scope="module")
def built(verifier_settings: Settings, kernel: KernelBundle, repository: Path) -> Object:
    """The object of a good scheduler."""
    verifier = Verifier.from_settings(verifier_settings)
    path = repository / "tests/data/schedulers/good/minimal_fifo.bpf.c"
    request = source_request(path, kernel, CONTRACT)
    found = verifier.analyse(verifier.subject(request), request, kernel)
    assert found.object is not None
    assert not found.failed
    return Object(found.object)


def changed(data: bytes, changes: list[tuple[float, int]], length: float) -> bytes:
    """Return `data` with bytes changed at shares of its length, and cut off."""
    altered = bytearray(data)
    for share, value in changes:
        altered[int(share * (len(altered) - 1))] = value
    return bytes(altered[: int(length * len(altered))])


SHARES = st.floats(min_value=0, max_value=1)
CHANGES = st.lists(st.tuples(SHARES, st.integers(0, 255)), max_size=MOST_CHANGES)
LENGTHS = st.just(1.0) | SHARES
FEW = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FEW
@given(CHANGES, LENGTHS)
def test_a_changed_object_is_read_or_is_a_value_error(
    built: Object, changes: list[tuple[float, int]], length: float
) -> None:
    try:
        facts = inspect(changed(built.data, changes, length))
    except ValueError:
        return
    assert isinstance(facts.ops_name, str)


@FEW
@given(CHANGES, LENGTHS)
def test_a_changed_object_is_analysed_to_checks(
    built: Object, kernel: KernelBundle, changes: list[tuple[float, int]], length: float
) -> None:
    checks = analyse_bytecode(changed(built.data, changes, length), kernel.facts, ())
    assert checks


@FEW
@given(CHANGES, st.just(1.0))
def test_the_heads_and_the_types_of_an_object_are_not_believed(
    built: Object, kernel: KernelBundle, changes: list[tuple[float, int]], length: float
) -> None:
    """The ends of the file hold its header and its section headers, where one byte moves all."""
    near = [(share / 100 if value % 2 else 1 - share / 40, value) for share, value in changes]
    data = changed(built.data, near, length)
    assert analyse_bytecode(data, kernel.facts, ())
    try:
        inspect(data)
    except ValueError:
        return


@settings(max_examples=8)
@given(changes=CHANGES)
def test_a_kernels_changed_types_are_read_or_are_a_value_error(
    kernel: KernelBundle, changes: list[tuple[float, int]]
) -> None:
    data = changed(kernel.btf, changes, 1.0)
    for read in (kernel_facts, Btf):
        try:
            read(data)
        except ValueError:
            continue


@settings(max_examples=30)
@given(changes=CHANGES)
def test_a_kernels_types_with_another_header_are_read_or_are_a_value_error(
    kernel: KernelBundle, changes: list[tuple[float, int]]
) -> None:
    head = changed(kernel.btf[:BTF_HEADER_BYTES], changes, 1.0)
    try:
        kernel_facts(head + kernel.btf[BTF_HEADER_BYTES:])
    except ValueError:
        return

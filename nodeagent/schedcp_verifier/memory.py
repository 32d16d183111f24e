"""Loads and stores: which place an address is, and what is known of what lies there.

Places that programs write (variables, fields of maps' values) and fields of the kernel's structs
have names, so that what one program stores and another loads can be told to be the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from .annotations import Access
from .arithmetic import Bounds, signed
from .effects import CPUS_MAX
from .fields import Field
from .programs import ProgramObject
from .states import State
from .terms import Role, Term, Terms

__all__ = ["Memory", "Spot", "offset_source"]

_CHOICES_MAX = 16
_PID_MAX = 1 << 22
_BOUNDS: dict[str, Bounds] = {
    "task_struct.scx.weight": (1, 10_000),
    "task_struct.static_prio": (100, 139),
    "task_struct.nr_cpus_allowed": (1, CPUS_MAX),
    "task_struct.policy": (0, 7),
    "task_struct.pid": (0, _PID_MAX),
    "task_struct.tgid": (0, _PID_MAX),
}
"""What the kernel keeps some fields within."""
_POINTERS = frozenset(
    {Role.STACK, Role.DATA, Role.ENTRY, Role.MAP, Role.CONTEXT, Role.ITERATOR, Role.ELEMENT}
)
_RETURNED = {
    "bpf_task_from_pid": "task_struct",
    "bpf_task_from_vpid": "task_struct",
    "bpf_task_acquire": "task_struct",
    "bpf_get_current_task": "task_struct",
    "bpf_get_current_task_btf": "task_struct",
    "scx_bpf_tid_to_task": "task_struct",
    "scx_bpf_dsq_peek": "task_struct",
    "scx_bpf_cpu_curr": "task_struct",
    "scx_bpf_cid_curr": "task_struct",
    "scx_bpf_cpu_rq": "rq",
    "scx_bpf_locked_rq": "rq",
    "scx_bpf_task_cgroup": "cgroup",
    "bpf_cgroup_from_id": "cgroup",
    "bpf_cgroup_ancestor": "cgroup",
    "bpf_cgroup_acquire": "cgroup",
    "bpf_task_get_cgroup1": "cgroup",
}


@dataclass(frozen=True)
class Spot:
    """A place in memory: a pointer, a distance from it, and what is added that is not known."""

    root: Term
    offset: int
    variable: tuple[Term, ...] = ()
    access: Access | None = None
    """The CO-RE record that a part of the distance came with."""


class Memory:
    """Loads and stores of one object's programs."""

    def __init__(self, object_: ProgramObject, terms: Terms) -> None:
        self._object = object_
        self._terms = terms

    # Addresses

    def spot(self, address: Term, offset: int = 0) -> Spot:
        """Return the place that an address is."""
        parts: list[Term] = []
        numbers, access = offset, None
        waiting = [address]
        while waiting:
            term = waiting.pop()
            if term.role is Role.OPERATION and term.value == "+":
                waiting += term.parts
            elif term.number is not None and (parts or waiting):
                numbers += signed(term.number)
                access = access or _recorded(term)
            else:
                parts.append(term)
        parts.sort(key=lambda part: (not self._is_pointer(part), part.serial))
        root = parts[0] if parts else self._terms.of(numbers)
        if root.role in (Role.STACK, Role.DATA) and isinstance(root.value, tuple):
            where, inner = root.value
            root, numbers = self._terms.make(root.role, (where, 0)), inner + numbers
        return Spot(root, numbers, tuple(parts[1:]), access)

    def _is_pointer(self, term: Term) -> bool:
        return term.role in _POINTERS or self.struct_of(term) is not None

    def struct_of(self, pointer: Term) -> int | None:
        """Return the struct that a term points to, as far as BTF says."""
        fields = self._object.fields
        if fields is None or not isinstance(pointer.value, tuple):
            return None
        match pointer.role:
            case Role.ARGUMENT:
                return pointer.value[2] if len(pointer.value) > 2 else None
            case Role.FIELD:
                return fields.pointed(pointer.value[1])
            case Role.RESULT:
                name = _RETURNED.get(str(pointer.value[0]))
                return fields.struct(name) if name else None
            case Role.ELEMENT if pointer.value[0] == "task":
                return fields.struct("task_struct")
        return None

    # Loads

    def load(self, state: State, spot: Spot, size: int, access: Access | None = None) -> Term:
        """Return what is loaded from a place."""
        root, bounds = spot.root, (0, (1 << 8 * size) - 1)
        match root.role:
            case Role.STACK if isinstance(root.value, tuple):
                if spot.variable:
                    return self._terms.unknown(frozenset({"stack"}), bounds)
                return state.get(root.value[0], spot.offset, size)
            case Role.CONTEXT:
                return self._argument(root, spot.offset)
            case Role.ELEMENT if isinstance(root.value, tuple) and root.value[0] == "number":
                return self._terms.masked(root.parts[0], size)
            case Role.DATA if isinstance(root.value, tuple):
                constant = self._constant(str(root.value[0]), spot, size)
                if constant is not None:
                    return constant
        name = self.name(spot)
        if name is None:
            return self._field(state, spot, size, access)
        return self._cell(state, name, spot, size)

    def _argument(self, context: Term, offset: int) -> Term:
        """Return an argument of the operation; the context term has them all as its parts."""
        index, rest = divmod(offset, 8)
        if rest or not 0 <= index < len(context.parts):
            return self._terms.unknown(frozenset({"argument:?"}))
        return context.parts[index]

    def _constant(self, section: str, spot: Spot, size: int) -> Term | None:
        """Return what lies in read-only data: a knob, a constant, or one of a table."""
        if not section.startswith(".rodata"):
            return None
        data = self._object.data.get(section, b"")
        variable = self._object.variable_at(section, spot.offset)
        name = variable.name if variable is not None else section
        if not spot.variable:
            found = data[spot.offset : spot.offset + size]
            if spot.offset < 0 or len(found) != size:
                return None
            value = int.from_bytes(found, "little")
            return self._terms.of(value, frozenset({f"knob:{name}"}))
        if variable is None:
            return None
        sources = frozenset({f"table:{name}"}).union(*(part.sources for part in spot.variable))
        end = variable.offset + variable.size
        values = {
            int.from_bytes(data[at : at + size], "little")
            for at in range(spot.offset, min(end, len(data)) - size + 1, size)
        }
        if not values:
            return None
        found_terms = [self._terms.of(value, sources) for value in sorted(values)]
        if len(found_terms) > _CHOICES_MAX:
            return self._terms.unknown(sources, (min(values), max(values)))
        chosen = found_terms[0]
        for term in found_terms[1:]:
            chosen = self._terms.choice(chosen, term)
        return chosen

    def name(self, spot: Spot) -> str | None:
        """Return the name of a place that programs write, None for the kernel's structs."""
        root = spot.root
        more = "[]" if spot.variable else ""
        if root.role is Role.DATA and isinstance(root.value, tuple):
            variable = self._object.variable_at(str(root.value[0]), spot.offset)
            if variable is None:
                return f"{root.value[0]}+{spot.offset}{more}"
            inner = spot.offset - variable.offset
            return f"{variable.name}{f'+{inner}' if inner else ''}{more}"
        if root.role is Role.ENTRY and isinstance(root.value, tuple):
            return f"{root.value[0]}+{spot.offset}{more}"
        if root.role is Role.RESULT and self.struct_of(root) is None:
            return f"object+{spot.offset}{more}"
        return None

    def _cell(self, state: State, name: str, spot: Spot, size: int) -> Term:
        held = state.held.get((name, spot.root))
        if held is not None and held[0] == size and not spot.variable:
            return held[1]
        version = state.versions.get(name, "")
        sources = {f"cell:{name}"} | ({version} if version else set())
        return self._terms.make(
            Role.CELL,
            (name, size, version),
            (spot.root, *spot.variable),
            sources=sources,
            bounds=(0, (1 << 8 * size) - 1),
        )

    def _field(self, state: State, spot: Spot, size: int, access: Access | None) -> Term:
        found = self._named(spot, access)
        name = str(found) if found is not None else f"memory+{spot.offset}"
        held = state.held.get((name, spot.root))
        if held is not None and held[0] == size and not spot.variable:
            return held[1]
        bounds: Bounds = _BOUNDS.get(name, (0, (1 << 8 * size) - 1))
        version = state.versions.get(name, "")
        return self._terms.make(
            Role.FIELD,
            # The offset, too: the elements of an array share a name.
            (name, found.type_id if found is not None else 0, version, size, spot.offset),
            (spot.root, *spot.variable),
            sources={f"field:{name}"} | ({version} if version else set()),
            bounds=bounds,
        )

    def _named(self, spot: Spot, access: Access | None) -> Field | None:
        """Return a field of the kernel's: by a flavour's record, by its offset, by its record."""
        fields, struct = self._object.fields, self.struct_of(spot.root)
        access = access or spot.access
        if fields is None:
            return None
        if access is not None and access.kind == Access.FIELD_OFFSET:
            recorded = fields.accessed(access.type_id, access.path)
            flavoured = "___" in fields.type(access.type_id).name
            if flavoured or struct is None:
                return recorded
        return fields.at(struct, spot.offset) if struct is not None else None

    def place_of(self, spot: Spot, access: Access | None = None) -> str:
        """Return the name of a place that is written, also when it is a field of the kernel's."""
        name = self.name(spot)
        if name is not None:
            return name
        found = self._named(spot, access)
        return str(found) if found is not None else f"memory+{spot.offset}"


def offset_source(access: Access) -> str:
    """Return what a number that CO-RE puts into the code is known by."""
    return f"offset:{access.type_id}:{access.path}"


def _recorded(number: Term) -> Access | None:
    for source in sorted(number.sources):
        if source.startswith("offset:"):
            _, type_id, path = source.split(":", 2)
            return Access(int(type_id), path, Access.FIELD_OFFSET)
    return None

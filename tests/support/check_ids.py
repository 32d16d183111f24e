"""The ids of all checks that the verifier's code can make, read from the code itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Untold", "check_ids"]

_PHASES = frozenset({"passed", "failed", "warning", "skipped", "error"})
_CONSTRUCTORS = "checks.py"


class Untold(AssertionError):
    """An id that is made in a way that is not understood here."""


@dataclass
class _Module:
    """One module: what makes checks in it, and by which argument they are named."""

    path: Path
    tree: ast.Module
    makers: dict[str, int] = field(default_factory=dict)


def check_ids(package: Path) -> frozenset[str]:
    """Return the ids; of an f-string its first constant part, with `*` for what is not."""
    modules = [
        _Module(path, ast.parse(path.read_text()))
        for path in sorted(package.rglob("*.py"))
        if path.name != _CONSTRUCTORS
    ]
    wrappers = {module.path.stem: dict(_wrappers(module.tree)) for module in modules}
    found: set[str] = set()
    for module in modules:
        module.makers = {**dict.fromkeys(_PHASES, 0), "Examination": 0}
        for source, name in _imported(module.tree):
            if name in wrappers.get(source, {}):
                module.makers[name] = wrappers[source][name]
        module.makers |= wrappers[module.path.stem]
        module.makers |= dict.fromkeys(_aliases(module.tree), 0)
        for given, nodes in _scopes(module.tree):
            found |= set(_of_scope(module, given, nodes))
    return frozenset(found)


def _wrappers(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Yield functions that make a check of an id that they are given."""
    for node in ast.walk(tree):
        made = getattr(node, "returns", None)
        if isinstance(node, ast.FunctionDef) and made is not None and "Check" in ast.unparse(made):
            names = [argument.arg for argument in node.args.args]
            if "id_" in names:
                yield node.name, names.index("id_")


def _aliases(tree: ast.Module) -> set[str]:
    """Return names that stand for one constructor or another."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
            choices = (node.value.body, node.value.orelse)
            if all(isinstance(choice, ast.Name) and choice.id in _PHASES for choice in choices):
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return found


def _imported(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield names that come from a neighbour, with the neighbour."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from ((node.module or "", name.asname or name.name) for name in node.names)


def _scopes(tree: ast.Module) -> Iterator[tuple[frozenset[str], list[ast.AST]]]:
    """Yield functions by their parameters and all that is in them, and what is in none."""
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    inside: set[int] = set()
    for function in functions:
        nodes = list(ast.walk(function))
        inside |= {id(node) for node in nodes}
        yield frozenset(argument.arg for argument in function.args.args), nodes
    yield frozenset(), [node for node in ast.walk(tree) if id(node) not in inside]


def _of_scope(module: _Module, given: frozenset[str], scope: list[ast.AST]) -> Iterator[str]:
    for node in scope:
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Attribute) and node.func.attr == "replace":
            yield from (
                _text(module, scope, keyword.value)
                for keyword in node.keywords
                if keyword.arg == "id"
            )
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name not in module.makers:
            continue
        argument = node.args[module.makers[name]]
        handed_on = isinstance(argument, ast.Name) and argument.id in given
        of_a_rule = isinstance(argument, ast.Attribute) and argument.attr == "id"
        if not handed_on and not of_a_rule:
            yield _text(module, scope, argument)


def _text(module: _Module, scope: list[ast.AST], node: ast.expr) -> str:
    """Return what an expression says, looking back to assignments here and at the top."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=[ast.Constant(value=str(text)), *_]):
            return f"{text}*"
        case ast.JoinedStr(values=[ast.FormattedValue(), ast.Constant(value=str(text)), *_]):
            return f"*{text}*"
        case ast.Name(id=name):
            for assigned in (*scope, *module.tree.body):
                if isinstance(assigned, ast.Assign):
                    value = _assigned(assigned, name)
                    if value is not None:
                        return _text(module, scope, value)
    where = f"{module.path.name}:{node.lineno}"
    raise Untold(f"{where}: the id of a check is made by {ast.unparse(node)}")


def _assigned(assignment: ast.Assign, name: str) -> ast.expr | None:
    for target in assignment.targets:
        if isinstance(target, ast.Name) and target.id == name:
            return assignment.value
        if isinstance(target, ast.Tuple) and isinstance(assignment.value, ast.Tuple):
            for part, value in zip(target.elts, assignment.value.elts, strict=False):
                if isinstance(part, ast.Name) and part.id == name:
                    return value
    return None

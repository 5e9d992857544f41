"""Public functions say what they take and give, in numpydoc."""

import ast
import inspect
from collections.abc import Iterator
from pathlib import Path

from numpydoc.docscrape import NumpyDocString

ELSEWHERE = {"compiled", "intrinsic", "jit"}
"""Decorators of functions that another compiler takes: their module says what they read."""

COMMANDS = "cli"  # a command's docstring is its help text, its parameters are described in place


def _public_functions(root: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Yield the functions that a module offers to others."""
    package = root / "platform" / "isthmus"
    for path in sorted(package.rglob("*.py")):
        if path.parent.name == COMMANDS:
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            offered = isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
            if offered and not _decorators(node) & ELSEWHERE:
                yield f"{path.relative_to(package)}:{node.lineno} {node.name}", node


def _decorators(node: ast.FunctionDef) -> set[str]:
    """Name a function's decorators."""
    called = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return {ast.unparse(decorator).rpartition(".")[2] for decorator in called}


def _arguments(node: ast.FunctionDef) -> list[str]:
    """List a function's arguments as numpydoc writes them."""
    inside = node.args
    names = [argument.arg for argument in [*inside.posonlyargs, *inside.args]]
    names += [f"*{inside.vararg.arg}"] if inside.vararg else []
    names += [argument.arg for argument in inside.kwonlyargs]
    names += [f"**{inside.kwarg.arg}"] if inside.kwarg else []
    return names


def _gives_something(node: ast.FunctionDef) -> bool:
    """Say whether a function is annotated to return a value."""
    return node.returns is not None and ast.unparse(node.returns) not in {"None", "NoReturn"}


def _misses(node: ast.FunctionDef) -> list[str]:
    """List what a docstring lacks."""
    text = ast.get_docstring(node)
    if text is None:
        return ["no docstring"]
    page = NumpyDocString(inspect.cleandoc(text))
    documented = [name for item in page["Parameters"] for name in item.name.split(", ")]
    misses = []
    if documented != _arguments(node):
        misses.append(f"parameters are {_arguments(node)}, documented are {documented}")
    if _gives_something(node) and not page["Returns"] and not page["Yields"]:
        misses.append("no Returns section")
    if any(not item.desc for item in [*page["Parameters"], *page["Returns"]]):
        misses.append("a parameter or a return value without description")
    return misses


def test_public_functions_say_what_they_take_and_give(root: Path) -> None:
    found = dict(_public_functions(root))
    assert len(found) > 20
    misses = {name: _misses(node) for name, node in found.items() if _misses(node)}
    assert misses == {}


def test_a_docstring_that_lacks_something_is_noticed() -> None:
    source = '''
def grow(size, by):
    """Grow.

    Parameters
    ----------
    size : int
        How large.
    """
'''
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.FunctionDef)
    assert _misses(node) == ["parameters are ['size', 'by'], documented are ['size']"]
    node.returns = ast.Name("int")
    assert "no Returns section" in _misses(node)

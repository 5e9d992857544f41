"""What the sources may look like: sizes, names, nothing unfinished, nothing of one machine."""

import ast
import re
import subprocess
from pathlib import Path

import pytest

MAX_LINES_OF_FILE = 350
MAX_LINES_OF_FUNCTION = 60
VAGUE = {"utils", "helpers", "common", "manager", "base", "misc"}
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]) + r")\b")
# Folders in which one machine keeps its users or its mounts, at the start of an absolute path.
MACHINE = re.compile(r"(?<![\w.~:/}>-])/(home|root|Users|work|mnt|opt|tmp)/\w")


def _tracked(root: Path) -> list[Path]:
    """List what git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    return [
        root / name for name in sorted(set(names.split("\0")) - {""}) if (root / name).is_file()
    ]


def _sources(root: Path) -> list[Path]:
    return sorted((root / "platform").rglob("*.py"))


def _trees(root: Path) -> dict[str, ast.Module]:
    return {
        str(path.relative_to(root)): ast.parse(path.read_text(encoding="utf-8"))
        for path in _sources(root)
    }


def test_platform_is_a_source_root_and_no_package(root: Path) -> None:
    # With an __init__.py, or tests and a conftest in it, it hides the standard library's module.
    assert [path.name for path in (root / "platform").iterdir() if path.suffix == ".py"] == []
    assert {path.name for path in (root / "platform").iterdir()} - {"__pycache__"} == {"isthmus"}


def test_every_folder_of_the_package_is_a_package(root: Path) -> None:
    folders = {path.parent for path in _sources(root)}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_files_have_one_idea_each(root: Path) -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in _sources(root)}
    long = {str(path.relative_to(root)): n for path, n in lengths.items() if n > MAX_LINES_OF_FILE}
    assert long == {}


def test_functions_fit_a_screen(root: Path) -> None:
    long = {
        f"{name}:{node.lineno} {node.name}": _lines_of_code(node)
        for name, tree in _trees(root).items()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and _lines_of_code(node) > MAX_LINES_OF_FUNCTION
    }
    assert long == {}


def _lines_of_code(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count a function's lines without its docstring, which may be as long as it needs."""
    assert node.end_lineno is not None
    docstring = node.body[0] if ast.get_docstring(node, clean=False) else None
    described = docstring.end_lineno - docstring.lineno + 1 if docstring else 0  # type: ignore[operator]
    return node.end_lineno - node.lineno + 1 - described


def test_names_say_what_a_module_is_about(root: Path) -> None:
    vague = [path for path in _sources(root) if VAGUE & set(path.stem.split("_"))]
    vague += [path for path in _sources(root) if VAGUE & set(path.parent.name.split("_"))]
    assert vague == []


def test_nothing_is_unfinished(root: Path) -> None:
    marks = [
        f"{path.relative_to(root)}:{number}"
        for path in _tracked(root)
        if path.suffix in {".py", ".md", ".yaml", ".toml", ""}
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert marks == []


def test_nothing_is_a_stub(root: Path) -> None:
    stubs = [
        f"{name}:{node.lineno} {node.name}"
        for name, tree in _trees(root).items()
        for node in _functions_outside_protocols(tree)
        if _is_stub(node)
    ]
    assert stubs == []


def _functions_outside_protocols(tree: ast.AST) -> list[ast.FunctionDef]:
    """List functions; those of a Protocol are declarations and have no body to finish."""
    found: list[ast.FunctionDef] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and any("Protocol" in ast.unparse(b) for b in node.bases):
            continue
        overloads = isinstance(node, ast.FunctionDef) and any(
            "overload" in ast.unparse(decorator) for decorator in node.decorator_list
        )
        if isinstance(node, ast.FunctionDef) and not overloads:
            found.append(node)
        found += _functions_outside_protocols(node)
    return found


def _is_stub(node: ast.FunctionDef) -> bool:
    """Say whether a function does nothing, or says that it is not written yet."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    if any("NotImplementedError" in ast.unparse(statement) for statement in body):
        return True
    says_so = ast.get_docstring(node) is not None  # "do nothing" on purpose, and said
    return all(
        (isinstance(s, ast.Pass) and not says_so)
        or (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
        for s in body
    ) and not (says_so and not body)


def test_nothing_names_a_place_on_one_machine(root: Path) -> None:
    places = [
        f"{path.relative_to(root)}:{number}: {line.strip():.80}"
        for path in _tracked(root)
        if path.suffix in {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".json", ".ini", ""}
        # places within an image are its own
        and path.relative_to(root).parts[0] != "deploy"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert places == []


@pytest.mark.parametrize(
    ("line", "names_one"),
    [
        ("cd " + "/home" + "/someone/isthmus", True),
        ("path = '" + "/work" + "/x'", True),
        ("https://example.org/home/x", False),
        ("runs/" + "tmp/x", False),
        ("$HOME" + "/work" + "/x", False),
    ],
)
def test_a_place_on_one_machine_is_recognised(line: str, names_one: bool) -> None:
    assert bool(MACHINE.search(line)) == names_one


def test_no_line_is_skipped_without_a_reason(root: Path) -> None:
    bare = [
        f"{path.relative_to(root)}:{number}"
        for path in [*_sources(root), *sorted((root / "tests").rglob("*.py"))]
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"(# noqa(?!:)|# type: ignore(?!\[)|pytest\.mark\.(skip|xfail)\(\))", line)
        and path.name != Path(__file__).name
    ]
    assert bare == []

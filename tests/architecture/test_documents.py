"""What the documents say of the tree, the commands and the settings is true."""

import re
import subprocess
from pathlib import Path

import pytest

from isthmus.config.reference import reference_page

NOT_LISTED = {".gitignore", ".rayignore", ".dockerignore", "LICENSE"}


def _fences(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def _readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def _listed(root: Path) -> list[str]:
    """Read the tree of README: a path and two spaces before what it is; indented: below."""
    section = _readme(root).partition("## What is where\n")[2]
    paths, above = [], ""
    for line in _fences(section, "text")[0].splitlines():
        name, spaces, comment = line.strip().partition("  ")
        assert spaces, f"README's tree: a path, two spaces, what it is; got {line!r}"
        assert comment.strip()
        if line.startswith(" "):
            name = above + name
        elif name.endswith("/"):
            above = name
        paths.append(name)
    return paths


def _on_disk(root: Path) -> set[str]:
    """List the entries of the repository's folder that git tracks or would track."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    present = [name for name in names.split("\0") if name and (root / name).exists()]
    return {name.split("/")[0] + ("/" if "/" in name else "") for name in present} - NOT_LISTED


def test_the_tree_of_readme_is_that_of_the_disk(root: Path) -> None:
    listed = _listed(root)
    assert len(listed) == len(set(listed))
    assert [path for path in listed if not (root / path).exists()] == []
    assert [path for path in listed if (root / path).is_dir() != path.endswith("/")] == []
    top = {path.split("/")[0] + ("/" if "/" in path else "") for path in listed}
    assert top == _on_disk(root)


def test_the_tree_of_readme_has_every_package(root: Path) -> None:
    package = root / "platform" / "isthmus"
    folders = {f"platform/isthmus/{path.parent.name}/" for path in package.glob("*/__init__.py")}
    assert folders - set(_listed(root)) == set()


def _documents(root: Path) -> list[Path]:
    return [*root.glob("*.md"), *(root / "docs").rglob("*.md")]


def _code(root: Path) -> str:
    """Join what the documents show as code: fenced blocks and words in backticks."""
    text = "\n".join(path.read_text(encoding="utf-8") for path in _documents(root))
    return "\n".join([*_fences(text, "(?:sh|console|bash)"), *re.findall(r"`([^`\n]+)`", text)])


def test_the_make_targets_that_are_named_exist(root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(), re.MULTILINE))
    uses = re.findall(r"^\s*(?:\$ )?make((?: [a-z-]+)+)", _code(root), re.MULTILINE)
    named = {name for words in uses for name in words.split()}
    assert {"demo", "test", "check"} <= named
    assert named - targets == set()


def test_every_make_target_is_explained(root: Path) -> None:
    makefile = (root / "Makefile").read_text()
    phony = set(re.findall(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)[0].split())
    assert set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)) == phony


def test_the_commands_of_readme_are_those_of_the_program(root: Path) -> None:
    typer = pytest.importorskip("typer")
    from isthmus.cli.main import app

    commands = set(typer.main.get_command(app).commands)
    code = "\n".join([*_fences(_readme(root), "sh"), *re.findall(r"`([^`\n]+)`", _readme(root))])
    named = set(re.findall(r"(?:^|\s|/)isthmus ([a-z]+)", code, re.MULTILINE))
    assert named == commands


def test_the_page_of_settings_is_current(root: Path) -> None:
    page = (root / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == reference_page(), "run `make docs`"


def test_links_between_documents_lead_somewhere(root: Path) -> None:
    dead = [
        f"{path.relative_to(root)}: {target}"
        for path in _documents(root)
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text(encoding="utf-8"))
        if not target.startswith(("http://", "https://", "mailto:"))
        and not (path.parent / target).exists()
    ]
    assert dead == []


def test_decisions_are_numbered_one_after_another(root: Path) -> None:
    pages = sorted((root / "docs" / "decisions").glob("*.md"))
    for number, page in enumerate(pages, 1):
        assert page.name.startswith(f"{number:04d}-")
        assert page.read_text(encoding="utf-8").startswith(f"# {number}. ")

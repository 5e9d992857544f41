"""Every shipped setting resolves, is described, and is read by something."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from isthmus.config.load import preset_names, resolve
from isthmus.config.paths import settings_paths
from isthmus.config.settings import Settings

COHORT = {"images": "{participant_id}_{modality}.nii.gz", "modalities": ["T1w", "FA"]}
# Settings that the code reads through a property of the configuration.
THROUGH = {
    "cohort.root": "cohort_root",
    "execution.output": "output",
    "execution.store": "store_url",
    "execution.tracking_uri": "tracking_uri",
    "model.modalities": "fused_modalities",
}
# The language's own: read where an experiment is loaded.
OWN = {"schema_version", "preset"}


def test_every_preset_resolves(root: Path) -> None:
    folder = root / "platform" / "isthmus" / "config" / "presets"
    assert {path.stem for path in folder.iterdir()} == set(preset_names())
    for name in preset_names():
        assert resolve({"preset": name, "cohort": COHORT}).preset == name


def test_every_shipped_yaml_can_be_read(root: Path) -> None:
    folders = ["platform", "search_spaces", "ablations", "deploy", "dashboards"]
    files = [path for name in folders for path in (root / name).rglob("*.y*ml")]
    assert len(files) >= len(preset_names())
    for path in files:
        list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", settings_paths())
def test_every_setting_is_described(path: str) -> None:
    description = settings_paths()[path].description
    assert description
    assert description[0].isupper()
    assert description.endswith(".")


# The part of a group that stands without images has names of its own.
ALSO_CALLED = {"cohort": ("people", "declared")}


def test_every_setting_is_read_outside_the_configuration(root: Path) -> None:
    # A name of two words is read wherever it is an attribute. One word (grid, seed, kind) is too
    # common for that: it must be taken from something named as its group, or as a configuration.
    read = _attributes_read(root / "platform" / "isthmus")
    unread = []
    for path in settings_paths():
        *groups, leaf = path.split(".")
        name = THROUGH.get(path, leaf)
        group = groups[-1] if groups else "config"
        owners = {group, *ALSO_CALLED.get(group, ()), "config", "settings", "experiment"}
        found = read[name] if "_" in name else owners & read[name]
        if path not in OWN and not found:
            unread.append(path)
    assert unread == [], f"no code reads {unread}: use them or take them out"


def _attributes_read(package: Path) -> dict[str, set[str]]:
    """Map each attribute or key that is read to the last names of what it is read from."""
    read: dict[str, set[str]] = defaultdict(set)
    for path in package.rglob("*.py"):
        if path.parent.name == "config":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                read[node.attr].add(ast.unparse(node.value).rpartition(".")[2].lstrip("_"))
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
                read[str(node.slice.value)].add(ast.unparse(node.value).rpartition(".")[2])
    return read


def test_all_groups_refuse_unknown_names_and_are_frozen() -> None:
    groups = _groups(Settings)
    assert len(groups) > 10
    for group in groups:
        assert group.model_config.get("extra") == "forbid"
        assert group.model_config.get("frozen") is True


def _groups(kind: type[Settings]) -> set[type[Settings]]:
    """Collect the groups of settings, however deep they derive."""
    below = set(kind.__subclasses__())
    return below.union(*(_groups(group) for group in below))

"""Files of settings: experiments, search spaces, ablations, gates and the robustness job's."""

import json
from collections.abc import Callable
from pathlib import Path

from fuzz.target import Target

from isthmus.config.ablation.load import load_ablation
from isthmus.config.load import dump_experiment, load_experiment, resolve
from isthmus.config.promotion.load import load_gates
from isthmus.config.search_load import load_space
from isthmus.config.stratify import load_settings
from isthmus.config.strict_yaml import parse_yaml

_EXPERIMENT = b"""cohort:
  images: '{participant_id}_{modality}.nii'
  modalities: [T1w, FA]
  phenotypes: [iq]
model: {depth: 3, kernel_size: [3, 5, 3]}
training: {epochs: 2, learning_rate: 1e-3}
"""
_SEEDS = (
    _EXPERIMENT,
    b"preset: smoke\nseed: 3\ncohort: {manifest: m.tsv, modalities: [T1w]}\n"
    b"execution: {tracking_uri: 'sqlite:///a.db', workers: 2}\n",
    b"space:\n  model.depth: {kind: int, low: 4, high: 6}\n"
    b"  model.skips: {kind: categorical, choices: [all, none]}\n"
    b"objectives:\n  - {metric: validation_mse, direction: minimize}\nbudget: {n_trials: 7}\n",
    b"space:\n  training.learning_rate: {kind: float, low: 1e-4, high: 1e-2, log: true}\n"
    b"try_first: [paper]\nsampler: {kind: tpe}\nscheduler: {kind: none}\n",
    b"question: why\ndesign: one_factor_out\nfactors:\n"
    b"  model.skips: {values: [all, none], hypothesis: it helps}\n"
    b"contrasts:\n  - {metric: validation_mse, direction: minimize, relative_margin: 0.05}\n"
    b"settings: {training.epochs: 2}\nn_seeds: 2\n",
    b"gates:\n  pca: {max_ratio: 0.9}\n  latency: {max_seconds: 2}\n  integrity: true\n",
    b"stratification: {affinity_propagation: {landmarks: 20}}\nseed: 1\n"
    b"cohort: {confounds: [age], group_by: family}\n",
)
_TOKENS = (
    *("null", "true", "no", "0", "-1", "3", "1.5", "1e-3", ".nan", ".inf", "1e400", "'x'", "[]"),
    *("{}", "[1, 2]", "{a: b}", "[[[]]]", '"\\ud800"', '"a\\0b"', "&a", "*a", "<<: *a", "&a [*a]"),
    *("!!int 3", "!!int abc", "!!float x", "!!binary YQ==", "!!timestamp 2001-01-01", "!!set {a}"),
    *("!!python/object/apply:os.system [id]", "!!str", "!x y", "|", ">-", "---", "...", "# x"),
    *("% x", "@", "`", "? a", ": b", "- a", "\t", "999999999999999999999999", "~", "0x10", "1:30"),
    *("preset", "paper", "name", "../x", "/etc/passwd", "model", "model.depth", "depth", "kind"),
    *("values", "levels", "low", "high", "log", "when", "choices", "categorical", "int", "float"),
    *("space", "design", "gates", "objectives", "metric", "baseline", "file", "factors", "match"),
    *("settings", "contrasts", "budget", "sampler", "scheduler", "try_first", "cohort", "\ufeff"),
    *("execution", "training", "stratification", "phenotypes", "{participant_id}", "\x85", "ä"),
    *("full_factorial", "fractional_factorial", "nested", "all", "none", "validation_mse", "sha"),
)


def _edit(data: bytes, operation: str, place: int, value: bytes) -> bytes:
    """Edit a line of YAML: its key, its value, its indent, or whole."""
    lines = data.split(b"\n")
    at = place % len(lines)
    key, colon, rest = lines[at].partition(b":")
    indent = lines[at][: len(lines[at]) - len(lines[at].lstrip())]
    if operation == "value":
        lines[at] = key + b": " + value
    elif operation == "key":
        lines[at] = indent + value + colon + rest
    elif operation == "within":
        words = lines[at].split(b" ")
        words[place // len(lines) % len(words)] = value
        lines[at] = b" ".join(words)
    elif operation == "line":
        lines.insert(at, indent + value + b": " + value)
    elif operation == "repeat":
        lines.insert(at, lines[place // 7 % len(lines)])
    elif operation == "indent":
        lines[at] = b"  " + lines[at]
    else:
        del lines[at]
    return b"\n".join(lines)


def _prepare(folder: Path) -> Callable[[bytes], bool]:
    """Load a file as the command that it is for does, and use what came out."""
    path = folder / "a.yaml"
    base_file = folder / "base.yaml"
    base_file.write_bytes(_EXPERIMENT)
    base = load_experiment(base_file).config

    def load(data: bytes) -> bool:
        path.write_bytes(data)
        # By a word instead of by a first reading, which would take as long as the loading.
        if b"space" in data:
            found = load_space(path, base).model_dump(mode="json")
        elif b"gates" in data:
            found = load_gates(path).model_dump(mode="json")
        elif b"design" in data:
            found = load_ablation(path, base).model_dump(mode="json")
        elif b"modalities" in data or b"preset" in data:
            config = load_experiment(path).config
            found = config.identifying_settings()
            assert config.digest
            if sum(data) % 64 == 0:  # a tenth of a second: a full experiment written and read
                again = resolve(parse_yaml(dump_experiment(config)))
                assert again.digest == config.digest
        else:
            found = load_settings(path).flat()
        json.dumps(found, allow_nan=False).encode()
        return True

    return load


TARGET = Target(
    "settings",
    _SEEDS,
    ("value", "value", "key", "within", "within", "line", "repeat", "indent", "drop"),
    tuple(token.encode() for token in _TOKENS),
    _edit,
    _prepare,
)

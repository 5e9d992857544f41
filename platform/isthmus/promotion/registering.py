"""The chosen model on its way into the registry: bundle, card, version, aliases."""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from isthmus.config.promotion.thresholds import ChampionGate
from isthmus.core.errors import ConfigError
from isthmus.core.files import write_text
from isthmus.core.ports import ModelRegistry, ModelVersion
from isthmus.promotion.bundle.errors_seen import PARTS
from isthmus.promotion.bundle.export import export_program
from isthmus.promotion.bundle.inputs import BundleInputs
from isthmus.promotion.bundle.record import BundleRecord
from isthmus.promotion.bundle.write import write_bundle
from isthmus.promotion.card import model_card
from isthmus.promotion.decision import PromotionDecision, Registered, write_decision
from isthmus.promotion.developed import Developed
from isthmus.promotion.evidence.record import TrialEvidence
from isthmus.promotion.gates.champion import judge_champion
from isthmus.promotion.registry.aliases import AliasPlan, carry_out, challenge, crown
from isthmus.promotion.registry.history import read_history
from isthmus.promotion.verdict import GateVerdict, failed
from isthmus.trial.run import PreparedTrial, load_trial

CARD_FILE, EVIDENCE_FILE, PROGRAM_FILE = "card.md", "evidence.json", "program.pt2"
BUNDLE_FOLDER = "bundle"
ENCODER_TAG, DIGEST_TAG = "isthmus.encoder_id", "isthmus.bundle_digest"
WEIGHTS_TAG = "isthmus.weights"
PROVENANCE_FILE = "provenance.json"


@dataclass(frozen=True, eq=False)
class Package:
    """What is registered, and where it is put together.

    Attributes
    ----------
    prepared : PreparedTrial
        The trial's inputs.
    trial : Path
        Its folder, which was judged.
    developed : Developed
        The encoder.
    folder : Path
        Of this encoder, below the study's.
    model : str
        Name of the registered model.
    run_id : str or None
        The trial's run in the tracking store, which the model is of.
    """

    prepared: PreparedTrial
    trial: Path
    developed: Developed
    folder: Path
    model: str
    run_id: str | None


def is_of(version: ModelVersion, developed: Developed) -> bool:
    """Tell whether a version in the registry is of this very encoder.

    Parameters
    ----------
    version : ModelVersion
        As the registry has it.
    developed : Developed
        The encoder.

    Returns
    -------
    bool
        By the encoder's identifier and the digest of its weights.
    """
    return version.tags.get(WEIGHTS_TAG) == _weights(developed)


def judge_succession(
    decision: PromotionDecision,
    settings: ChampionGate,
    champion: ModelVersion,
    registry: ModelRegistry,
) -> GateVerdict:
    """Hold the chosen trial against the present champion, by what is recorded of both.

    Parameters
    ----------
    decision : PromotionDecision
        With a trial chosen.
    settings : ChampionGate
        Margin, and how it is held.
    champion : ModelVersion
        In the registry.
    registry : ModelRegistry
        Keeps its evidence.

    Returns
    -------
    GateVerdict
        Failed, with the reason, where nothing can be compared.
    """
    trial = decision.chosen_trial
    assert trial is not None
    with tempfile.TemporaryDirectory() as scratch:
        file = registry.extra(champion, EVIDENCE_FILE, Path(scratch))
        try:
            known = TrialEvidence.from_json(file.read_text("utf-8")) if file else None
        except (ConfigError, UnicodeDecodeError):
            known = None  # of another version of isthmus: as if there were none
    return judge_champion(trial.evidence, known, settings)


def register(
    decision: PromotionDecision,
    package: Package,
    registry: ModelRegistry,
    tell: Callable[[str], None],
) -> PromotionDecision:
    """Put bundle, card and evidence together, register them, and move the alias.

    Parameters
    ----------
    decision : PromotionDecision
        That it goes on, as ``champion`` or ``challenger``.
    package : Package
        What is registered.
    registry : ModelRegistry
        Where to.
    tell : callable
        Hears in a sentence what is done next.

    Returns
    -------
    PromotionDecision
        With the version. The same bundle is one version, however often it is registered.
    """
    folder = package.folder
    tell("the bundle: weights, preprocessing, strata and errors seen")
    record = write_bundle(_inputs(package), folder / BUNDLE_FOLDER)
    evidence, card = folder / EVIDENCE_FILE, folder / CARD_FILE
    trial = decision.chosen_trial
    assert trial is not None
    write_text(evidence, trial.evidence.to_json())
    result = load_trial(package.trial)
    write_text(card, model_card(decision, record, package.prepared, package.developed, result))
    program = export_program(folder / BUNDLE_FOLDER, folder / PROGRAM_FILE)
    extras = {EVIDENCE_FILE: evidence, CARD_FILE: card, PROGRAM_FILE: program}
    extras["decision.json"] = write_decision(decision, folder)
    tags = version_tags(decision, record, package)
    version = _same_bundle(registry, package.model, record)
    if version is None:
        tell(f"a version of {package.model} in the registry")
        version = registry.register(
            package.model,
            folder / BUNDLE_FOLDER,
            run_id=package.run_id,
            tags=tags,
            description=card.read_text("utf-8"),
            extras=extras,
        )
    else:
        registry.set_tags(package.model, version.version, tags)
    words = _move(decision, package.model, version.version, registry)
    return replace(decision, registered=Registered(package.model, version.version, words))


def version_tags(
    decision: PromotionDecision, record: BundleRecord, package: Package
) -> dict[str, str]:
    """Label a version so that it is found, and can be traced to what made it.

    Parameters
    ----------
    decision : PromotionDecision
        With a trial chosen.
    record : BundleRecord
        Of its bundle.
    package : Package
        Where it is from.

    Returns
    -------
    dict of str to str
        Digests of settings, images, participants and split; the state of the code; the decision.
    """
    prepared, lockbox = package.prepared, decision.lockbox
    origin = record.origin
    tags = {
        ENCODER_TAG: record.encoder_id,
        DIGEST_TAG: record.digest,
        WEIGHTS_TAG: _weights(package.developed),
        "isthmus.trial": prepared.digest,
        "isthmus.study": decision.study,
        "isthmus.origin": "refit" if origin.fold is None else f"fold {origin.fold}",
        "isthmus.gates": str(decision.gates["name"]),
        "isthmus.gates_passed": str(decision.passed),
        "isthmus.decision": decision.digest,
        "isthmus.modalities": " ".join(record.modalities),
        "isthmus.embedding_size": str(record.embedding_size),
    }
    tags |= {f"isthmus.digest.{name}": value for name, value in prepared.identity.items()}
    tags |= _code(package.trial)
    # Said either way: a version that is decided upon again must not keep what was said before.
    refused = " ".join(verdict.gate for verdict in failed(decision.verdicts))
    tags["isthmus.gates_failed"] = refused or "none"
    tags["isthmus.override"] = decision.override if refused else "none"
    if lockbox is not None:
        tags["isthmus.lockbox_look"] = str(lockbox.number)
        tags["isthmus.lockbox_mse"] = f"{lockbox.mean('model', 'mse')}"
    if record.leaky:
        tags["isthmus.leaky"] = "True"
    return tags


def _move(
    decision: PromotionDecision, model: str, version: str, registry: ModelRegistry
) -> tuple[str, ...]:
    """Make the version the challenger, and then the champion if that was decided."""

    def take(plan: AliasPlan) -> str:
        carry_out(registry, model, plan)
        return plan.words

    history = read_history(registry.model_tags(model))
    if decision.outcome == "challenger":
        return (take(challenge(history, registry.aliases(model), version)),)
    plan = crown(
        history,
        registry.aliases(model),
        version,
        passed=decision.passed,
        decision=decision.digest,
        override=None if decision.passed else decision.override or None,
        at=decision.time,
    )
    return (take(plan),)


def _inputs(package: Package) -> BundleInputs:
    """Collect what the bundle is made from."""
    prepared, developed = package.prepared, package.developed
    return BundleInputs(
        encoder_directory=developed.directory,
        experiment=prepared.experiment,
        store=prepared.store,
        ids={part: developed.fold.parts[part] for part in PARTS},
        table=developed.table,
        report=developed.strata,
        trial_digest=prepared.digest,
        identity=prepared.identity,
        fold=None if developed.is_refit else developed.fold.number,
    )


def _same_bundle(registry: ModelRegistry, model: str, record: BundleRecord) -> ModelVersion | None:
    """Find the version that an earlier, interrupted promotion left."""
    return next(
        (v for v in registry.versions(model) if v.tags.get(DIGEST_TAG) == record.digest), None
    )


def _weights(developed: Developed) -> str:
    """Identify an encoder by all that it computes with."""
    return " ".join(
        developed.fitted.digests[name][:16] for name in sorted(developed.fitted.digests)
    )


def _code(directory: Path) -> dict[str, str]:
    """Say which state of the code trained it."""
    try:
        known = json.loads((directory / PROVENANCE_FILE).read_text("utf-8"))
        return {
            "isthmus.version": str(known["version"]),
            "isthmus.git_commit": str(known["git_commit"]) or "none: installed as a package",
            "isthmus.git_dirty": str(bool(known["git_diff"])),
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {"isthmus.git_commit": "unknown: provenance.json cannot be read"}

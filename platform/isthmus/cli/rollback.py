"""`isthmus rollback`: the champion before the present one is the champion again."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from isthmus.backends.tracking_uri import sqlite_uri
from isthmus.cli.compare import RUNS
from isthmus.cli.terminal import AsJson, Traceback, TrackingUri, command, out, print_json
from isthmus.promotion.registry.aliases import carry_out, roll_back
from isthmus.promotion.registry.history import read_history

Model = Annotated[str, typer.Argument(metavar="MODEL", help="Name in the registry.")]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; recorded in the registry.")
]


@command
def rollback(
    model: Model,
    reason: Reason,
    tracking_uri: TrackingUri = None,
    as_json: AsJson = False,
    traceback: Traceback = False,
) -> None:
    """Return to the champion before the present one; once more, and to the one before that."""
    # MLflow takes seconds to import: only what is used is.
    from isthmus.backends.mlflow_registry import MlflowModelRegistry  # noqa: PLC0415

    registry = MlflowModelRegistry(tracking_uri or sqlite_uri(RUNS / "mlflow.db"))
    plan = roll_back(
        read_history(registry.model_tags(model)),
        registry.aliases(model),
        [version.version for version in registry.versions(model)],
        reason=reason,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    carry_out(registry, model, plan)
    if as_json:
        print_json({"model": model, "aliases": dict(registry.aliases(model)), "words": plan.words})
        return
    out.print(plan.words, markup=False)

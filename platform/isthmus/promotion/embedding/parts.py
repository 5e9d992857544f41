"""The folder beside the output in which finished subjects are kept, part by part."""

import json
import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from isthmus.core.errors import ConfigError
from isthmus.core.files import write_json, write_text
from isthmus.promotion.embedding.row import SubjectRow
from isthmus.training.lock import lock_folder

PLAN_FILE = "plan.json"
_PART = re.compile(r"part-(\d{6,})\.jsonl")
_LOG = logging.getLogger("isthmus.promotion")


@dataclass(frozen=True)
class EmbedPlan:
    """What an output is of; another plan needs another output.

    Attributes
    ----------
    model_digest : str
        Of the whole bundle.
    encoder_id : str
        The encoder, and so the space of the embeddings.
    cohort : str
        Absolute folder of the cohort.
    images : str
        Pattern or manifest.
    schema_version : int
        Of the part files.
    """

    model_digest: str
    encoder_id: str
    cohort: str
    images: str
    schema_version: int = 1


def parts_folder(output: Path) -> Path:
    """Name the folder of an output's parts.

    Parameters
    ----------
    output : Path
        Such as ``embeddings.parquet``.

    Returns
    -------
    Path
        Beside it, such as ``embeddings.parts``.
    """
    return output.with_suffix(".parts")


class PartFolder:
    """Finished subjects of one output (`<output>.parts`).

    Parameters
    ----------
    output : Path
        The file that the parts are gathered into.

    Notes
    -----
    A part is a file of JSON lines, a subject each, written beside and renamed, and never changed
    afterwards; of a subject that stands in several the last counts. One process writes: workers
    send their rows to it, so that nothing but what they read, and the reconstructions they make,
    has to lie where all of them reach it.
    """

    def __init__(self, output: Path) -> None:
        self._output = output
        self.directory = parts_folder(output)
        self._next = 0

    @contextmanager
    def held(self, plan: EmbedPlan, fresh: bool) -> Iterator[dict[str, SubjectRow]]:
        """Hold the folder for one plan, against other commands.

        Parameters
        ----------
        plan : EmbedPlan
            What the output is to be of.
        fresh : bool
            Forget what is there first.

        Yields
        ------
        dict of str to SubjectRow
            What is finished, by participant_id.

        Raises
        ------
        ConfigError
            If the folder is of another plan, or the output is there and of nobody knows what.
        FolderBusy
            If another command writes the folder.
        """
        if self._output.exists() and not (self.directory / PLAN_FILE).exists() and not fresh:
            raise ConfigError(
                f"{self._output}: exists already, was not begun by this command (there is no "
                f"{self.directory.name} beside it) and would be lost. Give another -o, or --fresh "
                "to replace it."
            )
        with lock_folder(self.directory):
            if fresh:
                self._forget()
            self._require_same(plan)
            # First, so that no part ever lies in a folder of which nobody knows what it is.
            write_json(self.directory / PLAN_FILE, asdict(plan))
            yield self._read()

    def write(self, rows: Sequence[SubjectRow]) -> None:
        """Keep finished subjects.

        Parameters
        ----------
        rows : sequence of SubjectRow
            At least one.
        """
        text = "".join(f"{row.to_json()}\n" for row in rows)
        write_text(self.directory / f"part-{self._next:06d}.jsonl", text)
        self._next += 1

    def _files(self) -> Mapping[int, Path]:
        """All parts by number, in order."""
        found = ((_PART.fullmatch(path.name), path) for path in self.directory.iterdir())
        numbered = {int(match[1]): path for match, path in found if match is not None}
        return dict(sorted(numbered.items()))

    def _read(self) -> dict[str, SubjectRow]:
        """Read all parts; one that cannot be read costs its subjects another run."""
        rows: dict[str, SubjectRow] = {}
        files = self._files()
        self._next = max(files, default=-1) + 1
        for path in files.values():
            try:
                lines = path.read_text(encoding="utf-8").splitlines()
                part = [SubjectRow.from_json(line) for line in lines]
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                _LOG.warning("%s cannot be read (%s); it is done again.", path, error)
                continue
            rows |= {row.participant_id: row for row in part}
        return rows

    def _forget(self) -> None:
        """Remove the plan and the parts, the plan last: what is left is then still known."""
        for path in (*self._files().values(), self.directory / PLAN_FILE):
            path.unlink(missing_ok=True)

    def _require_same(self, plan: EmbedPlan) -> None:
        """Refuse a folder of another plan."""
        path = self.directory / PLAN_FILE
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            kept = EmbedPlan(**found)
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError) as error:
            raise ConfigError(
                f"{path}: must say what the embeddings beside it are of, but cannot be read "
                f"({error}). Give another -o, or --fresh to begin anew."
            ) from None
        wanted, there = asdict(plan), asdict(kept)
        differing = [
            f"{_WORDS[name]} {there[name]}, not {wanted[name]}"
            for name in wanted
            if there[name] != wanted[name]
        ]
        if differing:
            raise ConfigError(
                f"{self._output}: one file must be of one model and one cohort, but it was begun "
                f"with {'; '.join(differing)}. Give another -o, or --fresh to replace it."
            )


_WORDS = {
    "model_digest": "the model of digest",
    "encoder_id": "the encoder",
    "cohort": "the cohort in",
    "images": "the images",
    "schema_version": "parts of version",
}

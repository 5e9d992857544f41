"""A job that was cut short goes on where it stopped, to the same report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from isthmus.cohort.participants import Participants
from isthmus.config.stratification import StratificationConfig
from isthmus.stratification.embedding_table import EmbeddingTable
from isthmus.stratification.job import Variables, stratify
from isthmus.stratification.pieces import Piece, all_pieces
from isthmus.stratification.runner import InProcessRunner

VARIABLES = Variables(("verbal", "memory", "grip", "speed"), ("sex",), ("age",))


class Cut(Exception):
    """The plug is pulled."""


class CountingRunner(InProcessRunner):
    """Runs pieces backwards, counts them, and stops after some."""

    def __init__(self, stop_after: int = 10**6) -> None:
        self.n_run, self._stop_after = 0, stop_after

    def run(
        self,
        function: Callable[[Any, Any], Any],
        shared: Any,
        pieces: Sequence[Any],
        on_done: Callable[[Any, Any], None],
    ) -> None:
        """Run them."""

        def counted(piece: Any, result: Any) -> None:
            self.n_run += 1
            on_done(piece, result)
            if self.n_run == self._stop_after:
                raise Cut

        super().run(function, shared, pieces[::-1], counted)


def test_pieces_cover_everything_once() -> None:
    config = StratificationConfig()
    pieces = all_pieces(config)
    for kind, n in (("draws", 200), ("nulls", 99)):
        numbers = [i for p in pieces if p.kind == kind for i in range(p.start, p.stop)]
        assert numbers == list(range(n))
    assert len({piece.name for piece in pieces}) == len(pieces)


def test_a_job_goes_on_where_it_was_cut(
    table: EmbeddingTable,
    participants: Participants,
    config: StratificationConfig,
    tmp_path: Path,
) -> None:
    whole = stratify(table, participants, config, VARIABLES, seed=0)
    n_pieces = len(all_pieces(config))
    with pytest.raises(Cut):
        stratify(
            table,
            participants,
            config,
            VARIABLES,
            seed=0,
            runner=CountingRunner(stop_after=4),
            directory=tmp_path,
        )
    files = sorted(tmp_path.glob("*/*.npz"))
    assert len(files) == 4
    files[0].write_bytes(files[0].read_bytes()[:100])
    runner, told = CountingRunner(), []
    again = stratify(
        table,
        participants,
        config,
        VARIABLES,
        seed=0,
        runner=runner,
        directory=tmp_path,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert again == whole
    assert runner.n_run == n_pieces - 3
    assert told[0] == (3, n_pieces)
    assert told[-1] == (n_pieces, n_pieces)


def test_pieces_of_other_settings_are_not_taken(
    table: EmbeddingTable,
    participants: Participants,
    config: StratificationConfig,
    tmp_path: Path,
) -> None:
    stratify(table, participants, config, VARIABLES, seed=0, directory=tmp_path)
    for other_config, seed in ((config.model_copy(update={"alpha": 0.01}), 0), (config, 1)):
        runner = CountingRunner()
        stratify(
            table,
            participants,
            other_config,
            VARIABLES,
            seed,
            runner=runner,
            directory=tmp_path,
        )
        assert runner.n_run == len(all_pieces(config))


def test_a_piece_is_named_by_what_it_holds() -> None:
    assert Piece("nulls", 3, 6).name == "nulls-00003-00006"

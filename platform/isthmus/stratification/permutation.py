"""Permutations that a null hypothesis allows when subjects are relatives.

Relatives resemble each other, in the embedding and in the phenotypes. Shuffling subjects freely
breaks that resemblance and makes the observed statistic look rarer than it is. What may be
exchanged [1]_ is whole families among families of one size, and members within a family.

References
----------
.. [1] Winkler, Webster, Vidaurre, Nichols & Smith (2015), NeuroImage 123, 253-268.
"""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from isthmus.core.errors import StratificationError
from isthmus.core.seeds import generator

IndexArray = npt.NDArray[np.intp]

# Up to this many arrangements they are numbered, and drawn by number without repetition. Above it
# a repetition among 10,000 draws has a chance below 1e-4, and costs nothing that could be seen.
_NUMBERED = 2**40
# The largest count that JSON readers keep exactly.
_EXACT = 2**53


@dataclass(frozen=True, eq=False)
class PermutationPlan:
    """Which permutations will be drawn, and how many there are. Made by `plan_permutations`.

    Attributes
    ----------
    groups : tuple of ndarray of int, each of shape (m, s)
        Rows of the subjects, for each family size s: a line for each of its m families.
    n_subjects, n_families : int
        How many of each.
    n_available : int or None
        Distinct permutations, the identity included; None above 2**53.
    log10_available : float
        Their decimal logarithm.
    n_permutations : int
        How many will be drawn: as asked, or all but the identity where there are no more.
    enumerated : bool
        Whether all of them are drawn, so that p-values are exact.
    seed : int
        Seed of the draws.
    """

    groups: tuple[IndexArray, ...]
    n_subjects: int
    n_families: int
    n_available: int | None
    log10_available: float
    n_permutations: int
    enumerated: bool
    seed: int

    def chunks(self, n_rows: int) -> Iterator[IndexArray]:
        """Draw the permutations, some at a time.

        Parameters
        ----------
        n_rows : int
            Permutations in a chunk; it bounds memory and has no influence on what is drawn.

        Yields
        ------
        ndarray of int, shape (b, n)
            Row ``k`` means: subject ``i`` receives what subject ``chunk[k, i]`` had. The identity
            is never among them.
        """
        if self.n_available is not None and self.n_available <= _NUMBERED:
            yield from self._by_number(n_rows, self.n_available)
        else:
            yield from self._by_shuffling(n_rows)

    def _by_number(self, n_rows: int, n_available: int) -> Iterator[IndexArray]:
        """Give all permutations a number, the identity 0, and take numbers without repetition."""
        if self.enumerated:
            numbers = np.arange(1, n_available)
        else:
            stream = generator(self.seed, "permutations", "numbers")
            numbers = 1 + stream.choice(n_available - 1, self.n_permutations, replace=False)
        for start in range(0, len(numbers), n_rows):
            chunk = numbers[start : start + n_rows]
            yield np.stack([_arrangement(int(k), self.groups, self.n_subjects) for k in chunk])

    def _by_shuffling(self, n_rows: int) -> Iterator[IndexArray]:
        """Shuffle families of each size, and the members of each."""
        streams = [
            [generator(self.seed, "permutations", part, group.shape[1]) for group in self.groups]
            for part in ("families", "members")
        ]
        for start in range(0, self.n_permutations, n_rows):
            b = min(n_rows, self.n_permutations - start)
            chunk = np.empty((b, self.n_subjects), dtype=np.intp)
            for group_MS, families, members in zip(self.groups, *streams, strict=True):
                m, s = group_MS.shape
                order_BM = families.permuted(np.tile(np.arange(m), (b, 1)), axis=1)
                sources_BMS = group_MS[order_BM]
                if s > 1:
                    sources_BMS = members.permuted(sources_BMS, axis=2)
                chunk[:, group_MS.ravel()] = sources_BMS.reshape(b, m * s)
            yield chunk


def plan_permutations(
    families: Sequence[Hashable] | None, n_permutations: int, seed: int, n_subjects: int = 0
) -> PermutationPlan:
    """Decide which permutations respect the families, and whether all of them can be run.

    Parameters
    ----------
    families : sequence of hashable, length n, or None
        Family of each subject. None ignores families: only right where subjects are unrelated.
    n_permutations : int
        Permutations wanted.
    seed : int
        Seed of the draws.
    n_subjects : int, optional
        Number of subjects; read where `families` is None.

    Returns
    -------
    PermutationPlan
        All permutations but the identity where there are at most `n_permutations` of them.

    Raises
    ------
    StratificationError
        With no subjects.

    Notes
    -----
    With m_s families of size s there are ``prod_s m_s! (s!)^m_s`` permutations. Members of a
    family are taken to be exchangeable with each other: all pairs within it are equally related.
    A family of twins with a further sibling is not quite that.

    Examples
    --------
    >>> plan = plan_permutations(["a", "a", "b", "b"], 9999, seed=0)
    >>> plan.n_available, plan.n_permutations, plan.enumerated
    (8, 7, True)
    """
    labels: Sequence[Hashable] = range(n_subjects) if families is None else families
    if not len(labels):
        raise StratificationError("Permutations need at least one subject, got none.")
    members: dict[Hashable, list[int]] = defaultdict(list)
    for row, family in enumerate(labels):
        members[family].append(row)
    by_size: dict[int, list[list[int]]] = defaultdict(list)
    for rows in members.values():
        by_size[len(rows)].append(rows)
    groups = tuple(np.array(by_size[size], dtype=np.intp) for size in sorted(by_size))
    log10 = sum(
        math.lgamma(m + 1) + m * math.lgamma(s + 1) for m, s in (g.shape for g in groups)
    ) / math.log(10)
    exact = math.prod(_count(*g.shape) for g in groups) if log10 < 16 else None
    n_available = exact if exact is not None and exact <= _EXACT else None
    enumerated = n_available is not None and n_available - 1 <= n_permutations
    return PermutationPlan(
        groups=groups,
        n_subjects=len(labels),
        n_families=len(members),
        n_available=n_available,
        log10_available=log10,
        n_permutations=n_available - 1 if enumerated and n_available else n_permutations,
        enumerated=enumerated,
        seed=seed,
    )


def _count(m: int, s: int) -> int:
    """Count the arrangements of m families of size s."""
    count: int = math.factorial(m) * math.factorial(s) ** m
    return count


def _arrangement(number: int, groups: Sequence[IndexArray], n_subjects: int) -> IndexArray:
    """Write out the permutation with this number; 0 is the identity."""
    permutation = np.empty(n_subjects, dtype=np.intp)
    for group_MS in groups:
        m, s = group_MS.shape
        number, code = divmod(number, math.factorial(m))
        for target, source in enumerate(_ordering(code, m)):
            number, code = divmod(number, math.factorial(s))
            permutation[group_MS[target]] = group_MS[source][_ordering(code, s)]
    return permutation


def _ordering(code: int, n: int) -> list[int]:
    """Write out the ordering of n things with this number, by the factorial number system."""
    left = list(range(n))
    ordering = []
    for place in range(n - 1, -1, -1):
        index, code = divmod(code, math.factorial(place))
        ordering.append(left.pop(index))
    return ordering

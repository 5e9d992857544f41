"""Permutations that a null hypothesis allows when subjects are relatives.

Relatives resemble each other, in the embedding and in the phenotypes. Shuffling subjects freely
breaks that resemblance and makes the observed statistic look rarer than it is. What may be
exchanged [1]_ is whole families among families of one make-up, and members of one kind within a
family: twins resemble each other more than siblings do, so neither takes the other's place.

References
----------
.. [1] Winkler, Webster, Vidaurre, Nichols & Smith (2015), NeuroImage 123, 253-268.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate

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
class FamilyGroup:
    """Families that may be exchanged for each other.

    Attributes
    ----------
    rows_MS : ndarray of int, shape (m, s)
        Rows of the subjects, a line for each of m families of s members, alike ones side by side.
    alike : tuple of int
        How many members there are of each kind; their sum is s.
    kinds : tuple of str
        Kinship of each of the s members, where it is known; else empty.
    """

    rows_MS: IndexArray
    alike: tuple[int, ...]
    kinds: tuple[str, ...]

    @property
    def n_arrangements(self) -> int:
        """Permutations of these families and of their members."""
        m = len(self.rows_MS)
        members = math.prod(math.factorial(size) for size in self.alike)
        return int(math.factorial(m) * members**m)

    @property
    def log_arrangements(self) -> float:
        """Natural logarithm of `n_arrangements`."""
        m = len(self.rows_MS)
        return math.lgamma(m + 1) + m * sum(math.lgamma(s + 1) for s in self.alike)

    @property
    def parts(self) -> list[slice]:
        """Columns of the members of each kind."""
        ends = accumulate(self.alike)
        return [slice(end - size, end) for size, end in zip(self.alike, ends, strict=True)]

    def streams(self, seed: int) -> tuple[np.random.Generator, list[np.random.Generator]]:
        """Make the streams that shuffle the families, and the members of each kind.

        Parameters
        ----------
        seed : int
            Seed of the draws.

        Returns
        -------
        families : Generator
            One stream.
        members : list of Generator
            A stream a kind: shared, what is drawn would depend on how many are drawn at a time.
        """
        size = sum(self.alike)
        return generator(seed, "permutations", "families", size, *self.kinds), [
            generator(seed, "permutations", "members", size, *self.kinds, *self.kinds[part])
            for part in self.parts
        ]


@dataclass(frozen=True, eq=False)
class PermutationPlan:
    """Which permutations will be drawn, and how many there are. Made by `plan_permutations`.

    Attributes
    ----------
    groups : tuple of FamilyGroup
        Families by size and, where kinship is known, make-up.
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

    groups: tuple[FamilyGroup, ...]
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
        """Shuffle families of each make-up, and the alike members of each."""
        streams = [group.streams(self.seed) for group in self.groups]
        for start in range(0, self.n_permutations, n_rows):
            b = min(n_rows, self.n_permutations - start)
            chunk = np.empty((b, self.n_subjects), dtype=np.intp)
            for group, (families, members) in zip(self.groups, streams, strict=True):
                m, s = group.rows_MS.shape
                order_BM = families.permuted(np.tile(np.arange(m), (b, 1)), axis=1)
                sources_BMS = group.rows_MS[order_BM]
                for part, stream in zip(group.parts, members, strict=True):
                    if part.stop - part.start > 1:
                        sources_BMS[:, :, part] = stream.permuted(sources_BMS[:, :, part], axis=2)
                chunk[:, group.rows_MS.ravel()] = sources_BMS.reshape(b, m * s)
            yield chunk


def plan_permutations(
    families: Sequence[Hashable] | None,
    n_permutations: int,
    seed: int,
    n_subjects: int = 0,
    kinship: Sequence[str] | None = None,
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
    kinship : sequence of str, length n, optional
        What each subject is to its family (MZ, DZ, sibling ...). None takes all families of one
        size to be alike, and all members of a family.

    Returns
    -------
    PermutationPlan
        All permutations but the identity where there are at most `n_permutations` of them.

    Raises
    ------
    StratificationError
        With no subjects, or kinship of other than these subjects.

    Notes
    -----
    With m_g families of make-up g that have s_gk members of kind k there are
    ``prod_g m_g! (prod_k s_gk!)^m_g`` permutations. Without `kinship`, pairs of twins are exchanged
    with pairs of siblings, and where the two differ in how alike they are, the test rejects too
    often; docs/statistics.md says by how much.

    Examples
    --------
    >>> plan = plan_permutations(["a", "a", "b", "b"], 9999, seed=0)
    >>> plan.n_available, plan.n_permutations, plan.enumerated
    (8, 7, True)
    """
    labels: Sequence[Hashable] = range(n_subjects) if families is None else families
    if not len(labels):
        raise StratificationError("Permutations need at least one subject, got none.")
    if kinship is not None and len(kinship) != len(labels):
        raise StratificationError(
            "Families and kinship must be of the same subjects, got "
            f"{len(labels)} and {len(kinship)}."
        )
    members: dict[Hashable, list[int]] = defaultdict(list)
    for row, family in enumerate(labels):
        members[family].append(row)
    groups = _group(list(members.values()), kinship)
    log10 = sum(group.log_arrangements for group in groups) / math.log(10)
    exact = math.prod(group.n_arrangements for group in groups) if log10 < 16 else None
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


def _group(
    families: Sequence[Sequence[int]], kinship: Sequence[str] | None
) -> tuple[FamilyGroup, ...]:
    """Put families of one make-up together, alike members side by side."""
    by_kinds: dict[tuple[int, tuple[str, ...]], list[list[int]]] = defaultdict(list)
    for family in families:
        rows = list(family) if kinship is None else sorted(family, key=lambda row: kinship[row])
        kinds = () if kinship is None else tuple(kinship[row] for row in rows)
        by_kinds[len(rows), kinds].append(rows)
    groups = []
    for size, kinds in sorted(by_kinds):
        alike = tuple(Counter(kinds).values()) or (size,)
        rows_MS = np.array(by_kinds[size, kinds], dtype=np.intp)
        groups.append(FamilyGroup(rows_MS, alike, kinds))
    return tuple(groups)


def _arrangement(number: int, groups: Sequence[FamilyGroup], n_subjects: int) -> IndexArray:
    """Write out the permutation with this number; 0 is the identity."""
    permutation = np.empty(n_subjects, dtype=np.intp)
    for group in groups:
        rows_MS = group.rows_MS
        number, code = divmod(number, math.factorial(len(rows_MS)))
        for target, source in enumerate(_ordering(code, len(rows_MS))):
            for part in group.parts:
                size = part.stop - part.start
                number, code = divmod(number, math.factorial(size))
                permutation[rows_MS[target, part]] = rows_MS[source, part][_ordering(code, size)]
    return permutation


def _ordering(code: int, n: int) -> list[int]:
    """Write out the ordering of n things with this number, by the factorial number system."""
    left = list(range(n))
    ordering = []
    for place in range(n - 1, -1, -1):
        index, code = divmod(code, math.factorial(place))
        ordering.append(left.pop(index))
    return ordering

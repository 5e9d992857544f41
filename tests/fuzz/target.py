"""What is fuzzed: valid inputs to begin with, edits that know their form, and what takes them."""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

Edit = tuple[str, int, bytes]
"""An operation, where (any whole number: each form counts its places), and what to put there."""

SPLICES = ("flip", "insert", "cut", "double")
_LONGEST = 16_384
_EDIT_BYTES = 5


@dataclass(frozen=True)
class Target:
    """One way into the platform.

    Attributes
    ----------
    name : str
        For messages.
    seeds : tuple of bytes
        Valid inputs.
    operations : tuple of str
        What `edit` can do, beside `SPLICES`.
    pool : tuple of bytes
        Values worth putting anywhere.
    edit : callable
        Applies one edit.
    prepare : callable
        Makes what the code needs in a folder, once, and gives the function that takes an input; it
        tells whether the input was accepted, and raises what the platform raises.
    """

    name: str
    seeds: tuple[bytes, ...]
    operations: tuple[str, ...]
    pool: tuple[bytes, ...]
    edit: Callable[[bytes, str, int, bytes], bytes]
    prepare: Callable[[Path], Callable[[bytes], bool]]

    def edited(self, data: bytes, edits: Iterable[Edit]) -> bytes:
        """Apply edits one after another."""
        for operation, place, value in edits:
            one = splice if operation in SPLICES else self.edit
            data = one(data, operation, place, value)[:_LONGEST]
        return data

    def inputs(self) -> st.SearchStrategy[bytes]:
        """Valid inputs, most of them with up to four edits; and a few of any bytes."""
        # An edit is drawn as its five bytes: a tenth of the time of drawing its three parts.
        script = st.binary(max_size=4 * _EDIT_BYTES)
        return st.builds(self._by_script, st.integers(0, len(self.seeds)), script)

    def _by_script(self, number: int, script: bytes) -> bytes:
        """Edit a valid input, or else what the bytes are, as bytes say."""
        if number == len(self.seeds):
            return script
        operations = (*self.operations * 3, *SPLICES)
        edits = []
        for at in range(0, len(script) - _EDIT_BYTES + 1, _EDIT_BYTES):
            which, place = script[at], int.from_bytes(script[at + 1 : at + 3], "little")
            pooled = script[at + 3] < 224
            value = self.pool[int.from_bytes(script[at + 3 : at + 5], "big") % len(self.pool)]
            edits.append(
                (
                    operations[which % len(operations)],
                    place,
                    value if pooled else script[at + 3 : at + 5],
                )
            )
        return self.edited(self.seeds[number], edits)

    def mutate(self, data: bytes, draw: random.Random) -> bytes:
        """Make one to three edits, for the engine that is guided by coverage."""
        edits = [
            (
                draw.choice((*self.operations * 3, *SPLICES)),
                draw.randrange(2**16),
                draw.choice(self.pool) if draw.random() < 0.8 else draw.randbytes(4),
            )
            for _ in range(draw.randint(1, 3))
        ]
        return self.edited(data, edits)


def splice(data: bytes, operation: str, place: int, value: bytes) -> bytes:
    """Edit bytes without knowing what they mean."""
    at = place % (len(data) + 1)
    if operation == "insert":
        return data[:at] + value + data[at:]
    if operation == "cut":
        return data[:at] + data[at + 1 + place % 7 :]
    if operation == "double":
        return data[:at] + data[max(0, at - 40) :]
    flipped = bytearray(data)
    if flipped:
        flipped[at % len(flipped)] ^= 1 << place % 8
    return bytes(flipped)

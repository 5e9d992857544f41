"""The state of the view, all of it in the address: what can be linked to and come back to."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, unquote, urlencode

PAGES = {
    "overview": "Overview",
    "front": "Pareto front",
    "ablation": "Ablation verdicts",
    "robustness": "Robustness",
    "embeddings": "Embeddings",
    "images": "Images",
}
# What a choice on one page means on another too.
_CARRIED = ("trial", "fold", "subject")


@dataclass(frozen=True)
class Address:
    """Where in the view one is.

    Attributes
    ----------
    study : str or None
        Key of a study; None on the list of studies.
    page : str
        One of `PAGES`, or another word that was in the address.
    choices : Mapping of str to str
        What was chosen on the page.
    """

    study: str | None = None
    page: str = "overview"
    choices: Mapping[str, str] = field(default_factory=dict)

    def get(self, name: str, default: str = "") -> str:
        """Look up a choice.

        Parameters
        ----------
        name : str
            Such as ``fold``.
        default : str
            Where nothing was chosen.

        Returns
        -------
        str
            As it stands in the address.
        """
        return self.choices.get(name, default)

    def number(self, name: str, default: int, low: int, high: int) -> int:
        """Look up a choice that is a number.

        Parameters
        ----------
        name : str
            Such as ``fold``.
        default : int
            Where nothing was chosen, or no number.
        low, high : int
            Bounds, both allowed.

        Returns
        -------
        int
            Within the bounds.
        """
        text = self.get(name)
        chosen = int(text) if text.isdecimal() and len(text) < 10 else default
        return min(max(chosen, low), high)

    def path(self) -> str:
        """Write the path.

        Returns
        -------
        str
            Such as ``/study/phantom-search/front``.
        """
        if self.study is None:
            return "/"
        return f"/study/{quote(self.study, safe='')}/{quote(self.page, safe='')}"

    def search(self) -> str:
        """Write what follows the path.

        Returns
        -------
        str
            Such as ``?trial=3``; empty where nothing is chosen.
        """
        chosen = {name: value for name, value in self.choices.items() if value != ""}
        return f"?{urlencode(chosen)}" if chosen else ""

    def to(self, page: str, **choices: object) -> str:
        """Link to a page of the same study.

        Parameters
        ----------
        page : str
            One of `PAGES`.
        **choices : object
            Chosen there; trial, fold and subject are kept where nothing else is said.

        Returns
        -------
        str
            Path and choices.
        """
        kept = {name: self.choices[name] for name in _CARRIED if name in self.choices}
        chosen = {**kept, **{name: str(value) for name, value in choices.items()}}
        there = Address(self.study, page, chosen)
        return there.path() + there.search()

    def choosing(self, **choices: object) -> str:
        """Write what follows the path once something else is chosen on this page.

        Parameters
        ----------
        **choices : object
            What is chosen.

        Returns
        -------
        str
            As `search` writes it.
        """
        chosen = {**self.choices, **{name: str(value) for name, value in choices.items()}}
        return Address(self.study, self.page, chosen).search()


def read_address(pathname: str | None, search: str | None) -> Address | None:
    """Read an address.

    Parameters
    ----------
    pathname : str or None
        Such as ``/study/phantom-search/front``.
    search : str or None
        Such as ``?trial=3``.

    Returns
    -------
    Address or None
        None if it leads nowhere in the view.

    Examples
    --------
    >>> read_address("/study/a%2Fb/front", "?trial=3")
    Address(study='a/b', page='front', choices={'trial': '3'})
    """
    choices = dict(parse_qsl((search or "").removeprefix("?")))
    parts = [unquote(part) for part in (pathname or "/").strip("/").split("/")]
    if parts == [""]:
        return Address(choices=choices)
    if parts[0] != "study" or len(parts) not in (2, 3):
        return None
    page = parts[2] if len(parts) == 3 else "overview"
    return Address(parts[1], page, choices) if page in PAGES else None

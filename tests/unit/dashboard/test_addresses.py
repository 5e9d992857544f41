"""All state of the view is in the address, and an address may say anything."""

import pytest

from isthmus_dashboard.addresses import PAGES, Address, read_address


@pytest.mark.parametrize("study", ["phantom-search", "a/b", "ünïcode & ?", "0af3" * 8])
@pytest.mark.parametrize("page", PAGES)
def test_an_address_is_read_as_it_was_written(study, page):
    address = Address(study, page, {"trial": "x&y=z", "subject": "sub-01"})
    assert read_address(address.path(), address.search()) == address


def test_the_list_of_studies_has_no_study():
    assert read_address("/", "") == read_address(None, None) == Address()
    assert Address().path() == "/"


@pytest.mark.parametrize("path", ["/nowhere", "/study", "/study/a/b/c", "/study/a/nopage", "/x/y"])
def test_what_leads_nowhere_is_none(path):
    assert read_address(path, "") is None


def test_a_study_without_a_page_is_its_overview():
    assert read_address("/study/a", "?fold=1") == Address("a", "overview", {"fold": "1"})


def test_links_keep_trial_fold_and_subject_and_nothing_else():
    address = Address("a", "images", {"trial": "t", "subject": "s", "i": "3", "modality": "FA"})
    assert address.to("embeddings") == "/study/a/embeddings?trial=t&subject=s"
    assert address.to("robustness", trial="u") == "/study/a/robustness?trial=u&subject=s"
    assert address.choosing(i=4) == "?trial=t&subject=s&i=4&modality=FA"
    assert address.choosing(trial="", subject="", i="", modality="") == ""


@pytest.mark.parametrize(
    ("text", "number"), [("3", 3), ("99", 9), ("", 5), ("-1", 5), ("1e9", 5), ("9" * 30, 5)]
)
def test_a_number_is_within_its_bounds_whatever_is_asked(text, number):
    assert Address("a", "images", {"i": text}).number("i", 5, 0, 9) == number

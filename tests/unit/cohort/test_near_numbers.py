import pytest

from isthmus.cohort.near_numbers import are_bands, why_no_number

DATE = "is a date or a time"
SEPARATED = "has a comma"
UNIT = "has a unit or a sign"


@pytest.mark.parametrize(
    "cell",
    [
        *("Marburg1", "Mainz-1", "MAYO 1", "marker1", "decline1", "1. Married", "Mar1", "may1"),
        *("Decline 12", "Novosibirsk 2", "junior 2", "August von 12", "32 Mar", "Mar 2019b"),
        *("5.3.0", "6.0.1", "7.4.1", "1.10.12.3", "5.3.100", "0.3.19", "13.13.19"),
        *("22-25", "1.5T", "sub-3", "12/7", "1" * 41 + " y"),
    ],
)
def test_words_with_digits_are_words(cell):
    assert why_no_number(cell, bands=False) is None


@pytest.mark.parametrize(
    "cell",
    [
        *("Mar-12", "12. Mrz", "12-Mar", "12MAR1987", "March 2019", "mar2019", "May 1", "Dez. 24"),
        *("March 12, 2019", "12 March 2019 10:30", "1st May", "2019-Mar-05"),
        *(
            "3. J\u00e4nner 2019",
            "31 \u0044ezember",
            "2 \u004auni",
            "5 M\u00c4RZ",
            "Sept 3",
            "5 Ma\u0308rz",
        ),
        *("05.03.2019", "5.3.19", "1987-03-12", "3/25/1987", "25/3/87", "99-12-31", "1.1.1800"),
        *("1987-03-12T10:30:00Z", "2019/3/5 10:30", "7:30", "12:30:15"),
    ],
)
def test_dates_and_times_are_told(cell):
    assert DATE in why_no_number(cell, bands=False)


@pytest.mark.parametrize("cell", ["1.234.567", "1,5", "1 234", "1..2", "5.3."])
def test_separators_are_told(cell):
    assert SEPARATED in why_no_number(cell, bands=True)


@pytest.mark.parametrize("cell", ["36+", "<18", ">65", "\u226518", "< 18 y", ">=65", "90 +"])
def test_open_bands_are_words_among_bands_alone(cell):
    assert why_no_number(cell, bands=True) is None
    assert UNIT in why_no_number(cell, bands=False)


@pytest.mark.parametrize("cell", ["34 y", "45%", "~34", "12 months"])
def test_units_are_told_among_bands_too(cell):
    assert UNIT in why_no_number(cell, bands=True)


@pytest.mark.parametrize(
    ("cells", "bands"),
    [
        (("22-25", "26-30", "36+"), True),
        (("18 \u2013 65", "<18", ">65", "70"), True),
        (("18 to 65 years", "66+", "70"), True),
        (("<18", "18+"), True),
        (("34", "90+"), False),
        (("34", "35", "36", "30-33", "90+"), False),
        (("0.3", "<0.1", "<0.1"), False),
    ],
)
def test_bands_are_a_matter_of_the_column(cells, bands):
    assert are_bands(cells) is bands

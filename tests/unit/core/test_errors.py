"""What the command line exits with."""

import pytest

from isthmus.core import errors


def _classes() -> list[type[errors.IsthmusError]]:
    return [
        item
        for item in vars(errors).values()
        if isinstance(item, type) and issubclass(item, errors.IsthmusError)
    ]


@pytest.mark.parametrize("error", _classes())
def test_every_refusal_has_a_documented_exit_code(error: type[errors.IsthmusError]) -> None:
    assert error.exit_code in {2, 3, 4}
    assert error.__doc__


def test_bad_input_exits_with_two_and_a_diverged_training_with_four() -> None:
    assert errors.ConfigError.exit_code == errors.ImageError.exit_code == 2
    assert errors.TrainingDiverged.exit_code == 4


def test_a_bad_setting_is_a_value_error_too() -> None:
    with pytest.raises(ValueError, match="no such setting"):
        raise errors.ConfigError("no such setting")

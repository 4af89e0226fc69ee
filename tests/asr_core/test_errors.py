"""asr_core.errors: what library users and the command line may rely on."""

import pytest

from asr_core import errors


@pytest.mark.parametrize("name", ["InputError", "TargetError", "CheckpointError", "ParityError"])
def test_every_error_is_a_value_error_and_an_input_error(name: str) -> None:
    error = getattr(errors, name)
    assert issubclass(error, ValueError)
    assert issubclass(error, errors.InputError)


def test_the_kinds_can_be_told_apart() -> None:
    kinds = [errors.TargetError, errors.CheckpointError, errors.ParityError]
    for kind in kinds:
        assert [other for other in kinds if issubclass(kind, other)] == [kind]


def test_an_input_error_is_not_caught_as_one_of_its_kinds() -> None:
    with pytest.raises(errors.InputError, match="psi must be") as caught:
        raise errors.InputError("psi must be finite, got nan")
    assert not isinstance(caught.value, errors.ParityError)

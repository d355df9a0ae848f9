"""Samplers and pruners by name; what each promises is in their contracts."""

from __future__ import annotations

import pytest

from optimizer.errors import UserError
from optimizer.strategies import load_pruner, load_sampler, pruner_names, sampler_names
from optimizer.strategies.base import running_means


def test_every_file_in_the_folder_is_a_strategy() -> None:
    assert sampler_names() == ("coarse_to_fine", "grid", "qmc", "random", "thrifty_tpe", "tpe")
    assert pruner_names() == ("confidence", "median", "none", "racing")
    for name in sampler_names():
        assert load_sampler(name) is load_sampler(name)


def test_a_wrong_name_is_answered_with_the_right_one() -> None:
    with pytest.raises(UserError, match=r"no sampler is called 'tep'; did you mean 'tpe'\?"):
        load_sampler("tep")
    with pytest.raises(UserError, match=r"no pruner is called 'zzz'; known here: confidence, median, none"):
        load_pruner("zzz")


def test_running_means_are_those_of_the_first_one_two_three() -> None:
    assert running_means([1.0, 2.0, 6.0]) == (1.0, 1.5, 3.0)
    assert running_means([]) == ()

import pytest

from qfa_search.training.arguments import recipe_for


@pytest.mark.parametrize(
    ("field", "least"),
    [("teacher_epochs", "teacher_steps"), ("mixed_epochs", "mixed_steps"), ("epochs", "steps")],
)
def test_who_counts_a_phase_in_epochs_gets_no_more_steps(field, least):
    assert getattr(recipe_for("own-images", {}, has_teacher=False), least) > 0
    config = recipe_for("own-images", {field: 0.5}, has_teacher=False)
    assert (getattr(config, field), getattr(config, least)) == (0.5, 0)


def test_the_warm_up_alone_changes_no_length():
    plain = recipe_for("own-images", {}, has_teacher=False)
    config = recipe_for("own-images", {"warmup_epochs": 0.3}, has_teacher=False)
    assert config.warmup_epochs == 0.3
    assert (config.steps, config.float_steps) == (plain.steps, plain.float_steps)

import logging

from qfa_search.training.rounds import GapWatch


def _answers(*courses, n_images=400):
    """What a watch says to the scores of largest, smallest and teacher, one after another."""
    scores = [
        {"teacher": t, "largest 4/4": large, "smallest 4/4": small} for large, small, t in courses
    ]
    watch = GapWatch(lambda trained: scores.pop(0), n_images)
    return [watch.goes_on(None) for _ in courses]


def test_a_round_follows_while_a_gap_is_wide_and_the_last_one_gave_something():
    assert _answers((90, 70, 95), (94, 80, 95), (94.5, 86, 95)) == [True, True, False]


def test_rounds_end_where_the_last_gave_no_more_than_noise(caplog):
    caplog.set_level(logging.INFO, "qfa_search")
    assert _answers((90, 70, 95), (90.5, 71, 95)) == [True, False]
    assert "gave 0.8 points, no more than noise of 2.0" in caplog.text


def test_nothing_follows_where_everything_is_close():
    assert _answers((94, 88, 95)) == [False]

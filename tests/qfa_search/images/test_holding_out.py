import numpy as np

from qfa_search.images.holding_out import Groups, assigned, with_every_class


def test_copies_are_one_group_and_count_for_the_class_of_their_first():
    groups = Groups.of(np.array([0, 0, 1, 1]), ["x", "x", "x", "y"])
    assert groups.of_image.tolist() == [0, 0, 0, 1]
    assert groups.labels.tolist() == [0, 1]


def test_classes_of_the_same_images_go_their_own_ways():
    groups = Groups.of(np.array([0, 0, 1, 1]), ["x", "y", "x", "y"], needed=2)
    assert groups.labels.tolist() == [0, 0, 1, 1]


def test_a_rare_class_is_in_every_split():
    labels = np.repeat([0, 1, 2], [500, 3, 4])
    parts = assigned(labels, 0, val=True, test=True)
    fixed = np.zeros(len(labels), dtype=bool)
    complete = with_every_class(parts, labels, fixed, ["train", "val", "test"], 0)
    for part in ("train", "val", "test"):
        assert set(labels[complete == part]) == {0, 1, 2}
    assert (complete[:500] == parts[:500]).all()


def test_what_is_fixed_stays():
    labels = np.zeros(6, dtype=np.int64)
    parts = np.array(["train"] * 6)
    fixed = np.array([True] * 5 + [False])
    complete = with_every_class(parts, labels, fixed, ["train", "val"], 0)
    assert complete.tolist() == ["train"] * 5 + ["val"]

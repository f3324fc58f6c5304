import pytest
from PIL import Image

from qfa_search.errors import DataError
from qfa_search.images.layout import SPLIT_NAMES
from qfa_search.images.splits import split_folder

PARTS = {
    "train": ("train", "Training", "TRAIN"),
    "val": ("val", "Valid", "VALIDATION"),
    "test": ("test", "TESTING", "Test"),
}


def _write(root, *parts, n=12, classes=("a", "b")):
    for k, part in enumerate(parts):
        for j, name in enumerate(classes):
            (root / part / name).mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", (4, 4), (i, j, k)).save(root / part / name / f"{i}.png")
    return root


def _folders(split):
    return {part: {name.split("/")[0] for name in split.names[part]} for part in SPLIT_NAMES}


@pytest.mark.parametrize("i", range(3))
def test_all_three_splits_are_the_users(tmp_path, i):
    train, val, test = (names[i] for names in PARTS.values())
    split = split_folder(_write(tmp_path, train, val, test), 0)
    assert _folders(split) == {"train": {train}, "val": {val}, "test": {test}}
    assert split.told.endswith(
        f"2 classes, train 24 ({train}/), val 24 ({val}/), test 24 ({test}/)"
    )


@pytest.mark.parametrize("name", PARTS["val"])
def test_val_alone_is_the_test_split_and_that_is_said(tmp_path, name):
    split = split_folder(_write(tmp_path, "training", name), 0)
    assert _folders(split) == {"train": {"training"}, "val": {"training"}, "test": {name}}
    assert f"test 24 ({name}/, the test split where there is no test folder" in split.told
    assert "val 2 (held out of train)" in split.told


@pytest.mark.parametrize("name", PARTS["test"])
def test_a_test_folder_beside_train_is_the_test_split(tmp_path, name):
    split = split_folder(_write(tmp_path, "train", name), 0)
    assert _folders(split) == {"train": {"train"}, "val": {"train"}, "test": {name}}


def test_a_class_may_be_called_test(tmp_path):
    root = _write(tmp_path, ".", classes=("bus", "test", "val"))
    split = split_folder(root, 0)
    assert split.classes == ("bus", "test", "val")
    assert "class folders" in split.told


def test_two_folders_for_one_split_are_refused(tmp_path):
    with pytest.raises(DataError, match="val and validation, which both stand for the val split"):
        split_folder(_write(tmp_path, "train", "val", "validation"), 0)


def test_held_out_splits_without_training_images_are_refused(tmp_path):
    with pytest.raises(DataError, match="test and val but no train folder"):
        split_folder(_write(tmp_path, "val", "test"), 0)


@pytest.mark.parametrize(
    "names",
    [
        ("test_set", "training_set"),
        ("Train2017", "Val2017"),
        ("train-images", "test"),
        ("seg_test", "seg_train"),
    ],
)
def test_splits_of_unusual_names_are_not_taken_for_classes(tmp_path, names):
    with pytest.raises(DataError, match=f"the folders {names[0]} and {names[1]} with folders"):
        split_folder(_write(tmp_path, *names), 0)


@pytest.mark.parametrize("names", [("dev", "eval"), ("fold1", "fold2"), ("my-train", "my-val")])
def test_other_names_of_splits_are_not_taken_for_classes(tmp_path, names):
    with pytest.raises(DataError, match="splits are called train, val and test"):
        split_folder(_write(tmp_path, *names), 0)


def test_a_split_that_leads_nowhere_is_told(tmp_path):
    _write(tmp_path, "train")
    (tmp_path / "test").symlink_to("nowhere")
    with pytest.raises(DataError, match="test is a link to nowhere"):
        split_folder(tmp_path, 0)


@pytest.mark.parametrize("name", ["test", "val"])
def test_a_held_out_split_beside_class_folders_is_no_class(tmp_path, name):
    _write(tmp_path, ".", name)
    with pytest.raises(DataError, match=f"the folders {name} with folders .* train among them"):
        split_folder(tmp_path, 0)


def test_classes_may_have_names_that_begin_like_a_split(tmp_path):
    assert split_folder(_write(tmp_path, ".", classes=("test_bench", "train_set")), 0).classes
    nested = _write(tmp_path / "nested", "testament", "trainer")
    assert split_folder(nested, 0).classes == ("testament", "trainer")


def test_splits_inside_of_classes_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"every class folder .* has a train folder of its own"):
        split_folder(_write(tmp_path, "cat", "dog", classes=("train", "val")), 0)


def test_a_folder_around_the_images_is_named(tmp_path):
    with pytest.raises(DataError, match=r"1 class folders.*did you mean .*dataset"):
        split_folder(_write(tmp_path / "dataset", "train", "val").parent, 0)


def test_what_is_no_split_is_told(tmp_path):
    _write(tmp_path, "train", "extra")
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "0001.png").write_bytes(b"unlabelled")
    (tmp_path / "labels.csv").write_text("x")
    split = split_folder(tmp_path, 0)
    told = str(split.left_out)
    assert "2 folders that are no split (extra, ...)" in told
    assert "1 file outside of the class folders (labels.csv)" in told
    assert _folders(split)["test"] == {"train"}


def test_a_class_without_images_in_a_split_is_named(tmp_path, caplog):
    _write(tmp_path, "train", classes=("a", "b", "c"))
    for j, name in enumerate("ab"):
        (tmp_path / "test" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4), (9, j, 99)).save(tmp_path / "test" / name / "x.png")
    split_folder(tmp_path, 0)
    assert caplog.messages == ["the test split has no image of c"]


def test_names_that_differ_in_case_alone_are_told(tmp_path, caplog):
    split = split_folder(_write(tmp_path, ".", classes=("Cat", "cat", "dog")), 0)
    assert len(split.classes) == 3
    assert "folders Cat and cat, taken as two classes" in caplog.text

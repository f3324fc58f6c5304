import os

from PIL import Image

from qfa_search.images.listing import LeftOut, images_below
from qfa_search.images.splits import split_folder


def _image(path, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (4, 4), value).save(path)


def test_whatever_is_no_image_is_left_out_and_counted(tmp_path):
    _image(tmp_path / "a" / "deep" / "er" / "1.png")
    _image(tmp_path / "a" / "2.JPEG")
    _image(tmp_path / "a" / "linked.png")
    _image(tmp_path / "elsewhere.png", 7)
    (tmp_path / "a" / "linked.png").unlink()
    (tmp_path / "a" / "linked.png").symlink_to(tmp_path / "elsewhere.png")
    for folder in (".ipynb_checkpoints", "__MACOSX", "@eaDir", "#recycle", "deep/.git"):
        _image(tmp_path / "a" / folder / "3.png")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "nowhere.png").symlink_to("../../nowhere.png")
    (tmp_path / "a" / "circle.png").symlink_to("circle.png")
    (tmp_path / "a" / "empty.png").touch()
    (tmp_path / "a" / "._2.png").write_bytes(b"x")
    for name in ("x.heic", "y.heic", "notes.txt", "Thumbs.db", "README"):
        (tmp_path / "a" / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "a" / "pipe.png")
    listing = images_below(tmp_path / "a", tmp_path)
    assert listing.names == ("a/2.JPEG", "a/deep/er/1.png", "a/linked.png")
    told = str(listing.left_out)
    assert "5 hidden or tool folders (a/#recycle, ...)" in told
    assert "5 files of other types (2 .heic, 1 .db, 1 .txt, 1 no suffix)" in told
    assert "1 linked folder (a/loop)" in told
    assert "2 links to nowhere (a/circle.png, ...)" in told
    assert "1 empty file (a/empty.png)" in told
    assert "1 hidden file (a/._2.png)" in told
    assert "1 pipe, socket or device (a/pipe.png)" in told


def test_a_class_folder_may_be_a_link(tmp_path):
    for i in range(6):
        _image(tmp_path / "store" / f"{i}.png", i)
        _image(tmp_path / "d" / "b" / f"{i}.png", 100 + i)
    (tmp_path / "d" / "a").symlink_to(tmp_path / "store")
    assert split_folder(tmp_path / "d", 0).classes == ("a", "b")


def test_names_of_files_are_told_without_escapes():
    told = str(LeftOut((("empty file", "a/\x1b[31m.png"),)))
    assert told == r"1 empty file (a/\x1b[31m.png)"


def test_images_with_any_name_are_listed(tmp_path):
    names = ["a,b.png", "line\nbreak.png", 'quo"te.png', "ü.png", "x.y.JFIF", "z.Gif"]
    for name in names:
        (tmp_path / name).write_bytes(b"x")
    assert list(images_below(tmp_path, tmp_path).names) == sorted(names)

import numpy as np
import pytest
from PIL import Image

from predictors.files import file_digest
from qfa_search.errors import CheckpointMismatchError, DataError
from qfa_search.images import decoding
from qfa_search.images.decoding import decode_all, decode_square, read_image, side_and_channels

RAMP = np.linspace(0, 255, 64).round().astype(np.uint8).reshape(8, 8)


def _pixels(path, channels=1):
    return np.asarray(read_image(path, channels)).astype(int)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("dtype", ["<u2", ">u2"])
def test_16_bits_are_scaled_not_clipped(tmp_path, suffix, dtype):
    path = tmp_path / f"a{suffix}"
    Image.fromarray((RAMP.astype(np.uint16) * 257).astype(dtype)).save(path)
    np.testing.assert_array_equal(_pixels(path), RAMP)
    np.testing.assert_array_equal(_pixels(path, 3), RAMP[..., None].repeat(3, 2))


def test_a_16_bit_pgm_is_scaled(tmp_path):
    path = tmp_path / "a.pgm"
    path.write_bytes(b"P5 8 8 65535\n" + (RAMP.astype(">u2") * 257).tobytes())
    np.testing.assert_array_equal(_pixels(path), RAMP)


def test_transparent_pixels_are_white(tmp_path):
    rgba = np.zeros((4, 4, 4), np.uint8)
    rgba[..., 0], rgba[:2, :, 3] = 200, 255
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    pixels = _pixels(tmp_path / "rgba.png", 3)
    assert pixels[0, 0].tolist() == [200, 0, 0]
    assert pixels[3, 3].tolist() == [255, 255, 255]
    la = np.zeros((4, 4, 2), np.uint8)
    Image.fromarray(la).save(tmp_path / "la.png")
    assert (_pixels(tmp_path / "la.png") == 255).all()


def test_palettes_are_looked_up_and_their_transparency_is_white(tmp_path):
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    image.save(tmp_path / "plain.png")
    image.save(tmp_path / "clear.png", transparency=1)
    assert _pixels(tmp_path / "plain.png", 3)[0, 0].tolist() == [10, 20, 30]
    assert _pixels(tmp_path / "clear.png", 3)[0, 0].tolist() == [255, 255, 255]


def test_cmyk_becomes_colour(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "a.jpg")
    red, green, blue = _pixels(tmp_path / "a.jpg", 3)[8, 8]
    assert red > 200 > 60 > max(green, blue)


def test_one_bit_images_are_black_and_white(tmp_path):
    Image.fromarray(RAMP > 127).save(tmp_path / "a.png")
    assert set(np.unique(_pixels(tmp_path / "a.png"))) == {0, 255}


def test_images_are_turned_upright(tmp_path):
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, :16] = 255  # bright on the left; rotated by 90 degrees it is on top
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "a.jpg", exif=exif)
    upright = _pixels(tmp_path / "a.jpg")
    assert upright.shape == (32, 16)
    assert upright[:12].min() > 200 > 50 > upright[-12:].max()


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_a_damaged_orientation_tag_costs_no_pixels(tmp_path, suffix):
    Image.fromarray(RAMP).save(tmp_path / f"a{suffix}", exif=b"no such block", lossless=True)
    assert _pixels(tmp_path / f"a{suffix}").shape == RAMP.shape


def test_errors_of_codecs_are_those_of_an_image_and_full_memory_is_not():
    assert isinstance(RuntimeError("Failed to decode frame 0"), decoding.UNREADABLE)
    with pytest.raises(RuntimeError):
        decoding.reason(RuntimeError("can't start new thread"))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 7), (2, 3), (5000, 3)])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiny_and_long_images_become_squares(tmp_path, size, channels):
    Image.new("RGB", size, (7, 7, 7)).save(tmp_path / "a.png")
    pixels = decode_square(tmp_path / "a.png", channels, 12)
    assert pixels.shape == (channels, 12, 12)
    assert (pixels == 7).all()


def test_the_centre_square_is_taken(tmp_path):
    pixels = np.zeros((8, 24), np.uint8)
    pixels[:, 8:16] = 255
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert decode_square(tmp_path / "a.png", 1, 8).min() == 255


def test_large_jpegs_decoded_at_a_fraction_look_the_same(tmp_path):
    rows, columns = np.indices((600, 800))
    pixels = (127 + 60 * np.sin(rows / 70) + 60 * np.cos(columns / 90)).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    jpeg, png = (decode_square(tmp_path / f"a.{s}", 1, 32).astype(int) for s in ("jpg", "png"))
    assert abs(jpeg - png).max() <= 4


@pytest.mark.parametrize("suffix", [".jpe", ".jfif", ".gif", ".webp", ".avif", ".bmp", ".ppm"])
def test_images_of_less_common_kinds_are_read(tmp_path, suffix):
    if not decoding.is_image(f"a{suffix}"):
        pytest.skip(f"this Pillow reads no {suffix}")
    kind = "JPEG" if suffix in (".jpe", ".jfif") else None
    Image.new("RGB", (8, 8), (200, 100, 50)).save(tmp_path / f"a{suffix}", format=kind)
    found = _pixels(tmp_path / f"a{suffix}", 3)[4, 4]
    assert abs(found - [200, 100, 50]).max() < 12


def test_a_codec_that_finds_no_memory_costs_no_image(monkeypatch):
    def fail(name):
        raise ImportError(told)

    monkeypatch.setattr(decoding, "import_module", fail)
    told = "cannot import name '_avif'"
    assert set(decoding.SUFFIXES) - set(decoding._suffixes.__wrapped__()) == {".avif"}
    told = "libavif.so.16: failed to map segment from shared object"
    with pytest.raises(ImportError, match="failed to map"):
        decoding._suffixes.__wrapped__()


def test_of_an_animation_the_first_frame_is_taken(tmp_path):
    first, second = Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8), "black")
    for suffix in ("gif", "webp", "png"):
        first.save(tmp_path / f"a.{suffix}", save_all=True, append_images=[second])
        assert _pixels(tmp_path / f"a.{suffix}").min() > 250


@pytest.mark.parametrize("suffix", decoding.SUFFIXES)
def test_other_formats_are_not_decoded_whatever_they_are_called(tmp_path, suffix, monkeypatch):
    def run(*arguments, **more):
        raise AssertionError("a program is started")

    monkeypatch.setattr("subprocess.check_call", run)
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", run)
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 20 20\n%%EndComments\n(x) print\n%%EOF\n"
    (tmp_path / f"a{suffix}").write_bytes(eps)
    with pytest.raises(decoding.UNREADABLE):
        decode_square(tmp_path / f"a{suffix}", 3, 8)
    with pytest.raises(DataError, match="none of 1 images can be read"):
        side_and_channels(tmp_path, [f"a{suffix}"])


def test_an_image_with_too_many_pixels_is_left_out(tmp_path, monkeypatch, caplog):
    names = _write_many(tmp_path, 3, [])
    monkeypatch.setattr(decoding, "LARGEST_IMAGE", 100)
    for suffix, more in (("png", {}), ("jpg", {"progressive": True}), ("tif", {})):
        Image.new("RGBA" if suffix == "png" else "RGB", (11, 10)).save(
            tmp_path / f"z.{suffix}", **more
        )
    _, kept = decode_all(tmp_path, [*names, "z.png", "z.jpg", "z.tif"], 1, 8)
    assert kept.tolist() == [0, 1, 2]
    assert "11 x 10 pixels, more than the 100 that are decoded" in caplog.text
    Image.new("RGB", (80, 80)).save(tmp_path / "large.jpg")
    assert decode_square(tmp_path / "large.jpg", 3, 4).shape == (3, 4, 4)


def test_strips_change_no_pixel(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (9, 7, 4), np.uint8)).save(tmp_path / "a.png")
    Image.fromarray(rng.integers(0, 65536, (9, 7), np.uint16)).save(tmp_path / "b.png")
    whole = [_pixels(tmp_path / name, 3) for name in ("a.png", "b.png")]
    monkeypatch.setattr(decoding, "STRIP", 10)
    for name, before in zip(("a.png", "b.png"), whole, strict=True):
        np.testing.assert_array_equal(_pixels(tmp_path / name, 3), before)


def test_an_image_with_another_content_than_expected_is_refused(tmp_path):
    names = _write_many(tmp_path, 3, [])
    digests = [file_digest(tmp_path / name) for name in names]
    decode_all(tmp_path, names, 1, 8, digests)
    (tmp_path / names[1]).write_bytes((tmp_path / names[0]).read_bytes())
    with pytest.raises(CheckpointMismatchError, match="1 of 3 images have another content"):
        decode_all(tmp_path, names, 1, 8, digests)


def test_float_images_are_refused_as_their_range_is_unknown(tmp_path):
    Image.fromarray(np.zeros((4, 4), np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(ValueError, match="no known range"):
        read_image(tmp_path / "a.tif", 1)


def _write_many(folder, n, broken):
    for i in range(n):
        Image.fromarray(RAMP + np.uint8(i % 3)).save(folder / f"{i:04d}.png")
    for i in broken:
        path = folder / f"{i:04d}.png"
        path.write_bytes(path.read_bytes()[:50])
    return [f"{i:04d}.png" for i in range(n)]


def test_a_few_broken_images_are_left_out_with_one_warning(tmp_path, caplog):
    names = _write_many(tmp_path, 40, [7, 9])
    (tmp_path / names[7]).write_bytes(b"")
    pixels, kept = decode_all(tmp_path, names, 1, 8)
    assert len(pixels) == len(kept) == 38
    assert not {7, 9} & set(kept)
    np.testing.assert_array_equal(pixels[8, 0], RAMP + 10 % 3)
    (record,) = caplog.records
    assert "2 of 40 images cannot be read and are left out, the first: " in record.message
    assert f"{tmp_path / '0007.png'}: cannot identify image file" in record.message
    assert "\n" not in record.message


@pytest.mark.parametrize("is_full", [False, True])
def test_an_image_is_not_left_out_because_memory_is_full(tmp_path, caplog, monkeypatch, is_full):
    for name in "abc":
        Image.new("L", (4, 4)).save(tmp_path / f"{name}.png")

    def fail_with_b(path, channels, resolution):
        if path.stem == "b":
            raise MemoryError
        return decode_square(path, channels, resolution)

    monkeypatch.setattr(decoding, "decode_square", fail_with_b)
    monkeypatch.setattr(decoding, "has_room", lambda n_bytes: not is_full)
    names = ["a.png", "b.png", "c.png"]
    if is_full:
        with pytest.raises(MemoryError):
            decode_all(tmp_path, names, 1, 4)
    else:
        assert decode_all(tmp_path, names, 1, 4)[1].tolist() == [0, 2]
        assert "1 of 3 images cannot be read and are left out" in caplog.text


def test_a_truncated_jpeg_is_left_out(tmp_path, caplog):
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (64, 64)).astype(np.uint8)).save(tmp_path / "a.jpg")
    Image.fromarray(RAMP).save(tmp_path / "b.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
    _, kept = decode_all(tmp_path, ["a.jpg", "b.jpg"], 1, 8)
    assert kept.tolist() == [1]
    assert "truncated" in caplog.text


def test_many_broken_images_end_it_naming_the_first(tmp_path):
    names = _write_many(tmp_path, 40, [5, 6, 7, 8])
    with pytest.raises(DataError, match=r"4 of 40 images cannot be read, the first: .*0005\.png"):
        decode_all(tmp_path, names, 1, 8)


def test_a_set_too_large_for_memory_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(decoding, "LARGEST_SET_IN_MEMORY", 100)
    with pytest.raises(DataError, match="smaller --resolution"):
        decode_all(tmp_path, ["a", "b"], 1, 8)


def test_grey_pictures_stored_in_colour_are_grey(tmp_path):
    names = _write_many(tmp_path, 3, [1])
    Image.fromarray(RAMP).convert("RGB").resize((20, 30)).save(tmp_path / "grey.jpg")
    assert side_and_channels(tmp_path, [*names, "grey.jpg"]) == (8, 1)
    Image.new("RGB", (40, 50), (90, 20, 20)).save(tmp_path / "red.png")
    assert side_and_channels(tmp_path, ["grey.jpg", "red.png", "0000.png"]) == (20, 3)
    with pytest.raises(DataError, match="none of 1 images can be read"):
        side_and_channels(tmp_path, ["0001.png"])


def test_of_a_draw_as_many_may_be_unreadable_as_of_all(tmp_path):
    names = [f"{i}.png" for i in range(20)]
    for name in names:
        Image.new("L", (4, 4)).save(tmp_path / name)
    for name in names[:4]:
        (tmp_path / name).write_bytes(b"no image")
    with pytest.raises(DataError, match="4 of 20 images cannot be read"):
        decode_all(tmp_path, names, 1, 4)
    pixels, kept = decode_all(tmp_path, names, 1, 4, n_of=400)
    assert len(pixels) == len(kept) == 16

import pandas as pd
import pytest

from benchmarks import export_table

pytest.importorskip("onnxruntime")
pytest.importorskip("qonnx")


@pytest.mark.slow
def test_the_table_has_every_format_and_engine(tmp_path, toy_run, toy_front, image_folder):
    files = ["--supernet", str(toy_run), "--data", str(image_folder), "--out", str(tmp_path)]
    sizes = ["--images", "20", "--replay", "8", "--front", str(toy_front)]
    export_table.main([*files, *sizes])
    found = pd.read_csv(tmp_path / "export_table.csv").set_index("member")
    assert found.index.tolist() == ["smallest", "middle", "knee", "largest"]
    assert found[[f"{name}_verified" for name in ("onnx", "torch", "qonnx")]].all(axis=None)
    assert (found["onnx_bytes"] < found["onnx8_bytes"]).all()
    assert (found["ort_equal"] == 20).all()
    assert "| largest |" in (tmp_path / "export_table.md").read_text()
    assert (tmp_path / "export_table.png").is_file()

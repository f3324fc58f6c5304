import numpy as np
import pandas as pd
import pytest

from benchmarks import export_table
from predictors import cost_arrays
from predictors.costs import COST_COLUMNS
from qfa_search import ParetoFront

pytest.importorskip("onnxruntime")
pytest.importorskip("qonnx")


@pytest.mark.slow
def test_the_table_has_every_format_and_engine(tmp_path, toy_run, toy_space, image_folder):
    X = np.stack([toy_space.layout.lowest(), toy_space.layout.highest()])
    unknown = np.full(2, np.nan)
    ParetoFront(
        space=toy_space,
        X=X,
        costs=cost_arrays(toy_space, X, COST_COLUMNS),
        top1_predicted=np.array([40.0, 60.0]),
        top1_spread=unknown,
        top1_measured=unknown,
    ).save(tmp_path / "front.json")
    files = ["--supernet", str(toy_run), "--data", str(image_folder), "--out", str(tmp_path)]
    sizes = ["--images", "20", "--replay", "8", "--front", str(tmp_path / "front.json")]
    export_table.main([*files, *sizes])
    found = pd.read_csv(tmp_path / "export_table.csv").set_index("member")
    assert found.index.tolist() == ["smallest", "middle", "knee", "largest"]
    assert found[[f"{name}_verified" for name in ("onnx", "torch", "qonnx")]].all(axis=None)
    assert (found["onnx_bytes"] < found["onnx8_bytes"]).all()
    assert (found["ort_equal"] == 20).all()
    assert "| largest |" in (tmp_path / "export_table.md").read_text()
    assert (tmp_path / "export_table.png").is_file()

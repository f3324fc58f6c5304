import predictors


def test_every_exported_name_exists():
    assert sorted(predictors.__all__) == sorted(set(predictors.__all__))
    assert all(hasattr(predictors, name) for name in predictors.__all__)

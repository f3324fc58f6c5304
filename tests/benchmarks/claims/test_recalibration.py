import numpy as np

from benchmarks.claims.recalibration import enough


def test_enough_images_are_those_after_the_last_bad_number():
    by_n = {0: 10.0, 64: 85.95, 128: 85.0, 256: 85.95, 512: 86.0}
    assert enough({n: np.array([value]) for n, value in by_n.items()}) == 256

import warnings

import pytest

from qfa_search.measuring.parallel import Workers, run


def _warn(text):
    warnings.warn(text, stacklevel=1)
    return text


def test_a_replaced_process_is_no_news_and_every_other_warning_is():
    replaced = "A worker stopped while some jobs were given to the executor."
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert list(run(_warn, [(replaced,)], Workers())) == [replaced]
        with pytest.raises(UserWarning, match="other"):
            list(run(_warn, [("other",)], Workers()))

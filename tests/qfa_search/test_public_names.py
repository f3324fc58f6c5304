import subprocess
import sys

import pytest

import qfa_search
import search_spaces


@pytest.mark.parametrize("package", [search_spaces, qfa_search])
def test_every_public_name_exists_and_is_documented(package):
    for name in package.__all__:
        member = getattr(package, name)
        assert not callable(member) or member.__doc__, name
    assert len(package.__all__) == len(set(package.__all__))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        qfa_search.nothing  # noqa: B018


@pytest.mark.parametrize(
    ("code", "unwanted"),
    [
        ("import qfa_search", {"torch", "pandas", "pymoo", "sklearn", "matplotlib"}),
        ("import qfa_search.cli", {"torch", "pandas", "pymoo", "sklearn", "matplotlib"}),
        ("from qfa_search import search", {"torch", "sklearn", "matplotlib"}),
    ],
)
def test_heavy_packages_are_imported_where_they_are_used(code, unwanted):
    script = f"import sys; {code}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr
    assert not unwanted & set(loaded.stdout.split())

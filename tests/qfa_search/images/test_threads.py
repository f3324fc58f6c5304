import threading
from contextlib import suppress

import pytest

from qfa_search.images import threads
from qfa_search.images.threads import begun, has_room, in_threads, one_ahead


def _no_room(monkeypatch):
    def start(self):
        raise AssertionError("a thread that could wait forever for its first byte")

    monkeypatch.setattr(threads, "has_room", lambda n_bytes: False)
    monkeypatch.setattr(threading.Thread, "start", start)


def _no_more_threads(monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)


def _gone_at_once(monkeypatch):
    monkeypatch.setattr(threading.Thread, "run", lambda self: None)


@pytest.fixture(params=[None, _no_room, _no_more_threads, _gone_at_once])
def shortage(request, monkeypatch):
    """Threads as they are, and as they are where memory is full."""
    if request.param is not None:
        request.param(monkeypatch)


@pytest.mark.parametrize("most", [1, 2, 7])
def test_each_is_done_once_and_stands_in_its_place(shortage, most):
    seen = []

    def square(n):
        seen.append(n)
        return None if n == 3 else n * n

    assert in_threads(square, range(20), most) == [square(n) for n in range(20)]
    assert sorted(seen) == sorted([*range(20)] * 2)
    assert in_threads(square, [], most) == []


def test_what_others_took_and_never_ended_is_done_by_the_caller(monkeypatch):
    def begin_and_die(task):
        with suppress(SystemError):
            task()
        return lambda: None

    def negative(n):
        if deaths:
            raise SystemError(deaths.pop())
        return -n

    deaths = ["error return without exception set"]
    monkeypatch.setattr(threads, "begun", begin_and_die)
    assert in_threads(negative, range(5), 3) == [0, -1, -2, -3, -4]
    assert not deaths


def test_an_error_comes_to_the_caller_and_stops_the_others(shortage):
    seen = []

    def fail(n):
        seen.append(n)
        if n == 2:
            raise ValueError("two")

    with pytest.raises(ValueError, match="two"):
        in_threads(fail, range(10_000), 3)
    assert len(seen) < 10_000


def test_a_task_is_begun_before_it_is_waited_for():
    is_begun = threading.Event()
    result = begun(lambda: is_begun.set() or 5)
    assert is_begun.wait(60)
    assert result() == 5


def test_tasks_come_in_order_with_errors_in_their_place(shortage):
    def task(n):
        if n == 4:
            raise KeyError(n)
        return n

    found = []
    with pytest.raises(KeyError):
        found.extend(one_ahead(lambda n=n: task(n) for n in range(9)))
    assert found == [0, 1, 2, 3]
    assert list(one_ahead(lambda n=n: n for n in range(4))) == [0, 1, 2, 3]


def test_one_task_is_computed_ahead_and_no_more():
    order = []

    def task(n):
        order.append(n)
        return n

    coming = one_ahead(lambda n=n: task(n) for n in range(4))
    assert next(coming) == 0
    for _ in range(60_000):
        if len(order) == 2:
            break
        threading.Event().wait(0.001)
    assert order == [0, 1]
    assert list(coming) == [1, 2, 3]


def test_there_is_room_for_little_and_not_for_everything():
    assert has_room(1)
    assert not has_room(2**60)

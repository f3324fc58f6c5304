from qfa_search.commands.train_progress import Remaining, lines
from qfa_search.training.estimate import PhaseTime
from qfa_search.training.phase import Progress


def _progress(phase, step, n_steps):
    return Progress(
        phase=phase,
        step=step,
        n_steps=n_steps,
        losses=(1.5, 2.0),
        learning_rate=0.1,
        gradient_norm=1.0,
        images_per_second=100.0,
        epoch=1.0,
    )


def test_the_remaining_time_is_that_of_all_phases_at_the_pace_seen_here():
    times = [PhaseTime("float", 100, 1.0), PhaseTime("quantized", 50, 4.0)]
    times.append(PhaseTime("quantized-2", 25, 4.0, is_certain=False))
    remaining = Remaining(times)
    assert remaining.seconds(_progress("float", 1, 100), 10.0) == 99 + 200
    assert remaining.seconds(_progress("float", 11, 100), 30.0) == 2 * (89 + 200)
    assert remaining.seconds(_progress("quantized", 1, 50), 300.0) == 4 * 49
    assert remaining.seconds(_progress("quantized", 50, 50), 400.0) == 0


def test_without_an_estimate_the_phase_that_runs_is_told():
    remaining = Remaining([])
    assert remaining.seconds(_progress("float", 5, 100), 10.0) is None
    assert remaining.seconds(_progress("float", 6, 100), 12.0) == 2 * 94


def test_lines_come_each_half_minute_and_for_each_phase(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    told = []
    show = lines(Remaining([]), told.append)
    for phase in ("float", "quantized"):
        for step in range(1, 401):
            now += 1
            show(_progress(phase, step, 400))
    assert told[0] == "float phase: step 1 of 400, loss 1.500 2.000, 100 images/s"
    assert told[1].startswith("float phase: step 31 of 400, ")
    assert told[1].endswith(", about 6 min left")
    assert sum(line.startswith("quantized phase: ") for line in told) == len(told) / 2
    assert told[-1].startswith("quantized phase: step 400 of 400")
    assert 26 <= len(told) <= 36

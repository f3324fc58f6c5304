"""How long the page of a front takes to write and to open, in headless Chromium.

python -m benchmarks.page_speed --members 2000

Times of the browser are those of the page's main thread, so that a busy machine counts little; the
time until the page is drawn is the clock's. Each opening is one of a browser that was just started.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

import search_spaces
from predictors import cost_arrays
from qfa_search.front.front import ParetoFront


def made_up_front(space_name: str, n: int, seed: int = 0) -> ParetoFront:
    """A front of `n` random subnets with accuracies that rise with the cost, all made up."""
    space = search_spaces.load(space_name)
    X = space.layout.sample(np.random.default_rng(seed), n)
    costs = cost_arrays(space, X)
    X = X[np.argsort(costs["mflops"])]
    return ParetoFront(
        space=space,
        X=X,
        costs=cost_arrays(space, X),
        top1_predicted=np.linspace(60, 76, n),
        top1_spread=np.full(n, 0.3),
        top1_measured=np.full(n, np.nan),
        hypervolumes=np.linspace(0.5, 0.6, 201),
    )


def opening(page: Path) -> dict[str, float]:
    """Milliseconds of one opening: the main thread's work, and until everything is drawn."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1240,900"):
        options.add_argument(word)
    driver = webdriver.Chrome(
        options=options, service=webdriver.ChromeService(shutil.which("chromedriver"))
    )
    try:
        driver.execute_cdp_cmd("Performance.enable", {"timeDomain": "threadTicks"})
        driver.get(page.as_uri())
        time.sleep(1)
        metrics = driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
        values = {entry["name"]: 1000 * entry["value"] for entry in metrics}
        drawn = driver.execute_script(
            "return performance.getEntriesByType('navigation')[0].loadEventEnd"
        )
    finally:
        driver.quit()
    return {"main thread": values["TaskDuration"], "until drawn": drawn}


def main() -> None:
    """Write and open a page, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--space", default="mobilenet-v3-w1.2")
    parser.add_argument("--members", type=int, default=2000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    front = made_up_front(arguments.space, arguments.members)
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "report.html"
        writing = []
        for _ in range(arguments.repeats):
            started = time.process_time()
            front.report(page)
            writing.append(1000 * (time.process_time() - started))
        print(
            f"{arguments.members} members of {arguments.space}: {page.stat().st_size / 1e6:.2f} MB"
        )
        print("\n| | median ms | worst ms |\n| --- | --- | --- |")
        print(f"| writing, processor | {np.median(writing):.0f} | {max(writing):.0f} |")
        opened = [opening(page) for _ in range(arguments.repeats)]
        for name in opened[0]:
            times = [one[name] for one in opened]
            print(f"| opening, {name} | {np.median(times):.0f} | {max(times):.0f} |")


if __name__ == "__main__":
    main()

"""The page as a browser shows it: drawn, used by keyboard, in dark and on paper."""

from __future__ import annotations

import base64
import shlex
import shutil
from dataclasses import replace

import numpy as np
import pytest
from typer.main import get_command

from qfa_search.cli import app
from qfa_search.report.content import ReportedFront
from qfa_search.report.page import write_page
from tests.qfa_search.report.conftest import HOSTILE

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (CHROMIUM and DRIVER), reason="chromium and chromedriver (chromium-driver) are not here"
    ),
]
SHIFT = "\ue008"
KEYS = {"left": "\ue012", "right": "\ue014", "home": "\ue011", "end": "\ue010", "esc": "\ue00c"}


@pytest.fixture(scope="module")
def chromium():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for word in ("--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(word)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def opened(chromium, tmp_path, samples):
    """Opens the page of some fronts; at the end nothing may have gone wrong in it."""

    def open_page(*fronts):
        path = tmp_path / "it's here" / "report.html"
        shown = [
            ReportedFront(
                front=front,
                name=f"front {i} {HOSTILE}",
                file="front.json",
                samples=samples,
                held_out=np.array([[70.0, 71], [60, 62], [80, 79]]),
            )
            for i, front in enumerate(fronts)
        ]
        write_page(shown, path)
        chromium.get(path.as_uri())
        return chromium

    yield open_page
    errors = [entry["message"] for entry in chromium.get_log("browser")]
    assert errors == []
    assert chromium.execute_script("return performance.getEntriesByType('resource').length") == 0


def _text(driver, selector):
    return driver.execute_script(
        "return document.querySelector(arguments[0]).textContent", selector
    )


def _count(driver, selector):
    return driver.execute_script("return document.querySelectorAll(arguments[0]).length", selector)


def _dots(driver, selector):
    path = driver.execute_script(
        "return document.querySelector(arguments[0])?.getAttribute('d') ?? ''", selector
    )
    return path.count("M")


def _press(driver, *keys):
    driver.find_element("id", "front-plot").send_keys(*keys)


def _chosen(driver):
    numbers = driver.find_elements("css selector", "#pickers input[type=number]")
    return [number.get_property("value") for number in numbers if number.is_displayed()]


def test_every_part_is_drawn(opened, front):
    driver = opened(front)
    assert _dots(driver, "#front-plot .dots.f0") == 12
    assert _dots(driver, "#front-plot .samples") == 30
    assert _dots(driver, "#front-plot .measured") == 6
    assert _dots(driver, "#front-plot .spread") > 1
    assert _count(driver, "#front-plot .limit, #front-plot text") > 5
    assert _count(driver, "#strips .block:not(.absent)") > 5
    assert _count(driver, "#list tbody tr") == 12
    assert _count(driver, "#along-plot .cell") > 20
    assert _count(driver, "#history-plot .curve") == 1
    assert _dots(driver, "#agreement-plot .samples") == 3
    assert "6 measured members: Kendall tau 1.00" in _text(driver, "#agreement-plot")
    assert "mutation prob0.05" in _text(driver, "#facts")
    assert "30 measured on the val split" in _text(driver, "#facts")


def test_names_are_shown_as_they_are(opened, front):
    space = replace(front.space, name=HOSTILE)
    driver = opened(replace(front, space=space), front)
    driver.execute_script("window.alert = () => { window.attacked = true; }")
    assert HOSTILE in _text(driver, "#legend")
    assert HOSTILE in driver.title
    _press(driver, KEYS["home"])
    assert HOSTILE in _text(driver, "#details .classes")
    assert _count(driver, "img") == 0
    assert not driver.execute_script("return window.attacked")


def test_the_keyboard_chooses_and_compares(opened, front):
    driver = opened(front)
    assert _chosen(driver) == [str(front.knee_index())]
    _press(driver, KEYS["home"])
    assert _chosen(driver) == ["0"]
    _press(driver, KEYS["left"], KEYS["right"], KEYS["right"])
    assert _chosen(driver) == ["2"]
    assert "Member A: 2, top-1" in _text(driver, "#told")
    _press(driver, SHIFT + KEYS["end"])
    assert _chosen(driver) == ["2", "11"]
    assert _count(driver, "#strips .strip") == _count(driver, "#commands .command") == 2
    difference = front.top1_predicted[11] - front.top1_predicted[2]
    assert f"+{difference:.2f}" in _text(driver, "#details")
    _press(driver, KEYS["esc"])
    assert _chosen(driver) == ["2"]


def test_every_control_is_reached_by_tab(opened, front):
    driver = opened(front)
    reached = set()
    for _ in range(40):
        webdriver.ActionChains(driver).send_keys("\ue004").perform()
        name = "const e = document.activeElement; return e.id || e.textContent || e.tagName"
        reached.add(driver.execute_script(name))
    wanted = {"y-axis", "x-axis", "log-x", "show-spread", "show-samples", "front-plot", "Copy"}
    assert wanted | {"Compare with another member", "kernel size"} <= reached


def test_any_two_columns_are_axes(opened, front):
    driver = opened(front)
    names = driver.execute_script(
        "return [...document.querySelector('#x-axis').options].map(o => o.value)"
    )
    assert {"top1", "mflops", "size_kb", "activation_kb", "params"} <= set(names)
    drawn = driver.execute_script(
        """
        const found = {};
        for (const x of arguments[0]) for (const y of arguments[0]) {
            for (const [id, value] of [["x-axis", x], ["y-axis", y]]) {
                document.getElementById(id).value = value;
                document.getElementById(id).dispatchEvent(new Event("change"));
            }
            const plot = document.getElementById("front-plot");
            const dots = plot.querySelector(".dots.f0").getAttribute("d").split("M").length - 1;
            found[x + " " + y] = [dots, plot.innerHTML.includes("NaN")];
        }
        return found;
    """,
        names,
    )
    assert len(drawn) == len(names) ** 2
    assert all(found == [12, False] for found in drawn.values())


def test_a_third_objective_is_the_shade_of_the_members(opened, front):
    driver = opened(front)
    assert _count(driver, "#front-plot .dots.f0") == 1
    assert not driver.find_element("id", "third").is_displayed()
    driver = opened(replace(front, objectives=("top1", "mflops", "size_kb")))
    shades = driver.execute_script(
        "return [...document.querySelectorAll('#front-plot .dots.f0')]"
        ".map(path => [Number(path.getAttribute('opacity')), path.getAttribute('d')])"
    )
    assert [opacity for opacity, _ in shades] == sorted({opacity for opacity, _ in shades})
    assert sum(d.count("M") for _, d in shades) == 12
    # The largest fifth of the members is the darkest: it lies where the largest ones lie.
    largest = np.argsort(front.costs["size_kb"])[9:]
    left = [float(point.split(" ")[0]) for point in shades[-1][1].split("M")[1:]]
    by_mflops = np.argsort(np.argsort(front.costs["mflops"][largest]))
    assert len(left) == 3
    assert np.array_equal(np.argsort(np.argsort(left)), by_mflops)
    assert "larger its model size (KB)" in _text(driver, "#third")
    driver.execute_script(
        "const x = document.getElementById('x-axis'); x.value = 'size_kb';"
        "x.dispatchEvent(new Event('change'))"
    )
    assert "larger its MFLOPs" in _text(driver, "#third")


def test_a_click_chooses_the_member_under_it(opened, front):
    driver = opened(front)
    _press(driver, KEYS["end"])
    place = "return document.querySelector('#front-plot .mark-a').getBoundingClientRect().toJSON()"
    last = driver.execute_script(place)
    _press(driver, KEYS["home"])
    x, y = (int(last[k] + last[side] / 2) for k, side in (("x", "width"), ("y", "height")))
    actions = webdriver.ActionChains(driver)
    actions.w3c_actions.pointer_action.move_to_location(x, y)
    actions.perform()
    note = _text(driver, "#front-plot .note")
    assert "member 11" in note
    assert _count(driver, "#front-plot .note .block") == _count(driver, "#strips .block")
    assert f"{front.top1_predicted[11]:.2f} ± 0.50" in note
    actions.click().perform()
    assert _chosen(driver) == ["11"]


def test_an_extrapolation_is_told(opened, front):
    driver = opened(replace(front, extrapolates=np.arange(12) == 3))
    _press(driver, KEYS["home"])
    assert "far from all" not in _text(driver, "#strips")
    _press(driver, *[KEYS["right"]] * 3)
    assert "far from all" in _text(driver, "#strips")


def test_the_export_command_is_one_a_shell_understands(opened, front, tmp_path):
    driver = opened(front)
    _press(driver, KEYS["home"])
    words = shlex.split(_text(driver, "#commands code"))
    assert words[:2] == ["qfa-search", "export"]
    export = get_command(app).commands["export"]
    options = {option for parameter in export.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= options
    assert words[words.index("--supernet") + 1] == "runs/it's here"
    assert f"{tmp_path}/it's here/front.json:0" in words
    assert words[words.index("--format") + 1] == "onnx"


def test_the_command_is_copied(opened, front):
    driver = opened(front)
    driver.execute_script(
        "navigator.clipboard.writeText = async (text) => { window.copied = text; }"
    )
    driver.find_element("css selector", "#commands button").click()
    assert driver.execute_script("return window.copied") == _text(driver, "#commands code")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(opened, front, scheme):
    driver = opened(front)
    feature = {"name": "prefers-color-scheme", "value": scheme}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})
    colours = driver.execute_script("""
        const style = (selector) => getComputedStyle(document.querySelector(selector));
        const ground = style("html").backgroundColor;
        return [[style("body").color, ground], [style(".quiet").color, ground],
                [style(".key-a").color, ground], [style("svg text").fill, ground],
                ...[...document.querySelectorAll("#strips .bit:not(.absent *)")].map(
                    (cell) => getComputedStyle(cell)).map((s) => [s.color, s.backgroundColor])];
    """)
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert len(colours) > 10
    for text, ground in colours:
        assert _contrast(text, ground) >= 4.5, (text, ground)


def _contrast(*colours):
    """Contrast ratio of the Web Content Accessibility Guidelines 2.2."""
    found = []
    for colour in colours:
        rgb = np.array([float(c) for c in colour.partition("(")[2].rstrip(")").split(",")[:3]])
        linear = np.where(
            rgb / 255 <= 0.04045, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4
        )
        found.append(float(linear @ [0.2126, 0.7152, 0.0722]))
    return (max(found) + 0.05) / (min(found) + 0.05)


def test_a_narrow_window_needs_no_scrolling_sideways(opened, front):
    metrics = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    driver = opened(front)
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    driver.refresh()
    width = driver.execute_script("return document.documentElement.scrollWidth")
    driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert width <= 400


def test_the_page_prints(opened, front):
    driver = opened(front)
    pdf = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {})["data"])
    assert pdf.startswith(b"%PDF")


def test_fronts_are_hidden_and_shown_again(opened, front):
    driver = opened(front, front[:7])
    assert _dots(driver, "#front-plot .dots.f1") == 7
    box = driver.find_elements("css selector", "#legend input")[1]
    box.click()
    assert _dots(driver, "#front-plot .dots.f1") == 0
    box.click()
    assert _dots(driver, "#front-plot .dots.f1") == 7


def test_a_front_of_one_member_and_nothing_else_known_is_shown(opened, front):
    bare = replace(
        front.subset([4]).with_measured([np.nan]),
        top1_spread=np.full(1, np.nan),
        hypervolumes=np.zeros(0),
        predictor_scores={},
        supernet=None,
    )
    driver = opened(bare)
    assert _dots(driver, "#front-plot .dots.f0") == 1
    assert "--supernet SUPERNET " in _text(driver, "#commands")
    assert "NaN" not in driver.execute_script("return document.body.innerHTML")


def test_members_of_other_classes_have_a_table_of_their_own(opened, front):
    other = replace(front, class_names=("x", "y", "z", "w"))
    driver = opened(front, other)
    _press(driver, KEYS["home"])
    driver.find_element("css selector", "#pickers > .picker:nth-child(2) > button").click()
    choose = driver.find_elements("css selector", "#pickers select")[1]
    choose.find_elements("css selector", "option")[1].click()
    number = driver.find_elements("css selector", "#pickers input[type=number]")[1]
    number.clear()
    number.send_keys("2", "\ue007")
    assert _count(driver, "#details table.classes") == 2
    assert _text(driver, "#commands .command:last-child").count("--out subnet-b2.onnx") == 1

"""The report page in Chromium, where it and selenium are installed: drawn, silent, answering."""

import base64
import json
import shutil

import numpy as np
import pytest
from commands import good, sentences

pytest.importorskip("selenium")

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

if not (shutil.which("chromium") and shutil.which("chromedriver")):
    pytest.skip("chromium and its driver are not installed", allow_module_level=True)

pytestmark = pytest.mark.browser

FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--window-size=1200,1000", "about:blank")  # fmt: skip
CHARTS = ("loss", "rate", "norm", "clip", "unit", "lag", "singular", "eigen", "parts", "work",
          "times")  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page of a gru and an lstm of two layers, and its data."""
    folder = tmp_path_factory.mktemp("browser")
    (folder / "t.txt").write_text(sentences(120))
    good("tokenize", folder / "t.txt", "-o", folder / "d.npz", "-q")
    words = ["report"]
    for name, layers in (("gru", 1), ("lstm", 2)):
        model, log = folder / f"{name}.npz", folder / f"{name}.jsonl"
        good("train", folder / "d.npz", "-o", model, "--cell", name, "--hidden", 12, "--layers",
             layers, "--batch", 4, "--bptt", 8, "--max-steps", 150, "--valid-every", 50,
             "--metrics", log, "-q")  # fmt: skip
        words += [model, "--metrics", log]
    good(*words, "--data", folder / "d.npz", "-o", folder / "r.html", "-q")
    text = (folder / "r.html").read_text("utf-8")
    data = text.split('id="data">')[1].split("</script>")[0]
    return folder / "r.html", json.loads(data)["models"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    browser = webdriver.Chrome(options=options, service=service)
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium, page):
    """The page, freshly opened, 1200 wide and light."""
    return opened(chromium, page, 1200, "light")


def opened(browser, page, width, scheme):
    features = [{"name": "prefers-color-scheme", "value": scheme},
                {"name": "prefers-reduced-motion", "value": "reduce"}]  # fmt: skip
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(page[0].as_uri())
    assert browser.execute_script("return document.documentElement.dataset.ready") == "yes"
    return browser


def text_of(browser, name):
    return browser.find_element(By.ID, name).text


def click(browser, how, name):
    """Click what is then in the middle of the window, where nothing covers it."""
    found = browser.find_element(how, name)
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", found)
    found.click()
    return found


def value(model, layer, series, row, token):
    """What the data says of one cell."""
    part = model["layers"][layer]["series"][series]
    rows = np.frombuffer(base64.b64decode(part["data"]), np.uint8)
    byte = rows.reshape(len(model["layers"][layer]["units"]), -1)[row, token]
    return part["low"] + byte / 255 * (part["high"] - part["low"])


def test_no_error_is_logged_and_no_request_leaves_the_page(browser, page):
    browser.execute_script("window.scrollTo(0, document.body.scrollHeight)")
    assert browser.get_log("browser") == []
    sent = set()
    for entry in browser.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        about = message["params"].get("documentURL", "")
        if message["method"] == "Network.requestWillBeSent" and about == page[0].as_uri():
            sent.add(message["params"]["request"]["url"])
    assert page[0].as_uri() in sent
    assert all(url == page[0].as_uri() or url.startswith("data:") for url in sent), sent


def test_a_request_that_was_tried_would_be_stopped_by_the_page_itself(browser):
    script = """const done = arguments[0];
        document.addEventListener("securitypolicyviolation", (event) => done(event.blockedURI));
        const picture = new Image(); picture.src = "https://example.invalid/x.png";"""
    assert "example.invalid" in browser.execute_async_script(script)


@pytest.mark.parametrize(("width", "scheme"), [(1200, "light"), (1200, "dark"), (360, "light")])
def test_every_chart_is_drawn_and_fits(chromium, page, width, scheme):
    browser = opened(chromium, page, width, scheme)
    script = """return [...arguments[0]].map((name) => {
        const host = document.getElementById(name + "-chart");
        const marks = [...host.querySelectorAll("svg[role=img] path, svg[role=img] circle, svg[role=img] rect")];
        const drawn = marks.filter((m) => { const b = m.getBBox(); return b.width + b.height > 0; });
        return [name, drawn.length, host.getBoundingClientRect().width,
                host.querySelector("svg[role=img]").getAttribute("aria-label").length];
    })"""  # noqa: E501
    for name, drawn, size, label in browser.execute_script(script, CHARTS):
        assert drawn > 0, name
        assert 100 < size < width, name
        assert label > 10, name
    wide = browser.execute_script("return document.documentElement.scrollWidth")
    assert wide <= width
    colours = browser.execute_script("""
        const c = document.getElementById("cells"), all = new Set();
        const d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
        for (let k = 0; k < d.length; k += 4) all.add(d.slice(k, k + 3).join());
        return [c.width, c.height, all.size];""")
    assert colours[:2] == [len(page[1][0]["text"]["tokens"]), 12]
    assert colours[2] > 30
    paper = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    light = sum(map(int, paper[4:-1].split(","))) / 3
    assert light > 200 if scheme == "light" else light < 60


def test_the_heat_map_answers_clicks(browser, page):
    model = page[1][0]
    canvas = browser.find_element(By.ID, "cells")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", canvas)
    for x, y in ((7, 3), (20, 9)):
        width, height = canvas.size["width"], canvas.size["height"]
        ActionChains(browser).move_to_element_with_offset(
            canvas, int(x * 6 + 3 - width / 2), int(y * 5 + 2 - height / 2)
        ).click().perform()
        told = text_of(browser, "cell")
        unit = model["layers"][0]["units"][y]
        assert f"Unit {unit} of h, layer 1, at token {x + 1} of" in told
        assert f": {value(model, 0, 'h', y, x):.2f} after" in told
        assert f"Unit {unit} of h" in text_of(browser, "unit-title")
        (chosen,) = browser.find_elements(By.CSS_SELECTOR, "#text [aria-selected=true]")
        assert chosen.get_attribute("id") == f"t{x}"


def test_a_token_shows_what_was_expected(browser, page):
    told = page[1][0]["text"]
    click(browser, By.ID, "t5")
    panel = text_of(browser, "token")
    assert f"{told['nats'][5]:.2f} nats" in panel
    for word, chance in told["best"][5]:
        assert word in panel
        assert f"{100 * chance:.1f} %" in panel
    assert len(browser.find_elements(By.CSS_SELECTOR, "#token .guess")) == 5


def test_the_keyboard_reaches_everything(browser):
    text = browser.find_element(By.ID, "text")
    text.send_keys(Keys.HOME, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert text.get_attribute("aria-activedescendant") == "t3"
    before = text_of(browser, "cell")
    browser.find_element(By.ID, "heat").send_keys(Keys.ARROW_DOWN, Keys.ARROW_RIGHT)
    assert "at token 5 of" in text_of(browser, "cell") != before
    chart = browser.find_element(By.CSS_SELECTOR, "#loss-chart svg[role=img]")
    browser.execute_script("arguments[0].focus()", chart)
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT).perform()
    readout = browser.find_element(By.CSS_SELECTOR, "#loss-chart .readout").text
    assert readout.startswith("step 100: gru, training")
    script = """return [...document.querySelectorAll("#loss-chart details")].map((d) => {
        d.open = true; return d; }).length"""
    assert browser.execute_script(script) == 1


def test_everything_that_takes_the_focus_has_a_name(browser):
    browser.execute_cdp_cmd("Accessibility.enable", {})
    nodes = browser.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
    count = 0
    for node in nodes:
        properties = {p["name"]: p["value"].get("value") for p in node.get("properties", [])}
        role = node.get("role", {}).get("value")
        if properties.get("focusable") and not node["ignored"] and role != "RootWebArea":
            count += 1
            assert node["name"]["value"], node
    assert count > 30


def test_another_model_layer_and_series(browser, page):
    model = page[1][1]
    Select(browser.find_element(By.ID, "model")).select_by_index(1)
    Select(browser.find_element(By.ID, "layer")).select_by_index(1)
    Select(browser.find_element(By.ID, "series")).select_by_value("f")
    Select(browser.find_element(By.ID, "unit")).select_by_value("4")
    click(browser, By.ID, "t2")
    told = text_of(browser, "cell")
    assert f"Unit {model['layers'][1]['units'][4]} of f, layer 2, at token 3 of" in told
    assert f": {value(model, 1, 'f', 4, 2):.2f} after" in told
    assert browser.get_log("browser") == []


def test_a_unit_that_follows_something_paints_the_text(browser, page):
    def background():
        return browser.find_element(By.ID, "t9").value_of_css_property("background-color")

    before = background()
    unit = click(browser, By.CSS_SELECTOR, "#follows button").text.split()[1]
    assert f"Unit {unit} of h" in text_of(browser, "cell")
    assert background() != before
    assert browser.find_element(By.CSS_SELECTOR, "input[value=unit]").is_selected()


def test_the_colours_change_and_what_is_drawn_with_them(browser):
    script = """const c = document.getElementById("cells");
        return [getComputedStyle(document.body).backgroundColor, c.toDataURL()]"""
    light = browser.execute_script(script)
    click(browser, By.ID, "theme")
    dark = browser.execute_script(script)
    assert all(a != b for a, b in zip(light, dark, strict=True))


def test_neighbours_can_be_looked_for(browser):
    browser.find_element(By.ID, "find").send_keys("cat")
    rows = browser.find_elements(By.CSS_SELECTOR, "#neighbours tbody tr")
    assert rows
    assert all("cat" in row.text for row in rows)
    browser.find_element(By.ID, "find").send_keys("zzz")
    assert "not among" in text_of(browser, "neighbours")

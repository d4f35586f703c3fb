"""The page in a real browser: nothing complains, nothing is fetched, nothing foreign runs, no mouse is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import browsing

pytestmark = browsing.needed
browser = pytest.fixture(scope="module")(browsing.started)


@pytest.fixture
def page(browser, report: Path):
    """The report, freshly loaded."""
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get((report / "report.html").as_uri())
    return browser


def press(page, *keys: str) -> None:
    page.switch_to.active_element.send_keys(*keys)


def shown(page) -> list[str]:
    return page.execute_script("return [...document.querySelectorAll('.part')].filter(p => !p.hidden).map(p => p.id)")


def find(page, selector: str):
    return page.find_element("css selector", selector)


def waited(page, condition) -> object:
    """Samples are unpacked piece by piece."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(page, 10).until(lambda _: condition())


def test_no_complaint_and_no_request(page):
    asked = [
        line["message"] for line in page.get_log("performance") if '"Network.requestWillBeSent"' in line["message"]
    ]
    assert page.get_log("browser") == []
    assert [line for line in asked if '"url":"file:' not in line and '"url":"data:' not in line] == []


def test_it_opens_with_the_trend(page):
    assert shown(page) == ["figures"]
    first = find(page, "#figures figure")
    assert first.get_attribute("id") == "figure-trend" and first.is_displayed()
    assert find(page, "#figure-trend svg").size["height"] > 200


def test_a_script_in_an_answer_does_not_run(page):
    from selenium.webdriver.support.ui import Select

    find(page, "#tab-samples").click()
    task = Select(find(page, "#browser select"))
    task.select_by_visible_text("qa_b")
    waited(page, lambda: "answer 0" in find(page, ".sample").text or "qa_b" in find(page, ".sample").text)
    page.execute_script("document.querySelectorAll('.sample summary').forEach(summary => summary.click())")
    text = find(page, "#browser").text
    assert "<img src=x onerror=" in text and "</script>" in text, "the answer is shown as it is"
    assert page.title == "The <i>invented</i> ladder"
    assert not page.find_elements("css selector", "#browser img, #browser script")
    page.execute_script(
        "const s = document.createElement('script'); s.textContent = 'document.title = 1'; document.body.append(s)"
    )
    assert page.title == "The <i>invented</i> ladder", "the policy lets no other script run"
    assert any("Content Security Policy" in line["message"] for line in page.get_log("browser"))


def test_no_name_of_a_run_is_a_script(browser, wicked_report: Path):
    browser.get((wicked_report / "report.html").as_uri())
    title = browser.title
    for name in ("tables", "samples"):
        find(browser, f"#tab-{name}").click()
    waited(browser, lambda: browser.find_elements("css selector", ".sample"))
    browser.execute_script("document.querySelectorAll('.sample summary').forEach(summary => summary.click())")
    assert browser.title == title and title.startswith("Title </script>")
    assert not browser.find_elements("css selector", "img, [onload], [onerror], a[href^=javascript]")
    assert browser.get_log("browser") == [], "the policy had nothing to stop"
    for figure in sorted(wicked_report.rglob("*.svg")):
        browser.get(figure.as_uri())
        assert "pwned" not in browser.title and not browser.find_elements("css selector", "script")


def test_tabs_by_keyboard(page):
    from selenium.webdriver.common.keys import Keys

    page.execute_script("document.getElementById('tab-figures').focus()")
    steps = [
        (Keys.ARROW_RIGHT, "tables"), (Keys.END, "samples"), (Keys.ARROW_RIGHT, "figures"),
        (Keys.ARROW_LEFT, "samples"), (Keys.HOME, "figures"),
    ]  # fmt: skip
    for key, part in steps:
        press(page, key)
        assert shown(page) == [part]
        assert page.switch_to.active_element.get_attribute("aria-selected") == "true"
    press(page, Keys.ARROW_RIGHT, Keys.TAB)
    inside = "return document.getElementById('tables').contains(document.activeElement)"
    assert page.execute_script(inside), "one step leads from the tabs to the content"


def test_tables_sort_and_filter(page):
    from selenium.webdriver.common.keys import Keys

    find(page, "#tab-tables").click()

    def column(number: int) -> list[str]:
        rows = "[...document.querySelectorAll('#levels tbody tr')]"
        return page.execute_script(f"return {rows}.map(row => row.cells[arguments[0]].dataset.key)", number)

    heading = page.find_elements("css selector", "#levels th button")[4]
    heading.send_keys(Keys.ENTER)
    values = [float(v) for v in column(4)]
    assert len(values) == 6 and values == sorted(values)
    heading.send_keys(Keys.ENTER)
    assert [float(v) for v in column(4)] == sorted(values, reverse=True)
    assert page.find_elements("css selector", "#levels th")[4].get_attribute("aria-sort") == "descending"
    find(page, "#results input").send_keys("QA exact")
    rows = "[...document.querySelectorAll('#results tbody tr')]"
    names = page.execute_script(f"return {rows}.filter(row => !row.hidden).map(row => row.cells[0].textContent)")
    assert names == ["qa_b"] * 3 and find(page, "#results .count").text == "3 of 7 rows"


def test_samples_are_filtered_by_what_changed(page):
    from selenium.webdriver.support.ui import Select

    find(page, "#tab-samples").click()
    labels = page.find_elements("css selector", "#browser label")
    fields = {label.text.split("\n")[0]: Select(label.find_element("css selector", "select")) for label in labels[:5]}
    count = find(page, "#browser .count")
    waited(page, lambda: count.text == "12 of 12 documents")
    row = find(page, ".sample summary").text
    assert "Q: really?" in row and "Passage" in row and "→ yes" in row
    fields["Show"].select_by_value("changed")  # the smallest model is right on every third, the largest on all
    waited(page, lambda: count.text == "8 of 12 documents")
    fields["Show"].select_by_value("wrong")
    waited(page, lambda: count.text == "0 of 12 documents")
    fields["Model"].select_by_visible_text("atto")
    waited(page, lambda: count.text == "8 of 12 documents")
    fields["Show"].select_by_value("all")
    find(page, "#browser input").send_keys("passage 11 REALLY")
    waited(page, lambda: count.text == "1 of 12 documents")


@pytest.mark.parametrize("part", ["tables", "fits", "samples"])
def test_a_link_to_a_part_leads_to_it_with_title_and_tabs_in_sight(browser, report: Path, part):
    browser.get("about:blank")
    browser.get((report / "report.html").as_uri() + f"#{part}")
    waited(browser, lambda: shown(browser) == [part])
    top = "return document.querySelector(arguments[0]).getBoundingClientRect().top"
    places = [browser.execute_script(top, selector) for selector in ("h1", "#tabs", f"#{part} > *:not(h2)")]
    height = browser.execute_script("return innerHeight")
    assert 0 <= places[0] < places[1] < places[2] < height / 2
    assert find(browser, f"#tab-{part}").get_attribute("aria-selected") == "true"


def test_a_link_to_a_table_keeps_the_tabs_in_sight(browser, report: Path):
    browser.get("about:blank")
    browser.get((report / "report.html").as_uri() + "#levels")
    waited(browser, lambda: shown(browser) == ["tables"])
    top = "return document.querySelector(arguments[0]).getBoundingClientRect()[arguments[1]]"
    waited(browser, lambda: browser.execute_script(top, "#levels", "top") < 300)
    assert browser.execute_script(top, "#tabs", "top") >= 0
    assert browser.execute_script(top, "#levels h3", "top") >= browser.execute_script(top, "#tabs", "bottom") - 1


def test_themes(page):
    def ground() -> str:
        return page.execute_script("return getComputedStyle(document.body).backgroundColor")

    button = find(page, "#theme")
    colours = []
    for name in ("light", "dark", "automatic"):
        button.click()
        assert button.text == f"Theme: {name}"
        colours.append(ground())
    assert colours[0] == "rgb(255, 255, 255)" and colours[1] != colours[0]
    page.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}
    )
    assert ground() == colours[1]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


def test_a_phone_scrolls_only_down(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        for part in ("figures", "tables", "fits", "samples"):
            page.execute_script("document.getElementById(arguments[0]).click()", f"tab-{part}")
            assert page.execute_script("return document.documentElement.scrollWidth") <= 390, part
        find(page, "#tab-figures").click()
        panel = page.execute_script("return document.querySelector('.panel svg').getBoundingClientRect().width")
        assert panel > 330, "a panel keeps its size, so its letters do too"
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

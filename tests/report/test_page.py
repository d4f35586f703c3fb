"""The page in a real browser: nothing complains, nothing is fetched, nothing foreign runs, no mouse is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from evalkit.report import serving
from evalkit.report.measurements import read
from evalkit.report.pages import assemble
from evalkit.report.pages.page import Content, html
from evalkit.report.rescoring import Token
from evalkit.report.selection import select
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


class Scored:
    """Tokens of invented answers: a likely one, an unlikely one; of the first run none, with a reason."""

    count = 2

    def score(self, run, records):
        for record in records:
            tokens = [[Token(" an", -0.25, True), Token("swer\n", -9.5, False)]] * len(record.responses)
            yield tokens if run.folder.name == "micro" else "its model is gone"


@pytest.fixture(scope="module")
def token_page(runs: Path, tmp_path_factory) -> str:
    """The address of a page that shows tokens."""
    selection = select(read([runs / "atto", runs / "micro"])[0])
    content = assemble.content(selection, [], title="Tokens", command="c", scores=Scored())
    path = tmp_path_factory.mktemp("tokens") / "report.html"
    path.write_text(html(content))
    return path.as_uri()


def press(page, *keys: str) -> None:
    page.switch_to.active_element.send_keys(*keys)


def shown(page) -> list[str]:
    return page.execute_script("return [...document.querySelectorAll('.part')].filter(p => !p.hidden).map(p => p.id)")


def find(page, selector: str):
    return page.find_element("css selector", selector)


def filters(page):
    """The fields above the samples, by their labels."""
    from selenium.webdriver.support.ui import Select

    labels = page.find_elements("css selector", "#browser label")
    return {label.text.split("\n")[0]: Select(label.find_element("css selector", "select")) for label in labels[:5]}


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
    find(page, "#tab-samples").click()
    fields, count = filters(page), find(page, "#browser .count")
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


def test_better_and_worse_are_of_the_first_model(page):
    find(page, "#tab-samples").click()
    fields, count = filters(page), find(page, "#browser .count")
    assert [fields[name].first_selected_option.text for name in ("Model", "beside")] == ["micro", "atto"]
    fields["Show"].select_by_value("better")
    waited(page, lambda: count.text == "8 of 12 documents")
    fields["Show"].select_by_value("worse")
    waited(page, lambda: count.text == "0 of 12 documents")
    fields["Task"].select_by_visible_text("qa_b")
    fields["Show"].select_by_value("other")
    waited(page, lambda: count.text == "8 of 12 documents")


def test_the_address_keeps_what_is_shown(browser, report: Path):
    address = (report / "report.html").as_uri()
    browser.get("about:blank")
    browser.get(f"{address}#samples?task=qa_b&shots=4&model=nano&beside=&show=all&words=answer+3")
    waited(browser, lambda: find(browser, "#browser .count").text == "1 of 12 documents")
    fields = filters(browser)
    chosen = [field.first_selected_option.text for field in fields.values()]
    assert chosen == ["qa_b", "4", "nano", "none", "all"] and shown(browser) == ["samples"]
    fields["Shots"].select_by_value("1")
    waited(browser, lambda: "shots=1" in browser.current_url and "model=nano" in browser.current_url)
    find(browser, "#tab-tables").click()
    find(browser, "#tab-samples").click()
    assert "shots=1" in browser.current_url
    browser.get("about:blank")
    browser.get(f"{address}#samples?task=gone&model=%E0%A4%A&show=nonsense")
    waited(browser, lambda: find(browser, "#browser .count").text == "12 of 12 documents")


def test_tokens_are_a_picture_that_can_be_read_aloud(browser, token_page):
    browser.get("about:blank")
    browser.get(f"{token_page}#samples?task=reading_a&shots=0&model=micro&beside=atto&show=tokens")
    waited(browser, lambda: find(browser, "#browser .count").text.endswith("of 12 documents"))
    find(browser, ".sample summary").click()
    lists = waited(browser, lambda: browser.find_elements("css selector", ".sample[open] ol.tokens"))
    assert [tokens.get_attribute("aria-label") for tokens in lists] == [
        f"option {i}: log-probability of each token" for i in (1, 2)
    ]
    likely, unlikely = lists[0].find_elements("css selector", "li")
    assert likely.text.split("\n")[0] == "·an" and "−0.25" in likely.text and "likeliest" in likely.text
    assert unlikely.text.split("\n")[0] == "swer⏎" and "−9.50" in unlikely.text and "likeliest" not in unlikely.text
    widths = [token.find_element("css selector", ".bar i").size["width"] for token in (likely, unlikely)]
    track = unlikely.find_element("css selector", ".bar").size["width"]
    assert 0 < widths[0] < track / 8 and widths[1] >= track - 3
    assert "No log-probabilities of tokens: its model is gone." in find(browser, ".sample[open]").text
    assert browser.get_log("browser") == []


def test_a_sample_is_opened_and_read_by_keys(browser, token_page):
    from selenium.webdriver.common.keys import Keys

    browser.get("about:blank")
    browser.get(f"{token_page}#samples")
    waited(browser, lambda: find(browser, "#browser .count").text == "12 of 12 documents")
    browser.execute_script("document.querySelector('.sample summary').focus()")
    press(browser, Keys.SPACE)
    assert find(browser, ".sample").get_attribute("open") is not None
    press(browser, Keys.TAB)
    inside = "return document.activeElement.matches('.sample[open] pre')"
    assert browser.execute_script(inside), "its prompt can be scrolled by keys"
    outline = "return getComputedStyle(document.activeElement).outlineStyle"
    assert browser.execute_script(outline) == "solid", "where the focus is can be seen"


def test_a_served_page_shows_what_is_new(browser):
    content = Content(title="old", command="c", summary=["s"], figures=[], missing=[], tables=[], fits=[])
    with serving.serving(serving.LOOPBACK, 0) as server:
        server.page = serving.Page(html(content, live="v1").encode(), "v1")
        browser.get(server.url)
        assert browser.title == "old" and find(browser, "#live").text == "Live: this page follows its runs."
        server.page = replace(server.page, problem="a file is broken")
        waited(browser, lambda: "a file is broken" in find(browser, "#live").text)
        server.page = serving.Page(html(replace(content, title="new"), live="v2").encode(), "v2")
        waited(browser, lambda: browser.title == "new")
    waited(browser, lambda: "has ended" in find(browser, "#live").text)


def test_a_phone_scrolls_only_down(page):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": 360, "height": 780, "deviceScaleFactor": 1, "mobile": True}
    )
    try:
        for part in ("figures", "tables", "fits", "samples"):
            page.execute_script("document.getElementById(arguments[0]).click()", f"tab-{part}")
            assert page.execute_script("return document.documentElement.scrollWidth") <= 360, part
        find(page, "#tab-figures").click()
        panel = page.execute_script("return document.querySelector('.panel svg').getBoundingClientRect().width")
        assert panel > 320, "a panel keeps its size, so its letters do too"
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

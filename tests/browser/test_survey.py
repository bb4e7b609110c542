"""The survey page in a real browser (Debian's chromium, headless), driven as a participant does."""

import http.server
import json
import re
import shutil
import threading
import time
from pathlib import Path

import pandas as pd
import pytest

from lib.common import files, paths
from lib.common.methods import PAPER_ARMS
from lib.human_study.ratings import CONSTRUCTS
from lib.survey import answers
from lib.survey import page as survey
from lib.survey.design import draw_up
from lib.survey.texts import kinds

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER),
    reason="chromium and chromedriver are "
    "not installed (Debian packages chromium, chromium-driver)",
)
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
HOSTILE = (
    "</script><script>document.title='broken'</script><img src=x onerror=\"document.title="
    "'broken'\">",
    "quotes \" ' ` and &amp; &lt;b&gt; @@DATA@@ \\u0041 ${1}",
    "\u202egnorts\u202c \u200fright to left\u200f \u2067isolated",
    "unbroken" * 1250,
)


def make_table():
    """Hostile explanations by every method of 12 questions, so that every plan shows all."""
    return pd.DataFrame(
        [
            {
                "method": m,
                "question": f"q{q}",
                "text": f"Is {q} <b>bold</b>?",
                "choices": ("yes", "no & <i>never</i>"),
                "answer": "no & <i>never</i>",
                "right": q % 2 == 0,
                "explanation": HOSTILE[(q + i) % 4],
            }
            for q in range(12)
            for i, m in enumerate(PAPER_ARMS)
        ]
    )


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """A chromium with a fresh profile, whose downloads go to browser.downloads."""
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    folder = tmp_path_factory.mktemp("chromium")
    for flag in (*FLAGS, f"--user-data-dir={folder / 'profile'}", "--window-size=1000,800"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    driver.downloads = folder / "downloads"
    driver.downloads.mkdir()
    driver.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(driver.downloads)}
    )
    yield driver
    driver.quit()


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Function that builds a survey and returns the page's address and its key."""
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(paths, "RAW", tmp_path / "raw")

    def build(kind="ratings", **texts):
        html, key = survey.page_and_key(draw_up(make_table(), kind, people=20), **texts)
        files.write_json(tmp_path / "raw" / "surveys" / f"key-{key['survey']}.json", key)
        path = files.write_text(tmp_path / "page" / "index.html", html)
        assert path.stat().st_size < 300_000  # with twelve texts of 10,000 characters
        return path.as_uri(), key

    return build


def press(browser, *keys):
    ActionChains(browser).send_keys(*keys).perform()


def active(browser):
    return browser.switch_to.active_element


def heading(browser):
    return next(h.text for h in browser.find_elements(By.TAG_NAME, "h1") if h.is_displayed())


def tab_to(browser, wanted, limit=40):
    """Press Tab until the focused element's accessible name begins so."""
    for _ in range(limit):
        if active(browser).accessible_name.startswith(wanted):
            return
        press(browser, Keys.TAB)
    raise AssertionError(f"Tab never came to {wanted}")


def start(browser):
    """From consent to the first page, by keyboard."""
    tab_to(browser, "I am at least 18")
    press(browser, Keys.SPACE)
    tab_to(browser, "Start")
    press(browser, Keys.ENTER)
    assert heading(browser) == "What you will do"
    assert active(browser).text == "What you will do"  # a screen reader hears where it is
    tab_to(browser, "Continue")
    press(browser, Keys.ENTER)


def rate(browser, scores):
    """Choose a score for each statement with arrow keys, then go on with Enter."""
    for score in scores:
        press(browser, Keys.TAB)
        assert active(browser).get_attribute("type") == "radio"
        press(browser, Keys.SPACE, *[Keys.ARROW_RIGHT] * (score - 1))
        assert active(browser).get_attribute("value") == str(score)
    press(browser, Keys.ENTER)


def is_check(browser):
    return browser.find_element(By.CSS_SELECTOR, "#shown h2").text == "Please read this"


def scores_of(k, kind="ratings"):
    """Scores for page k: its number, each statement one on, round and round the scale."""
    return [(k + i) % len(words) + 1 for i, (_, _, words) in enumerate(kinds()[kind].asks)]


def take_part(browser, first=1, last=13, kind="ratings"):
    """Answer these pages; page k gets its scores, the check what it asks for."""
    for k in range(first, last + 1):
        assert heading(browser).startswith(f"Page {k} of ")
        rate(browser, kinds()[kind].passing.values() if is_check(browser) else scores_of(k, kind))


def wait_for(found, seconds=10):
    """Wait until a function gives something true."""
    for _ in range(seconds * 20):
        value = found()
        if value:
            return value
        time.sleep(0.05)
    raise AssertionError("waited in vain")


@pytest.mark.parametrize(("kind", "pages"), [("ratings", 13), ("errors", 9)])
def test_full_participation_by_keyboard_with_a_reload_is_ingested(
    browser, page, tmp_path, kind, pages
):
    address, key = page(kind=kind)
    for file in browser.downloads.glob("*"):
        file.unlink()
    browser.get(address + "?p=7")
    start(browser)
    take_part(browser, 1, 3, kind)
    press(browser, Keys.TAB, Keys.SPACE)  # one answer of page 4, then the browser goes away
    browser.refresh()
    assert heading(browser) == f"Page 4 of {pages}"
    chosen = browser.find_elements(By.CSS_SELECTOR, "#rows :checked")
    assert [(c.get_attribute("name"), c.get_attribute("value")) for c in chosen] == [
        (kinds()[kind].asks[0][0], "1")
    ]
    browser.execute_script("document.querySelector('#item h1').focus()")
    take_part(browser, 4, pages, kind)
    assert heading(browser) == "A little about you (optional)"
    tab_to(browser, "What is your gender?")
    press(browser, "W")
    tab_to(browser, "Finish")
    press(browser, Keys.ENTER)
    assert heading(browser) == "Thank you"
    browser.refresh()  # the end, too, survives a reload
    tab_to(browser, "Download my answers")
    press(browser, Keys.ENTER)
    file = wait_for(lambda: list(browser.downloads.glob("answers-*.json")))[0]

    content = json.loads(file.read_text(encoding="utf-8"))
    assert set(content) == {
        "format",
        "survey",
        "participant",
        "plan",
        "consent",
        "check",
        "facts",
        "answers",
    }
    assert content["plan"] == 7 and content["facts"] == {"gender": "female"}
    assert [a["item"] for a in content["answers"]] == key["plans"][6]
    assert max(a["seconds"] for a in content["answers"]) > 0
    folder = tmp_path / "answers"
    folder.mkdir()
    # A robot is faster than the rules allow; nothing else of its file is changed.
    for answer in content["answers"]:
        answer["seconds"] += 10
    (folder / file.name).write_text(json.dumps(content), encoding="utf-8")
    tables, report = answers.ingest(folder)
    table = tables[kind]
    assert report["kept"].tolist() == [True] and len(table) == pages - 1
    assert table["method"].value_counts().tolist() == [len(table) // 4] * 4
    place = browser.execute_script("return plan().indexOf(-1)")
    assert table[[name for name, *_ in kinds()[kind].asks]].to_numpy().tolist() == [
        scores_of(k, kind) for k in range(1, pages + 1) if k != place + 1
    ]
    assert browser.get_log("browser") == []  # no error, nothing that the policy had to stop


@pytest.mark.parametrize(("kind", "pages"), [("ratings", 13), ("errors", 9)])
def test_hostile_text_is_shown_as_text_on_desktop_and_phone(browser, page, kind, pages):
    address, key = page(kind=kind)
    seen, bare = set(), 0
    for width in (1000, 360):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": 740, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        browser.get(address + "?p=2")
        if width == 1000:
            start(browser)
        browser.execute_script("state.step = 2; show(true)")
        for _ in range(pages):
            if not is_check(browser):
                texts = browser.execute_script(
                    "return Array.from(document.querySelectorAll("
                    "'#shown .panel'), (p) => p.textContent)"
                )
                seen.update(texts)
                bare += not texts
                assert browser.find_element(By.TAG_NAME, "bdi").text == "no & <i>never</i>"
                assert "<b>bold</b>" in browser.find_element(By.ID, "shown").text
                assert not browser.find_elements(
                    By.CSS_SELECTOR, "#shown img, #shown b, #shown i, #shown script"
                )
            assert not browser.execute_script(
                "return document.documentElement.scrollWidth > innerWidth"
            )
            browser.execute_script("go(state.step + 1)")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert seen <= set(HOSTILE) and (len(seen) == 4 or kind == "errors")
    assert bare == (8 if kind == "errors" else 0)  # without explanation: four at each size
    assert "broken" not in browser.title
    assert browser.get_log("browser") == []


def test_nothing_goes_on_without_consent_or_with_a_statement_unrated(browser, page):
    browser.get(page()[0] + "?p=3")
    tab_to(browser, "Start")
    press(browser, Keys.ENTER)
    assert "tick the box" in browser.find_element(By.ID, "consent-error").text
    assert active(browser).get_attribute("id") == "agree"
    start(browser)
    press(browser, Keys.TAB, Keys.SPACE, Keys.ENTER)
    assert browser.find_element(By.ID, "item-error").text == "4 answers are missing."
    assert active(browser).get_attribute("name") == CONSTRUCTS[1]
    assert heading(browser) == "Page 1 of 13"


def test_every_control_has_a_name_and_every_page_a_title(browser, page):
    browser.get(page()[0] + "?p=4")
    start(browser)
    for step in (0, 1, 2, 15, 16):
        browser.execute_script("go(arguments[0])", step)
        assert browser.title.startswith(heading(browser))
        for control in browser.find_elements(By.CSS_SELECTOR, "input, select, button, progress"):
            if control.is_displayed():
                assert control.accessible_name, control.get_attribute("outerHTML")
                if control.tag_name in ("select", "button"):
                    assert control.size["height"] >= 40
        for group in browser.find_elements(By.CSS_SELECTOR, "#rows fieldset"):
            assert not group.is_displayed() or group.accessible_name.endswith(".")
    assert browser.find_element(By.TAG_NAME, "html").get_attribute("lang") == "en"


def test_participants_on_one_device_are_apart_and_answers_can_be_deleted(browser, page):
    address, _ = page()
    browser.get(address + "?p=5")
    start(browser)
    first = browser.execute_script("return state.participant")
    browser.get(address + "?p=6")
    assert heading(browser) == "How good are these explanations?"
    assert browser.execute_script("return state.participant") != first
    browser.get(address + "?p=5")
    assert heading(browser) == "Page 1 of 13"
    assert browser.execute_script("return state.participant") == first
    browser.find_element(By.ID, "forget").click()
    browser.switch_to.alert.accept()
    wait_for(lambda: heading(browser) == "How good are these explanations?")
    assert browser.execute_script("return state.participant") != first
    browser.get(address + "?p=27")  # more people than plans: they go round
    assert browser.execute_script("return state.plan") == 7
    browser.get(address)
    assert 1 <= browser.execute_script("return state.plan") <= 20


def test_page_works_where_storage_is_broken_or_switched_off(browser, page):
    address, _ = page()
    browser.get(address + "?p=9")
    start(browser)
    browser.execute_script("forgotten = true; localStorage.setItem(shelf, '{\"plan\": 99}')")
    browser.refresh()
    assert heading(browser) == "How good are these explanations?"
    script = browser.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument",
        {
            "source": "Object.defineProperty(window, 'localStorage', "
            "{get() { throw new DOMException('off'); }})"
        },
    )
    try:
        browser.get(address + "?p=10")
        start(browser)
        assert heading(browser) == "Page 1 of 13"
        assert "do not reload" in browser.find_element(By.ID, "store").text
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


class Receiver(http.server.BaseHTTPRequestHandler):
    """Stands for the researcher's server: fails twice, then takes what comes."""

    received: list = []
    failures = 2

    def do_OPTIONS(self):
        self.answer(204)

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if Receiver.failures:
            Receiver.failures -= 1
            return self.answer(503)
        Receiver.received.append((dict(self.headers), json.loads(body)))
        return self.answer(200)

    def answer(self, status):
        self.send_response(status)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.send_header("Access-Control-Allow-Headers", "Content-Type")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def test_answers_are_sent_where_the_researcher_says_and_again_after_a_failure(browser, page):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address, key = page(post=f"http://127.0.0.1:{server.server_port}/answers")
        browser.get(address + "?p=8")
        assert "sends your answers to 127.0.0.1" in browser.find_element(By.ID, "consent").text
        start(browser)
        take_part(browser)
        tab_to(browser, "Finish")
        press(browser, Keys.ENTER)
        status = browser.find_element(By.ID, "status")
        wait_for(lambda: "could not be sent" in status.text)
        browser.refresh()  # tries once more
        wait_for(lambda: "could not be sent" in browser.find_element(By.ID, "status").text)
        status = browser.find_element(By.ID, "status")
        tab_to(browser, "Send again")
        press(browser, Keys.ENTER)
        wait_for(lambda: "were sent" in status.text)
        browser.refresh()  # what was sent is not sent twice
        assert "were sent" in browser.find_element(By.ID, "status").text
    finally:
        server.shutdown()
        server.server_close()
    ((headers, content),) = Receiver.received
    assert content["plan"] == 8 and len(content["answers"]) == 12
    assert content["survey"] == key["survey"]
    assert not {"Cookie", "Referer", "Authorization"} & set(headers)
    browser.get_log("browser")  # the refused first attempt is noted there


def test_a_page_that_may_not_send_cannot(browser, page):
    browser.get(page()[0])
    assert (
        browser.execute_async_script(
            "const done = arguments[0]; fetch('http://127.0.0.1:9/').then(() => done('sent'), "
            "() => done('stopped'))"
        )
        == "stopped"
    )
    assert any(
        "Content Security Policy" in entry["message"] for entry in browser.get_log("browser")
    )


def test_screen_colours_have_enough_contrast():
    """WCAG 2's ratio: 4.5 for text, 3 for borders of controls, in the light and the dark theme."""
    themes = re.findall(r"--ground: .*?\}", Path(survey.TEMPLATE).read_text(encoding="utf-8"), re.S)
    for theme in themes:
        colour = dict(re.findall(r"--([\w-]+): (#\w{6})", theme))
        for ground in ("ground", "panel"):
            assert contrast(colour["ink"], colour[ground]) > 7
            assert contrast(colour["soft"], colour[ground]) > 4.5
        assert contrast(colour["line"], colour["ground"]) > 3
        assert contrast(colour["mark"], colour["on-mark"]) > 4.5
        assert contrast(colour["bad"], colour["bad-ground"]) > 4.5
        assert contrast(colour["ink"], colour["pale"]) > 4.5
    assert len(themes) == 2


def contrast(one, other):
    def luminance(colour):
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)

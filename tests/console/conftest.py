"""The console in a real browser, headless: Debian's Chromium, driven by Playwright."""
import os
import pathlib
import re
import shutil

import pytest
from http_client import HttpBroker
from playwright.sync_api import sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
WAIT_MS = 30_000
# Faults of these kinds keep somebody from using a page.
GRAVE = ("serious", "critical")


class Console:
    """A tab of the browser; what its page complains of is a failure."""

    def __init__(self, page, broker, pictures):
        self.page, self.broker, self.pictures = page, broker, pictures
        self.complaints = []
        page.set_default_timeout(WAIT_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda message: message.type in ("error", "warning") and
                self.complaints.append(message.text))

    def open(self, address):
        self.page.goto(f"http://127.0.0.1:{self.broker.admin_port}/#{address}")
        self.settled()

    def settled(self):
        # Functions as texts are against the pages' security policy, which is tested along.
        self.page.locator("main h1").first.wait_for(state="attached")
        self.page.locator("main [aria-busy]").first.wait_for(state="detached")

    def picture(self, name):
        if self.pictures:
            self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)

    def grave_faults(self):
        """What axe-core finds against WCAG 2.1, in words."""
        self.page.evaluate(axe_core())
        found = self.page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [f"{each['id']}: {node['target']} {node['failureSummary']}"
                for each in found["violations"] if each["impact"] in GRAVE
                for node in each["nodes"]]


def axe_core():
    folder = pathlib.Path(os.environ["NODE_PATH"]) / "axe-core"
    return (folder / "axe.min.js").read_text()


@pytest.fixture(scope="session")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium")
    with sync_playwright() as playwright:
        # As root, and in containers, its own sandbox has no place; pages are ours.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def pictures():
    """Screenshots go where SCREENSHOTS says, if it does."""
    if "SCREENSHOTS" not in os.environ:
        return None
    folder = pathlib.Path(os.environ["SCREENSHOTS"])
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="module")
def broker():
    with HttpBroker() as broker:
        yield broker


@pytest.fixture
def console(browser, broker, pictures, request):
    scheme = getattr(request, "param", "light")
    context = browser.new_context(color_scheme=scheme, viewport={"width": 1280, "height": 900})
    console = Console(context.new_page(), broker, pictures)
    yield console
    context.close()
    assert not console.complaints, console.complaints


@pytest.fixture
def topic(broker, request):
    """Of three partitions; the first has thirty records."""
    name = re.sub(r"\W+", "-", request.node.name)[:100]
    with broker.connect() as connection:
        connection.create_topic(name, 3)
        for number in range(30):
            connection.produce(name, 0, [b'{"number":%d}' % number])
    return name



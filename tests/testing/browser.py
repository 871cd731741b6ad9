"""Headless Chromium for tests of pages."""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

SECONDS = 60


class Page:
    """One page in a browser."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, page: Path) -> None:
        """Loads a page and waits until its charts are drawn, or given up."""
        self.driver.get(page.as_uri())
        self.wait_for_charts()

    def wait_for_charts(self) -> None:
        """Waits until nothing is left to draw."""
        self.wait(lambda: self.run("return ['drawn', 'failed'].includes(document.documentElement.dataset.charts)"))

    def wait(self, done: Callable[[], object]) -> None:
        """Waits until `done()` is true."""
        end = time.monotonic() + SECONDS
        while not done():
            assert time.monotonic() < end, "the page did not get there"
            time.sleep(0.02)

    def run(self, script: str, *arguments: Any) -> Any:
        """What a piece of JavaScript returns."""
        return self.driver.execute_script(script, *arguments)

    def command(self, name: str, **arguments: Any) -> Any:
        """A command of the DevTools protocol."""
        return self.driver.execute_cdp_cmd(name, arguments)

    def all(self, selector: str) -> list[Any]:
        """Elements by a CSS selector."""
        return list(self.driver.find_elements("css selector", selector))

    def one(self, selector: str) -> Any:
        """The first element of a CSS selector."""
        return self.driver.find_element("css selector", selector)

    def console(self) -> list[str]:
        """Warnings and errors since the last call."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        messages = [json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance")]
        return [each["params"]["request"]["url"] for each in messages if each["method"] == "Network.requestWillBeSent"]

    def resize(self, width: int, height: int = 1000) -> None:
        """Gives the page itself this size, in CSS px."""
        self.command(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )

    def prefer(self, scheme: str) -> None:
        """Makes the system prefer `dark` or `light`; an empty string is the system's own."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.command("Emulation.setEmulatedMedia", features=features)


@contextlib.contextmanager
def chromium() -> Iterator[Page]:
    """A headless Chromium of the distribution; skips where there is none."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("pages are tested in Chromium: chromium and chromedriver are not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = program
    # Root, as in most containers, cannot have Chromium's sandbox.
    for argument in ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(driver))
    try:
        browser.set_script_timeout(SECONDS)
        page = Page(browser)
        page.resize(1400)
        yield page
    finally:
        browser.quit()

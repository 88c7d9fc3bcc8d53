"""The button "Authorize" of Swagger UI in Chromium."""

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, expect

from tests.browser.chromium import TIMEOUT
from tests.servers import ROOT, answering, environment


def test_swagger_ui_authorizes_with_an_api_key(browser: Browser, tmp_path: Path) -> None:
    """A request is refused before, and answered afterwards."""
    variables = environment({"auth": "keys", "data_dir": tmp_path / "data"}) | {"PYTHONPATH": str(ROOT)}
    create = [sys.executable, "-m", "autocrud", "keys", "create", "ada"]
    key = subprocess.run(create, env=variables, check=True, capture_output=True, text=True).stdout.strip()
    with answering([sys.executable, "-m", "app"], tmp_path, variables) as base:
        page = browser.new_page()
        page.set_default_timeout(TIMEOUT)
        page.goto(f"{base}/docs")
        block = page.locator("#operations-Movie-count_movie")
        block.locator(".opblock-summary-control").click()
        block.get_by_role("button", name="Try it out").click()
        status = block.locator(".live-responses-table tbody .response-col_status").first
        block.get_by_role("button", name="Execute").click()
        expect(status).to_contain_text("401")
        page.locator(".scheme-container button.authorize").click()
        dialog = page.locator(".dialog-ux")
        dialog.locator("input").fill(key)
        dialog.get_by_role("button", name="Apply credentials").click()
        dialog.get_by_role("button", name="Close").last.click()
        block.get_by_role("button", name="Execute").click()
        expect(status).to_contain_text("200")
        page.close()

"""Swagger UI and ReDoc in Chromium, directly and behind a proxy that strips a prefix."""

import json

from playwright.sync_api import Browser, Locator, Page, expect

from tests.browser.chromium import faultless_page


def open_operation(page: Page, operation: str) -> Locator:
    """Open an operation of Swagger UI, and try it out."""
    page.goto("docs")
    block = page.locator(f"#operations-Movie-{operation}")
    block.locator(".opblock-summary-control").click()
    block.get_by_role("button", name="Try it out").click()
    return block


def execute(block: Locator) -> tuple[str, str]:
    """Send the request. Return the URL of the request and the body of the answer."""
    block.get_by_role("button", name="Execute").click()
    live = block.locator(".live-responses-table")
    expect(live).to_be_visible()
    url = block.locator(".request-url pre").inner_text()
    return url, live.locator(".highlight-code code").first.inner_text()


def test_swagger_ui_creates_a_resource(browser: Browser, base: str) -> None:
    """By the example of the body."""
    with faultless_page(browser, base) as page:
        block = open_operation(page, "create_movie")
        block.locator("textarea.body-param__text").fill(json.dumps({"title": "Made by Swagger UI", "year": 1999}))
        url, body = execute(block)
        assert url.startswith(f"{base}movie")
        expect(block.locator(".live-responses-table tbody .response-col_status").first).to_contain_text("201")
        assert "Made by Swagger UI" in body


def test_swagger_ui_lists_without_prefilled_objects(browser: Browser, base: str) -> None:
    """The objects of all operators stay empty. Other fields may be filled by their examples."""
    with faultless_page(browser, base) as page:
        block = open_operation(page, "list_movie")
        for row in block.locator("tr[data-param-name]").all():
            if row.get_attribute("data-param-name") in ("filter", "metadata"):
                assert row.locator("textarea").input_value().strip() in ("", "{}")
                continue
            for control in row.locator("input[type=text]").all():
                control.fill("")
        block.locator('tr[data-param-name="year"] input').fill("1949")
        url, body = execute(block)
        assert url.split("?")[0] == f"{base}movie"
        assert "year=1949" in url
        assert "filter" not in url
        assert "metadata" not in url
        assert "Film 49" in body


def test_redoc_renders_all_models(browser: Browser, base: str) -> None:
    """With a search that works."""
    with faultless_page(browser, base) as page:
        page.goto("redoc")
        expect(page.get_by_role("heading", name="Create a movie")).to_be_visible()
        expect(page.get_by_role("heading", name="List documents")).to_have_count(1)
        page.get_by_placeholder("Search...").fill("referrers")
        expect(page.locator('[data-role="search:results"]')).to_contain_text("refer")

"""The home page and the data view in Chromium, directly and behind a proxy that strips a prefix."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import faultless_page

PATHS = (
    "",
    "movie",
    "movie/film-0",
    "movie/film-0/revisions",
    "movie/film-0/revisions/diff?from=1&to=3",
    "document/notes",
    "person/reed",
)


TITLE = 'td[data-label="title"]'


def titles(page: Page) -> list[str]:
    """Return the titles in the table."""
    return [text.strip() for text in page.locator(TITLE).all_inner_texts()]


def test_home_page_leads_to_the_data(browser: Browser, base: str) -> None:
    """And back."""
    with faultless_page(browser, base) as page:
        page.goto("")
        expect(page.get_by_role("heading", name="autocrud")).to_be_visible()
        page.get_by_role("link", name="movie", exact=True).click()
        expect(page).to_have_url(f"{base}movie")
        expect(page.locator(TITLE)).to_have_count(20)
        assert len(titles(page)) == 20
        page.get_by_role("link", name="Home").click()
        expect(page).to_have_url(base)


def test_table_is_filtered_sorted_and_paged(browser: Browser, base: str) -> None:
    """By clicks alone."""
    with faultless_page(browser, base) as page:
        page.goto("movie")
        page.get_by_label("Field").select_option("year")
        assert page.get_by_label("Condition").locator("option[value=regex]").count() == 0
        page.get_by_label("Condition").select_option(label="is at least")
        page.get_by_label("Value").fill("1930")
        page.get_by_role("button", name="Add filter").click()
        expect(page).to_have_url(re.compile(r"movie\?.*year__gte=1930"))
        page.get_by_role("link", name="year", exact=True).click()
        # A click does not wait for the next page, and what is expected of the page does.
        expect(page.locator("th[aria-sort=ascending]")).to_contain_text("year")
        assert titles(page)[:2] == ["Film 30", "Film 31"]
        page.get_by_role("link", name="Next page").click()
        expect(page.locator(TITLE).first).to_have_text("Film 50")
        assert titles(page)[0] == "Film 50"
        page.get_by_role("link", name="First page").click()
        page.locator("th[aria-sort=ascending]").get_by_role("link").click()
        expect(page.locator("th[aria-sort=descending]")).to_contain_text("year")
        page.get_by_role("link", name=re.compile("^Remove the filter: year")).click()
        expect(page.get_by_label("Filters")).to_have_count(0)


def test_search_finds_words(browser: Browser, base: str) -> None:
    """Of text fields."""
    with faultless_page(browser, base) as page:
        page.goto("movie")
        page.get_by_label("Search").fill("restored")
        page.get_by_role("button", name="Search").click()
        expect(page).to_have_url(re.compile("q=restored"))
        expect(page.locator(TITLE)).to_have_count(1)
        assert titles(page) == ["The Third Man, restored again"]


def test_resource_shows_history_and_differences(browser: Browser, base: str) -> None:
    """Of any two revisions."""
    with faultless_page(browser, base) as page:
        page.goto("movie?q=restored")
        page.get_by_role("link", name="film-0").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("The Third Man, restored again")
        page.get_by_label("From").fill("1")
        page.get_by_label("To", exact=True).fill("3")
        page.get_by_role("button", name="Compare").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Revision 1 and revision 3")
        expect(page.locator("table.diff").first.locator("ins").first).to_contain_text("restored again")
        page.get_by_text("unchanged values").click()
        expect(page.get_by_role("rowheader", name="year")).to_be_visible()


def test_time_slider_shows_the_past(browser: Browser, base: str) -> None:
    """By keyboard; the label follows the slider."""
    with faultless_page(browser, base) as page:
        page.goto("movie/film-0")
        slider = page.get_by_role("slider")
        slider.focus()
        page.keyboard.press("Home")
        expect(page.locator("output")).to_contain_text("create")
        page.get_by_role("button", name="Go").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("The Third Man")
        expect(page).to_have_url(re.compile("at="))
        page.get_by_role("link", name="Show the current state").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("The Third Man, restored again")
        page.locator("tr", has_text="delete").get_by_role("link").click()
        expect(page.get_by_text("State at")).to_be_visible()


def test_image_is_shown_and_a_drawing_is_not(browser: Browser, base: str) -> None:
    """The drawing has a script."""
    with faultless_page(browser, base) as page:
        page.goto("document/notes")
        image = page.get_by_role("img")
        expect(image).to_have_count(1)
        expect(image).to_have_js_property("naturalWidth", 8)
        expect(page.get_by_role("link", name=re.compile("plan.svg"))).to_be_visible()
        page.get_by_role("link", name="reed").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Carol Reed")
        page.get_by_role("link", name="notes").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Notes on Vienna")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("width", [390, 1280])
def test_page_fits_the_window(browser: Browser, base: str, path: str, width: int) -> None:
    """Without a horizontal scroll bar."""
    with faultless_page(browser, base, width) as page:
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_pages_work_without_scripts(browser: Browser, base: str) -> None:
    """Forms are plain HTML."""
    context = browser.new_context(base_url=base, java_script_enabled=False)
    page = context.new_page()
    page.goto("movie")
    page.get_by_label("Field").select_option("title")
    page.get_by_label("Condition").select_option("icontains")
    page.get_by_label("Value").fill("THIRD")
    page.get_by_role("button", name="Add filter").click()
    expect(page).to_have_url(re.compile("icontains"))
    expect(page.locator(TITLE)).to_have_count(1)
    assert titles(page) == ["The Third Man, restored again"]
    context.close()


def test_problem_is_a_page(browser: Browser, base: str) -> None:
    """With a way back."""
    context = browser.new_context(base_url=base)
    page = context.new_page()
    response = page.goto("movie/nothing")
    assert response is not None
    assert response.status == 404
    page.get_by_role("link", name="Show all movies").click()
    expect(page).to_have_url(f"{base}movie")
    context.close()

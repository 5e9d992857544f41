"""The pages of the live view, and waiting until one is there."""

from playwright.sync_api import Page, expect

PAGES = ("Overview", "Pareto front", "Robustness", "Embeddings", "Images")


def drawn(page: Page) -> int:
    """Wait until each chart of the page is drawn; how many there are, at least one."""
    page.wait_for_function(
        "() => { const charts = [...document.querySelectorAll('.chart')];"
        " return charts.length && charts.every(c => c.querySelector('.main-svg')); }"
    )
    return page.locator(".chart").count()


def heading(page: Page, words: str) -> None:
    """Wait for a page by its heading."""
    expect(page.locator("main h1")).to_contain_text(words)

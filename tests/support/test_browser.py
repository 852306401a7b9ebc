"""The browser that tests look through is a real one."""

import pytest
from playwright.sync_api import Browser


@pytest.mark.browser
def test_a_page_is_laid_out_and_its_script_runs(browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 375, "height": 600})
    page.set_content("<main style='width: 50vw'></main><script>document.title = 2 + 2</script>")
    box = page.locator("main").bounding_box()
    assert page.title() == "4"
    assert box is not None
    assert box["width"] == 187.5
    page.close()

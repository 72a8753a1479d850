"""What tests of pages share: waiting for the page that an action leads to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page


@contextmanager
def next_page(page: Page) -> Iterator[None]:
    """Wait at the end of the block until the page that its actions lead to is loaded.

    A press or a click returns while the response still arrives: what is then read may be of the page before,
    or a row of which half is there. The event `load` is awaited from before the action.
    """
    with page.expect_event("load"):
        yield

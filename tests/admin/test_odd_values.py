"""No page fails for an odd value in what is stored, in the parameters of its URL or in its form: from the URLconf.

The first and the last date are in `test_extreme_dates`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import quote
from django.test import Client
from django.urls import reverse

from memory.admin.search_page import SearchForm
from memory.models import AgentData, MemoryItem, UserSession
from tests.api.test_tenancy import paths

pytestmark = pytest.mark.django_db(databases=["default", "memory"])

ODD = "a/b?c#d%e_f:g\"h'<i>\\ü😀\u202e"
SESSION = quote(UserSession.make_id(ODD, ODD))
DEEP: Any = 1
for level in range(18):
    DEEP = {"a": DEEP} if level % 2 else [DEEP]
METADATA: dict[str, Any] = {
    "deep": DEEP,
    "numbers": [2**63 - 1, -(2**63), 1.7e308, 5e-324, -0.0],
    "texts": ["", " ", "\x00", "\x1b[0m", "</script>", "{{ 1 }}", "%s", "x" * 10_000],
    "role": ["user"],
    "<b>": None,
}
TEXTS = {"odd": ODD, "empty": "", "nul": "a\x00b\x01\x7f\x85\u2028", "long": "x" * 100_000}
# Encoded, since some of them are no text.
CHARACTERS, NUMBER, JSON = "%00%ED%A0%80%FF'\"%25_%5B%7B%5C", "9" * 400, '["\\ud800\\u0000",1e999]'
FORM = "application/x-www-form-urlencoded"
OF_LISTS = ("q", "p", "o")
OF_PAGES = ("all", "e", "_changelist_filters", "_to_field", "_popup", "after", "format", *SearchForm.base_fields)
DATES = ("year", "month", "day", "gte", "lt")


@pytest.fixture
def _records() -> None:
    """Records of an odd owner, of each text."""
    for name, text in TEXTS.items():
        names = {"user_id": ODD, "session_id": ODD, "item_type": ODD, "persona_active": ODD}
        MemoryItem.objects.create(id=name, text_content=text, metadata=METADATA, **names)
        AgentData.objects.create(id=name, agent_id=ODD, data_type=ODD, content=[METADATA, text], metadata=METADATA)
    UserSession.objects.update(metadata=METADATA)


@pytest.mark.usefixtures("_records")
def test_pages_of_odd_records(superuser: Client) -> None:
    """Each page, of each record."""
    failed = []
    for template in paths("admin/memory/"):
        path = template.replace("ada:chat", SESSION).replace("/ada/", f"/{quote(ODD)}/")
        for one in dict.fromkeys(path.replace("of-ada", name) for name in TEXTS):
            response = superuser.get(one)
            if response.streaming:
                b"".join(response)  # type: ignore[arg-type]
            if response.status_code >= 500:
                failed.append(one)
    assert failed == []


def parameters() -> Iterator[tuple[str, list[str]]]:
    """Each page's path, and what to ask of it: each parameter of a list, and all parameters of other pages at once."""
    lists = {reverse(f"admin:{each.opts.app_label}_{each.opts.model_name}_changelist"): each for each in registered()}
    for path in paths("admin/memory"):
        asked = ["&".join(f"{name}={value}" for name in OF_PAGES) for value in (CHARACTERS, NUMBER, "")]
        if each := lists.get(path):
            filters = [one.parameter_name for one in each.list_filter if hasattr(one, "parameter_name")]
            names = [*OF_LISTS, *filters, *(f"{each.date_hierarchy or 'id'}__{part}" for part in DATES)]
            asked += [f"{name}={value}" for name in names for value in (CHARACTERS, NUMBER)]
        yield path, asked


def registered() -> list[Any]:
    """The admins of the app's models."""
    return [each for each in admin.site._registry.values() if each.opts.app_label.startswith("memory")]


@pytest.mark.long
def test_odd_parameters(superuser: Client) -> None:
    """Whatever a URL asks."""
    MemoryItem.objects.create(id="of-ada", user_id="ada", session_id="chat", item_type="m", metadata={"role": "user"})
    AgentData.objects.create(id="of-ada", agent_id="ada", data_type="plan")
    superuser.raise_request_exception = False
    failed = [
        (path, query[:80])
        for path, queries in parameters()
        for query in queries
        if superuser.get(f"{path}?{query}").status_code >= 500
    ]
    assert failed == []


@pytest.mark.parametrize("model_admin", registered(), ids=lambda each: each.opts.model_name)
def test_odd_forms(superuser: Client, model_admin: Any) -> None:
    """Whatever a form sends, for a new record and for one that exists."""
    MemoryItem.objects.create(id="of-ada", user_id="ada", session_id="chat", item_type="m", metadata={"role": "user"})
    AgentData.objects.create(id="of-ada", agent_id="ada", data_type="plan")
    superuser.raise_request_exception = False
    name = f"admin:{model_admin.opts.app_label}_{model_admin.opts.model_name}"
    pk = "ada:chat" if model_admin.model is UserSession else "of-ada"
    for path in (reverse(f"{name}_add"), reverse(f"{name}_change", args=[quote(pk)])):
        form = superuser.get(path)
        if form.status_code != 200:  # not offered
            continue
        fields = form.context["adminform"].form.fields
        for value in (CHARACTERS, NUMBER, JSON, ""):
            sent = "&".join(f"{field}{part}={value}" for field in fields for part in ("", "_0", "_1"))
            assert superuser.post(path, sent, FORM).status_code < 500, (path, value[:20])

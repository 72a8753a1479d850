"""The search page: one person's memory, ranked, with the reasons, the turns around each result, and feedback.

    /admin/memory/memoryitem/search/?user=ada&q=what did she paint

Feedback is stored as `SearchLabel`s: `memory_evaluate --feedback` measures the search by them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote
from django.contrib.auth import get_permission_codename
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import urlencode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from memory.backends.firestore.batch_fetch import fetch

from ..conf import memory_settings
from ..embedding import EmbedderError
from ..extras import MissingExtra
from ..models import MemoryItem, SearchLabel
from ..text_index import Results
from .display import clip, conversation_url, excerpt, time_text
from .pages import page_context, require
from .people import person_url
from .plots import Level, Value, levels
from .search import waiting_text

MOST_RESULTS: Final = 20
MAX_TEXT: Final = 2_000
MAX_NEIGHBOUR: Final = 400
WORD: Final = re.compile(r"\w+")
YES, NO, NOTHING = "yes", "no", "nothing"

Piece = tuple[str, bool]
"""A part of a text, and whether it matches."""


@dataclass(frozen=True)
class Neighbour:
    """The turn before or after a result in its session."""

    place: str
    speaker: str
    text: str
    time: str


@dataclass(frozen=True)
class Result:
    """A result on the page. `label` is the feedback that was given: yes, no or nothing."""

    item: MemoryItem
    score: float
    parts: Sequence[Level]
    pieces: Sequence[Piece]
    time: str
    speaker: str
    url: str
    conversation: str
    neighbours: Sequence[Neighbour]
    same: int
    label: str


class SearchForm(forms.Form):
    """What to search, in whose memory."""

    user = forms.CharField(label=gettext_lazy("person"), max_length=1_500)
    q = forms.CharField(label=gettext_lazy("question"), max_length=10_000)
    min_score = forms.FloatField(label=gettext_lazy("least score"), min_value=0, max_value=1, required=False)
    hidden = forms.BooleanField(label=gettext_lazy("hidden items, too"), required=False)
    asker = forms.CharField(label=gettext_lazy("asked by"), max_length=1_500, required=False)


def marked(text: str, is_sought: Callable[[str], Collection[str]]) -> list[Piece]:
    """A text in pieces, those that match apart. `is_sought` returns the parts of a word to mark, or the word."""
    pieces: list[Piece] = []
    end = 0
    for found in WORD.finditer(text):
        for start, stop in spans(found[0], is_sought(found[0])):
            start, stop = start + found.start(), stop + found.start()
            if start > end:
                pieces.append((text[end:start], False))
            if pieces and pieces[-1][1] and start <= end:
                pieces[-1] = (pieces[-1][0] + text[end:stop], True)
            else:
                pieces.append((text[start:stop], True))
            end = max(end, stop)
    return [*pieces, (text[end:], False)] if end < len(text) else pieces


def spans(word: str, parts: Collection[str]) -> list[tuple[int, int]]:
    """Where the parts are in a word, in order; neighbours and overlaps are joined."""
    lowered = word.lower()
    found = sorted((at.start(), at.end()) for part in parts for at in re.finditer(re.escape(part), lowered))
    joined: list[tuple[int, int]] = []
    for start, stop in found:
        if stop > len(word):  # lower case may be longer
            continue
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(stop, joined[-1][1]))
        else:
            joined.append((start, stop))
    return joined


def matcher(question: str, language: str | None) -> Callable[[str], Collection[str]]:
    """For `marked`: words with a term of the question; of text without spaces, the characters that match."""
    # An extra, which a search needs, too.
    from ..search.languages import detected
    from ..search.terms import query_terms, terms

    spoken = language or detected(question)
    sought = frozenset(query_terms(question, spoken))

    def is_sought(word: str) -> Collection[str]:
        of_word = terms(word, spoken)
        if len(of_word) == 1:
            return (word.lower(),) if of_word[0] in sought else ()
        return sought.intersection(of_word)

    return is_sought


def neighbours(items: Sequence[MemoryItem]) -> list[list[Neighbour]]:
    """The turn before and the turn after each item in its session, by time: two rows each, read in one round."""
    inside = [item for item in items if item.session_id is not None]
    found = iter(fetch([query for item in inside for query in around(item)]))
    by_id: dict[str, list[Neighbour]] = {}
    for item in inside:
        both = zip((_("before"), _("after")), (next(found), next(found)), strict=True)
        by_id[item.pk] = [neighbour(place, rows[0]) for place, rows in both if rows]  # type: ignore[index]
    return [by_id.get(item.pk, []) for item in items]


def around(item: MemoryItem) -> list[QuerySet[Any, Any]]:
    """Queries of the turns before and after an item."""
    turns = MemoryItem.objects.for_user(item.user_id).in_session(item.session_id)
    columns = ("timestamp", "text_content", "metadata", "item_type")
    before = turns.filter(timestamp__lt=item.timestamp).newest_first()
    after = turns.filter(timestamp__gt=item.timestamp).order_by("timestamp", "id")
    return [before.values_list(*columns)[:1], after.values_list(*columns)[:1]]


def neighbour(place: str, row: Any) -> Neighbour:
    """A turn, for the page."""
    timestamp, text, metadata, kind = row
    role = metadata.get("role") if isinstance(metadata, dict) else None
    speaker = role if isinstance(role, str) and role else kind
    return Neighbour(place, excerpt(speaker, 40), clip(text or "", MAX_NEIGHBOUR), time_text(timestamp))


def parts_of(item: Any) -> list[Level]:
    """The parts of a score, the largest first."""
    parts = sorted(item.score_parts.items(), key=lambda one: -abs(one[1]))
    return levels([Value(name, max(0.0, value), f"{value:+.2f}") for name, value in parts])


def results(found: Sequence[Any], question: str, labels: Mapping[str, str]) -> list[Result]:
    """The results for the page."""
    if not found:
        return []
    is_sought = matcher(question, memory_settings.language)
    return [
        Result(
            item=item,
            score=item.score,
            parts=parts_of(item),
            pieces=marked(clip(item.text_content or "", MAX_TEXT), is_sought),
            time=time_text(item.timestamp),
            speaker=speaker_of(item),
            url=reverse("admin:memory_memoryitem_change", args=(quote(item.pk),)),
            conversation="" if item.session_id is None else conversation_url(item.user_id, item.session_id, item.pk),
            neighbours=near,
            same=len(item.same),
            label=labels.get(item.pk, ""),
        )
        for item, near in zip(found, neighbours(found), strict=True)
    ]


def speaker_of(item: MemoryItem) -> str:
    """Who speaks: the role or the type, and the persona."""
    return excerpt(" / ".join(part for part in (item.role or item.item_type, item.persona_active) if part), 60)


def search(request: HttpRequest, wanted: Mapping[str, Any]) -> Results:
    """The results of the search, or none with a message."""
    try:
        items = MemoryItem.objects.for_user(wanted["user"])
        return items.search(
            wanted["q"],
            limit=MOST_RESULTS,
            explain=True,
            min_score=wanted["min_score"] or 0.0,
            hidden=wanted["hidden"],
            asker=wanted["asker"],
        )
    except EmbedderError as error:
        messages.error(request, _("The embedding model is unavailable: %s") % error)
        return Results()
    except MissingExtra as error:
        messages.error(request, str(error))
        return Results()


def search_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """The page; `user` and `q` ask."""
    require(request, model_admin.admin_site)
    asked = "user" in request.GET or "q" in request.GET
    form = SearchForm(request.GET if asked else None)
    context = {
        **page_context(model_admin, request, _("Search")),
        "form": form,
        "names_url": reverse("admin:memory_people_names"),
        "may_label": may_label(request),
        "feedback_url": reverse("admin:memory_feedback"),
    }
    if asked and form.is_valid():
        wanted = form.cleaned_data
        labels = labels_of(wanted["user"], wanted["q"])
        best = search(request, wanted)
        found = results(best, wanted["q"], labels)
        context |= {
            "asked": wanted,
            "results": found,
            "waiting": waiting_text(best.waiting) if best.waiting else "",
            **nothing_found(found),
            "nothing_label": labels.get("", ""),
            "person_url": person_url(wanted["user"]),
        }
    return TemplateResponse(request, "admin/memory/search.html", context)


def nothing_found(found: Sequence[Result]) -> dict[str, Any]:
    """Whether no result has the least score of an answer, and that score; neither without search."""
    try:
        from ..search import MIN_SCORE  # needs an extra
    except MissingExtra:
        return {}
    return {"nothing_found": all(one.score < MIN_SCORE for one in found), "least": MIN_SCORE}


def labels_of(user_id: str, question: str) -> dict[str, str]:
    """The feedback on a question by the id of the item; that on the whole question by the empty id."""
    rows = SearchLabel.of_question(user_id, question).values_list("item_id", "answers")
    return {item_id: NOTHING if not item_id else YES if answers else NO for item_id, answers in rows}


def may_label(request: HttpRequest) -> bool:
    """Whether the user may give feedback."""
    return request.user.has_perm(f"memory.{get_permission_codename('add', SearchLabel._meta)}")


def feedback_view(model_admin: Any, request: HttpRequest) -> HttpResponse:
    """Store feedback: whether an item answers the question, or that nothing does. Returns to the page."""
    require(request, model_admin.admin_site)
    if not may_label(request):
        raise PermissionDenied
    form = SearchForm(request.POST)
    kind, item_id = request.POST.get("label"), request.POST.get("item", "")
    if request.method != "POST" or not form.is_valid() or kind not in (YES, NO, NOTHING):
        return HttpResponseBadRequest(_("Feedback needs a person, a question and a label."), content_type="text/plain")
    user_id, question = form.cleaned_data["user"], form.cleaned_data["q"]
    item_id = "" if kind == NOTHING else item_id
    if kind != NOTHING and not MemoryItem.objects.for_user(user_id).filter(pk=item_id).exists():
        return HttpResponseBadRequest(_("There is no such item of this person."), content_type="text/plain")
    SearchLabel.store(user_id, question, item_id, answers=kind == YES, by=request.user.get_username())
    messages.success(request, _("Thank you. memory_evaluate --feedback measures the search by it."))
    query = {"user": user_id, "q": question, **given(form.cleaned_data)}
    anchor = "#nothing" if kind == NOTHING else f"#item-{request.POST.get('place', '')}"
    return HttpResponseRedirect(f"{reverse('admin:memory_search')}?{urlencode(query)}{anchor}")


def given(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a search that were used."""
    options = {
        "min_score": wanted["min_score"],
        "hidden": "on" if wanted["hidden"] else None,
        "asker": wanted["asker"] or None,
    }
    return {name: value for name, value in options.items() if value is not None}

"""A statement is a query: what logs, wrappers and assertions see, and the calls inside."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest
from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, IntegrityError, connection, connections, reset_queries, transaction
from django.db.models import Count, F
from django.test import SimpleTestCase, TestCase, TransactionTestCase
from django.test.utils import CaptureQueriesContext

from memory.backends.firestore.batch_fetch import Counted, fetch
from memory.backends.firestore.testing import CaptureRPCsContext, NumRPCsMixin, assert_num_rpcs
from tests.engine.app.models import Author, Hall, Note, Point

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def notes() -> None:
    ann = Author.objects.create(name="ann")
    Note.objects.bulk_create(Note(id=f"n{i}", stars=i, author=ann) for i in range(4))


STATEMENTS = [
    (lambda: Note.objects.get(pk="n1"), "SELECT", "native", 1, 0),
    (lambda: list(Note.objects.filter(stars__gte=2)), "SELECT", "native", 2, 0),
    (lambda: list(Note.objects.filter(pk__in=[f"m{i}" for i in range(700)])), "SELECT", "native", 700, 0),
    (lambda: list(Note.objects.select_related("author").filter(stars=1)), "SELECT", "mirror", 2, 0),
    (lambda: Note.objects.filter(owner__icontains="N").count(), "SELECT", "mirror", 4, 0),
    (lambda: Note.objects.aggregate(Count("pk")), "SELECT", "native", 1, 0),
    (lambda: list(Note.objects.filter(stars=1).iterator()), "SELECT", "native", 1, 0),
    (lambda: Note.objects.create(id="new"), "INSERT", "write", 0, 1),
    (lambda: Note.objects.filter(stars__gte=2).update(text="x"), "UPDATE", "write", 2, 2),
    (lambda: Note.objects.filter(pk="n1").update(reads=F("stars") * 2), "UPDATE", "mirror", 1, 1),
    (lambda: Note(pk="n1").delete(), "DELETE", "write", 0, 1),
]


@pytest.mark.parametrize(("run", "verb", "lane", "read", "written"), STATEMENTS)
def test_one_entry_for_each_statement(
    run: Callable[[], Any], verb: str, lane: str, read: int, written: int, notes: None
) -> None:
    """However many calls it takes; the entry holds them and their sums."""
    with CaptureQueriesContext(connection) as captured, CaptureRPCsContext(connection) as calls:
        run()
    (entry,) = captured.captured_queries
    assert entry["sql"].startswith(verb)
    assert float(entry["time"]) >= 0
    assert (entry["lane"], entry["documents_read"], entry["documents_written"]) == (lane, read, written)
    assert entry["rpcs"] == calls.captured_rpcs
    assert {"method", "description", "time", "lane", "documents_read", "documents_written", "error"} == set(
        entry["rpcs"][0]
    )


def test_values_are_in_the_text(notes: None) -> None:
    """As SQLite's would be."""
    with CaptureQueriesContext(connection) as captured:
        Note.objects.filter(text="it's", stars=None).exists()
        Author(id=7, name="bob").save(force_insert=True)
    assert "\"text\" = 'it''s'" in captured[0]["sql"]
    assert "VALUES (7, 'bob')" in captured[1]["sql"]


def test_long_vectors_are_shortened_in_the_text() -> None:
    """Writing out hundreds of numbers per row would cost more than the row's write."""
    with CaptureQueriesContext(connection) as captured:
        Point.objects.create(id="p", owner="ada", vector=[0.5, 1.5, *[2.0] * 300])
    assert "'[0.5, 1.5, ...]'" in captured.captured_queries[0]["sql"]
    assert "2.0" not in captured.captured_queries[0]["sql"]


def test_a_statement_that_cannot_have_rows_is_not_sent() -> None:
    """As with SQL."""
    with CaptureQueriesContext(connection) as captured:
        assert list(Note.objects.none()) == []
        assert list(Note.objects.filter(pk__in=[]).values("pk")) == []
        assert Note.objects.filter(pk__in=[]).update(text="x") == 0
    assert len(captured) == 0


def test_a_statement_that_fails_is_logged(notes: None) -> None:
    """With the error of its call."""
    with CaptureQueriesContext(connection) as captured, pytest.raises(IntegrityError):
        Note.objects.create(id="n1")
    assert [entry["rpcs"][0]["error"] for entry in captured] == ["ALREADY_EXISTS"]


def test_rows_that_are_read_later_belong_to_their_statement(notes: None) -> None:
    """Two iterators side by side."""
    with CaptureQueriesContext(connection) as captured:
        one, other = (Note.objects.order_by(order).iterator(chunk_size=1) for order in ("stars", "-stars"))
        assert [(a.stars, b.stars) for a, b in zip(one, other, strict=True)] == [(0, 3), (1, 2), (2, 1), (3, 0)]
    assert [entry["documents_read"] for entry in captured] == [4, 4]


def test_reads_side_by_side_are_a_statement_each(notes: None) -> None:
    """With its own call."""
    with CaptureQueriesContext(connection) as captured:
        fetch([Note.objects.filter(stars=1), Counted(Note.objects.all())])
    assert [len(entry["rpcs"]) for entry in captured] == [1, 1]
    assert [entry["sql"][:12] for entry in captured] == ['SELECT "engi', "SELECT COUNT"]


def test_transactions_are_logged_as_on_sql_databases(notes: None) -> None:
    """BEGIN, savepoints and COMMIT, which holds the call that writes."""
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        Note.objects.create(id="a")
        with transaction.atomic():
            Note.objects.create(id="b")
    words = [entry["sql"].split()[0] for entry in captured]
    assert words == ["BEGIN", "INSERT", "SAVEPOINT", "INSERT", "RELEASE", "COMMIT"]
    assert [call["method"] for call in captured[-1]["rpcs"]] == ["Commit"]
    assert captured[-1]["documents_written"] == 2
    with CaptureQueriesContext(connection) as captured, transaction.atomic():
        Note.objects.get(pk="a")
        transaction.set_rollback(True)
    assert [entry["sql"].split()[0] for entry in captured] == ["BEGIN", "SELECT", "ROLLBACK"]
    assert [call["method"] for entry in captured for call in entry["rpcs"]] == [
        "BeginTransaction", "GetDocument", "Rollback",
    ]  # fmt: skip


def test_wrappers_see_statements_and_may_refuse_them(notes: None) -> None:
    """With a cursor and the connection in the context."""
    seen = []

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        seen.append((sql.split()[0], many, context["connection"].alias, context["cursor"].db.vendor))
        if sql.startswith("DELETE"):
            raise DatabaseError("no")
        return execute(f"{sql} /* seen */", params, many, context)

    with connection.execute_wrapper(wrapper):
        assert Note.objects.filter(pk="n1").update(text="x") == 1
        assert len(list(Note.objects.select_related("author"))) == 4
        with pytest.raises(DatabaseError, match="no"):
            Note(pk="n1").delete()
    assert seen == [(verb, False, "default", "firestore") for verb in ("UPDATE", "SELECT", "DELETE")]
    assert Note.objects.filter(pk="n1").exists()


def test_a_tool_that_replaces_the_cursor_sees_statements(notes: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """As django-debug-toolbar does."""
    seen = []
    wrapper: Any = connections["default"]

    def cursor() -> Any:
        made = type(wrapper).cursor(wrapper)

        class Recording(type(made)):  # type: ignore[misc]
            def execute(self, sql: str, params: Any = None) -> Any:
                seen.append(sql.split()[0])
                return super().execute(sql, params)

        return Recording(made.cursor, wrapper)

    monkeypatch.setattr(wrapper, "cursor", cursor)
    Note.objects.get(pk="n1")
    Note.objects.create(id="new")
    assert seen == ["SELECT", "INSERT"]


def test_connections_are_checked_before_each_statement(notes: None) -> None:
    """That the thread may use them, and that no event loop runs: also if nobody looks at statements."""
    wrapper, refused = connections["default"], []

    def use() -> None:
        connections["default"] = wrapper
        for run in (lambda: Note.objects.get(pk="n1"), lambda: Note.objects.create(id="new")):
            with pytest.raises(DatabaseError, match="created in a thread") as caught:
                run()
            refused.append(caught.value)

    thread = Thread(target=use)
    thread.start()
    thread.join()
    assert len(refused) == 2

    async def asynchronously() -> None:
        with pytest.raises(SynchronousOnlyOperation):
            Note.objects.get(pk="n1")

    asyncio.run(asynchronously())


def test_explain_is_a_statement(notes: None) -> None:
    """It makes no call."""
    with CaptureQueriesContext(connection) as captured:
        Note.objects.filter(stars=1).explain()
    assert [(entry["sql"].split()[0], entry["rpcs"]) for entry in captured] == [("EXPLAIN", [])]


def test_calls_are_counted_and_forgotten_with_queries(notes: None) -> None:
    """`connection.rpcs` is on and off, and cleared, as `connection.queries` is."""
    Note.objects.get(pk="n1")
    assert connection.rpcs == []
    with CaptureQueriesContext(connection):
        list(Note.objects.select_related("author"))
        assert [call["method"] for call in connection.rpcs] == ["RunQuery", "GetDocument"]
        reset_queries()
        assert connection.rpcs == connection.queries == []


def test_a_wrong_number_of_calls_fails(notes: None) -> None:
    """And the calls are listed."""
    with assert_num_rpcs(2):
        list(Note.objects.select_related("author"))
    with pytest.raises(AssertionError, match="1 RPCs made, 2 expected") as raised, assert_num_rpcs(2):
        Note.objects.get(pk="n1")
    assert str(raised.value).splitlines()[1].startswith("1. GetDocument: engine_note")


@pytest.mark.parametrize("sql", ["SELECT 1", " select  1 ;"])
def test_a_ping_answers(sql: str) -> None:
    """`SELECT 1`, which health checks send, is a read of one document that need not exist."""
    with CaptureRPCsContext(connection) as calls, connection.cursor() as cursor:
        cursor.execute(sql)
        assert cursor.description[0][0] == "1"
        assert cursor.fetchone() == (1,)
        assert cursor.fetchone() is None
        cursor.execute(sql)
        assert cursor.fetchall() == [(1,)]
        cursor.execute(sql)
        assert list(cursor) == [(1,)]
    assert [call["method"] for call in calls] == ["GetDocument"] * 3


def test_other_commands_work_while_statements_are_logged(notes: None) -> None:
    """Calls that are part of no statement have an entry of their own."""
    with CaptureQueriesContext(connection) as captured:
        connection.introspection.table_names()
    assert [entry["sql"] for entry in captured] == ["list collections"]
    assert [len(entry["rpcs"]) for entry in captured] == [1]


class OwnWrites(NumRPCsMixin, TestCase):
    """What a transaction knows already takes no call, and is a statement nevertheless."""

    def test_a_statement_on_own_rows_takes_no_call(self) -> None:
        """The call looks up whether the new key is taken."""
        with self.assertNumQueries(2), self.assertNumRPCs(1):  # type: ignore[union-attr]
            Note.objects.create(id="a")
            Note.objects.get(pk="a")
        self.assertNumRPCs(1, lambda: list(Note.objects.filter(stars=1)))
        with self.assertNumQueries(3), transaction.atomic():
            Note.objects.filter(pk="a").delete()


class Parents(TransactionTestCase):
    """An UPDATE of a parent's table is a statement of its own."""

    def test_each_table_has_a_statement(self) -> None:
        Hall.objects.create(name="a", code="1")
        with CaptureQueriesContext(connection) as captured:
            Hall.objects.filter(name="a").update(name="b", code="2")
        assert [entry["sql"].split()[0] for entry in captured] == ["SELECT", "UPDATE", "UPDATE"]


class Forbidden(SimpleTestCase):
    """No statement is sent in a test that may not use the database."""

    def test_a_query_is_refused_before_it_is_sent(self) -> None:
        with pytest.raises(AssertionError, match="not allowed"):
            Note.objects.get(pk="n1")
        with pytest.raises(AssertionError, match="not allowed"):
            Note.objects.create(id="a")

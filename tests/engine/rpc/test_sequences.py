"""OPTIONS["auto_ids"] = "sequence": ids from 1, by counter documents."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.management import call_command
from django.db import connection, connections, transaction
from django.test import TestCase
from django.test.utils import CaptureQueriesContext

from memory.backends.firestore.rpc import sequences
from memory.backends.firestore.testing import CaptureRPCsContext
from memory.backends.firestore.values.marker_collections import SEQUENCES
from tests.engine.app.models import Author, Rectangle

TABLE = Author._meta.db_table


@pytest.fixture(autouse=True, scope="module")
def sequence() -> Iterator[None]:
    """Uses the option."""
    settings = connections["default"].settings_dict
    before, settings["OPTIONS"] = settings["OPTIONS"], {**settings["OPTIONS"], "auto_ids": "sequence"}
    yield
    settings["OPTIONS"] = before


def create(number: int) -> list[int]:
    """The ids of new rows."""
    return [Author.objects.create(name=str(i)).pk for i in range(number)]


@pytest.mark.django_db(transaction=True)
class TestCommitted:
    """Outside of Django's TestCase."""

    def test_ids_are_from_1_in_every_table(self) -> None:
        """One by one and in bulk. A flush resets them, and the counters are no table."""
        for _ in range(2):
            assert create(3) == [1, 2, 3]
            assert [row.pk for row in Author.objects.bulk_create(Author(name="x") for _ in range(50))] == [
                *range(4, 54)
            ]
            assert Rectangle.objects.create(width=1).pk == 1
            with connection.cursor() as cursor:
                assert SEQUENCES in cursor.collections()
                assert SEQUENCES not in connection.introspection.table_names(cursor)
            call_command("flush", verbosity=0, interactive=False)

    def test_a_flush_of_some_tables_resets_their_counters(self) -> None:
        """And leaves the others."""
        create(2)
        Rectangle.objects.create(width=1)
        connection.ops.execute_sql_flush(connection.ops.sql_flush(None, [TABLE]))
        assert create(1) == [1]
        assert Rectangle.objects.create(width=1).pk == 2

    def test_ids_are_taken_in_blocks(self) -> None:
        """One more call for each block; two for the first, which creates the counter."""
        with CaptureRPCsContext(connection) as calls:
            create(2 * sequences.BLOCK)
        assert len(calls) == 2 * sequences.BLOCK + 3

    def test_a_block_is_taken_in_the_statement(self) -> None:
        """It is one entry of `connection.queries`, which contains the calls for the counter."""
        with CaptureQueriesContext(connection) as queries, CaptureRPCsContext(connection) as calls:
            create(1)
        [entry] = queries.captured_queries
        assert entry["sql"].startswith("INSERT")
        assert len(entry["rpcs"]) == len(calls) == 3

    def test_ids_that_were_given_are_passed_over(self) -> None:
        """As on SQLite, also by other processes."""
        assert create(1) == [1]
        Author.objects.create(pk=5)
        assert create(1) == [6]
        Author.objects.bulk_create([Author(pk=1000), Author(name="x")])
        [last] = create(1)
        assert last > 1000
        sequences._blocks.clear()  # another process
        assert create(1)[0] > last

    def test_processes_and_threads_take_different_ids(self) -> None:
        """Also when they begin at the same time, and inside of blocks."""

        def work(number: int) -> list[int]:
            try:
                with transaction.atomic():
                    return create(5)
            finally:
                connection.close()

        with ThreadPoolExecutor(4) as pool:
            ids = [id for made in pool.map(work, range(8)) for id in made]
        sequences._blocks.clear()  # another process
        ids += create(5)
        assert len(set(ids)) == 45


class TestRolledBack(TestCase):
    """A test takes its ids back, so that each begins with the same."""

    def ids(self) -> None:
        """Creates rows, in blocks, too."""
        assert create(2) == [1, 2]
        with transaction.atomic():
            Author.objects.create(pk=7)
            assert create(1) == [8]
            transaction.set_rollback(True)
        assert create(1) == [3]
        assert list(Author.objects.order_by("pk").values_list("pk", flat=True)) == [1, 2, 3]

    def test_ids_of_a_rolled_back_block_are_used_again(self) -> None:
        """As on SQLite."""
        self.ids()

    def test_another_test_begins_with_the_same_ids(self) -> None:
        """Whichever of the two runs first."""
        self.ids()

    def test_a_counter_is_read_in_the_statement(self) -> None:
        """The first row of a table is one entry of `connection.queries`, with the calls that took its id."""
        with CaptureQueriesContext(connection) as queries, CaptureRPCsContext(connection) as calls:
            Rectangle.objects.create(width=1)
        [entry] = queries.captured_queries
        assert entry["sql"].startswith("INSERT")
        assert [call["description"] for call in entry["rpcs"]] == [call["description"] for call in calls]
        assert any("django:sequences" in call["description"] for call in calls)

"""The demonstration and the first start."""

from __future__ import annotations

import io
import re
import socket
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.core.management import CommandError, call_command
from django.db import OperationalError
from django.test import Client, override_settings
from django.utils import timezone

from memory.interchange.export import MODELS
from memory.models import AgentData, MemoryItem, UserSession
from memory.testing.emulator import free_port
from orchestra import demo
from orchestra.management.commands import bootstrap

databases = pytest.mark.django_db(databases=["default", "memory"])
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def start(*options: str) -> str:
    said = io.StringIO()
    call_command("bootstrap", *options, stdout=said)
    return said.getvalue()


@pytest.fixture
def port() -> int:
    return free_port()


class TestRecords:
    """The demonstration's records of four users."""

    def test_several_users_over_weeks(self) -> None:
        """A few hundred items, up to the day of loading, none after it."""
        found = list(demo.records(NOON))
        items = [record for record in found if record["model"] == "MemoryItem"]
        assert Counter(record["model"] for record in found).keys() == MODELS.keys()
        assert len({item["user_id"] for item in items}) == 4
        assert 250 <= len(items) <= 500
        times = sorted(datetime.fromisoformat(record["timestamp"]) for record in found if "timestamp" in record)
        assert times[-1].date() == NOON.date()
        assert times[-1] < NOON
        assert NOON - times[0] > timedelta(weeks=5)

    def test_no_text_comes_twice(self) -> None:
        """Texts are conversations, not a template."""
        texts = Counter(record["text_content"] for record in demo.records(NOON) if record["model"] == "MemoryItem")
        assert max(texts.values()) == 1

    def test_a_conversation_is_in_order(self) -> None:
        """Times rise strictly within each user's records."""
        times: dict[str, str] = {}
        for record in demo.records(NOON):
            if record["model"] == "MemoryItem":
                assert record["timestamp"] > times.get(record["user_id"], "")
                times[record["user_id"]] = record["timestamp"]

    def test_the_same_ids_every_time(self) -> None:
        """Loading it twice adds nothing."""
        first, second = (
            [record["id"] for record in demo.records(now) if "id" in record] for now in (NOON, timezone.now())
        )
        assert first == second
        assert len(set(first)) == len(first)

    @pytest.mark.parametrize("line", ["? what", "= soon | a | b", "= 1d 10:00 | a", "> "])
    def test_a_line_that_cannot_be_read(self, line: str) -> None:
        """It raises an error instead of being skipped."""
        with pytest.raises(ValueError):
            list(demo.read(["user x", line], NOON, "x.txt"))


@databases
class TestFirstStart:
    """`bootstrap`."""

    def test_it_fills_what_is_empty(self, port: int) -> None:
        """The demonstration is loaded, and an admin can log in with the password that is shown."""
        said = start("--port", str(port))
        assert MemoryItem.all_objects.count() > 250
        assert AgentData.objects.exists()
        assert UserSession.objects.get(user_id="rosa", session_id="seed-swap").metadata["title"]
        password = re.search(r"password (\S+)  \(", said)
        assert password
        assert authenticate(username="admin", password=password[1])
        assert get_user_model().objects.get().is_superuser
        for path in ("/admin/", "/api/docs/", "/api/health"):
            assert f"http://127.0.0.1:{port}{path}\n" in said

    def test_the_urls_that_it_prints(self, client: Client) -> None:
        """They answer."""
        start("--port", "0")
        client.force_login(get_user_model().objects.get())
        for _, path in bootstrap.PAGES:
            assert client.get(path).status_code == 200

    def test_a_second_start_keeps_what_is_there(self) -> None:
        """The second start shows no password, loads nothing, and prints how to reset the password."""
        start("--port", "0")
        MemoryItem.all_objects.filter(user_id="lin").delete()
        admin, count = get_user_model().objects.get(), MemoryItem.all_objects.count()
        said = start("--port", "0")
        assert "Log in as" not in said
        assert "changepassword admin" in said
        assert get_user_model().objects.get().password == admin.password
        assert MemoryItem.all_objects.count() == count

    def test_data_that_is_there_is_left_alone(self, make_item: Any) -> None:
        """A database with records gets an admin, but no demonstration."""
        make_item()
        assert "Log in as admin" in start("--port", "0")
        assert MemoryItem.all_objects.count() == 1

    def test_a_broken_demonstration_loads_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """All or nothing: no admin either, so that the next start can try again."""
        records = [*demo.records(NOON), {"model": "MemoryItem"}]
        monkeypatch.setattr(demo, "records", lambda now: records)
        with pytest.raises(CommandError, match="cannot be stored"):
            start("--port", "0")
        assert not MemoryItem.all_objects.exists()
        assert not get_user_model().objects.exists()

    def test_a_taken_port(self) -> None:
        """The error is raised before anything is created."""
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with pytest.raises(CommandError, match=r"Port \d+: address already in use. Choose another one"):
                start("--port", str(taken.getsockname()[1]))
        assert not get_user_model().objects.exists()

    def test_an_invalid_port(self) -> None:
        """The error is one sentence."""
        with pytest.raises(CommandError, match="Port 70000: not a valid port"):
            start("--port", "70000")

    def test_databases_that_cannot_be_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The error is one sentence with the database's message."""

        def failing(*args: Any, **options: Any) -> None:
            raise OperationalError("attempt to write a readonly database")

        monkeypatch.setattr(bootstrap, "call_command", failing)
        with pytest.raises(CommandError, match="The databases cannot be used: attempt to write a readonly database"):
            start("--port", "0")

    @override_settings(APP_ENV="production")
    def test_production(self) -> None:
        """`bootstrap` refuses to run in production."""
        with pytest.raises(CommandError, match="not for production"):
            start()

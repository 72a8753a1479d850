"""The connection without a server: options, test databases, dbshell, ids."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured, SynchronousOnlyOperation
from django.db import NotSupportedError, connections

from memory.backends.firestore.base import DatabaseWrapper
from tests.engine.app.models import Note


def wrapper(**settings: Any) -> DatabaseWrapper:
    """A connection that is never opened."""
    given = {"ENGINE": "memory.backends.firestore", "NAME": "main", "PROJECT": "p", "HOST": "localhost:1", **settings}
    return DatabaseWrapper(connections.configure_settings({"default": given})["default"], "default")


def test_tests_use_another_database_of_the_same_project() -> None:
    """Its id is valid: letters, digits and hyphens."""
    assert wrapper(NAME="(default)").creation._get_test_db_name() == "test-default"
    assert wrapper().creation._get_test_db_name() == "test-main"
    assert wrapper(TEST={"NAME": "ci"}).creation._get_test_db_name() == "ci"
    assert wrapper().creation.get_test_db_clone_settings("2")["NAME"] == "main-2"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"HOST": ""}, "Tests would empty the database 'test-main' of the real project 'p'"),
        ({"TEST": {"NAME": "main"}}, "is the database itself"),
        ({"HOST": "", "TEST": {"NAME": "main"}}, "is the database itself"),
    ],
)
def test_tests_only_use_a_test_database(settings: dict[str, Any], message: str) -> None:
    """A real project needs an explicit test database, different from the one in use."""
    with pytest.raises(ImproperlyConfigured, match=message):
        wrapper(**settings).creation._create_test_db(0, autoclobber=True)


def test_options_are_checked() -> None:
    """Options have defaults; the error names an invalid one."""
    assert wrapper().option("mirror_limit") == 5000
    assert wrapper(OPTIONS={"mirror_limit": 7}).option("mirror_limit") == 7
    with pytest.raises(
        ImproperlyConfigured, match=r"\['auto_ids'\] is 'serial': it must be one of \['random', 'sequence', 'time'\]"
    ):
        wrapper(OPTIONS={"auto_ids": "serial"}).ops.new_auto_id()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": "10"}, r"\['timeout'\] is '10': it must be a number of seconds, above 0"),
        ({"timeout": 0}, "it must be a number of seconds"),
        ({"timeout": None}, "it must be a number of seconds"),
        ({"mirror_limit": -1}, r"\['mirror_limit'\] is -1: it must be a whole number of documents"),
        ({"mirror_limit": 1.5}, "it must be a whole number"),
        ({"mirror_limit": None}, "it must be a whole number"),
        (
            {"timout": 3},
            r"options: timout\. .* auto_ids, credentials_json, credentials_path, mirror_bytes, mirror_limit, require_",
        ),
        (["timeout"], "must be a dict, not a list"),
        ({"credentials_json": b"swordfish"}, "must be a service account key, as a string or a mapping"),
        ({"credentials_json": {"swordfish": b"swordfish"}}, "contains values that are not JSON"),
    ],
)
def test_invalid_options_raise_before_any_call(options: Any, message: str) -> None:
    """Also unknown names. No message contains a secret."""
    made = wrapper()
    made.settings_dict["OPTIONS"] = options
    with pytest.raises(ImproperlyConfigured, match=message) as caught:
        made.get_connection_params()
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize("settings", [{"PROJECT": "My project"}, {"PROJECT": "projects/p"}, {"NAME": "a/b"}])
def test_invalid_database_ids_raise_before_any_call(settings: dict[str, str]) -> None:
    """A display name or a path instead of an id is a likely mistake."""
    with pytest.raises(ImproperlyConfigured, match="it must not contain slashes or spaces"):
        wrapper(**settings).get_connection_params()


def test_a_closed_connection_is_not_usable() -> None:
    """As on other engines."""
    assert not wrapper().is_usable()


@pytest.mark.parametrize("choice", ["random", "time"])
def test_auto_ids_are_positive_exact_in_javascript_and_distinct(choice: str) -> None:
    """Ids by time increase."""
    ops = wrapper(OPTIONS={"auto_ids": choice}).ops
    ids = [ops.new_auto_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert all(0 < one < 2**53 for one in ids)
    assert choice == "random" or ids == sorted(ids)


def test_there_is_no_shell() -> None:
    """The error of `dbshell` says what to use."""
    with pytest.raises(NotSupportedError, match="console"):
        wrapper().client.runshell([])


def test_no_secret_is_in_a_repr() -> None:
    """Also not in that of the connection parameters."""
    secret = '{"private_key": "swordfish"}'
    made = wrapper(OPTIONS={"credentials_json": secret, "credentials_path": "/swordfish"})
    assert "swordfish" not in repr(made)
    assert "swordfish" not in repr(made.get_connection_params())


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("options", "test", "expected"),
    [
        ({}, {}, "sequence"),
        ({"auto_ids": "time"}, {}, "time"),
        ({"auto_ids": "time"}, {"AUTO_IDS": "random"}, "random"),
    ],
)
def test_rows_of_a_test_database_have_ids_from_1(
    firestore_emulator: str, options: dict[str, str], test: dict[str, str], expected: str
) -> None:
    """Unless OPTIONS["auto_ids"] or TEST["AUTO_IDS"] says otherwise. The database itself has random ids."""
    made = wrapper(HOST=firestore_emulator, PROJECT="own-ids", OPTIONS=options, TEST=test)
    assert made.auto_ids == options.get("auto_ids", "random")
    made.creation._create_test_db(0, autoclobber=True)
    assert made.auto_ids == expected


def test_use_in_an_event_loop_is_refused() -> None:
    """Before anything else, also where a test does not allow database access."""

    async def read() -> None:
        list(Note.objects.all())

    with pytest.raises(SynchronousOnlyOperation):
        asyncio.run(read())

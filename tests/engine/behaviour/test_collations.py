"""Columns that are compared without regard to case, on both engines."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, connections, transaction
from django.db.models import Max, Min

from tests.engine.app.models import Account, Nick

pytestmark = pytest.mark.django_db(databases=["default", "sqlite"], transaction=True)


@pytest.fixture(params=["default", "sqlite"])
def alias(request: pytest.FixtureRequest) -> str:
    """Both databases: what is expected of one holds on the other."""
    return str(request.param)


def test_comparisons_ignore_case(alias: str) -> None:
    """Equality, membership, ranges, order, extremes and negation."""
    accounts = Account.objects.using(alias)
    accounts.bulk_create(Account(login=login, name=login) for login in ("Ann", "bob", "Cid"))

    def logins(**conditions: object) -> list[str]:
        return sorted(accounts.filter(**conditions).values_list("login", flat=True))

    assert logins(name="ANN") == ["Ann"]
    assert logins(name__in=["ann", "BOB"]) == ["Ann", "bob"]
    assert logins(name__gte="B") == ["Cid", "bob"]
    assert logins(name__range=("a", "B")) == ["Ann"]
    assert logins(name__startswith="a") == []
    assert sorted(accounts.exclude(name="BOB").values_list("login", flat=True)) == ["Ann", "Cid"]
    assert list(accounts.order_by("-name").values_list("login", flat=True)) == ["Cid", "bob", "Ann"]
    assert accounts.aggregate(most=Max("name"), least=Min("name")) == {"most": "Cid", "least": "Ann"}
    assert accounts.get_or_create(login="ANN")[1] is False
    assert accounts.filter(login="aNN").update(number=5) == 1
    assert accounts.get(login="ann").number == 5
    assert accounts.filter(login="BOB").delete()[0] == 1
    with pytest.raises(IntegrityError):
        accounts.create(login="CID")


def test_keys_ignore_case(alias: str) -> None:
    """A primary key, foreign keys to it, and joins."""
    nicks = Nick.objects.using(alias)
    first = nicks.create(id="Ann")
    with pytest.raises(IntegrityError):
        nicks.create(id="ANN")
    nicks.create(id="bob", friend_id="Ann")
    assert nicks.get(pk="ann") == first
    assert sorted(row.pk for row in nicks.filter(pk__in=["ANN", "BOB"])) == ["Ann", "bob"]
    assert nicks.filter(friend="ANN").get().pk == "bob"
    assert nicks.filter(friend__rank=0).get().pk == "bob"
    Nick(id="ann", rank=7).save(using=alias)
    assert list(nicks.order_by("pk").values_list("pk", "rank")) == [("Ann", 7), ("bob", 0)]
    assert nicks.filter(pk="BOB").delete()[0] == 1
    nicks.create(id="Bob")


def test_upserts_return_the_keys_of_the_rows(alias: str) -> None:
    """Of existing rows, new ones, and rows that one statement names twice."""
    accounts = Account.objects.using(alias)
    old = accounts.create(login="old", code="a", number=1)
    rows = [Account(login=f"new{i}", code=code, number=i) for i, code in enumerate("aabb", start=5)]
    options = {"update_conflicts": True, "unique_fields": ["code"], "update_fields": ["number"]}
    made = accounts.bulk_create(rows, **options)  # type: ignore[arg-type]
    keys = dict(accounts.values_list("code", "pk"))
    assert [row.pk for row in made] == [old.pk, old.pk, keys["b"], keys["b"]]
    assert dict(accounts.values_list("code", "number")) == {"a": 6, "b": 8}
    made[0].number = 9
    made[0].login = "saved"
    made[0].save(using=alias)
    assert accounts.get(pk=old.pk).number == 9
    with transaction.atomic(using=alias):
        [again] = accounts.bulk_create([Account(login="other", code="b")], **options)  # type: ignore[arg-type]
        assert again.pk == keys["b"]
    assert accounts.count() == 2


def test_upserts_return_what_the_row_holds(alias: str) -> None:
    """A generated column is computed from the stored row."""
    accounts = Account.objects.using(alias)
    accounts.create(login="old", code="a", number=1)
    [row] = accounts.bulk_create(
        [Account(login="new", code="a", number=4)],
        update_conflicts=True,
        unique_fields=["code"],
        update_fields=["login"],
    )
    assert (row.double, accounts.get(code="a").login) == (2, "new")


def test_an_upsert_that_meets_another_constraint_writes_nothing(alias: str) -> None:
    """Only conflicts of the unique fields are settled."""
    accounts = Account.objects.using(alias)
    accounts.create(login="one", code="a")
    accounts.create(login="two", code="b")
    with pytest.raises(IntegrityError), transaction.atomic(using=alias):
        accounts.bulk_create(
            [Account(login="new", code="c"), Account(login="ONE", code="b", number=3)],
            update_conflicts=True,
            unique_fields=["code"],
            update_fields=["login", "number"],
        )
    assert sorted(accounts.values_list("login", "number")) == [("one", 0), ("two", 0)]
    assert connections[alias].in_atomic_block is False

"""`manage.py memory_tokens create|list|revoke|adopt`: the access tokens of the API."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.core.management.base import CommandError
from django.db import router
from django.utils import timezone

from memory.access import legacy
from memory.access.models import DEFAULT_DAYS, HINT_LENGTH, SCOPES, AccessToken
from memory.lifecycle.commands import AuditedCommand
from memory.limits import days


class Command(AuditedCommand):
    """Issues, lists and revokes tokens; replaces the clear tokens of Django REST framework."""

    help = "Manage the access tokens of the API."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the subcommands."""
        commands = parser.add_subparsers(dest="command", required=True)
        create = commands.add_parser("create", help="Print a new token, which cannot be shown again.")
        create.add_argument("username")
        create.add_argument("--name", default="", help="What the token is used for.")
        create.add_argument("--scope", action="append", choices=list(SCOPES), help="Repeatable; by default all.")
        create.add_argument("--owner", type=owner, help="The only user id whose records the token reaches.")
        create.add_argument("--days", type=days, default=DEFAULT_DAYS, help="Days of validity; 0: it never expires.")
        listed = commands.add_parser("list", help="List tokens, without their secrets.")
        listed.add_argument("username", nargs="?")
        revoke = commands.add_parser("revoke", help="Delete tokens: they are refused from now on.")
        revoke.add_argument("token", nargs="?", help="A token, or how exactly one begins.")
        revoke.add_argument("--user", help="All tokens of this user.")
        revoke.add_argument("--expired", action="store_true", help="All tokens that have expired.")
        adopt = commands.add_parser("adopt", help="Hash the clear tokens of rest_framework.authtoken; they stay valid.")
        adopt.add_argument("--keep", action="store_true", help="Keep the clear tokens, too, for other APIs.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the subcommand."""
        commands: Mapping[str, Callable[[dict[str, Any]], None]] = {
            "create": self._create,
            "list": self._list,
            "revoke": self._revoke,
            "adopt": self._adopt,
        }
        commands[options["command"]](options)

    def _create(self, options: dict[str, Any]) -> None:
        expires = timezone.now() + timedelta(days=options["days"]) if options["days"] else None
        try:
            token, secret = AccessToken.objects.issue(
                user_of(options["username"]),
                options["scope"] or SCOPES,
                name=options["name"],
                owner=options["owner"] or "",
                expires=expires,
            )
        except ValidationError as error:
            raise CommandError("; ".join(error.messages)) from error
        self.stdout.write(secret)
        if options["verbosity"] > 0:
            until = "never expires" if expires is None else f"expires on {expires:%Y-%m-%d}"
            self.stderr.write(f"Token for {token.user}: {token.scopes}; {until}. It cannot be shown again.")

    def _list(self, options: dict[str, Any]) -> None:
        tokens = AccessToken.objects.select_related("user")
        if options["username"]:
            tokens = tokens.filter(user=user_of(options["username"]))
        for token in tokens:
            used = "never used" if token.last_used is None else f"used {token.last_used:%Y-%m-%d %H:%M}"
            until = "never expires" if token.expires is None else f"expires {token.expires:%Y-%m-%d}"
            of = f"{token.user} for {token.owner}" if token.owner else str(token.user)
            self.stdout.write(f"{token.hint or '-':8}  {of}  {token.scopes}  {until}  {used}  {token.name}".rstrip())

    def _revoke(self, options: dict[str, Any]) -> None:
        chosen = [name for name in ("token", "user", "expired") if options[name]]
        if len(chosen) != 1:
            raise CommandError("Name a token, or use --user or --expired.")
        tokens = AccessToken.objects.all()
        if options["expired"]:
            tokens = tokens.expired()
        elif options["user"]:
            tokens = tokens.filter(user=user_of(options["user"]))
        else:
            tokens = tokens_like(options["token"])
        self.stdout.write(f"{tokens.delete()[0]} revoked")

    def _adopt(self, options: dict[str, Any]) -> None:
        adopted = legacy.adopt(router.db_for_write(AccessToken), AccessToken, keep=options["keep"])
        if apps.is_installed("django.contrib.admin") and apps.is_installed("django.contrib.contenttypes"):
            entries, types = apps.get_model("admin", "LogEntry"), apps.get_model("contenttypes", "ContentType")
            legacy.hide_in_log(entries, types)
        self.stdout.write(f"{adopted} adopted")


def owner(text: str) -> str:
    """An owner id. Raises `ArgumentTypeError` for an empty one, such as a variable of a shell that is not set."""
    if not text:
        raise ArgumentTypeError("an owner id is not empty; without --owner the token reaches all that its user may")
    return text


def user_of(username: str) -> Any:
    """The user with this name. Raises `CommandError`."""
    model: Any = get_user_model()
    try:
        return model._default_manager.get_by_natural_key(username)
    except model.DoesNotExist as error:
        raise CommandError(f"There is no user {username!r}.") from error


def tokens_like(text: str) -> Any:
    """The token with this secret, or the only one that begins so. Raises `CommandError`."""
    found = AccessToken.objects.of_secret(text)
    keys = [found.pk] if found else list(AccessToken.objects.filter(hint=text).values_list("pk", flat=True)[:2])
    if len(keys) != 1:
        raise CommandError(
            f"No token begins with exactly {text[:HINT_LENGTH]!r}: see memory_tokens list."
            if not keys
            else "Several tokens begin so: use the admin."
        )
    return AccessToken.objects.filter(pk__in=keys)

"""Forms that write only changed fields: texts keep their line endings, times their microseconds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils.translation import gettext_lazy as _

from .. import limits
from ..models import Document, UserSession, refuse_session
from .display import formatted_json

if TYPE_CHECKING:
    DocumentForm = forms.ModelForm[Document]
else:
    DocumentForm = forms.ModelForm


def json_problem(text: str) -> str | None:
    """Why a text is not storable JSON, or None if it is."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return f"Invalid JSON: {error.msg} in line {error.lineno}, column {error.colno}."
    except RecursionError:
        return f"Maps and lists can be nested at most {limits.MAX_DEPTH} levels deep."
    except ValueError:  # Python's limit on the digits of an integer
        return "A number has too many digits."
    return limits.json_problem(value)


class FormattedJSONField(forms.JSONField):
    """A JSON field that is displayed indented; errors name the line and the column."""

    def to_python(self, value: Any) -> Any:
        if isinstance(value, str) and value.strip() and (problem := json_problem(value)):
            raise ValidationError(problem, code="invalid")
        return super().to_python(value)

    def bound_data(self, data: Any, initial: Any) -> Any:
        if isinstance(data, str) and not self.disabled and json_problem(data):
            return InvalidJSONInput(data)
        return super().bound_data(data, initial)

    def prepare_value(self, value: Any) -> Any:
        return value if value is None or isinstance(value, InvalidJSONInput) else formatted_json(value)


class IdsField(forms.CharField):
    """A list of ids, one per line."""

    def __init__(self, **kwargs: Any) -> None:
        kwargs.pop("encoder", None)
        kwargs.pop("decoder", None)
        super().__init__(**{**kwargs, "strip": False, "max_length": None})

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def has_changed(self, initial: Any, data: Any) -> bool:
        return not self.disabled and self.to_python(data) != (initial or [])


def normalize_newlines(text: Any) -> Any:
    """Normalize line endings to LF: browsers always send CRLF."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if isinstance(text, str) else text


class MultilineField(forms.CharField):
    """A long text that is not stripped. Different line endings alone are not a change."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "strip": False, "empty_value": None})

    def to_python(self, value: Any) -> Any:
        return normalize_newlines(super().to_python(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(normalize_newlines(initial), data)


class RecordForm(DocumentForm):
    """A record's form. Unchanged fields keep the stored value instead of the submitted one."""

    def clean(self) -> dict[str, Any]:
        super().clean()
        cleaned = {**self.cleaned_data}
        if cleaned.get("metadata", self) is None:
            cleaned["metadata"] = {}
        if not self.instance._state.adding:
            unchanged = cleaned.keys() - set(self.changed_data)
            cleaned |= {name: getattr(self.instance, name) for name in unchanged}
        return cleaned

    def clean_id(self) -> str:
        """Reject an existing id. The id of an expired record exists until the record is purged."""
        value: str = self.cleaned_data["id"]
        if self.instance._state.adding and type(self.instance)._base_manager.filter(pk=value).exists():
            raise ValidationError(_("A record with this id already exists. It may have expired."), code="unique")
        return value

    def add_error(self, field: str | None, error: Any) -> None:
        """Like Django's `add_error`, but errors of fields that the form lacks become form errors."""
        by_field = getattr(error, "error_dict", {})
        for name in [name for name in by_field if name not in {*self.fields, NON_FIELD_ERRORS}]:
            super().add_error(None, ValidationError([f"{name}: {text}" for text in error.message_dict[name]]))
            del by_field[name]
        if by_field or not hasattr(error, "error_dict"):
            super().add_error(field, error)


class UserSessionForm(RecordForm):
    """A session's form. The id is derived from user and session, so they are validated together."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        user_id, session_id = cleaned.get("user_id"), cleaned.get("session_id")
        if self.instance._state.adding and user_id and session_id:
            refuse_session(user_id, session_id)
            if UserSession.objects.filter(pk=UserSession.make_id(user_id, session_id)).exists():
                raise ValidationError({"session_id": _("A session of this user with this id already exists.")})
        return cleaned

"""Forms that change only what was changed: a text keeps its line ends, a time its microseconds."""

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
    """Why a text is not JSON that can be stored, or None where it is."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return f"This is not JSON: {error.msg} in line {error.lineno}, column {error.colno}."
    except RecursionError:
        return f"Maps and lists nest at most {limits.MAX_DEPTH} levels deep."
    except ValueError:  # Python's limit on the digits of an integer
        return "A number here has too many digits."
    return limits.json_problem(value)


class FormattedJSONField(forms.JSONField):
    """JSON, shown indented; an error names the line and the column."""

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


def plain_lines(text: Any) -> Any:
    """A text with the line ends of Unix: a browser sends others, whatever it was given."""
    return text.replace("\r\n", "\n").replace("\r", "\n") if isinstance(text, str) else text


class LinesField(forms.CharField):
    """A long text: kept as typed, spaces at its ends included; line ends alone are no change."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "strip": False, "empty_value": None})

    def to_python(self, value: Any) -> Any:
        return plain_lines(super().to_python(value))

    def has_changed(self, initial: Any, data: Any) -> bool:
        return super().has_changed(plain_lines(initial), data)


class RecordForm(DocumentForm):
    """A record's form. What was not changed keeps the stored value, not what the browser made of it."""

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
        """Refuse an id that is taken; one whose record has expired is taken until it is purged."""
        value: str = self.cleaned_data["id"]
        if self.instance._state.adding and type(self.instance)._base_manager.filter(pk=value).exists():
            raise ValidationError(_("There is a record with this id already, perhaps an expired one."), code="unique")
        return value

    def add_error(self, field: str | None, error: Any) -> None:
        """Django's `add_error`; what is wrong with a field that the form does not show is told above the form."""
        by_field = getattr(error, "error_dict", {})
        for name in [name for name in by_field if name not in {*self.fields, NON_FIELD_ERRORS}]:
            super().add_error(None, ValidationError([f"{name}: {text}" for text in error.message_dict[name]]))
            del by_field[name]
        if by_field or not hasattr(error, "error_dict"):
            super().add_error(field, error)


class UserSessionForm(RecordForm):
    """A session's form: its id follows from user and session, so these are checked together."""

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        user_id, session_id = cleaned.get("user_id"), cleaned.get("session_id")
        if self.instance._state.adding and user_id and session_id:
            refuse_session(user_id, session_id)
            if UserSession.objects.filter(pk=UserSession.make_id(user_id, session_id)).exists():
                raise ValidationError({"session_id": _("This user has a session with this id already.")})
        return cleaned

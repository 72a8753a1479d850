"""What the app raises beside Django's own errors.

Exception
└── django.core.exceptions.ValidationError
    └── ValidationError       a record that storage would refuse; `message_dict` names the field
"""

from django.core.exceptions import ValidationError as DjangoValidationError

__all__ = ["ValidationError"]


class ValidationError(DjangoValidationError):
    """A record that Firestore would refuse, told before anything is written, on every engine."""

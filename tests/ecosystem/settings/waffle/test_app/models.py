"""django-waffle: the models of its test application."""

from django.contrib.auth.base_user import AbstractBaseUser
from django.db import models
from waffle.models import (  # type: ignore[import-not-found]
    AbstractBaseSample,
    AbstractBaseSwitch,
    AbstractUserFlag,
)


class Company(models.Model):
    """The customer that a user belongs to."""

    name = models.CharField(max_length=100)

    def __str__(self) -> str:
        return self.name


class CompanyUser(AbstractBaseUser):
    """A user model with a company."""

    company = models.ForeignKey(Company, on_delete=models.CASCADE)
    username = models.CharField(max_length=100)


class CompanyAwareFlag(AbstractUserFlag):  # type: ignore[misc]
    """A flag that is active for the users of some companies."""

    companies = models.ManyToManyField(Company, blank=True)

    def is_active_for_user(self, user):  # type: ignore[no-untyped-def]
        """Whether the flag is active for the user or the user's company."""
        company = getattr(user, "company_id", None)
        return super().is_active_for_user(user) or (
            True if company and self.companies.filter(pk=company).exists() else None
        )


class CustomSwitch(AbstractBaseSwitch):  # type: ignore[misc]
    """A switch model of the project's own."""


class CustomSample(AbstractBaseSample):  # type: ignore[misc]
    """A sample model of the project's own."""

"""django-oauth-toolkit: the test cases of its tests, which its source distribution does not contain."""

from django.test import TestCase, TransactionTestCase


class OAuth2ProviderTestCase(TestCase):
    """One database."""


class OAuth2ProviderTransactionTestCase(TransactionTestCase):
    """One database."""

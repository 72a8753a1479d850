"""django-two-factor-auth: the URLs of its tests, and an admin site that asks for the second factor."""

from django.urls import path
from two_factor.admin import AdminSiteOTPRequired  # type: ignore[import-not-found]

from .urls import urlpatterns as urls

site = AdminSiteOTPRequired(name="otp_admin")
urlpatterns = [path("otp_admin/", site.urls), *urls]

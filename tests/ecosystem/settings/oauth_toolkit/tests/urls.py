"""django-oauth-toolkit: the URLs of its tests, which its source distribution does not contain."""

from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("o/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("admin/", admin.site.urls),
]

"""django-two-factor-auth: the URLs of its tests, and Django's admin site."""

from django.contrib import admin
from django.urls import path

from .urls import urlpatterns as urls

urlpatterns = [path("admin/", admin.site.urls), *urls]

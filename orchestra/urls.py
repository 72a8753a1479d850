"""The service's URLs: the app's API below /api/, the admin, and the way there."""

from django.contrib import admin
from django.urls import include, path, re_path
from django.views.generic import RedirectView

from memory.api.viewsets import UnknownPathView

admin.site.site_header = admin.site.site_title = "Orchestra memory"

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("api/", include("memory.api.urls")),
    re_path(r"^api(/|$)", UnknownPathView.as_view()),
]

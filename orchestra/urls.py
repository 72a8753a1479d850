"""The service's URLs: the app's API below /api/, the admin, and the way there."""

from typing import Any

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.decorators.cache import cache_control
from django.views.generic import RedirectView

from memory.api.viewsets import UnknownPathView

admin.site.site_header = admin.site.site_title = "Orchestra memory"


class Favicon(RedirectView):
    """Where browsers look for an icon, the static file; the redirect is theirs to keep for a day."""

    def get_redirect_url(self, *args: Any, **kwargs: Any) -> str:
        """Looked up late: its name has a hash in production."""
        return static("orchestra/favicon.svg")


urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("favicon.ico", cache_control(public=True, max_age=86_400)(Favicon.as_view()), name="favicon"),
    path("admin/", admin.site.urls),
    path("api/", include("memory.api.urls")),
    re_path(r"^api(/|$)", UnknownPathView.as_view()),
]

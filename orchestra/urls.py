"""The service's URLs: the API below /api/, and the admin."""

from typing import Any

from django.contrib import admin
from django.templatetags.static import static
from django.urls import include, path, re_path
from django.views.decorators.cache import cache_control
from django.views.generic import RedirectView

from memory.api.endpoints import UnknownPathView

from .logins import LoginForm

admin.site.login_form = LoginForm
admin.site.site_header = admin.site.site_title = "Orchestra memory"


class Favicon(RedirectView):
    """Redirects /favicon.ico to the static file. Browsers may cache the redirect for a day."""

    def get_redirect_url(self, *args: Any, **kwargs: Any) -> str:
        """Resolve the name per request, since it has a hash in production."""
        return static("orchestra/favicon.svg")


urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("favicon.ico", cache_control(public=True, max_age=86_400)(Favicon.as_view()), name="favicon"),
    path("admin/", admin.site.urls),
    path("api/", include("memory.api.urls")),
    path("", include("memory.mcp.urls")),
    re_path(r"^api(/|$)", UnknownPathView.as_view()),
]

"""The URL of the MCP server, `/mcp`: `path("", include("memory.mcp.urls"))`. The trailing slash is optional."""

from django.urls import URLPattern, re_path

from .views import McpView

app_name = "memory-mcp"

urlpatterns: list[URLPattern] = [re_path(r"^mcp/?$", McpView.as_view(), name="mcp")]

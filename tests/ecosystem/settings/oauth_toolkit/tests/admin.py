"""django-oauth-toolkit: admin classes of its tests, which its source distribution does not contain."""

from django.contrib.admin import ModelAdmin


class CustomApplicationAdmin(ModelAdmin):
    list_display = ("id",)


class CustomAccessTokenAdmin(ModelAdmin):
    list_display = ("id",)


class CustomGrantAdmin(ModelAdmin):
    list_display = ("id",)


class CustomIDTokenAdmin(ModelAdmin):
    list_display = ("id",)


class CustomRefreshTokenAdmin(ModelAdmin):
    list_display = ("id",)

"""django-waffle: the modules of its test application, beside its migrations."""

from pkgutil import extend_path

__path__ = extend_path(__path__, __name__)

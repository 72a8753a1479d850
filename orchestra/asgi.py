"""The service for ASGI servers: `uvicorn orchestra.asgi:application`.

It does not start in development's settings unless `APP_ENV` names them.
"""

import os

from django.core.asgi import get_asgi_application

from settings.environment import refuse_implicit_development

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
refuse_implicit_development()
application = get_asgi_application()

"""The service for WSGI servers: `gunicorn orchestra.wsgi`.

It does not start in development's settings unless `APP_ENV` names them.
"""

import os

from django.core.wsgi import get_wsgi_application

from settings.environment import refuse_implicit_development

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "settings")
refuse_implicit_development()
application = get_wsgi_application()

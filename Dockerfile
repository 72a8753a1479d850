# The service on gunicorn: docker build -t orchestra-memory .
# Environment variables configure it at run time (docs/configuration.md). The build needs no secrets.

FROM python:3.11-slim-bookworm AS build
ENV PATH=/venv/bin:$PATH
WORKDIR /app
RUN python -m venv /venv
COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check -r requirements.txt
COPY manage.py ./
COPY firestore.indexes.json ./
COPY settings settings
COPY orchestra orchestra
COPY memory memory
COPY deploy deploy
# Production settings require these variables. collectstatic does not use their values, and no layer stores them.
RUN APP_ENV=production SECRET_KEY=not-a-key-since-collectstatic-signs-nothing-0123456789 GCP_PROJECT_ID=unused ALLOWED_HOSTS=unused \
    python manage.py collectstatic --noinput

FROM python:3.11-slim-bookworm
ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    APP_ENV=production \
    PORT=8000
RUN groupadd --system --gid 10001 orchestra \
 && useradd --system --uid 10001 --gid orchestra --no-create-home --home-dir /nonexistent orchestra \
 && install --directory --owner=orchestra --group=orchestra --mode=0700 /app/data
COPY --from=build /venv /venv
# Owned by root, so that the service cannot modify its code.
COPY --from=build /app /app
WORKDIR /app
USER 10001:10001
# The embedded databases.
VOLUME ["/app/data"]
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=6s --start-period=20s --retries=3 CMD ["python", "deploy/healthcheck.py"]
CMD ["gunicorn", "-c", "deploy/gunicorn.conf.py", "orchestra.wsgi"]

# One image for each service: docker build --build-arg SERVICE=router .
# SERVICE is a folder of services/, or migrations, or postroom (the command).
# EXTRA is the extra whose libraries it needs, where its name is another.

# ---- setup: makes the secrets of an installation
FROM python:3.13-slim-bookworm AS setup
COPY deploy/setup.py /setup.py
CMD ["python", "/setup.py"]

# ---- build: the locked libraries of this extra, and the sources of this service
FROM python:3.13-slim-bookworm AS build
RUN pip install --no-cache-dir --quiet --root-user-action=ignore uv
ARG SERVICE
ARG EXTRA=${SERVICE}
WORKDIR /build
COPY pyproject.toml uv.lock ./
ENV UV_PROJECT_ENVIRONMENT=/opt/venv UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN uv sync --frozen --no-dev --no-cache --extra "$EXTRA" --no-install-project
COPY kernel kernel
COPY services services
COPY migrations migrations
COPY postroom postroom
RUN mkdir -p /app/services && mv kernel /app/ && \
    case "$SERVICE" in \
      migrations) mv migrations /app/ && rmdir /app/services ;; \
      postroom) mv postroom /app/ && mv services/__init__.py services/ingress /app/services/ ;; \
      *) mv services/__init__.py "services/$SERVICE" /app/services/ ;; \
    esac  # the command's self-test is that of ingress

# ---- the image: no build tools, no root
FROM python:3.13-slim-bookworm
ARG SERVICE
RUN useradd --uid 10001 --user-group --home-dir /var/lib/postroom --create-home postroom && \
    install -d -o postroom -g postroom -m 0700 \
      /var/lib/postroom/mail /var/lib/postroom/blobs /var/lib/postroom/tls
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONUNBUFFERED=1 \
    POSTROOM_SERVICE=${SERVICE} \
    POSTROOM_HEALTH_LISTEN=0.0.0.0:8009 \
    POSTROOM_LOG_FORMAT=json \
    MALLOC_ARENA_MAX=2
USER postroom
WORKDIR /var/lib/postroom
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=6 \
  CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8009/readyz', timeout=4)"]
CMD ["sh", "-c", "exec python -m services.$POSTROOM_SERVICE"]

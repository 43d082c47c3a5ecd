# The API. Build with deploy/docker/build backend; the context is the repository's root.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS tools
COPY deploy/docker/install requirements/uv.txt /tools/
RUN --mount=type=cache,target=/root/.cache /tools/install tools /tools/uv.txt

FROM tools AS sbom
COPY requirements/sbom.txt deploy/docker/sbom.py /sbom/
RUN --mount=type=cache,target=/root/.cache \
    /tools/install environment /sbom/env /sbom/sbom.txt

FROM tools AS environment
COPY requirements/serve.txt /tools/
RUN --mount=type=cache,target=/root/.cache \
    /tools/install environment /opt/crimeguard /tools/serve.txt \
    && /tools/install lean /opt/crimeguard \
    && /tools/install compile /opt/crimeguard fastapi lightgbm mlflow.tracking orjson polars \
       prometheus_client psycopg pydantic python_multipart rich.progress sqlalchemy typer \
       uvicorn.protocols.http.httptools_impl uvloop xgboost alembic.command alembic.context

FROM environment AS package
RUN /tools/install compiler
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY requirements/up.txt requirements/
COPY src src
RUN --mount=type=cache,target=/root/.cache /tools/install package /opt/crimeguard
RUN /tools/install kernel /opt/crimeguard

FROM ${BASE} AS runtime
RUN --mount=type=bind,source=deploy/docker/install,target=/mnt/install /mnt/install runtime
COPY --from=environment /opt/crimeguard /opt/crimeguard
COPY --from=package /overlay /
WORKDIR /var/lib/crimeguard
ARG VERSION=""
RUN --mount=type=bind,from=sbom,source=/sbom,target=/mnt \
    /mnt/env/bin/python /mnt/sbom.py --name crimeguard-backend --version "${VERSION}" \
      --out /usr/share/crimeguard/sbom.cdx.json /opt/crimeguard

ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="crimeguard-backend" \
      org.opencontainers.image.description="Predicts the category of a reported incident, over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

# Reached from other containers only, so it listens for them; without keys it then refuses.
ENV PATH=/opt/crimeguard/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    CRIMEGUARD_HOME=/var/lib/crimeguard \
    CRIMEGUARD_HOST=0.0.0.0 \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=1
USER 10001:10001
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('CRIMEGUARD_PORT', '5000')}/readyz\", timeout=4)"]
ENTRYPOINT ["crimeguard"]
CMD ["serve"]

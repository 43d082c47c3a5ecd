# The MLflow server of docker-compose.yml. Build with deploy/docker/build mlflow; the context is the repository's root.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS tools
COPY deploy/docker/install requirements/uv.txt /tools/
RUN --mount=type=cache,target=/root/.cache /tools/install tools /tools/uv.txt

FROM tools AS sbom
COPY requirements/sbom.txt deploy/docker/sbom.py /sbom/
RUN --mount=type=cache,target=/root/.cache \
    /tools/install environment /sbom/env /sbom/sbom.txt

FROM tools AS environment
COPY requirements/mlflow.txt /tools/
RUN --mount=type=cache,target=/root/.cache \
    /tools/install environment /opt/mlflow /tools/mlflow.txt \
    && /tools/install lean /opt/mlflow \
    && /tools/install compile /opt/mlflow alembic.command alembic.context boto3 \
       mlflow.cli mlflow.server.auth mlflow.server.fastapi_app psycopg uvicorn

FROM ${BASE} AS runtime
RUN --mount=type=bind,source=deploy/docker/install,target=/mnt/install /mnt/install runtime
COPY --from=environment /opt/mlflow /opt/mlflow
COPY deploy/docker/mlflow-server /usr/local/bin/mlflow-server
WORKDIR /var/lib/crimeguard
ARG VERSION=""
RUN --mount=type=bind,from=sbom,source=/sbom,target=/mnt \
    /mnt/env/bin/python /mnt/sbom.py --name crimeguard-mlflow --version "${VERSION}" \
      --out /usr/share/crimeguard/sbom.cdx.json /opt/mlflow

ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="crimeguard-mlflow" \
      org.opencontainers.image.description="MLflow with PostgreSQL, S3 and a login" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

# One worker and no jobs: 0.5 GB instead of 2.6 GB. Nothing unpickles, no source but its own.
ENV PATH=/opt/mlflow/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false \
    MLFLOW_CREATE_MODEL_VERSION_SOURCE_VALIDATION_REGEX="^(mlflow-artifacts:/.*|models:/.*)$" \
    DO_NOT_TRACK=1
USER 10001:10001
EXPOSE 5000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=10s --start-period=180s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:5000/health', timeout=9)"]
ENTRYPOINT ["mlflow-server"]

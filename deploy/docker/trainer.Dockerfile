# Training, monitoring and retraining. Build with deploy/docker/build trainer; the context is the repository's root.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS tools
COPY deploy/docker/install requirements/uv.txt /tools/
RUN --mount=type=cache,target=/root/.cache /tools/install tools /tools/uv.txt

FROM tools AS sbom
COPY requirements/sbom.txt deploy/docker/sbom.py /sbom/
RUN --mount=type=cache,target=/root/.cache \
    /tools/install environment /sbom/env /sbom/sbom.txt

FROM tools AS environment
COPY requirements/up.txt /tools/
RUN --mount=type=cache,target=/root/.cache \
    /tools/install environment /opt/crimeguard /tools/up.txt \
    && /tools/install lean /opt/crimeguard \
    && /tools/install compile /opt/crimeguard dvc.repo evidently jinja2 lightgbm matplotlib.pyplot \
       mlflow mlflow.pyfunc pandera.polars polars psycopg pyarrow.parquet rich.progress \
       scipy.optimize scipy.stats sqlalchemy typer xgboost alembic.command alembic.context

# One gate's suite pins other versions of everything; files alone pass between the two.
FROM tools AS deepchecks
COPY requirements/deepchecks.txt /tools/
RUN --mount=type=cache,target=/root/.cache \
    /tools/install environment /opt/deepchecks /tools/deepchecks.txt \
    && /tools/install lean /opt/deepchecks \
    && /tools/install compile /opt/deepchecks deepchecks.tabular.suites pyarrow.parquet

FROM environment AS package
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY requirements/up.txt requirements/
COPY src src
RUN --mount=type=cache,target=/root/.cache /tools/install package /opt/crimeguard

FROM ${BASE} AS runtime
RUN --mount=type=bind,source=deploy/docker/install,target=/mnt/install /mnt/install runtime
COPY --from=environment /opt/crimeguard /opt/crimeguard
COPY --from=deepchecks /opt/deepchecks /opt/deepchecks
COPY --from=package /overlay /
COPY deploy/docker/every /usr/local/bin/every
WORKDIR /etc/crimeguard
COPY params.yaml .
ARG VERSION=""
RUN --mount=type=bind,from=sbom,source=/sbom,target=/mnt \
    /mnt/env/bin/python /mnt/sbom.py --name crimeguard-trainer --version "${VERSION}" \
      --out /usr/share/crimeguard/sbom.cdx.json /opt/crimeguard /opt/deepchecks

ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="crimeguard-trainer" \
      org.opencontainers.image.description="Trains, judges, promotes and watches models" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

ENV PATH=/opt/crimeguard/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    CRIMEGUARD_HOME=/var/lib/crimeguard \
    CRIMEGUARD_API_URL=http://backend:5000 \
    CRIMEGUARD_DEEPCHECKS_PYTHON=/opt/deepchecks/bin/python \
    DISABLE_DEEPCHECKS_ANALYTICS=1 \
    DVC_NO_ANALYTICS=1 \
    MPLBACKEND=agg \
    MLFLOW_DISABLE_TELEMETRY=true \
    DO_NOT_TRACK=1
USER 10001:10001
STOPSIGNAL SIGTERM
# It does a piece of work and ends; there is nothing to ask.
HEALTHCHECK NONE
ENTRYPOINT ["crimeguard"]
CMD ["--help"]

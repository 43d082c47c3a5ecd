# The console. Build with deploy/docker/build frontend; the context is the repository's root.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS tools
COPY deploy/docker/install requirements/uv.txt /tools/
RUN --mount=type=cache,target=/root/.cache /tools/install tools /tools/uv.txt

FROM tools AS sbom
COPY requirements/sbom.txt deploy/docker/sbom.py /sbom/
RUN --mount=type=cache,target=/root/.cache \
    /tools/install environment /sbom/env /sbom/sbom.txt

FROM tools AS environment
COPY requirements/ui.txt /tools/
RUN --mount=type=cache,target=/root/.cache \
    /tools/install environment /opt/crimeguard /tools/ui.txt \
    && /tools/install lean /opt/crimeguard \
    && /tools/install compile /opt/crimeguard altair httpx pandas plotly.express pyarrow \
       pydeck rich.progress streamlit.web.bootstrap streamlit.testing.v1 typer

FROM environment AS package
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY requirements/up.txt requirements/
COPY src src
RUN --mount=type=cache,target=/root/.cache /tools/install package /opt/crimeguard

FROM ${BASE} AS runtime
RUN --mount=type=bind,source=deploy/docker/install,target=/mnt/install /mnt/install runtime
COPY --from=environment /opt/crimeguard /opt/crimeguard
COPY --from=package /overlay /
WORKDIR /var/lib/crimeguard
ARG VERSION=""
RUN --mount=type=bind,from=sbom,source=/sbom,target=/mnt \
    /mnt/env/bin/python /mnt/sbom.py --name crimeguard-frontend --version "${VERSION}" \
      --out /usr/share/crimeguard/sbom.cdx.json /opt/crimeguard

ARG REVISION=""
ARG CREATED=""
ARG SOURCE=""
LABEL org.opencontainers.image.title="crimeguard-frontend" \
      org.opencontainers.image.description="The console for people; talks HTTP to crimeguard-backend" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"

# Whoever reaches the port may use the console: publish it on loopback, or behind a login.
ENV PATH=/opt/crimeguard/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/tmp \
    CRIMEGUARD_HOME=/var/lib/crimeguard \
    CRIMEGUARD_UI_HOST=0.0.0.0 \
    CRIMEGUARD_API_URL=http://backend:5000 \
    DO_NOT_TRACK=1
USER 10001:10001
EXPOSE 8501
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f\"http://127.0.0.1:{os.environ.get('CRIMEGUARD_UI_PORT', '8501')}/_stcore/health\", timeout=4)"]
ENTRYPOINT ["crimeguard"]
CMD ["ui"]

# What docker-compose.yml pulls, made from Debian's and PyPI's packages where nothing can be
# pulled: PostgreSQL, an S3 store, Prometheus, Alertmanager.
ARG BASE=python:3.11-slim-bookworm
FROM ${BASE}
RUN groupadd --gid 999 postgres && useradd --uid 999 --gid 999 postgres \
    && apt-get update -qq \
    && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends \
       busybox postgresql prometheus prometheus-alertmanager >/dev/null \
    && busybox --install -s /usr/local/bin \
    && ln -s /usr/bin/prometheus /bin/prometheus-server \
    && ln -s /usr/bin/prometheus-alertmanager /bin/alertmanager \
    && ln -s /usr/lib/postgresql/*/bin/pg_isready /usr/lib/postgresql/*/bin/psql /usr/local/sbin/ \
    && rm -rf /var/lib/postgresql/* /var/lib/apt/lists/* /var/cache/apt /usr/share/doc \
       /usr/share/locale /usr/share/postgresql/*/man /usr/bin/promtool /usr/bin/amtool \
       /usr/lib/*/libLLVM* /usr/lib/postgresql/*/lib/bitcode \
    && install -d -o 999 -g 999 -m 0700 /var/lib/postgresql/data \
    && install -d -o 65534 -g 65534 /prometheus /alertmanager
COPY dev.txt uv.txt /tmp/
# Versions and hashes are those of the lock.
RUN --mount=type=cache,target=/root/.cache python3 -m venv /tmp/uv \
    && /tmp/uv/bin/pip install --quiet --require-hashes --requirement /tmp/uv.txt \
    && /tmp/uv/bin/uv venv --quiet --python python3 /opt/moto \
    && UV_LINK_MODE=copy /tmp/uv/bin/uv pip install --quiet --python /opt/moto/bin/python \
       --constraint /tmp/dev.txt 'moto[s3]' flask flask-cors \
    && rm -rf /tmp/uv
COPY postgres /usr/local/bin/run-postgres

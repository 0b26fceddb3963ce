# The image of the daemon: see docs/how-to/deploy.md. Its install steps are deploy/image/install.sh.
ARG PYTHON_IMAGE=python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1
WORKDIR /src
# Dependencies first: this layer changes only with the pins.
COPY deploy/image/ deploy/image/
COPY requirements/runtime.txt requirements/
RUN deploy/image/install.sh dependencies /opt/cdc-daemon
COPY pyproject.toml README.md LICENSE ./
COPY cdc_daemon/ cdc_daemon/
COPY connectors/ connectors/
RUN deploy/image/install.sh package /opt/cdc-daemon

FROM ${PYTHON_IMAGE}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cdc-daemon" \
      org.opencontainers.image.description="Keeps OpenSearch read models true to PostgreSQL, and measures how far behind they are" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --gid 10001 cdc-daemon \
 && useradd --uid 10001 --gid 10001 --no-log-init --no-create-home \
      --home-dir /var/lib/cdc-daemon --shell /usr/sbin/nologin cdc-daemon \
 && install -d -o 10001 -g 10001 /var/lib/cdc-daemon
COPY --from=build /opt/cdc-daemon /opt/cdc-daemon
# The root file system may be read-only: only /tmp and the state folder are written to.
ENV PATH=/opt/cdc-daemon/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CDC_DAEMON_CONFIG=/etc/cdc-daemon/cdc-daemon.yaml
USER 10001:10001
# `state: {path: ./data}`, the default, is a folder in here.
WORKDIR /var/lib/cdc-daemon
EXPOSE 9645
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["cdc-daemon", "healthcheck"]
ENTRYPOINT ["cdc-daemon"]
CMD ["run"]

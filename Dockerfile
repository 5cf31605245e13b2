# One image for all services and commands: `docker run plafond run rating`, `docker run plafond migrate`.
FROM python:3.11-slim AS build
WORKDIR /plafond
RUN pip install --no-cache-dir --disable-pip-version-check uv==0.13.9
COPY pyproject.toml uv.lock README.md ./
RUN uv sync --quiet --frozen --no-dev --no-install-project --compile-bytecode
COPY services services
COPY schemas schemas
RUN uv sync --quiet --frozen --no-dev --no-editable --compile-bytecode

FROM python:3.11-slim
LABEL org.opencontainers.image.title="plafond" org.opencontainers.image.licenses="EUPL-1.2"
COPY --from=build /plafond/.venv /plafond/.venv
COPY deploy/contracts /plafond/contracts
ENV PATH=/plafond/.venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PLAFOND_HOST=0.0.0.0
RUN install -d -o 10001 -g 10001 /documents
# A number, so that a cluster can see that it is not root's.
USER 10001:10001
WORKDIR /tmp
ENTRYPOINT ["plafond"]
CMD ["--help"]

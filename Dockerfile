# The service: one stage builds it, the other runs it as an unprivileged user. Settings come from the environment.
FROM python:3.12-slim AS build
WORKDIR /build
RUN python -m venv /venv
COPY constraints.txt pyproject.toml README.md ./
COPY autocrud autocrud
RUN /venv/bin/pip install --no-cache-dir -c constraints.txt '.[jwt,postgres]'

FROM python:3.12-slim
RUN useradd --system --create-home --uid 10001 autocrud && mkdir /data && chown autocrud /data
COPY --from=build /venv /venv
USER autocrud
WORKDIR /home/autocrud
COPY app app
ENV AUTOCRUD_HOST=0.0.0.0 AUTOCRUD_DATA_DIR=/data AUTOCRUD_CACHE_DIR=/data/cache PYTHONUNBUFFERED=1
VOLUME /data
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=10s --retries=3 \
    CMD ["/venv/bin/python", "-c", "import os, urllib.request as u; u.urlopen('http://127.0.0.1:' + os.environ.get('AUTOCRUD_PORT', '8000') + '/readyz', timeout=4)"]
CMD ["/venv/bin/python", "-m", "app"]

# The example hosts, one target per language: typescript, python, java.
#
#   docker build -f docker/hosts.Dockerfile --target python -t callboard-host-python .
#
# Each is built from source, or, with TYPESCRIPT=typescript-given and so on, from what lies in target/docker already.
# Needs BuildKit.
ARG NODE_BASE=node:20-bookworm-slim
ARG PYTHON_BASE=python:3.11-slim-bookworm
ARG MAVEN_BASE=maven:3-eclipse-temurin-17
ARG JAVA_BASE=eclipse-temurin:17-jre
ARG TYPESCRIPT=typescript-source
ARG PYTHON=python-source
ARG JAVA=java-source

# === TypeScript ===

FROM ${NODE_BASE} AS typescript-source
WORKDIR /app
COPY sdks/typescript sdks/typescript
COPY examples/incrementor examples/incrementor
RUN cd examples/incrementor/typescript && npm ci --no-audit --no-fund && npm run --silent build

FROM scratch AS typescript-given
COPY target/docker/typescript /app

FROM ${TYPESCRIPT} AS typescript-files

FROM ${NODE_BASE} AS typescript
COPY --from=typescript-files /app /app
USER 65532:65532
WORKDIR /app/examples/incrementor/typescript
CMD ["node", "build/src/main.js"]

# === Python ===

FROM ${PYTHON_BASE} AS python-source
WORKDIR /app
COPY sdks/python sdks/python
COPY examples/incrementor/python host
RUN pip install --no-cache-dir --target /app/site ./sdks/python && rm -r sdks

FROM scratch AS python-given
COPY target/docker/python /app

FROM ${PYTHON} AS python-files

FROM ${PYTHON_BASE} AS python
COPY --from=python-files /app /app
USER 65532:65532
WORKDIR /app/host
ENV PYTHONPATH=/app/site PYTHONUNBUFFERED=1
CMD ["python3", "main.py"]

# === Java ===

FROM ${MAVEN_BASE} AS java-source
WORKDIR /src
COPY . .
RUN mvn -B -q -f sdks/java/pom.xml -pl io.callboard.examples:incrementor -am -DskipTests package \
    && mkdir /app && cp -r examples/incrementor/java/target/incrementor.jar examples/incrementor/java/target/lib /app/

FROM scratch AS java-given
COPY target/docker/java /app

FROM ${JAVA} AS java-files

FROM ${JAVA_BASE} AS java
COPY --from=java-files /app /app
USER 65532:65532
CMD ["java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-jar", "/app/incrementor.jar"]

# Hoko Edge as an image: docker build --file xcaddy.Dockerfile --tag hoko-edge .
# docs/operations.md says how to run it.

# Not CADDY_VERSION: the base images set that variable, and with builders other than BuildKit it
# overrides an ARG.
ARG CADDY_RELEASE=2.11.9

# What `caddy hoko version` and the image's label say.
ARG EDGE_VERSION=unreleased

# Docker's classic builder does not set BUILDPLATFORM: pass --build-arg BUILDER=linux.
ARG BUILDER=$BUILDPLATFORM

FROM --platform=$BUILDER docker.io/library/caddy:${CADDY_RELEASE}-builder AS builder
ARG CADDY_RELEASE
ARG EDGE_VERSION
ARG TARGETOS
ARG TARGETARCH
# Only what is compiled, so that changes of other files, such as the README, recompile nothing.
COPY go.mod go.sum edge.go Caddyfile /src/
COPY caddymodule /src/caddymodule
COPY internal/devserver /src/internal/devserver
COPY plugin /src/plugin
COPY cmd/caddy/edge.pgo /src/cmd/caddy/
# Cross-compiles, so that an arm64 image needs no emulated compiler. The profile of the benchmarks
# (PGO) saves about a tenth of the edge's CPU time, but doubles that of the build. The binary has no
# file capability, because a container that lacks a file's capability cannot execute the file. The
# build flags replace those of xcaddy, so they repeat them.
RUN GOOS=${TARGETOS} GOARCH=${TARGETARCH} GOFLAGS=-pgo=/src/cmd/caddy/edge.pgo XCADDY_SETCAP=0 \
    XCADDY_GO_BUILD_FLAGS="-trimpath -tags nobadger,nomysql,nopgx -ldflags '-w -s -X hoko.to/edge/caddymodule/version.stamped=${EDGE_VERSION}'" \
    xcaddy build v${CADDY_RELEASE} --with hoko.to/edge/caddymodule --replace hoko.to/edge=/src --output /usr/bin/caddy

FROM docker.io/library/caddy:${CADDY_RELEASE}
ARG EDGE_VERSION
LABEL org.opencontainers.image.title="Hoko Edge" \
      org.opencontainers.image.description="Caddy with API keys, rate limits and POST /api/track/sale" \
      org.opencontainers.image.version="${EDGE_VERSION}" \
      org.opencontainers.image.vendor="Hoko" \
      org.opencontainers.image.url="https://hoko.to" \
      org.opencontainers.image.source="https://hoko.to/edge" \
      org.opencontainers.image.documentation="https://hoko.to/docs" \
      org.opencontainers.image.licenses="Apache-2.0"
# Certificates and the configuration live in /data and /config, which the user must own.
RUN chown -R 1000:1000 /data /config
COPY docker-entrypoint.sh /usr/bin/
COPY Caddyfile examples/sidecar.Caddyfile /etc/caddy/
COPY --from=builder /usr/bin/caddy /usr/bin/caddy
# UPSTREAM has no default, because 127.0.0.1 is the container itself. GOGC is fixed, because xcaddy
# does not build cmd/caddy, which tunes it; docs/operations.md says what that costs.
ENV SITE_ADDRESS=localhost PORT=8081 GOGC=200
# A number, because runAsNonRoot in Kubernetes rejects user names.
USER 1000:1000
# Finds the admin endpoint by the configuration that Caddy saves, and asks HEALTH_URL instead if set.
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s CMD ["caddy", "hoko", "health"]
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]

# Hoko Edge as an image: docker build --file xcaddy.Dockerfile --tag hoko-edge .
# The versions are go.mod's; a test says so, and runs the build command below.
ARG CADDY_VERSION=2.11.9

FROM --platform=$BUILDPLATFORM caddy:${CADDY_VERSION}-builder AS builder
ARG CADDY_VERSION TARGETOS TARGETARCH
COPY . /src
# Cross-compiled, so that an arm64 image needs no emulated compiler. Optimised by a profile of the benchmarks (PGO), which
# takes about a tenth off the edge's CPU time and doubles that of the build.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/go/build-cache \
    GOCACHE=/go/build-cache GOOS=${TARGETOS} GOARCH=${TARGETARCH} GOFLAGS=-pgo=/src/cmd/caddy/edge.pgo \
    xcaddy build v${CADDY_VERSION} --with hoko.to/edge/caddymodule --replace hoko.to/edge=/src --output /usr/bin/caddy

FROM caddy:${CADDY_VERSION}
LABEL org.opencontainers.image.title="Hoko Edge" \
      org.opencontainers.image.description="Caddy with API keys, rate limits and POST /api/track/sale" \
      org.opencontainers.image.url="https://hoko.to" \
      org.opencontainers.image.documentation="https://hoko.to/docs" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=builder /usr/bin/caddy /usr/bin/caddy
COPY Caddyfile examples/sidecar.Caddyfile /etc/caddy/
# Docker lets any user of a container bind ports 80 and 443; certificates and the
# configuration live in /data and /config, which the user must own.
RUN adduser -D -H -u 1000 caddy && chown -R caddy:caddy /data /config
# cmd/caddy, which xcaddy does not build, tunes this itself; docs/operations.md says what it costs.
ENV GOGC=200
USER caddy
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
    CMD wget -q -O /dev/null http://127.0.0.1:2019/hoko/ || exit 1

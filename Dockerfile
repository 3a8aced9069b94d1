# All programs in one image: `was`, `classifier`, `loadtest`. The command says which one runs:
#   docker run switchboard:0.1.0 was help
#
#   docker build -t switchboard:0.1.0 .                                  (BuildKit: the cache of cargo is kept)
#   buildah build --layers -t switchboard:0.1.0 .
#
# Bases of your own, as where nothing can be pulled: they need the packages named below, or a way to install them.
#   --build-arg BUILD_IMAGE=rust-base --build-arg RUNTIME_IMAGE=debian-base
# Both must have the same libraries (Debian 12): OpenSSL and zlib are linked as they are there.
ARG BUILD_IMAGE=rust:1.95-slim-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
ENV CARGO_HOME=/usr/local/cargo
# A C compiler, make, pkg-config, OpenSSL and zlib: what librdkafka is built with. Nothing happens when they are there.
COPY Cargo.toml stack/install.sh /tmp/install/
RUN cd /tmp/install && sh install.sh build
COPY . .
# `debuginfo` keeps the names in backtraces and drops the lines: 14 MB instead of 71 MB a program; `none` keeps all.
ARG STRIP=debuginfo
ARG PROFILE=release
# What `build_info` says.
ARG REVISION=unknown
# The target folder is a cache, so the programs are copied out of it in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/usr/local/cargo/git,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    SWITCHBOARD_REVISION="${REVISION}" CARGO_PROFILE_RELEASE_STRIP="${STRIP}" cargo build --locked --profile "${PROFILE}" \
      --bin was --bin classifier --bin loadtest \
 && mkdir -p /out/usr/local/bin /out/licenses \
 && cp "target/${PROFILE}/was" "target/${PROFILE}/classifier" "target/${PROFILE}/loadtest" /out/usr/local/bin/ \
 && cp LICENSE /out/licenses/

FROM ${RUNTIME_IMAGE}
# Certificates of authorities (webhooks, FCM, brokers), OpenSSL (brokers), zlib. Nothing happens when they are there.
RUN has() { ldconfig -p | grep -qF "$1"; }; \
    if ! { [ -e /etc/ssl/certs/ca-certificates.crt ] && has libssl.so.3 && has libz.so.1; }; then \
      apt-get update \
      && apt-get install --yes --no-install-recommends ca-certificates libssl3 zlib1g \
      && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/*; \
    fi
COPY --from=build /out/ /
# A number, so that `runAsNonRoot` can be checked. Nothing is written anywhere: the root file system may be read-only.
USER 10001:10001
# 8080 sockets and REST, 9100 health and metrics, where the chart puts them.
EXPOSE 8080 9100
STOPSIGNAL SIGTERM
CMD ["was", "help"]
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="switchboard" \
      org.opencontainers.image.description="A chat backend that scales out and counts what it promises" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

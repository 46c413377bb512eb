# The broker and its plugins, and nothing else: no shell, no other user, and
# nothing that has to be written to outside of /data.
#
#   docker build -t gatehouse .
#   docker run -p 1883:1883 --read-only --cap-drop ALL --security-opt no-new-privileges \
#     -v gatehouse:/data -v ./users.yaml:/etc/gatehouse/users.yaml:ro gatehouse
#
# "broker password" makes the hashes of a users.yaml; contrib/package/users.yaml
# is one to begin with. Other platforms are compiled for on this one:
# docker buildx build --platform linux/amd64,linux/arm64,linux/arm/v7 .

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
ARG VERSION=""
ARG TARGETOS
ARG TARGETARCH
ARG TARGETVARIANT
RUN contrib/package/build --only tree "$TARGETOS/$TARGETARCH${TARGETVARIANT:+/$TARGETVARIANT}" \
	&& mv bin/release/tree /release \
	&& mkdir /data && chmod 0700 /data

FROM scratch
ARG VERSION=""
LABEL org.opencontainers.image.title="Gatehouse" \
	org.opencontainers.image.description="MQTT broker that is programmed from outside" \
	org.opencontainers.image.source="https://github.com/gatehouse-mqtt/gatehouse" \
	org.opencontainers.image.documentation="https://github.com/gatehouse-mqtt/gatehouse/blob/main/docs/operations.md" \
	org.opencontainers.image.licenses="Apache-2.0" \
	org.opencontainers.image.version="$VERSION"
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /release/broker /usr/bin/broker
COPY --from=build /release/plugins /usr/lib/gatehouse/plugins
COPY --from=build /release/LICENSE /release/sbom.cdx.json /usr/share/doc/gatehouse/
COPY contrib/docker/gatehouse.yaml /etc/gatehouse/gatehouse.yaml
COPY --from=build --chown=65532:65532 /data /data
USER 65532:65532
WORKDIR /data
VOLUME /data
EXPOSE 1883 8883
# What "docker stop" sends ends the broker in order.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=30s CMD ["/usr/bin/broker", "health", "--run-dir", "/data/run"]
ENTRYPOINT ["/usr/bin/broker"]
CMD ["serve", "--config", "/etc/gatehouse/gatehouse.yaml", "--plugin-dir", "/usr/lib/gatehouse/plugins", "--data-dir", "/data", "--run-dir", "/data/run"]

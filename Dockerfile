# syntax=docker/dockerfile:1

# The folders are named one by one, so that keys/ and .env cannot get into a layer.
FROM golang:1.26-alpine AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY *.go ./
COPY bench ./bench
COPY chat ./chat
COPY client ./client
COPY cmd ./cmd
COPY edge ./edge
COPY gateway ./gateway
COPY schemas ./schemas
COPY streams ./streams
COPY workers ./workers
ARG VERSION=
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /roost .

# Alpine for its wget, which health checks use; the binary needs nothing.
FROM alpine:3.22
COPY --from=build /roost /usr/local/bin/roost
# docker run -p 8080:8080 -v roost:/data IMAGE runs `roost serve`, whose data outlives
# the container only with that -v.
RUN install -d -o 65532 -g 65532 -m 700 /data
USER 65532:65532
ENV ROOST_DATA_DIR=/data ROOST_HTTP=0.0.0.0:8080
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/roost"]
CMD ["serve"]

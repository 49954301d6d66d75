# The image of a raftnode.
#
#   prebuilt  holds bin/raftnode, a static binary that was built before (make node). It needs no
#             registry and no BuildKit:
#                 docker build --target prebuilt -t raftcheck-node .
#   node      is the default. It compiles in a Go image, which comes from a registry:
#                 docker build -t raftcheck-node .
#
# prebuilt stays the first stage: the classic builder runs every stage above the one it is asked
# for, and would ask a registry for the Go image. For the same reason the default target needs
# bin/raftnode to be there if the builder is the classic one; BuildKit skips what it does not need.
#
# There is no VOLUME, since anonymous volumes carry no label by which they could be removed, and no
# EXPOSE, since some tools publish such a port on every address.
ARG GO_IMAGE=golang:1.26

FROM scratch AS prebuilt
COPY bin/raftnode /raftnode
ENTRYPOINT ["/raftnode"]

FROM ${GO_IMAGE} AS build
WORKDIR /src
COPY go.mod go.sum ./
COPY cmd/raftnode cmd/raftnode
COPY node node
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /out/raftnode ./cmd/raftnode

FROM scratch AS node
COPY --from=build /out/raftnode /raftnode
ENTRYPOINT ["/raftnode"]

#!/bin/sh
# Pull the images that those of this folder build on, and write the digest of each behind its tag, where it is named:
# the next build or start, here or elsewhere, takes the very same. Run it again to renew them, then `make test-docker`.
set -eu
cd "$(dirname "$0")"
name='(PYTHON|POSTGRES)_IMAGE(:-|=)'
tags=$(sed -nE "s/.*$name([^@}]+).*/\\3/p" compose.yaml Dockerfile)
for tag in $tags; do
    docker pull --quiet "$tag" >&2
    digest=$(docker image inspect --format '{{index .RepoDigests 0}}' "$tag")
    sed -i -E "s,($name$tag)(@[^}]*)?,\\1@${digest#*@}," compose.yaml Dockerfile
done
grep -E "$name" compose.yaml Dockerfile

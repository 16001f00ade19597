#!/bin/sh
# Pull the images of images.env (or of the file given) and write the digest of each behind its tag.
set -eu
file=${1:-$(dirname "$0")/images.env}
grep -v '^#' "$file" | while IFS='=' read -r name image; do
    tag=${image%@*}
    docker pull --quiet "$tag" >&2
    digest=$(docker image inspect --format '{{index .RepoDigests 0}}' "$tag")
    sed -i "s|^$name=.*|$name=$tag@${digest#*@}|" "$file"
done
cat "$file"

#!/bin/sh
# Make the folder by which GPUs are claimed, for all users: this machine's own commands and the containers share it.
# It is STACK_GPU_LOCKS, of the environment or docker/.env, or where commands look for it by themselves.
set -eu
settings=$(dirname "$0")/.env
folder=${STACK_GPU_LOCKS:-$([ ! -f "$settings" ] || sed -n 's/^STACK_GPU_LOCKS=//p' "$settings" | tail -n 1)}
folder=${folder:-/tmp/gridless-gpus}
# Docker would make it too, but for root alone. A link in a folder that anybody may write would lead anywhere.
if [ -L "$folder" ] || [ ! -d "$folder" ]; then
    mkdir "$folder"
fi
[ -n "$(find "$folder" -prune -perm -1777)" ] || chmod 1777 "$folder"

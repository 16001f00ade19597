#!/bin/sh
# Make the stack's passwords, each 256 random bits, in docker/secrets/ (or the folder given). Keeps what is there.
# Only this user may enter the folder. The files in it are readable, because the services in the containers, which
# get each its own files, run as other users.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
chmod 700 "$folder"
for name in database_password mlflow_database_password mlflow_password mlflow_worker_password mlflow_secret_key; do
    [ -s "$folder/$name" ] && continue
    head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$folder/.$name"
    chmod 444 "$folder/.$name"
    mv "$folder/.$name" "$folder/$name"
    echo "made $folder/$name" >&2
done

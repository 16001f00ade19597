#!/bin/sh
# Set up the workers' account and start the MLflow server, with passwords from secret files, so that neither the image
# nor the container's settings, which `docker inspect` shows, hold them.
set -eu
secret() {
    cat "/run/secrets/$1" || { echo "/run/secrets/$1 can't be read: \`make up\` makes the secrets" >&2; exit 1; }
}
PGPASSWORD=$(secret mlflow_database_password)
MLFLOW_AUTH_ADMIN_PASSWORD=$(secret mlflow_password)
MLFLOW_FLASK_SERVER_SECRET_KEY=$(secret mlflow_secret_key)
worker_password=$(secret mlflow_worker_password)
export PGPASSWORD MLFLOW_AUTH_ADMIN_PASSWORD MLFLOW_FLASK_SERVER_SECRET_KEY
export MLFLOW_AUTH_CONFIG_PATH=/etc/mlflow.ini
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false # for language models
printf %s "$worker_password" | mlflow-account.py gridless-worker
exec mlflow server --app-name basic-auth --host 0.0.0.0 --port 5000 --workers 2 \
    --backend-store-uri postgresql+psycopg://mlflow@postgres:5432/mlflow --artifacts-destination /artifacts "$@"

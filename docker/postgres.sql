-- Run once, when the volume is new: a role for each service, which may nothing but use its own databases.
-- psql fills in the passwords from the secret files; they go over the socket only.
\set database_password `cat /run/secrets/database_password`
\set mlflow_database_password `cat /run/secrets/mlflow_database_password`
CREATE ROLE gridless LOGIN PASSWORD :'database_password';
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_database_password';
CREATE DATABASE gridless OWNER gridless;
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE mlflow_auth OWNER mlflow;
REVOKE CONNECT ON DATABASE gridless, mlflow, mlflow_auth, postgres FROM PUBLIC;

#!/bin/sh
# Runs once, when PostgreSQL's folder is made: one role and one database for MLflow, one for
# predictions, labels and the ledger. Neither can read the other's.
set -eu
for password in "$POSTGRES_PASSWORD" "$MLFLOW_DATABASE_PASSWORD" "$CRIMEGUARD_DATABASE_PASSWORD"; do
  case $password in
    "" | *changethis*) echo "a password of PostgreSQL is not set, or still a placeholder" >&2; exit 1 ;;
  esac
done
# Passwords go in by the environment: arguments can be seen by others.
psql --no-psqlrc --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv mlflow MLFLOW_DATABASE_PASSWORD
\getenv crimeguard CRIMEGUARD_DATABASE_PASSWORD
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow';
CREATE ROLE crimeguard LOGIN PASSWORD :'crimeguard';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE crimeguard OWNER crimeguard;
REVOKE CONNECT ON DATABASE mlflow FROM PUBLIC;
REVOKE CONNECT ON DATABASE crimeguard FROM PUBLIC;
SQL

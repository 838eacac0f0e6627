-- The role and the two databases of an installation, made once by PostgreSQL's administrator:
--   psql -v ON_ERROR_STOP=1 -v password=... -f deploy/databases.sql
CREATE ROLE writebacks LOGIN PASSWORD :'password';
CREATE DATABASE writebacks OWNER writebacks ENCODING 'UTF8' TEMPLATE template0; -- queue and ledger
CREATE DATABASE dagster OWNER writebacks ENCODING 'UTF8' TEMPLATE template0; -- Dagster's runs and events
REVOKE CONNECT ON DATABASE writebacks, dagster FROM PUBLIC;

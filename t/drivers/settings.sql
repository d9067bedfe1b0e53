SET application_name = 'drivers'
SET extra_float_digits = 3
SET client_encoding = 'UTF8'
SET client_encoding TO 'utf-8'
SET NAMES 'UTF8'
SET DateStyle = 'ISO'
SET TimeZone = 'UTC'
SET TIME ZONE 'UTC'
SET IntervalStyle = 'postgres'
SET bytea_output = 'hex'
SET bytea_output = 'escape'
SET client_min_messages = 'warning'
SET standard_conforming_strings = on
SET search_path TO public
SET statement_timeout = 60000
SET lock_timeout = 10000
SET idle_in_transaction_session_timeout = 0
SET jit = off
SET lc_monetary = 'C'
SET row_security = on
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED
SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE
SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE
SET default_transaction_isolation = 'read committed'
SET default_transaction_read_only = off
SHOW TRANSACTION ISOLATION LEVEL
SHOW transaction_read_only
SHOW standard_conforming_strings
SHOW server_version
SHOW server_encoding
SHOW TimeZone
SHOW max_identifier_length
SELECT set_config('application_name', 'drivers', false)
SELECT pg_catalog.set_config('search_path', 'public', false)
SELECT current_setting('server_version_num')::int / 100
SELECT version()
SELECT pg_catalog.version(), current_schema(), current_database(), current_user, session_user
SELECT pg_is_in_recovery()
SELECT pg_catalog.pg_client_encoding()
SELECT pg_advisory_unlock_all()
RESET application_name
RESET statement_timeout
RESET SESSION AUTHORIZATION
SET SESSION AUTHORIZATION DEFAULT
RESET ROLE
SET ROLE NONE
CLOSE ALL
UNLISTEN *
DEALLOCATE ALL
RESET ALL
DISCARD PLANS
DISCARD SEQUENCES
DISCARD TEMP
DISCARD ALL

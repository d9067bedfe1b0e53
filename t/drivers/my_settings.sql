SET NAMES utf8mb4
SET NAMES 'utf8mb4'
SET NAMES utf8
SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci
SET NAMES 'utf8mb4' COLLATE 'utf8mb4_general_ci'
SET CHARACTER SET utf8mb4
SET CHARSET utf8mb4
SET character_set_results = NULL
SET character_set_results = utf8mb4
SET character_set_client = utf8mb4, character_set_connection = utf8mb4, character_set_results = utf8mb4
SET collation_connection = utf8mb4_unicode_ci
SET autocommit = 0
SET AUTOCOMMIT = 1
SET @@session.autocommit = OFF
SET SESSION autocommit = ON
SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_TRANS_TABLES')
SET sql_mode='STRICT_TRANS_TABLES'
SET SESSION sql_mode = 'STRICT_TRANS_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_AUTO_CREATE_USER,NO_ENGINE_SUBSTITUTION'
SET SQL_AUTO_IS_NULL = 0
SET SESSION sql_auto_is_null = 0, SESSION wait_timeout = 28800
SET @@SESSION.sql_auto_is_null = 0, @@SESSION.wait_timeout = 2147483
SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED
SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ
SET SESSION TRANSACTION READ WRITE
SET TRANSACTION ISOLATION LEVEL SERIALIZABLE
SET time_zone = '+00:00'
SET SESSION time_zone = 'SYSTEM'
SET SESSION net_write_timeout = 600
SET SESSION net_read_timeout = 60
SET net_write_timeout=600
SET SESSION wait_timeout = 600
SET SESSION interactive_timeout = 600
SET sql_safe_updates = 0
SET SQL_SAFE_UPDATES=1,SQL_SELECT_LIMIT=1000,MAX_JOIN_SIZE=1000000
SET SQL_SAFE_UPDATES=0,SQL_SELECT_LIMIT=DEFAULT,MAX_JOIN_SIZE=DEFAULT
SET SQL_SELECT_LIMIT=DEFAULT
SET SQL_QUOTE_SHOW_CREATE = 1
SET sql_notes = 0
SET SESSION group_concat_max_len = 1048576
SET SESSION lock_wait_timeout = 30, SESSION innodb_lock_wait_timeout = 10
SET @x = 1
SET session_track_schema = 1
SELECT @@version_comment LIMIT 1
SELECT @@version, @@sql_mode, @@max_allowed_packet, @@wait_timeout, @@interactive_timeout
SELECT @@auto_increment_increment AS auto_increment_increment, @@character_set_client AS character_set_client, @@character_set_connection AS character_set_connection, @@character_set_results AS character_set_results, @@character_set_server AS character_set_server, @@collation_server AS collation_server, @@collation_connection AS collation_connection, @@init_connect AS init_connect, @@interactive_timeout AS interactive_timeout, @@license AS license, @@lower_case_table_names AS lower_case_table_names, @@max_allowed_packet AS max_allowed_packet, @@net_write_timeout AS net_write_timeout, @@performance_schema AS performance_schema, @@sql_mode AS sql_mode, @@system_time_zone AS system_time_zone, @@time_zone AS time_zone, @@wait_timeout AS wait_timeout
SELECT @@session.auto_increment_increment, @@session.tx_isolation, @@tx_isolation
SELECT @@max_allowed_packet,@@system_time_zone,@@time_zone,@@auto_increment_increment
SELECT VERSION(), @@sql_mode, @@default_storage_engine, @@sql_auto_is_null, @@lower_case_table_names, CONVERT_TZ('2001-01-01 01:00:00', 'UTC', 'UTC') IS NOT NULL
SELECT DATABASE(), SCHEMA(), USER(), CURRENT_USER(), CONNECTION_ID(), VERSION()
SELECT LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS()
SELECT 1 FROM DUAL
SHOW VARIABLES LIKE 'sql_mode'
SHOW VARIABLES LIKE 'lower_case_table_names'
SHOW VARIABLES WHERE Variable_name = 'version'
SHOW SESSION VARIABLES LIKE 'transaction_isolation'
SHOW COLLATION
SHOW CHARACTER SET
SHOW ENGINES
SHOW WARNINGS
SHOW COUNT(*) WARNINGS
SHOW ERRORS
SELECT CAST('test plain returns' AS CHAR(60)) AS anon_1
SELECT CAST('test collated returns' AS CHAR CHARACTER SET utf8mb4) COLLATE utf8mb4_bin AS anon_1
/* ApplicationName=DBeaver */ SELECT DATABASE()
/* ping */ SELECT 1
BEGIN
SAVEPOINT a
RELEASE SAVEPOINT a
SAVEPOINT b
ROLLBACK TO SAVEPOINT b
START TRANSACTION READ ONLY
START TRANSACTION WITH CONSISTENT SNAPSHOT
COMMIT
ROLLBACK
COMMIT AND NO CHAIN
SET autocommit = 1

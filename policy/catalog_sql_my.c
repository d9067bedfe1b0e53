/* The catalog in MySQL's and MariaDB's own words: information_schema, which shows what Gatehouse's login has some right to.
 *
 * The statements mean the same in every sql_mode: no quotes but single ones, no backslash, no ||, no blank before a bracket. information_schema compares names
 * without regard to case, and there may be tables that differ in nothing else; so names are compared as bytes. A list that GROUP_CONCAT cuts off is no JSON,
 * and the text is refused. LEFT around a definition is for MySQL, which otherwise takes it for one of a few characters. A comment with M! is MariaDB's alone, one with 80000 MySQL's: MariaDB ignores numbers from 50700 to 99999. */
#include "policy/policy_int.h"

#define OWN(a)    a "TABLE_SCHEMA NOT IN ('information_schema', 'mysql', 'performance_schema', 'sys')"
#define BYTES(a)  "CAST(" a "TABLE_SCHEMA AS BINARY) AS db, CAST(" a "TABLE_NAME AS BINARY) AS name"
#define LASTING   OWN("") " AND TABLE_TYPE <> 'TEMPORARY'"
#define TYPE_OF   "CRC32(LOWER(DATA_TYPE))"
#define WHOLE_TYP "CONCAT(COLUMN_TYPE, COALESCE(CONCAT(' character set ', CHARACTER_SET_NAME, ' collate ', COLLATION_NAME), ''))"
#define LETTERS                                                                                                                            \
    "IF(IS_NULLABLE = 'NO', 'n', ''), IF(COALESCE(GENERATION_EXPRESSION, '') <> '', 'g', ''), "                                            \
    "IF(COLLATION_NAME <> s.DEFAULT_COLLATION_NAME, 'c', ''), IF(EXTRA LIKE '%INVISIBLE%', 'i', '')"

/* Only the functions of masks are told; others are nothing to a policy. The first condition is the index, the second means the case. */
#define GATES(a)  a " = '" POL_OWN_SCHEMA "' AND CAST(" a " AS BINARY) = '" POL_OWN_SCHEMA "'"
#define ROUTINES  "information_schema.ROUTINES AS r WHERE " GATES("r.ROUTINE_SCHEMA") " AND r.ROUTINE_TYPE = 'FUNCTION'"
#define ARGUMENTS "information_schema.PARAMETERS AS p WHERE " GATES("p.SPECIFIC_SCHEMA") " AND p.DATA_TYPE IS NOT NULL"

/* A view that cannot be opened has no columns, and nobody can read it. */
#define TYPES                                                                                                                              \
    "(SELECT DISTINCT LOWER(DATA_TYPE) AS name FROM information_schema.COLUMNS WHERE " OWN(                                                \
        "") " UNION SELECT LOWER(p.DATA_TYPE) FROM " ARGUMENTS ")"
#define COLUMNS                                                                                                                            \
    "(SELECT " BYTES("k.") ", GROUP_CONCAT(CONCAT('[', JSON_QUOTE(COLUMN_NAME), ',', ORDINAL_POSITION, ',', " TYPE_OF                      \
                           ", ',', JSON_QUOTE(" WHOLE_TYP "), ',\"', " LETTERS                                                             \
                           ", '\"]') ORDER BY ORDINAL_POSITION SEPARATOR ',') AS list, "                                                   \
                           "COALESCE(GROUP_CONCAT(CASE COLUMN_KEY WHEN 'PRI' THEN ORDINAL_POSITION END ORDER BY ORDINAL_POSITION "         \
                           "SEPARATOR ','), '') AS pk "                                                                                    \
                           "FROM information_schema.COLUMNS AS k JOIN information_schema.SCHEMATA AS s "                                   \
                           "ON CAST(s.SCHEMA_NAME AS BINARY) = CAST(k.TABLE_SCHEMA AS BINARY) WHERE " OWN("k.") " GROUP BY 1, 2)"
#define TABLES "(SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE, " BYTES("") " FROM information_schema.TABLES WHERE " LASTING ")"

static const char *const statements[] = {
    "SET SESSION TRANSACTION READ ONLY",
    "SET SESSION lock_wait_timeout = 2, SESSION group_concat_max_len = 16777216 /*M! , SESSION max_statement_time = 60 */ "
    "/*!80000 , SESSION max_execution_time = 60000 */",
    "SELECT CONCAT('{\"gatehouse_catalog\":1,\"engine\":\"', IF(LOWER(VERSION()) LIKE '%mariadb%', 'mariadb', 'mysql'), '\",\"server\":', "
    "CAST(SUBSTRING_INDEX(VERSION(), '.', 1) AS UNSIGNED) * 10000 "
    "+ CAST(SUBSTRING_INDEX(SUBSTRING_INDEX(VERSION(), '.', 2), '.', -1) AS UNSIGNED) * 100 "
    "+ CAST(SUBSTRING_INDEX(SUBSTRING_INDEX(VERSION(), '-', 1), '.', -1) AS UNSIGNED), "
    "',\"database\":', JSON_QUOTE(DATABASE()), ',\"fold\":', IF(@@lower_case_table_names = 0, 0, 1), ',\"mode\":', "
    "JSON_QUOTE(@@GLOBAL.sql_mode), "
    "',\"own_mode\":', JSON_QUOTE(@@SESSION.sql_mode), ',\"charset\":', JSON_QUOTE(@@GLOBAL.character_set_client), '}')",

    "SELECT CONCAT('{\"type\":', CRC32(d.name), ',\"schema\":\"\",\"name\":', JSON_QUOTE(d.name), ',\"kind\":\"b\",\"category\":\"', CASE "
    "WHEN d.name IN ('tinyint', 'smallint', 'mediumint', 'int', 'bigint', 'decimal', 'float', 'double', 'year') THEN 'N' "
    "WHEN d.name IN ('date', 'time', 'datetime', 'timestamp') THEN 'D' "
    "WHEN d.name IN ('char', 'varchar', 'tinytext', 'text', 'mediumtext', 'longtext') THEN 'S' ELSE 'U' END, "
    "'\",\"base\":0,\"array\":false}') FROM " TYPES " AS d",

    "SELECT CONCAT('{\"relation\":', ROW_NUMBER() OVER (ORDER BY t.db, t.name), ',\"schema\":', JSON_QUOTE(t.TABLE_SCHEMA), "
    "',\"name\":', JSON_QUOTE(t.TABLE_NAME), ',\"kind\":\"', CASE t.TABLE_TYPE WHEN 'VIEW' THEN 'v' WHEN 'SEQUENCE' THEN 'S' ELSE 'r' END, "
    "'\",\"columns\":[', c.list, '],\"key\":[', c.pk, '],\"parents\":[],\"definition\":', COALESCE(JSON_QUOTE(LEFT(v.VIEW_DEFINITION, "
    "1000000)), 'null'), "
    "',\"reads\":[],\"row_security\":false,\"security_barrier\":false}') "
    "FROM " TABLES " AS t JOIN " COLUMNS " AS c ON c.db = t.db AND c.name = t.name "
    "LEFT JOIN (SELECT " BYTES("") ", VIEW_DEFINITION FROM information_schema.VIEWS WHERE " OWN("") ") AS v "
                                                                                                    "ON v.db = t.db AND v.name = t.name",

    "SELECT CONCAT('{\"function\":', ROW_NUMBER() OVER (ORDER BY r.ROUTINE_NAME), ',\"schema\":', JSON_QUOTE(r.ROUTINE_SCHEMA), "
    "',\"name\":', "
    "JSON_QUOTE(LOWER(r.ROUTINE_NAME)), ',\"returns\":', CRC32(LOWER(r.DATA_TYPE)), ',\"args\":[', COALESCE((SELECT GROUP_CONCAT(CRC32("
    "LOWER(p.DATA_TYPE)) ORDER BY p.ORDINAL_POSITION SEPARATOR ',') FROM " ARGUMENTS " AND p.ROUTINE_TYPE = 'FUNCTION' "
    "AND p.ORDINAL_POSITION > 0 AND p.SPECIFIC_NAME = r.SPECIFIC_NAME), ''), '],\"kind\":\"f\",\"volatility\":\"', "
    "IF(r.IS_DETERMINISTIC = 'YES', 'i', 'v'), '\",\"flags\":\"', IF(r.SECURITY_TYPE = 'DEFINER', 'd', ''), '\"}') FROM " ROUTINES,

    "SELECT CONCAT('{\"end\":', (SELECT COUNT(*) FROM " TYPES " AS d) + (SELECT COUNT(*) FROM " ROUTINES ") + (SELECT COUNT(*) FROM " TABLES
    " AS t JOIN (SELECT DISTINCT " BYTES("") " FROM information_schema.COLUMNS WHERE " OWN(
        "") ") AS c ON c.db = t.db AND c.name = t.name), "
            "'}')",
    NULL,
};

/* There is no number that a change of the schema counts up, so it is a sum over all that is read. Here nothing is sent but the sum. */
static const char mark[] =
    "SELECT CONCAT_WS(' ', VERSION(), @@lower_case_table_names, CRC32(CONCAT_WS('|', @@GLOBAL.sql_mode, @@SESSION.sql_mode, "
    "@@GLOBAL.character_set_client)), "
    "(SELECT CONCAT(COUNT(*), ':', COALESCE(SUM(CRC32(CONCAT_WS('|', HEX(k.TABLE_SCHEMA), HEX(k.TABLE_NAME), HEX(COLUMN_NAME), "
    "ORDINAL_POSITION, DATA_TYPE, " WHOLE_TYP ", COLUMN_KEY, " LETTERS "))), 0)) FROM information_schema.COLUMNS AS k "
    "JOIN information_schema.SCHEMATA AS s ON CAST(s.SCHEMA_NAME AS BINARY) = CAST(k.TABLE_SCHEMA AS BINARY) WHERE " OWN(
        "k.") "), "
              "(SELECT CONCAT(COUNT(*), ':', COALESCE(SUM(CRC32(CONCAT_WS('|', HEX(TABLE_SCHEMA), HEX(TABLE_NAME), TABLE_TYPE))), 0)) "
              "FROM information_schema.TABLES WHERE " LASTING "), "
              "(SELECT CONCAT(COUNT(*), ':', COALESCE(SUM(CRC32(CONCAT_WS('|', HEX(TABLE_SCHEMA), HEX(TABLE_NAME), VIEW_DEFINITION))), 0)) "
              "FROM information_schema.VIEWS WHERE " OWN("") "), "
                                                             "(SELECT CONCAT(COUNT(*), ':', COALESCE(SUM(CRC32(CONCAT_WS('|', "
                                                             "HEX(r.ROUTINE_NAME), r.DATA_TYPE, r.IS_DETERMINISTIC, "
                                                             "r.SECURITY_TYPE, r.CREATED))), 0)) FROM " ROUTINES "))";

const struct pol_catalog_reading pol_catalog_my = {.statements = statements, .mark = mark, .torn = true};

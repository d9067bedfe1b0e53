/* A small catalog of MySQL's or MariaDB's: the demo shop, a table with every kind of column type, a view, a sequence. */
#ifndef GH_T_SHOP_MY_CATALOG_H
#define GH_T_SHOP_MY_CATALOG_H

#include "policy/catalog.h"
#include "t/lib/guard.h"

#include <stdlib.h>
#include <string.h>

#define MC_TYPE(oid, name, category)                                                                                                       \
    "{\"type\":" oid ",\"schema\":\"\",\"name\":\"" name "\",\"kind\":\"b\",\"category\":\"" category "\",\"base\":0,\"array\":false}\n"
#define MC_REL(oid, schema, name, kind, columns, key) MC_VIEW(oid, schema, name, kind, columns, key, "null")
#define MC_VIEW(oid, schema, name, kind, columns, key, definition)                                                                         \
    "{\"relation\":" oid ",\"schema\":\"" schema "\",\"name\":\"" name "\",\"kind\":\"" kind "\",\"columns\":[" columns "],\"key\":[" key  \
    "],\"parents\":[],\"definition\":" definition ",\"reads\":[],\"row_security\":false,\"security_barrier\":false}\n"
#define MC_HASH                                                                                                                            \
    "{\"function\":1,\"schema\":\"gatehouse\",\"name\":\"mask_hash\",\"returns\":18,\"args\":[19,2],\"kind\":\"f\",\"volatility\":\"i\","  \
    "\"flags\":\"d\"}\n"
#define MC_UTF8 " character set utf8mb4 collate utf8mb4_general_ci"
#define MC_CUSTOMERS                                                                                                                       \
    "[\"id\",1,1,\"int(11)\",\"n\"],[\"name\",2,2,\"varchar(100)" MC_UTF8 "\",\"n\"],[\"email\",3,2,\"varchar(100)" MC_UTF8                \
    "\",\"n\"],[\"phone\",4,2,\"varchar(40)" MC_UTF8 "\",\"n\"],[\"card_number\",5,2,\"varchar(40)" MC_UTF8                                \
    "\",\"n\"],[\"birth_date\",6,3,\"date\",\"n\"],[\"region\",7,2,\"varchar(10)" MC_UTF8 "\",\"n\"]"
#define MC_MIXED                                                                                                                           \
    "[\"id\",1,9,\"bigint(20) unsigned\",\"n\"],[\"c\",2,5,\"char(8) character set latin1 collate latin1_swedish_ci\",\"\"],[\"t\",3,6,"   \
    "\"text" MC_UTF8                                                                                                                       \
    "\",\"\"],[\"d\",4,4,\"decimal(10,2)\",\"\"],[\"f\",5,7,\"double\",\"\"],[\"dt\",6,8,\"datetime(6)\",\"\"],[\"ts\",7,"                 \
    "10,\"timestamp\",\"\"],[\"e\",8,11,\"enum('a','b') character set utf8mb4 collate utf8mb4_bin\",\"\"],[\"b\",9,12,\"blob\",\"\"],"     \
    "[\"j\",10,13,\"json\",\"\"],[\"u\",11,14,\"uuid\",\"\"],[\"tm\",12,15,\"time(3)\",\"\"],[\"y\",13,16,\"year(4)\",\"\"],[\"Odd`"       \
    "Name\",14,2,"                                                                                                                         \
    "\"varchar(20)" MC_UTF8 "\",\"\"],[\"s\",15,17,\"smallint(6)\",\"\"]"

static const char shop_my_catalog_text[] =
    "{\"gatehouse_catalog\":1,\"engine\":\"mariadb\",\"server\":101119,\"database\":\"shop\",\"fold\":0}\n" MC_TYPE("1", "int", "N")
        MC_TYPE("2", "varchar", "S") MC_TYPE("3", "date", "D") MC_TYPE("4", "decimal", "N") MC_TYPE("5", "char", "S")
            MC_TYPE("6", "text", "S") MC_TYPE("7", "double", "N") MC_TYPE("8", "datetime", "D") MC_TYPE("9", "bigint", "N") MC_TYPE(
                "10", "timestamp", "D") MC_TYPE("11", "enum", "U") MC_TYPE("12", "blob", "U") MC_TYPE("13", "json", "U")
                MC_TYPE("14", "uuid", "U") MC_TYPE("15", "time", "D") MC_TYPE("16", "year", "N") MC_TYPE("17", "smallint", "N") MC_TYPE(
                    "18", "binary", "U") MC_TYPE("19", "longblob", "U") MC_REL("101", "shop", "customers", "r", MC_CUSTOMERS, "1")
                    MC_REL("102", "shop", "orders", "r",
                           "[\"id\",1,1,\"int(11)\",\"n\"],[\"customer_id\",2,1,\"int(11)\",\"n\"],[\"total\",3,4,\"decimal(10,2)\",\"n\"],"
                           "[\"status\",4,2,\"varchar(20)" MC_UTF8 "\",\"n\"],[\"placed_at\",5,8,\"datetime\",\"n\"]",
                           "1") MC_REL("103", "shop", "mixed", "r", MC_MIXED,
                                       "1") MC_REL("104", "other", "customers", "r",
                                                   "[\"id\",1,1,\"int(11)\",\"n\"],[\"note\",2,2,\"varchar(20)" MC_UTF8 "\",\"\"]", "1")
                        MC_VIEW(
                            "105", "shop", "customer_directory", "v",
                            "[\"name\",1,2,\"varchar(100)" MC_UTF8 "\",\"\"],[\"email\",2,2,\"varchar(100)" MC_UTF8 "\",\"\"]", "",
                            "\"select `shop`.`customers`.`name` AS `name`,`shop`.`customers`.`email` AS `email` from `shop`.`customers`\"")
                            MC_REL("106", "pg_data", "customers", "r", MC_CUSTOMERS, "1")
                                MC_REL("107", "shop", "odd", "r",
                                       "[\"id\",1,1,\"int(11)\",\"n\"],[\"seen\",2,1,\"int(11)\",\"\"],[\"Unseen\",3,1,\"int(11)\",\"i\"]",
                                       "1") MC_HASH "{\"end\":27}\n";

static inline struct pol_catalog *shop_my_catalog(void) {
    char why[400] = "";
    struct pol_catalog *c = pol_catalog_parse(shop_my_catalog_text, strlen(shop_my_catalog_text), why, sizeof why);
    ck_assert_msg(c != NULL, "%s", why);
    return c;
}

#endif

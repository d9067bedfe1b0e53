/* A small catalog for tests of what rules hide: the demo shop's customers and orders, a partitioned table, and every kind of column type. */
#ifndef GH_T_SHOP_CATALOG_H
#define GH_T_SHOP_CATALOG_H

#include "policy/catalog.h"
#include "t/lib/guard.h"

#include <stdlib.h>
#include <string.h>

#define CAT_TYPE(oid, name, kind, category, base, array)                                                                                   \
    "{\"type\":" oid ",\"schema\":\"" name "\",\"kind\":\"" kind "\",\"category\":\"" category "\",\"base\":" base ",\"array\":" array "}" \
    "\n"
#define CAT_B(oid, name, category) CAT_TYPE(oid, "pg_catalog\",\"name\":\"" name, "b", category, "0", "false")
#define CAT_REL(oid, schema, name, kind, columns, key, parents)                                                                            \
    "{\"relation\":" oid ",\"schema\":\"" schema "\",\"name\":\"" name "\",\"kind\":\"" kind "\",\"columns\":[" columns "],\"key\":[" key  \
    "],\"parents\":[" parents "],\"definition\":null,\"reads\":[],\"row_security\":false,\"security_barrier\":false}\n"

#define CAT_CUSTOMERS                                                                                                                      \
    "[\"id\",1,23,\"integer\",\"n\"],[\"name\",2,25,\"text\",\"n\"],[\"email\",3,25,\"text\",\"n\"],[\"phone\",4,25,\"text\",\"n\"],"      \
    "[\"card_number\",5,25,\"text\",\"n\"],[\"birth_date\",6,1082,\"date\",\"n\"],[\"region\",7,25,\"text\",\"n\"]"
#define CAT_ORDERS                                                                                                                         \
    "[\"id\",1,23,\"integer\",\"n\"],[\"customer_id\",2,23,\"integer\",\"n\"],[\"total\",3,1700,\"numeric(10,2)\",\"n\"],"                 \
    "[\"status\",4,25,\"text\",\"n\"],[\"placed_at\",5,1184,\"timestamp with time zone\",\"n\"]"
#define CAT_MIXED                                                                                                                          \
    "[\"id\",1,20,\"bigint\",\"n\"],[\"v\",2,1043,\"character varying(20)\",\"\"],[\"c\",3,1042,\"character(8)\",\"\"],"                   \
    "[\"b\",4,16,\"boolean\",\"\"],[\"f\",5,701,\"double precision\",\"\"],[\"u\",6,2950,\"uuid\",\"\"],[\"j\",7,3802,\"jsonb\",\"\"],"    \
    "[\"a\",8,1009,\"text[]\",\"\"],[\"m\",9,17000,\"public.mood\",\"\"],[\"d\",10,17001,\"public.address\",\"\"],"                        \
    "[\"t\",11,1114,\"timestamp without time zone\",\"\"],[\"Odd \\\"Name\",12,25,\"text\",\"\"],[\"ia\",13,1007,\"integer[]\",\"\"]"

static const char shop_catalog_text[] = "{\"gatehouse_catalog\":1,\"server\":150018,\"database\":\"shop\"}\n" CAT_B("16", "bool", "B")
    CAT_B("20", "int8", "N") CAT_B("21", "int2", "N") CAT_B("23", "int4", "N") CAT_B("25", "text", "S") CAT_B("700", "float4", "N") CAT_B(
        "701", "float8", "N") CAT_B("1042", "bpchar", "S") CAT_B("1043", "varchar", "S") CAT_B("1082", "date", "D")
        CAT_B("1114", "timestamp", "D") CAT_B("1184", "timestamptz", "D") CAT_B("1700", "numeric", "N") CAT_B("2950", "uuid", "U") CAT_B(
            "3802", "jsonb", "U") CAT_TYPE("1009", "pg_catalog\",\"name\":\"_text", "b",
                                           "A", "25", "true") CAT_TYPE("1007", "pg_catalog\",\"name\":\"_int4", "b", "A", "23", "true")
            CAT_TYPE("17000", "public\",\"name\":\"mood", "e", "E", "0",
                     "false") CAT_TYPE("17001", "public\",\"name\":\"address", "d", "S", "1043",
                                       "false") CAT_REL("16385", "public", "customers", "r", CAT_CUSTOMERS, "1", "")
                CAT_REL("16386", "public", "orders", "r", CAT_ORDERS, "1", "") CAT_REL("16387", "public", "mixed", "r", CAT_MIXED, "1", "")
                    CAT_REL("16388", "public", "parts", "p", CAT_CUSTOMERS, "", "")
                        CAT_REL("16389", "archive", "parts_eu", "r", CAT_CUSTOMERS ",[\"extra\",8,25,\"text\",\"g\"]", "", "16388") CAT_REL(
                            "16390", "public", "staff",
                            "r",
                            "[\"id\",1,23,\"integer\",\"n\"],[\"name\",2,25,\"text\",\"n\"],[\"salary\",3,1700,\"numeric(10,2)\",\"n\"]",
                            "1", "") CAT_REL("16391", "s2", "customers", "r",
                                             "[\"id\",1,23,\"integer\",\"n\"],[\"note\",2,25,\"text\",\"\"]", "1",
                                             "") CAT_REL("16392", "public", "customer_directory", "v",
                                                         "[\"name\",1,25,\"text\",\"\"],[\"email\",2,25,\"text\",\"\"]", "", "")
                            CAT_REL("1259", "pg_catalog", "pg_class", "r", "[\"oid\",1,23,\"oid\",\"n\"],[\"relname\",2,25,\"name\",\"n\"]",
                                    "", "") "{\"function\":18000,\"schema\":\"gatehouse\",\"name\":\"mask_hash\",\"returns\":25,\"args\":["
                                            "25,25],\"kind\":\"f\",\"volatility\":\"s\",\"flags\":\"sd\"}\n"
                                            "{\"end\":29}\n";

static inline struct pol_catalog *shop_catalog(void) {
    char why[400] = "";
    struct pol_catalog *c = pol_catalog_parse(shop_catalog_text, strlen(shop_catalog_text), why, sizeof why);
    ck_assert_msg(c != NULL, "%s", why);
    return c;
}

#endif

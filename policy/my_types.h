/* Types of MySQL's and MariaDB's columns, as the catalog has them. */
#ifndef GH_POLICY_MY_TYPES_H
#define GH_POLICY_MY_TYPES_H

#include "policy/catalog.h"

enum my_class {
    MY_C_OTHER,
    MY_C_CHAR,
    MY_C_VARCHAR,
    MY_C_TEXT,
    MY_C_ENUM,
    MY_C_INT,
    MY_C_BIT,
    MY_C_YEAR,
    MY_C_DECIMAL,
    MY_C_FLOAT,
    MY_C_DATE,
    MY_C_DATETIME,
    MY_C_TIMESTAMP,
    MY_C_TIME,
    MY_C_JSON,
    MY_C_BINARY,
    MY_C_OWN, /* CAST knows it by its own name */
};
struct my_type {
    enum my_class class;
    const char *name;                /* DATA_TYPE; the catalog's */
    char length[32];                 /* "(10,2)" of the type, or "" */
    unsigned long chars;             /* of CHAR and VARCHAR */
    char charset[64], collation[96]; /* "": none */
    bool is_unsigned;
};
/* From COLUMN_TYPE and what the catalog puts behind it: varchar(120) character set utf8mb4 collate utf8mb4_general_ci. False when it is not understood. */
bool my_type_of(const struct pol_catalog *c, const struct pol_cat_column *col, struct my_type *out);
static inline bool my_is_text(const struct my_type *t) {
    return t->class == MY_C_CHAR || t->class == MY_C_VARCHAR || t->class == MY_C_TEXT;
}

#endif

/* What a database's catalog says of its relations, types and functions: one immutable object, read by the rewriter and by the column facts.
 *
 * Its text form is one JSON value a line: a head, then types, relations and functions in any order, then an end that counts them:
 *   {"gatehouse_catalog":1,"server":150018,"database":"shop"}
 *   {"type":23,"schema":"pg_catalog","name":"int4","kind":"b","category":"N","base":0,"array":false}
 *   {"relation":16385,"schema":"public","name":"customers","kind":"r","columns":[["id",1,23,"integer","n"]],"key":[1],"parents":[],
 *    "definition":null,"reads":[],"row_security":false,"security_barrier":false}          (on one line)
 *   {"function":1299,"schema":"pg_catalog","name":"now","returns":1184,"args":[],"kind":"f","volatility":"s","flags":"ls"}
 *   {"end":3}
 * A column's letters: n not null, g generated, a GENERATED ALWAYS AS IDENTITY, c of another collation than the database's, i invisible to "*". A function's: l leakproof,
 * s strict, r returns a set, d security definer, v variadic, q written in SQL. "parents" and "reads" hold oids of other relations in the text.
 *
 * MySQL's and MariaDB's has a head with the server as struct my_options has it, and "fold" when lower_case_table_names is not 0; the rest of it may be missing:
 * sql_mode for new connections ("mode" is the global value, "own_mode" what our connection had after init_connect), and the global character_set_client.
 *   {"gatehouse_catalog":1,"engine":"mariadb","server":101119,"database":"shop","fold":0,"mode":"STRICT_TRANS_TABLES","own_mode":"STRICT_TRANS_TABLES",
 *    "charset":"utf8mb4"}                                                                 (on one line)
 * Schemas are databases; the server's own are left out. There are no oids: a relation's number is only that of its line, a type's is made of its name, which is
 * that of information_schema's DATA_TYPE. Categories are N (numbers, year), D (dates and times), S (char, varchar, text), U (everything else). typ is
 * COLUMN_TYPE, with " character set X collate Y" where there is one. Kinds are r, v, S. The key is the primary one, or one that is as good. Functions are
 * those of the gate's own schema alone, i when they are DETERMINISTIC, else v. Parents and reads are not told: what views read, their definitions say. */
#ifndef GH_POLICY_CATALOG_H
#define GH_POLICY_CATALOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a text may hold. More is an error: a catalog that is cut would hide relations. */
#define POL_CAT_RELATIONS 100000u
#define POL_CAT_COLUMNS   4000000u
#define POL_CAT_TYPES     400000u
#define POL_CAT_FUNCTIONS 200000u
#define POL_CAT_BYTES     (512u << 20)

struct pol_cat_column { /* pg_attribute, without dropped ones, in the order of attnum */
    const char *name;
    int16_t number;
    uint32_t type; /* pg_type.oid */
    const char
        *typ; /* format_type(atttypid, atttypmod) with search_path empty: "character varying(120)", "public.mood"; MySQL: see above */
    bool not_null, generated, identity_always, collated, invisible;
};
struct pol_cat_relation {
    uint32_t oid;
    const char *schema, *name;
    char kind; /* relkind: r p v m f S c */
    const struct pol_cat_column *columns;
    size_t ncolumns;
    const int16_t *key; /* attnums of the primary key; NULL without one */
    size_t nkey;
    const struct pol_cat_relation *const *parents; /* inheritance and partitions: direct parents */
    size_t nparents;
    const char *definition; /* views and materialised views: pg_get_viewdef with search_path empty; else NULL */
    const struct pol_cat_relation *const
        *reads; /* views: relations their rules depend on (pg_depend), direct; MySQL: pol_catalog_read_views() */
    size_t nreads;
    bool reads_more; /* MySQL's views: something that is not among reads, or nobody knows what */
    bool row_security, security_barrier;
};
struct pol_cat_type {
    uint32_t oid;
    const char *schema, *name;
    char kind, category; /* typtype b c d e m r p; typcategory */
    uint32_t base;       /* domain: its base type; array: its element; composite: its relation's oid; else 0 */
    bool array;
};
struct pol_cat_function {
    const char *schema, *name;
    uint32_t oid, returns; /* pg_proc.oid, prorettype */
    const uint32_t *args;  /* proargtypes */
    size_t nargs;
    char kind, volatility; /* prokind f p a w; provolatile i s v */
    bool leakproof, strict, set, definer, variadic;
    bool sql_language;
};
struct pol_catalog; /* immutable after loading; reference-counted (atomic): may be shared by threads */
enum pol_engine { POL_CAT_POSTGRESQL, POL_CAT_MYSQL, POL_CAT_MARIADB };

/* From its text. NULL and a sentence in err: the line, and what is wrong with it. */
struct pol_catalog *pol_catalog_parse(const char *json, size_t len, char *err, size_t errlen);
struct pol_catalog *pol_catalog_ref(struct pol_catalog *c);
void pol_catalog_unref(struct pol_catalog *c); /* NULL is fine */
/* For tools, before the catalog is shared: fills in what MySQL's and MariaDB's views read, by parsing their definitions. 2 MiB of stack are enough. PostgreSQL's
 * catalogs have it already. False when memory is out. */
bool pol_catalog_read_views(struct pol_catalog *c);
const char *pol_catalog_database(const struct pol_catalog *c);
enum pol_engine pol_catalog_engine(const struct pol_catalog *c);
bool pol_catalog_fold(const struct pol_catalog *c);       /* MySQL, MariaDB: names of databases and tables are in lower case */
uint32_t pol_catalog_server(const struct pol_catalog *c); /* server_version_num: 150018; MySQL, MariaDB: 80406, 101119 */
/* How a MySQL or MariaDB server has new connections, as it shows it; each NULL when the text does not say. */
struct pol_cat_defaults {
    const char *mode, *own_mode, *charset;
};
struct pol_cat_defaults pol_catalog_defaults(const struct pol_catalog *c); /* lives as long as c */
const struct pol_cat_relation *pol_catalog_relation(const struct pol_catalog *c, const char *schema, const char *name); /* NULL: none */
const struct pol_cat_relation *pol_catalog_relation_oid(const struct pol_catalog *c, uint32_t oid);
const struct pol_cat_column *pol_cat_column(const struct pol_cat_relation *r, const char *name);
const struct pol_cat_type *pol_catalog_type(const struct pol_catalog *c, uint32_t oid);
/* The overloads of a name, contiguous; *n of them. Functions of pg_catalog are in it as well. */
const struct pol_cat_function *pol_catalog_functions(const struct pol_catalog *c, const char *schema, const char *name, size_t *n);
size_t pol_catalog_relations(const struct pol_catalog *c); /* and iteration, for tools */
const struct pol_cat_relation *pol_catalog_relation_at(const struct pol_catalog *c, size_t i);

/* What makes the text. PostgreSQL 15 to 18, or MariaDB 10.11 and MySQL 8 on. */
struct pol_catalog_reading {
    /* Statements to run one after the other on one connection that nobody else uses, NULL behind the last. They give rows of one text column, each a
     * line. They change nothing but the session's settings. */
    const char *const *statements;
    /* One row, one text column: differs when any of what the statements read has changed (and now and then when it has not). Costs little. */
    const char *mark;
    /* They do not read in one snapshot: what they gave is a catalog only when the mark is the same before and after. */
    bool torn;
};
extern const struct pol_catalog_reading pol_catalog_pg, pol_catalog_my;

#endif

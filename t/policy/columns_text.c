#include "t/policy/columns_text.h"

#include "policy/text.h"
#include "t/lib/guard.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAIL(key) TAIL_READS(key, "")
#define TAIL_READS(key, reads)                                                                                                             \
    ",\"key\":" key ",\"parents\":[],\"definition\":null,\"reads\":[" reads "],\"row_security\":false,\"security_barrier\":false}\n"
#define REL(oid, schema, name, kind)                                                                                                       \
    "{\"relation\":" oid ",\"schema\":\"" schema "\",\"name\":\"" name "\",\"kind\":\"" kind "\",\"columns\":["
#define COL(name, number, type, typ) "[\"" name "\"," number "," type ",\"" typ "\",\"\"]"
#define INT(name, number)            COL(name, number, "23", "integer")
#define TEXT(name, number)           COL(name, number, "25", "text")
#define TYPE(oid, name, kind, base)                                                                                                        \
    "{\"type\":" oid ",\"schema\":\"public\",\"name\":\"" name "\",\"kind\":\"" kind "\",\"category\":\"C\",\"base\":" base                \
    ",\"array\":false}\n"
#define FUNCTION(oid, name, returns)                                                                                                       \
    "{\"function\":" oid ",\"schema\":\"public\",\"name\":\"" name "\",\"returns\":" returns                                               \
    ",\"args\":[],\"kind\":\"f\",\"volatility\":\"v\",\"flags\":\"r\"}\n"

static const char catalog[] = "{\"gatehouse_catalog\":1,\"server\":150018,\"database\":\"shop\"}\n" TYPE("101", "customers", "c", "1")
    TYPE("102", "pair", "c", "6") REL("1", "public", "customers", "r") INT("id", "1") "," TEXT("name", "2") "," TEXT("email", "3") "," COL(
        "phone", "4", "1043", "character varying(20)") "," TEXT("card_number", "6") "," COL("birth_date", "7", "1082",
                                                                                            "date") "," TEXT("region", "8") "]" TAIL("[1]")
        REL("2", "public", "orders", "r") INT("id", "1") "," INT("customer_id", "2") "," COL("total", "3", "1700", "numeric") "," TEXT(
            "status", "4") "," COL("placed_at", "5", "1184", "timestamp with time zone") "]" TAIL("[1]") REL("3", "public", "staff", "r")
            INT("id", "1") "," TEXT("name", "2") "," COL("salary", "3", "1700", "numeric") "]" TAIL("[1]")
                REL("4", "public", "customer_directory", "v") TEXT("name", "1") "," TEXT("email", "2") "]" TAIL_READS("[]", "1")
                    REL("5", "other", "staff", "r") INT("id", "1") "," TEXT("secret", "2") "]" TAIL("[]") REL("6", "public", "pair", "c")
                        INT("a", "1") "," TEXT("b", "2") "]" TAIL("[]") REL("7", "pg_catalog", "pg_class", "r")
                            COL("oid", "1", "26", "oid") "," COL("relname", "2", "19", "name") "," COL("big", "3", "20",
                                                                                                       "bigint") "]" TAIL("[]")
                                REL("8", "public", "words", "r") INT("id", "1") ",[\"w\",2,25,\"text\",\"c\"]"
                                                                                "]" TAIL("[]") FUNCTION("20", "pairs", "102")
                                                                                    FUNCTION("21", "anything", "2249") "{\"end\":12}\n";

struct pol_catalog *columns_catalog(void) {
    char why[300];
    struct pol_catalog *c = pol_catalog_parse(catalog, sizeof catalog - 1, why, sizeof why);
    if (c == NULL) { /* also called where no test runs */
        fprintf(stderr, "%s\n", why);
        abort();
    }
    return c;
}

static void uses(char *out, size_t size, char sign, unsigned bits) {
    static const char letters[] = "-opgsjmwx";
    if (bits == 0) return;
    pol_add(out, size, "%c", sign);
    if (bits == POL_USE_READ) pol_add(out, size, "-");
    for (unsigned i = 1; letters[i] != '\0'; i++)
        if (bits & 1u << i) pol_add(out, size, "%c", letters[i]);
    ck_assert(bits < 1u << 9 && ((bits & ~(unsigned)(POL_USE_WRITTEN | POL_USE_EXCLUDED)) == 0 || (bits & POL_USE_READ) != 0));
}

static struct pol_columns *ask(const struct pol_catalog *cat, const char *sql, size_t len, char *out) {
    static const char *const path[] = {"public"};
    struct pol_pins pins = {.search_path = path, .nsearch_path = 1};
    struct pol_parse_error err;
    struct pol_columns *c = pol_columns_pg(sql, len, cat, &pins, &err);
    ck_assert_msg(c != NULL, "%s: %s", sql, err.text);
    out[0] = '\0';
    return c;
}

void columns_text(const struct pol_catalog *cat, const char *sql, size_t len, char *out, size_t size) {
    struct pol_columns *c = ask(cat, sql, len, out);
    for (size_t i = 0; i < c->nrelations; i++) {
        const struct pol_relation_use *r = &c->relations[i];
        bool first = true;
        ck_assert_ptr_eq(pol_columns_of(c, r->relation), r);
        pol_add(out, size, "%s%s%s%s{", i > 0 ? " " : "", strcmp(r->relation->schema, "public") != 0 ? r->relation->schema : "",
                strcmp(r->relation->schema, "public") != 0 ? "." : "", r->relation->name);
        for (size_t k = 0; k < r->relation->ncolumns; k++) {
            const struct pol_column_use *u = &r->columns[k];
            if (u->named == 0 && u->unnamed == 0) continue;
            ck_assert_uint_le(u->location, len);
            pol_add(out, size, "%s%s", first ? "" : " ", r->relation->columns[k].name);
            uses(out, size, '=', u->named);
            uses(out, size, '*', u->unnamed);
            first = false;
        }
        pol_add(out, size, "%s}%s", r->system ? (first ? "ctid" : " ctid") : "", r->complete || !c->complete ? "" : "!");
        ck_assert(c->complete || !r->complete);
    }
    if (!c->complete) pol_add(out, size, "!!");
    pol_columns_free(c);
}

void conjuncts_text(const struct pol_catalog *cat, const char *sql, size_t len, char *out, size_t size) {
    struct pol_columns *c = ask(cat, sql, len, out);
    for (size_t i = 0; i < c->nconjuncts; i++) {
        const struct pol_conjunct *s = &c->conjuncts[i];
        ck_assert_int_eq(strncmp(sql + s->range_var, s->relation->name, strlen(s->relation->name)), 0);
        ck_assert(s->lateral == (s->other != NULL) && s->lateral == (s->other_column != NULL));
        pol_add(out, size, "%s%s@%u.%s%s%s", i > 0 ? "; " : "", s->relation->name, s->range_var, s->column->name, s->rest,
                s->lateral ? " L" : "");
    }
    pol_columns_free(c);
}

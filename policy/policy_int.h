/* Inside of the compiled policy: shared by policy.c, role.c and verdict.c only. */
#ifndef GH_POLICY_POLICY_INT_H
#define GH_POLICY_POLICY_INT_H

#include "policy/arena.h"
#include "policy/catalog.h"
#include "policy/expr_pg.h"
#include "policy/obligations.h"
#include "policy/policy.h"
#include "policy/times.h"

#include <stdatomic.h>
#include <string.h>

/* Actions that are about no relation: a rule grants them whatever its "on" says. */
#define POL_UNBOUND (POL_EXECUTE | POL_NOTIFY | POL_SET | POL_FILES | POL_TEMP)

struct pol_pattern { /* schema.name; each part exact or with * */
    const char *schema, *name;
    bool exact;
};
struct pol_tag_item { /* schema.relation.column */
    struct pol_pattern relation;
    const char *column; /* may hold * */
};
struct pol_tag {
    const char *database, *name;
    struct pol_tag_item *items;
    size_t nitems;
};

enum pol_mask_kind {
    POL_M_NULL,
    POL_M_CONSTANT,
    POL_M_EMAIL,
    POL_M_FIRST,
    POL_M_LAST,
    POL_M_PARTIAL,
    POL_M_TRUNCATE,
    POL_M_ROUND,
    POL_M_HASH,
    POL_M_EXPRESSION
};
struct pol_mask {
    enum pol_mask_kind kind;
    const char *text;    /* the constant; the fill of partial; the unit of truncate; the key of hash, by name */
    int64_t first, last; /* characters; round: the step is first */
    const struct pol_expr *expr;
};
struct pol_column_rule { /* one entry of a rule's "columns" */
    const char *column;  /* NULL: a tag */
    const char *tag;     /* or NULL */
    enum pol_visibility visibility;
    struct pol_mask mask; /* when masked */
};
struct pol_limits_rule {
    uint64_t rows, bytes, ms; /* 0: none */
};

struct pol_rule {
    const char *name;
    unsigned line;                                                    /* in the file */
    const char *const *groups, *const *principals, *const *databases; /* NULL-terminated; databases NULL: every one */
    bool deny, ask;                                                   /* neither: allow */
    unsigned actions;
    struct pol_pattern *on, *functions;
    size_t non, nfunctions;
    bool everything; /* "on" holds *.* */
    bool unpin;      /* search_path, role and the like may be set; only with allow: all on *.* */
    bool where;      /* require: an UPDATE or DELETE by it needs a WHERE */
    const char *reason, *hint;
    struct pol_column_rule *columns; /* NULL with ncolumns 0: the rule says nothing of columns, unless has_columns */
    size_t ncolumns;
    bool has_columns;
    struct pol_column_rule others; /* "*": hidden when the rule says nothing of them */
    const struct pol_expr *rows;   /* NULL: every row */
    const char *const *write;      /* NULL-terminated; NULL: the rule says nothing */
    struct pol_limits_rule limits;
    enum pol_record record;
    bool need_limit, read_only;
    const struct pol_window *times; /* when it holds; NULL: always */
    size_t ntimes;
    /* ask */
    const char *const *approvers; /* groups; NULL-terminated */
    unsigned quorum;
    uint64_t expires_ms, window_ms, wait_ms;
    bool justify;
    uint64_t grant_ms; /* 0: none */
    enum pol_scope grant_scope;
    const char *const *glass; /* groups; NULL: nobody */
    uint64_t glass_ms;
};
struct pol_database {
    const char *name;
    bool observe;
};
struct pol_policy {
    atomic_size_t refs;
    struct pol_arena *arena;
    char hash[65];
    struct pol_database *databases;
    size_t ndatabases;
    struct pol_rule *rules;
    size_t nrules;
    struct pol_tag *tags;
    size_t ntags;
    const struct pol_zone **zones; /* that its rules name, each once */
    size_t nzones, zones_cap;
};

struct pol_entry { /* one pattern of one rule that applies */
    const struct pol_pattern *pattern;
    const struct pol_rule *rule;
    uint32_t next; /* index + 1 in the same hash slot (of globs: or the next that is wild); 0 ends */
};
struct pol_role {
    struct pol_policy *policy;
    struct pol_arena *arena;
    struct pol_pins pins;
    const char *database;
    bool observes;
    const struct pol_rule **rules; /* that apply, in the file's order */
    size_t nrules;
    struct pol_rules {
        const struct pol_rule **at;
        size_t n;
    } bounds, denials, asking, calls,
        timed; /* those of them with limits, or that ask for a LIMIT; that deny; that ask; that grant functions; that have times. In the file's order, too */
    struct pol_entry *exact, *globs; /* patterns of "on"; globs: those with a '*', see pol_glob_begin() */
    size_t nexact, nglobs;
    uint32_t *slots;              /* hash of schema.name -> index + 1 in exact */
    uint32_t *schemas;            /* hash of a schema without a '*' -> index + 1 in globs */
    uint32_t wild;                /* the first of those whose schema has one; 0: none */
    size_t nslots, nschemas;      /* powers of two */
    size_t most;                  /* so many entries at most are compared with one relation's name */
    size_t nfunctions;            /* patterns for functions */
    size_t nbounds;               /* patterns of the rules in bounds */
    size_t hiding, tagged;        /* comparisons for a new view: with what it is about, and for each of its columns */
    size_t npatterns;             /* of "on" in rules that apply */
    size_t policy_patterns;       /* of "on" and of tags in the whole policy */
    size_t any_at;                /* rules before the first one that grants something whenever */
    unsigned unbound, everywhere; /* actions granted without a relation: the unbound ones; those of rules on *.* */
    const struct pol_rule *super; /* allow (or ask): all on *.* */
    const struct pol_rule
        *wall; /* the first rule that denies, or hides columns or rows: what code that cannot be seen into could walk around */
    const struct pol_rule *hides; /* the first rule that hides columns or rows; NULL without "restricts" */
    bool offline;                 /* no catalog will come: see pol_role_offline() */
    bool unpin;                   /* a rule says so; void beside a wall */
    bool keep_pins;               /* it counts for nothing */
    bool assume_hash;             /* pol_mask_sql() */
    bool restricts, read_only, rewrites;
    struct pol_catalog *catalog; /* NULL: not read yet */
    const char *principal;
    const struct pol_claim *claims;
    size_t nclaims;
    const char **groups;     /* NULL-terminated */
    struct pol_views *views; /* obligations.c: made when first asked for */
    bool asks;               /* a rule asks */
    bool asks_by_name;       /* one does for less than *.* */
    bool *off; /* by a rule's index in the policy: its times do not hold now, as far as pol_role_at() was told; NULL: no rule has times */
    int64_t told; /* by pol_role_at(), last */
};
/* Whether what a rule grants, denies or asks counts now. What it takes away (columns, rows, write, limits, require, read_only) always does. */
static inline bool pol_rule_on(const struct pol_role *r, const struct pol_rule *rule) {
    return r->off == NULL || !r->off[rule - r->policy->rules];
}

/* lists end with NULL; one that is NULL has none */
static inline bool pol_has_word(const char *const *list, const char *word) {
    for (; list != NULL && *list != NULL; list++)
        if (strcmp(*list, word) == 0) return true;
    return false;
}

static inline bool pol_rule_here(const struct pol_rule *rule, const char *database) {
    return rule->databases == NULL || pol_has_word(rule->databases, database);
}

/* The globs that may match relations of one schema, in the file's order. */
struct pol_glob_at {
    uint32_t own, wild;
};
struct pol_glob_at pol_glob_begin(const struct pol_role *r, const char *schema);
const struct pol_entry *pol_glob_next(const struct pol_role *r, struct pol_glob_at *at); /* NULL: no more */

/* The rule lets this identity break the glass. */
bool pol_rule_glass(const struct pol_role *r, const struct pol_rule *rule);
bool pol_glob(const char *pattern, const char *text);
bool pol_matches(const struct pol_pattern *p, const char *schema, const char *name);
/* PostgreSQL's own schemas, and the one of what a gate's masks need there: a "*" in a rule's schema does not mean them. */
bool pol_system_schema(const char *schema);
/* The same by the server, whose schemas are in any case in MySQL; and by the role's. */
bool pol_closed_schema(bool mysql, const char *schema);
bool pol_role_system(const struct pol_role *r, const char *schema);
/* POL_OWN_SCHEMA, however it is written. */
bool pol_own_schema(bool mysql, const char *schema);
#define POL_OWN_SCHEMA "gatehouse" /* holds the keys of masks; nobody may name anything in it who does not see everything */
#define POL_HASH_FUNCTION                                                                                                                  \
    "mask_hash" /* (value text, name of the key text) returns text; policy/grants_sql.c makes it. MySQL: (longblob, varchar) returns binary(32), grants_sql_my.c */
uint32_t pol_name_hash(const char *schema, const char *name);
/* The rule hides or masks columns, or rows. */
static inline bool pol_rule_restricts(const struct pol_rule *r) { return r->has_columns || r->rows != NULL || r->write != NULL; }

static inline bool pol_rule_bounds(const struct pol_rule *r) {
    return r->need_limit || r->limits.rows != 0 || r->limits.bytes != 0 || r->limits.ms != 0 || r->record != POL_RECORD_DEFAULT;
}

/* What loading a policy shares between policy.c and policy_columns.c. */
struct pol_loading {
    struct pol_policy *p;
    struct yaml_doc *doc;
    struct pol_error *err;
};
bool pol_load_pattern(const struct pol_loading *l, const struct yaml_node *n, const char *text, struct pol_pattern *out);
const struct yaml_node *pol_item_of(const struct yaml_node *n, size_t i); /* of a list, or of a single value as a list of one */
/* The keys tags; columns, rows, write, limits, require, record, read_only of a rule. False and the error in l->err. */
bool pol_load_tags(struct pol_loading *l, const struct yaml_node *n);
bool pol_load_restrictions(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r);

/* policy_times.c: the key times of a rule. */
bool pol_load_times(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r);

/* mask_pg.c: the mask of one column as a template, of the column's type. assume_hash: the function behind the mask hash need not be there yet. False and
 * a sentence when it does not fit. */
struct buf;
bool pol_mask_sql(const struct pol_mask *m, const struct pol_catalog *c, bool assume_hash, const struct pol_cat_column *col,
                  struct buf *out, char *why, size_t size);
/* mask_my.c: the same for MySQL and MariaDB, valid in both. */
bool pol_mask_my(const struct pol_mask *m, const struct pol_catalog *c, bool assume_hash, const struct pol_cat_column *col, struct buf *out,
                 char *why, size_t size);
/* mask_pg.c, for both: a constant is a number of at most so many digits; fraction: with a point, if it likes. */
bool pol_mask_number(const char *s, bool fraction, size_t digits);
void pol_mask_words(const struct pol_mask *m, char *out, size_t size); /* "masked: last 4" */
/* Whether an expression over a column of this type gives the same under all settings of a session. False and a sentence when not. */
bool pol_expr_fits(const struct pol_expr *e, const struct pol_catalog *c, const struct pol_cat_column *col, char *why, size_t size);
/* grants.c: actions that rules grant on a relation and none denies, by its name; now: of the rules that hold now, else whenever. PostgreSQL's own: none. */
unsigned pol_role_granted(const struct pol_role *r, const struct pol_cat_relation *rel, bool now);
/* obligations.c: an empty cache of views, before the first pol_role_view(). */
bool pol_views_init(struct pol_role *r);
/* Comparisons that the views of this relation take which nobody has asked for yet. */
size_t pol_views_work(const struct pol_role *r, const struct pol_relation *rel);
/* verdict.c: "select, update"; "all". */
void pol_action_words(unsigned actions, char *out, size_t size);
/* verdict.c: v denies, in the name of this rule (NULL: of none), and has no words yet. Returns v. */
struct pol_verdict *pol_refuse(struct pol_verdict *v, const char *sqlstate, const char *rule);
/* restrict.c: parts of the verdict on an access that is granted. False when *v refuses it. */
bool pol_check_restricted(const struct pol_role *r, const struct pol_relation *rel, struct pol_verdict *v);
bool pol_check_files(const struct pol_role *r, const struct pol_stmt *s, struct pol_verdict *v);
/* MySQL: what makes the server count rows that are hidden, or lock what may only be read. */
bool pol_check_counting(const struct pol_role *r, const struct pol_stmt *s, struct pol_verdict *v);
bool pol_check_rules(const struct pol_role *r, const struct pol_stmt *s, const struct pol_relation *rel, struct pol_verdict *v);
bool pol_check_read_only(const struct pol_role *r, const struct pol_stmt *s, struct pol_verdict *v);
/* carry.c: parts of the verdict for those who may not do everything. What s makes of this relation is used later by whoever may, without a look at it. */
bool pol_check_kept(const struct pol_role *r, const struct pol_stmt *s, const struct pol_relation *rel, struct pol_verdict *v);
unsigned pol_kept_access(const struct pol_stmt *s, const struct pol_relation *rel); /* what that needs; 0: nothing */
/* What s alters is under other rules then. */
bool pol_check_moved(const struct pol_role *r, const struct pol_stmt *s, struct pol_verdict *v);
bool pol_moves(const struct pol_role *r, const struct pol_stmt *s);
#define POL_MOVED ((unsigned)(POL_SELECT | POL_INSERT | POL_UPDATE | POL_DELETE | POL_TRUNCATE | POL_DROP)) /* what that needs */
size_t pol_carry_work(const struct pol_role *r, const struct pol_stmt *s);
bool pol_rule_is_plain(const struct pol_rule *rule); /* it grants what it does always, and asks nobody */
/* verdict.c: a catalog that anybody may read who may do anything. */
bool pol_open_catalog(const struct pol_role *r, const char *schema, const char *name);
/* The rule is about this relation by its name: an allow rule on data. */
bool pol_rule_is_about(const struct pol_rule *rule, bool mysql, const char *schema, const char *name);
/* The column of that name: in MySQL in any case. NULL: none. */
const struct pol_cat_column *pol_find_column(const struct pol_cat_relation *rel, const char *name, bool mysql);

#endif

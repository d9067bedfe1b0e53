#include "policy/lint.h"

#include "policy/my_reference.h"
#include "policy/policy_int.h"
#include "policy/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ROWS      (POL_SELECT | POL_INSERT | POL_UPDATE | POL_DELETE)
#define MAX_READS 256 /* relations behind one view */
#define MAX_NAMES 100 /* columns in one sentence */

struct lint {
    const struct pol_policy *p;
    const struct pol_catalog *cat;
    const char *database;
    bool mysql; /* the catalog's dialect */
    void (*tell)(void *arg, const char *text);
    void *arg;
};

__attribute__((format(printf, 2, 3))) static void say(const struct lint *l, const char *fmt, ...) {
    char text[600] = "";
    va_list ap;
    va_start(ap, fmt);
    pol_vadd(text, sizeof text, fmt, ap);
    va_end(ap);
    l->tell(l->arg, text);
}

/* --- rules against each other --- */

static bool all_in(const char *const *some, const char *const *list) {
    if (pol_has_word(list, "*")) return true;
    for (; some != NULL && *some != NULL; some++)
        if (!pol_has_word(list, *some)) return false;
    return true;
}

static bool everyone(const struct pol_rule *r) { return pol_has_word(r->groups, "*") || pol_has_word(r->principals, "*"); }

/* Whoever b names is named by a, by the same kind of name. */
static bool same_people(const struct pol_rule *a, const struct pol_rule *b) {
    return everyone(a) || (all_in(b->groups, a->groups) && all_in(b->principals, a->principals));
}

static bool overlap(const char *const *a, const char *const *b) {
    for (; a != NULL && *a != NULL; a++)
        if (pol_has_word(b, *a)) return true;
    return false;
}

static bool share_people(const struct pol_rule *a, const struct pol_rule *b) {
    return everyone(a) || everyone(b) || overlap(a->groups, b->groups) || overlap(a->principals, b->principals);
}

static bool same_databases(const struct pol_rule *a, const struct pol_rule *b) {
    return a->databases == NULL || (b->databases != NULL && all_in(b->databases, a->databases));
}

static bool part_covers(const char *a, const char *b) {
    return strcmp(a, "*") == 0 || strcmp(a, b) == 0 || (strchr(b, '*') == NULL && pol_glob(a, b));
}

static bool patterns_cover(const struct pol_rule *a, const struct pol_rule *b) {
    if (a->everything) return true;
    for (size_t i = 0; i < b->non; i++) {
        bool found = false;
        for (size_t k = 0; k < a->non && !found; k++)
            found = part_covers(a->on[k].schema, b->on[i].schema) && part_covers(a->on[k].name, b->on[i].name);
        if (!found) return false;
    }
    return b->non > 0 || (b->actions & ~(unsigned)POL_UNBOUND) == 0;
}

static bool covers(const struct pol_rule *a, const struct pol_rule *b) {
    if (a->times != NULL) return false; /* it does not always hold */
    return same_people(a, b) && same_databases(a, b) && (b->actions & ~a->actions) == 0 && patterns_cover(a, b);
}

static bool says_more(const struct pol_rule *r) {
    return r->ask || r->unpin || r->where || r->nfunctions > 0 || r->need_limit || r->read_only || r->record != POL_RECORD_DEFAULT ||
           pol_rule_restricts(r) || r->limits.rows != 0 || r->limits.bytes != 0 || r->limits.ms != 0;
}

static void compare_rules(const struct lint *l, size_t i) {
    const struct pol_rule *b = &l->p->rules[i];
    for (size_t k = 0; k < l->p->nrules; k++) {
        const struct pol_rule *a = &l->p->rules[k];
        if (k == i || !covers(a, b)) continue;
        if (a->deny && !b->deny && b->nfunctions == 0) {
            say(l, "the rule \"%.200s\" never grants anything: the rule \"%.200s\" denies all of it", b->name, a->name);
            return;
        }
        if (a->deny != b->deny || a->ask || says_more(a) || says_more(b) || (k > i && covers(b, a))) continue;
        say(l, "the rule \"%.200s\" adds nothing to the rule \"%.200s\"", b->name, a->name);
        return;
    }
}

/* Whoever a rule asks about may log in and read what describes the schema. Meant is mostly that everybody's statements are asked about. */
static void check_open(const struct lint *l, const struct pol_rule *r) {
    if (!r->ask || !everyone(r)) return;
    for (size_t i = 0; i < l->p->nrules; i++) {
        const struct pol_rule *other = &l->p->rules[i];
        if (!other->deny && !other->ask && everyone(other) && same_databases(other, r)) return;
    }
    say(l,
        "the rule \"%.200s\" asks of \"*\": so every identity with a token may log in to its databases and see what tables there are; name "
        "the "
        "groups that other rules let in",
        r->name);
}

/* A copy is a relation of its own, and what is said of results does not follow the rows there. */
static void check_copies(const struct lint *l, const struct pol_rule *r) {
    if (r->deny || (r->actions & POL_SELECT) == 0 || !pol_rule_bounds(r)) return;
    for (size_t k = 0; k < l->p->nrules; k++) {
        const struct pol_rule *other = &l->p->rules[k];
        if (other->deny || (other->actions & (POL_CREATE | POL_TEMP)) == 0 || (other->everything && other->actions == POL_ALL_ACTIONS))
            continue;
        if (!share_people(r, other) || !(same_databases(r, other) || same_databases(other, r))) continue;
        say(l,
            "the rule \"%.100s\" bounds what is read (limits, require or record), and the rule \"%.100s\" lets the same people make "
            "tables: a copy "
            "that they make (CREATE TABLE AS, SELECT INTO) is under the bounds of its own name alone",
            r->name, other->name);
        return;
    }
}

static bool is_here(const struct lint *l, const struct pol_rule *r) { return pol_rule_here(r, l->database); }

/* What PostgreSQL counts, samples and quotes of all rows, for whoever may read it: a view of statistics knows of no rule. */
static const char *const telling[] = {"pg_largeobject",
                                      "pg_stat_activity",
                                      "pg_stat_all_indexes",
                                      "pg_stat_all_tables",
                                      "pg_stat_database",
                                      "pg_stat_progress_analyze",
                                      "pg_stat_progress_cluster",
                                      "pg_stat_progress_copy",
                                      "pg_stat_progress_create_index",
                                      "pg_stat_progress_vacuum",
                                      "pg_stat_user_indexes",
                                      "pg_stat_user_tables",
                                      "pg_stat_xact_all_tables",
                                      "pg_stat_xact_user_tables",
                                      "pg_statio_all_indexes",
                                      "pg_statio_all_sequences",
                                      "pg_statio_all_tables",
                                      "pg_statio_user_indexes",
                                      "pg_statio_user_sequences",
                                      "pg_statio_user_tables",
                                      "pg_statistic",
                                      "pg_statistic_ext_data",
                                      "pg_stats",
                                      "pg_stats_ext",
                                      "pg_stats_ext_exprs"};
#define STATEMENTS "pg_stat_statements" /* an extension's, so in any schema */

static bool is_telling(const char *schema, const char *name) {
    if (strcmp(schema, "pg_toast") == 0) return true;
    for (size_t i = 0; strcmp(schema, "pg_catalog") == 0 && i < sizeof telling / sizeof *telling; i++)
        if (pol_glob(name, telling[i])) return true;
    return strncmp(name, STATEMENTS, sizeof STATEMENTS - 1) == 0;
}

/* The rule's patterns for such relations, and for functions behind them. */
static void telling_names(const struct lint *l, const struct pol_rule *r, char *out, size_t size) {
    out[0] = '\0';
    for (size_t i = 0; (r->actions & POL_SELECT) != 0 && i < r->non; i++) {
        const struct pol_pattern *p = &r->on[i];
        bool found = is_telling(p->schema, p->name);
        if (found) pol_add(out, size, "%s%.64s.%.64s", out[0] != '\0' ? ", " : "", p->schema, p->name);
        for (size_t k = 0; l->cat != NULL && !found && k < pol_catalog_relations(l->cat); k++) {
            const struct pol_cat_relation *rel = pol_catalog_relation_at(l->cat, k);
            if (strcmp(rel->name, STATEMENTS) != 0 || !pol_rule_is_about(r, false, rel->schema, rel->name)) continue;
            if (pol_matches(p, rel->schema, rel->name)) pol_add(out, size, "%s%.64s." STATEMENTS, out[0] != '\0' ? ", " : "", rel->schema);
        }
    }
    for (size_t i = 0; i < r->nfunctions; i++) {
        const struct pol_pattern *p = &r->functions[i];
        bool own = strcmp(p->schema, "pg_catalog") == 0 &&
                   (pol_glob(p->name, "pg_stat_get_live_tuples") || strncmp(p->name, "pg_stat_get_", 12) == 0);
        if (own || strncmp(p->name, STATEMENTS, sizeof STATEMENTS - 1) == 0)
            pol_add(out, size, "%s%.64s.%.64s()", out[0] != '\0' ? ", " : "", p->schema, p->name);
    }
}

static void check_telling(const struct lint *l, const struct pol_rule *r) {
    char names[300];
    if (r->deny || l->mysql || (l->cat != NULL && !is_here(l, r))) return;
    telling_names(l, r, names, sizeof names);
    for (size_t k = 0; names[0] != '\0' && k < l->p->nrules; k++) {
        const struct pol_rule *other = &l->p->rules[k];
        if (other->deny || !pol_rule_restricts(other) || !share_people(r, other)) continue;
        if (!(same_databases(r, other) || same_databases(other, r))) continue;
        say(l,
            "the rule \"%.100s\" grants %s, and the rule \"%.100s\" hides columns or rows from the same people: the server counts, samples "
            "or "
            "quotes hidden ones there, too",
            r->name, names, other->name);
        return;
    }
}

/* --- rules against a catalog --- */

static bool is_system(const struct lint *l, const char *schema) { return pol_closed_schema(l->mysql, schema); }

static bool can_be_read(const struct lint *l, const struct pol_cat_relation *r) {
    return strchr("rpvmf", r->kind) != NULL && !is_system(l, r->schema);
}

static void check_patterns(const struct lint *l, const struct pol_rule *r) {
    for (size_t i = 0; i < r->non; i++) {
        const struct pol_pattern *p = &r->on[i];
        bool found = strcmp(p->schema, "*") == 0 || is_system(l, p->schema);
        for (size_t k = 0; k < pol_catalog_relations(l->cat) && !found; k++) {
            const struct pol_cat_relation *rel = pol_catalog_relation_at(l->cat, k);
            found = pol_glob(p->schema, rel->schema) && pol_glob(p->name, rel->name);
        }
        if (!found) say(l, "the rule \"%.200s\" is about %.64s.%.64s, which is not in the database", r->name, p->schema, p->name);
    }
}

static bool item_matches(const struct pol_tag_item *item, const struct pol_cat_relation *r, const char *column) {
    return pol_glob(item->relation.schema, r->schema) && pol_glob(item->relation.name, r->name) && pol_glob(item->column, column);
}

static void check_tag(const struct lint *l, const struct pol_tag *tag) {
    if (strcmp(tag->database, l->database) != 0) return;
    for (size_t i = 0; i < tag->nitems; i++) {
        bool found = false;
        for (size_t k = 0; k < pol_catalog_relations(l->cat) && !found; k++) {
            const struct pol_cat_relation *rel = pol_catalog_relation_at(l->cat, k);
            for (size_t c = 0; c < rel->ncolumns && !found; c++) found = item_matches(&tag->items[i], rel, rel->columns[c].name);
        }
        if (!found)
            say(l, "the tag \"%.100s\" lists %.64s.%.64s.%.64s, which is no column of the database", tag->name,
                tag->items[i].relation.schema, tag->items[i].relation.name, tag->items[i].column);
    }
}

static void check_tag_used(const struct lint *l, const struct pol_tag *tag) {
    if (strcmp(tag->database, l->database) != 0) return;
    for (size_t i = 0; i < l->p->nrules; i++)
        for (size_t k = 0; is_here(l, &l->p->rules[i]) && k < l->p->rules[i].ncolumns; k++)
            if (l->p->rules[i].columns[k].tag != NULL && strcmp(l->p->rules[i].columns[k].tag, tag->name) == 0) return;
    say(l, "the tag \"%.100s\" is named by no rule, so it hides nothing", tag->name);
}

/* Parts of names that tell of people, money and keys. Words of three letters stand alone between underscores. */
static bool looks_sensitive(const char *name) {
    static const char *const parts[] = {"mail",    "phone",       "mobile",   "passw",   "passport",   "secret", "token",    "apikey",
                                        "api_key", "private_key", "credit",   "card_n",  "cardn",      "salary", "wage",     "birth",
                                        "address", "street",      "postcode", "postal",  "tax_id",     "taxid",  "national", "medical",
                                        "diagnos", "account_n",   "social_s", "license", "card_holder"};
    static const char *const words[] = {"ssn", "dob", "iban", "bic", "cvv", "cvc", "pan", "pin", "zip", "fax", "sin", "vat", "pwd"};
    char lower[128];
    size_t n = 0;
    for (; n < sizeof lower - 1 && name[n] != '\0'; n++) lower[n] = name[n] >= 'A' && name[n] <= 'Z' ? (char)(name[n] | 0x20) : name[n];
    lower[n] = '\0';
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        if (strstr(lower, parts[i]) != NULL) return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t len = strlen(words[i]);
        for (const char *at = lower; (at = strstr(at, words[i])) != NULL; at++)
            if ((at == lower || at[-1] == '_') && (at[len] == '\0' || at[len] == '_')) return true;
    }
    return false;
}

static bool tagged(const struct lint *l, const char *tag, const struct pol_cat_relation *r, const char *column) {
    for (size_t i = 0; i < l->p->ntags; i++) {
        const struct pol_tag *t = &l->p->tags[i];
        if (strcmp(t->name, tag) != 0 || strcmp(t->database, l->database) != 0) continue;
        for (size_t k = 0; k < t->nitems; k++)
            if (item_matches(&t->items[k], r, column)) return true;
    }
    return false;
}

/* MySQL's names of columns are the same in any case. */
static bool same_column(const struct lint *l, const char *a, const char *b) { return l->mysql ? strcasecmp(a, b) == 0 : strcmp(a, b) == 0; }

static bool mentions(const struct lint *l, const struct pol_rule *rule, const struct pol_cat_relation *r, const char *column) {
    if (rule->has_columns && rule->others.visibility != POL_VISIBLE) return true;
    for (size_t i = 0; i < rule->ncolumns; i++)
        if (rule->columns[i].column != NULL ? same_column(l, rule->columns[i].column, column) : tagged(l, rule->columns[i].tag, r, column))
            return true;
    return false;
}

static bool reads(const struct lint *l, const struct pol_rule *rule, const struct pol_cat_relation *r) {
    return !rule->deny && (rule->actions & POL_SELECT) != 0 && is_here(l, rule) && pol_rule_is_about(rule, l->mysql, r->schema, r->name);
}

/* A column that the rule names, that the relation has not, and that may be a misspelt one of these; its place in names is left in *meant. */
static const char *misspelt(const struct lint *l, const struct pol_rule *rule, const struct pol_cat_relation *r, const char *const *names,
                            const char **meant) {
    for (size_t i = 0; i < rule->ncolumns; i++) {
        const char *column = rule->columns[i].column;
        if (column == NULL || pol_find_column(r, column, l->mysql) != NULL) continue;
        if ((*meant = pol_nearest(column, names)) != NULL) return column;
    }
    return NULL;
}

/* One sentence for each rule and relation. Who may do everything sees everything: that is said nowhere. */
static void check_sensitive(const struct lint *l, const struct pol_rule *rule, const struct pol_cat_relation *r) {
    char list[300], wrong[200] = "";
    const char *names[MAX_NAMES + 1], *meant;
    size_t n = 0, count = 0;
    if (!reads(l, rule, r) || (rule->everything && rule->actions == POL_ALL_ACTIONS)) return;
    for (size_t c = 0; c < r->ncolumns && n < sizeof list - 80 && count < MAX_NAMES; c++) {
        const char *name = r->columns[c].name;
        if (!looks_sensitive(name) || mentions(l, rule, r, name)) continue;
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%.64s", n > 0 ? ", " : "", name);
        names[count++] = name;
    }
    names[count] = NULL;
    if (n == 0) return;
    const char *column = misspelt(l, rule, r, names, &meant);
    if (column != NULL)
        snprintf(wrong, sizeof wrong, "; it names \"%.64s\", which does not exist there: did you mean \"%.64s\"?", column, meant);
    say(l, "the rule \"%.100s\" shows columns of %.64s.%.64s that look sensitive and that it does not name: %s%s", rule->name, r->schema,
        r->name, list, wrong);
}

/* The relations behind a view, views behind it included. *more: a view of which not all is known, or NULL. */
static size_t behind(const struct pol_cat_relation *view, const struct pol_cat_relation **out, const struct pol_cat_relation **more) {
    size_t n = 0;
    *more = NULL;
    for (size_t at = 0; at <= n; at++) {
        const struct pol_cat_relation *r = at == 0 ? view : out[at - 1];
        if (r->reads_more && *more == NULL) *more = r;
        for (size_t i = 0; i < r->nreads; i++) {
            size_t known = 0;
            while (known < n && out[known] != r->reads[i]) known++;
            if (known < n || n == MAX_READS) continue;
            out[n++] = r->reads[i];
        }
    }
    return n;
}

static bool hides_something(const struct pol_rule *r) {
    return r->deny ? r->non > 0 && (r->actions & POL_SELECT) != 0 : pol_rule_restricts(r);
}

static void check_view(const struct lint *l, const struct pol_rule *rule, const struct pol_cat_relation *view) {
    const struct pol_cat_relation *all[MAX_READS], *more;
    if ((view->nreads == 0 && !view->reads_more) || !reads(l, rule, view)) return;
    size_t n = behind(view, all, &more);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < l->p->nrules; k++) {
            const struct pol_rule *other = &l->p->rules[k];
            if (!is_here(l, other) || !share_people(rule, other)) continue;
            bool hides = pol_rule_restricts(other) && pol_rule_is_about(other, l->mysql, all[i]->schema, all[i]->name);
            bool denies = other->deny && (other->actions & POL_SELECT) != 0;
            for (size_t o = 0; denies && !hides && o < other->non; o++)
                hides = pol_glob(other->on[o].schema, all[i]->schema) && pol_glob(other->on[o].name, all[i]->name);
            if (!hides || (other->deny && covers(other, rule))) continue;
            say(l,
                "the rule \"%.100s\" grants the view %.64s.%.64s, which reads %.64s.%.64s; what the rule \"%.100s\" hides of that does not "
                "reach through a view",
                rule->name, view->schema, view->name, all[i]->schema, all[i]->name, other->name);
            return;
        }
    for (size_t k = 0; k < l->p->nrules && more != NULL; k++) {
        const struct pol_rule *other = &l->p->rules[k];
        if (other == rule || !hides_something(other) || !is_here(l, other) || !share_people(rule, other) ||
            (other->deny && covers(other, rule)))
            continue;
        say(l,
            "the rule \"%.100s\" grants the view %.64s.%.64s, and not all is known of what %.64s.%.64s reads: gatehouse's user may not see "
            "that, or the definition (SHOW VIEW), or it is not understood; what the rule \"%.100s\" hides may be in it",
            rule->name, view->schema, view->name, more->schema, more->name, other->name);
        return;
    }
}

/* Until the function is there nobody can use what the rule is about. */
static void check_hash(const struct lint *l, const struct pol_rule *r) {
    size_t n;
    pol_catalog_functions(l->cat, POL_OWN_SCHEMA, POL_HASH_FUNCTION, &n);
    for (size_t k = 0; k <= r->ncolumns && n == 0; k++) {
        const struct pol_column_rule *c = k < r->ncolumns ? &r->columns[k] : &r->others;
        if (c->visibility != POL_MASKED || c->mask.kind != POL_M_HASH) continue;
        say(l,
            "the rule \"%.200s\" masks by hash, and the database has no function " POL_OWN_SCHEMA "." POL_HASH_FUNCTION
            "%s; \"gatehousectl policy grants --sql\" prints what makes it",
            r->name, l->mysql ? " that gatehouse's user may call" : "");
        return;
    }
}

static bool names(const struct pol_rule *r, const char *schema, const char *name) {
    for (size_t i = 0; i < r->non; i++)
        if (strcmp(r->on[i].schema, schema) == 0 && pol_glob(r->on[i].name, name)) return true;
    return false;
}

/* A rule of the same people that hides something; NULL: there is none. */
static const struct pol_rule *hides_from(const struct lint *l, const struct pol_rule *rule) {
    for (size_t i = 0; i < l->p->nrules; i++)
        if (pol_rule_restricts(&l->p->rules[i]) && is_here(l, &l->p->rules[i]) && share_people(rule, &l->p->rules[i]))
            return &l->p->rules[i];
    return NULL;
}

/* What MySQL's own schemas tell of rows that are hidden. */
static void check_told(const struct lint *l, const struct pol_rule *rule) {
    const struct pol_rule *hides = rule->deny || (rule->actions & POL_SELECT) == 0 ? NULL : hides_from(l, rule);
    if (hides == NULL || !l->mysql) return;
    for (const char *const *e = my_catalog_estimates(); *e != NULL; e++)
        if (names(rule, "information_schema", *e)) {
            say(l,
                "the rule \"%.100s\" grants information_schema.%s, which estimates how many rows a table has, those that the rule "
                "\"%.100s\" "
                "hides, too",
                rule->name, *e, hides->name);
            break;
        }
    for (size_t i = 0; i < rule->non; i++) {
        const struct pol_pattern *on = &rule->on[i];
        if (!my_catalog_tells(on->schema, on->name)) continue;
        say(l,
            "the rule \"%.100s\" grants %.64s.%.64s, which is refused to those from whom the rule \"%.100s\" hides something: it tells of "
            "that",
            rule->name, on->schema, on->name, hides->name);
        return;
    }
}

void pol_policy_lint(const struct pol_policy *p, const struct pol_catalog *cat, const char *database,
                     void (*tell)(void *arg, const char *text), void *arg) {
    struct lint l = {p, cat, database, cat != NULL && pol_catalog_engine(cat) != POL_CAT_POSTGRESQL, tell, arg};
    for (size_t i = 0; i < p->nrules; i++) {
        if (p->rules[i].unpin)
            say(&l,
                "the rule \"%.200s\" unpins: who it names may SET search_path, ROLE and SESSION AUTHORIZATION, so the database's own "
                "rights, and no "
                "name, are all that limits them",
                p->rules[i].name);
        check_open(&l, &p->rules[i]);
        compare_rules(&l, i);
        check_copies(&l, &p->rules[i]);
        check_telling(&l, &p->rules[i]);
    }
    if (cat == NULL) return;
    for (size_t i = 0; i < p->ntags; i++) {
        check_tag(&l, &p->tags[i]);
        check_tag_used(&l, &p->tags[i]);
    }
    for (size_t i = 0; i < p->nrules; i++) {
        if (!is_here(&l, &p->rules[i])) continue;
        check_patterns(&l, &p->rules[i]);
        check_hash(&l, &p->rules[i]);
        check_told(&l, &p->rules[i]);
        for (size_t k = 0; k < pol_catalog_relations(cat); k++) {
            const struct pol_cat_relation *r = pol_catalog_relation_at(cat, k);
            if (!can_be_read(&l, r)) continue;
            check_sensitive(&l, &p->rules[i], r);
            check_view(&l, &p->rules[i], r);
        }
    }
}

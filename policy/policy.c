#include "filters/bytes.h"
#include "policy/file.h"
#include "policy/policy_int.h"

#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_BYTES (4u << 20)
#define MAX_RULES 100000u

static bool no_memory(const struct pol_loading *l, const struct yaml_node *n) { return yaml_fail(n, l->err, "out of memory"); }

/* --- patterns --- */

/* One part of schema.name at *s: a plain word (folded as the server does, so capitals must be quoted), or "quoted", taken literally. */
static const char *pattern_part(const struct pol_loading *l, const char **s, bool *exact, const char **problem) {
    const char *p = *s;
    char *out = pol_alloc(l->p->arena, strlen(p) + 1);
    size_t n = 0;
    if (out == NULL) return *problem = "out of memory", NULL;
    if (*p == '"') {
        for (p++; !(*p == '"' && p[1] != '"'); p++) {
            if (*p == '\0') return *problem = "a quote is not closed", NULL;
            if (*p == '"') p++;
            /* a star inside quotes would be taken for a glob later: no such name is supported rather than silently widened */
            if (*p == '*') return *problem = "a quoted name may not contain *", NULL;
            out[n++] = *p;
        }
        p++;
    } else {
        for (; *p != '\0' && *p != '.'; p++) {
            if (*p >= 'A' && *p <= 'Z')
                return *problem = "capital letters: write the name in lower case, or in double quotes if it was created so", NULL;
            if (*p == '"' || *p == ' ') return *problem = "a quote or a blank inside a name", NULL;
            if (*p == '*') *exact = false;
            out[n++] = *p;
        }
    }
    if (n == 0) return *problem = "an empty name", NULL;
    *s = p;
    return out;
}

bool pol_load_pattern(const struct pol_loading *l, const struct yaml_node *n, const char *text, struct pol_pattern *out) {
    const char *s = text, *problem = "expected schema.name";
    out->exact = true;
    if (strcmp(text, "*") == 0) {
        *out = (struct pol_pattern){"*", "*", false};
        return true;
    }
    out->schema = pattern_part(l, &s, &out->exact, &problem);
    if (out->schema == NULL) return yaml_fail(n, l->err, "\"%.80s\": %s", text, problem);
    if (*s++ != '.') return yaml_fail(n, l->err, "\"%.80s\": expected schema.name, as in public.orders or public.*", text);
    out->name = pattern_part(l, &s, &out->exact, &problem);
    if (out->name == NULL || *s != '\0')
        return yaml_fail(n, l->err, "\"%.80s\": %s", text, out->name == NULL ? problem : "more than schema.name");
    if (strcmp(out->schema, "pg_temp") == 0)
        return yaml_fail(n, l->err, "\"%.80s\": temporary tables are granted by the action \"temp\"", text);
    return true;
}

const struct yaml_node *pol_item_of(const struct yaml_node *n, size_t i) { return yaml_kind(n) == YAML_LIST ? yaml_at(n, i) : n; }

static bool load_patterns(struct pol_loading *l, const struct yaml_node *n, struct pol_pattern **out, size_t *count) {
    const char *const *texts;
    if (n == NULL) return true;
    if (!yaml_strings(l->doc, n, &texts, count, l->err)) return false;
    if (*count == 0) return yaml_fail(n, l->err, "the list is empty: the rule could never match");
    *out = pol_alloc_array(l->p->arena, *count, sizeof **out);
    if (*out == NULL) return no_memory(l, n);
    for (size_t i = 0; i < *count; i++)
        if (!pol_load_pattern(l, pol_item_of(n, i), texts[i], &(*out)[i])) return false;
    return true;
}

/* --- a rule --- */

static bool load_words(struct pol_loading *l, const struct yaml_node *n, const char *const **out) {
    const char *const *texts;
    size_t count;
    if (n == NULL) return true;
    if (!yaml_strings(l->doc, n, &texts, &count, l->err)) return false;
    if (count == 0) return yaml_fail(n, l->err, "the list is empty: the rule could never match");
    const char **copy = pol_alloc_array(l->p->arena, count + 1, sizeof *copy);
    if (copy == NULL) return no_memory(l, n);
    for (size_t i = 0; i < count; i++) {
        if (texts[i][0] == '\0') return yaml_fail(pol_item_of(n, i), l->err, "an empty name");
        if ((copy[i] = pol_strdup(l->p->arena, texts[i])) == NULL) return no_memory(l, n);
    }
    *out = copy;
    return true;
}

static bool load_actions(struct pol_loading *l, const struct yaml_node *n, unsigned *actions) {
    const char *const *words;
    size_t count;
    if (!yaml_strings(l->doc, n, &words, &count, l->err)) return false;
    if (count == 0) return yaml_fail(n, l->err, "the list is empty: the rule could never match");
    for (size_t i = 0; i < count; i++) {
        unsigned bits = pol_action_of(words[i]);
        if (bits == 0)
            return yaml_fail(
                pol_item_of(n, i), l->err,
                "\"%.60s\" is no action; known: select, insert, update, delete, truncate, lock, create, alter, drop, grant, execute, "
                "maintain, notify, set, files, temp, and the sets read, write, ddl, all",
                words[i]);
        *actions |= bits;
    }
    return true;
}

static bool load_text(struct pol_loading *l, const struct yaml_node *n, const char **out) {
    const char *s;
    if (n == NULL) return true;
    if (!yaml_str(n, &s, l->err)) return false;
    if (*s == '\0') return yaml_fail(n, l->err, "is empty");
    *out = pol_strdup(l->p->arena, s);
    return *out != NULL || no_memory(l, n);
}

static bool load_rule_databases(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    if (n == NULL) return true;
    if (!load_words(l, n, &r->databases)) return false;
    for (size_t i = 0; r->databases[i] != NULL; i++) {
        if (strcmp(r->databases[i], "*") == 0) {
            r->databases = NULL;
            return true;
        }
        if (!pol_policy_has_database(l->p, r->databases[i]))
            return yaml_fail(pol_item_of(n, i), l->err, "database \"%.80s\" is not listed under databases", r->databases[i]);
    }
    return true;
}

/* --- ask --- */

#define ASK_MIN_MS   1000u
#define ASK_MAX_MS   (7u * 24u * 3600u * 1000u)
#define WAIT_MAX_MS  600000u
#define GLASS_MAX_MS (24u * 3600u * 1000u)

/* "return", or "wait 30s". */
static bool load_mode(const struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    static const struct {
        const char *unit;
        uint64_t ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}};
    const char *text;
    char *end;
    if (!yaml_str(n, &text, l->err)) return false;
    if (strcmp(text, "return") == 0) return true;
    if (strncmp(text, "wait ", 5) == 0 && text[5] >= '1' && text[5] <= '9' && strlen(text) < 16) {
        uint64_t count = strtoull(text + 5, &end, 10);
        for (size_t i = 0; i < sizeof units / sizeof *units; i++)
            if (strcmp(end, units[i].unit) == 0 && count <= WAIT_MAX_MS / units[i].ms) r->wait_ms = count * units[i].ms;
    }
    return r->wait_ms >= 100 ||
           yaml_fail(n, l->err, "\"%.40s\": expected return, or wait and a time of 100ms to 10m, as in wait 30s", text);
}

const char *pol_scope_name(enum pol_scope s) {
    static const char *const names[] = {"statement", "kind", "rule"};
    return names[s];
}

bool pol_scope_of(const char *word, enum pol_scope *out) {
    for (int i = POL_SCOPE_STATEMENT; i <= POL_SCOPE_RULE; i++)
        if (strcmp(word, pol_scope_name((enum pol_scope)i)) == 0) {
            *out = (enum pol_scope)i;
            return true;
        }
    return false;
}

/* grant: { max: 30m, scope: kind } */
static bool load_grant(const struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    static const char *const keys[] = {"max", "scope", NULL}, *const scopes[] = {"statement", "kind", "rule", NULL};
    const struct yaml_node *max, *scope;
    int at = POL_SCOPE_STATEMENT;
    if (n == NULL) return true;
    if (!yaml_keys(n, keys, l->err)) return false;
    if ((max = yaml_get(n, "max")) == NULL) return yaml_fail(n, l->err, "\"max\" is missing: the longest time that an approver may give");
    if (!yaml_duration(max, ASK_MIN_MS, ASK_MAX_MS, &r->grant_ms, l->err)) return false;
    if ((scope = yaml_get(n, "scope")) != NULL && !yaml_enum(scope, scopes, &at, l->err)) return false;
    r->grant_scope = (enum pol_scope)at;
    return true;
}

/* breakglass: { groups: oncall, for: 15m } */
static bool load_glass(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    static const char *const keys[] = {"groups", "for", NULL};
    const struct yaml_node *at;
    if (n == NULL) return true;
    if (!yaml_keys(n, keys, l->err)) return false;
    if ((at = yaml_get(n, "groups")) == NULL) return yaml_fail(n, l->err, "\"groups\" is missing: who may break the glass");
    if (!load_words(l, at, &r->glass)) return false;
    for (size_t i = 0; r->glass[i] != NULL; i++)
        if (strcmp(r->glass[i], "*") == 0) return yaml_fail(pol_item_of(at, i), l->err, "\"*\" would let everybody pass: list groups");
    if ((at = yaml_get(n, "for")) == NULL) return yaml_fail(n, l->err, "\"for\" is missing: how long, as in for: 15m");
    return yaml_duration(at, ASK_MIN_MS, GLASS_MAX_MS, &r->glass_ms, l->err);
}

/* The keys of a rule that asks. */
static bool load_ask(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    static const char *const keys[] = {"approvers", "quorum", "expires", "window", "justification", "mode", "grant", "breakglass", NULL};
    static const char *const words[] = {"optional", "required", NULL};
    int64_t quorum = 1;
    int justify = 0;
    const struct yaml_node *at;
    for (size_t i = 0; !r->ask && keys[i] != NULL; i++)
        if ((at = yaml_get(n, keys[i])) != NULL) return yaml_fail(at, l->err, "only a rule with \"ask\" has this key");
    if (!r->ask) return true;
    r->expires_ms = 900000;
    r->window_ms = 600000;
    if (!load_words(l, yaml_get(n, "approvers"), &r->approvers)) return false;
    if (r->approvers == NULL) return yaml_fail(n, l->err, "\"approvers\" is missing: the groups whose members may agree");
    for (size_t i = 0; r->approvers[i] != NULL; i++)
        if (strcmp(r->approvers[i], "*") == 0)
            return yaml_fail(pol_item_of(yaml_get(n, "approvers"), i), l->err, "\"*\" would let everybody agree: list groups");
    if ((at = yaml_get(n, "quorum")) != NULL && !yaml_int(at, 1, 16, &quorum, l->err)) return false;
    if ((at = yaml_get(n, "expires")) != NULL && !yaml_duration(at, ASK_MIN_MS, ASK_MAX_MS, &r->expires_ms, l->err)) return false;
    if ((at = yaml_get(n, "window")) != NULL && !yaml_duration(at, ASK_MIN_MS, ASK_MAX_MS, &r->window_ms, l->err)) return false;
    if ((at = yaml_get(n, "justification")) != NULL && !yaml_enum(at, words, &justify, l->err)) return false;
    r->quorum = (unsigned)quorum;
    r->justify = justify == 1;
    if (!load_grant(l, yaml_get(n, "grant"), r) || !load_glass(l, yaml_get(n, "breakglass"), r)) return false;
    return (at = yaml_get(n, "mode")) == NULL || load_mode(l, at, r);
}

static bool check_rule(struct pol_loading *l, const struct yaml_node *n, const struct pol_rule *r) {
    if (r->groups == NULL && r->principals == NULL) return yaml_fail(n, l->err, "a rule needs groups or principals (\"*\" is everyone)");
    bool bound = (r->actions & ~(unsigned)POL_UNBOUND) != 0;
    if (bound && r->non == 0) return yaml_fail(n, l->err, "\"on\" is missing: these actions are about relations (\"*.*\" is every one)");
    if (!bound && r->non > 0) return yaml_fail(yaml_get(n, "on"), l->err, "\"on\" has no effect: these actions are about no relation");
    if (r->deny && r->reason == NULL) return yaml_fail(n, l->err, "a deny rule needs a reason, in a sentence for whoever is refused");
    if (!r->deny && r->reason != NULL) return yaml_fail(yaml_get(n, "reason"), l->err, "only a deny rule has a reason");
    if (r->unpin && (r->deny || r->ask || !r->everything || r->actions != POL_ALL_ACTIONS))
        return yaml_fail(yaml_get(n, "unpin"), l->err, "only a rule that allows all on \"*.*\" can unpin: for it alone no name matters");
    if (r->deny && (r->has_columns || r->rows != NULL || r->write != NULL || r->read_only || r->where || r->need_limit))
        return yaml_fail(n, l->err,
                         "a deny rule denies all of a relation: columns, rows, write, require and read_only belong into allow rules");
    if (pol_rule_restricts(r) && (r->actions & (POL_SELECT | POL_INSERT | POL_UPDATE | POL_DELETE)) == 0)
        return yaml_fail(n, l->err, "columns, rows and write are about select, insert, update and delete, of which the rule allows none");
    if (r->unpin && r->times != NULL)
        return yaml_fail(yaml_get(n, "times"), l->err,
                         "a rule with times cannot unpin: what names mean would have to be known again when they end");
    if (r->unpin && pol_rule_restricts(r))
        return yaml_fail(yaml_get(n, "unpin"), l->err, "a rule that hides columns or rows cannot unpin: names must mean what they say");
    if (r->deny && r->nfunctions > 0)
        return yaml_fail(yaml_get(n, "functions"), l->err, "functions are denied unless a rule allows them; a deny rule cannot list them");
    return true;
}

static bool load_rule(struct pol_loading *l, const struct yaml_node *n, struct pol_rule *r) {
    static const char *const keys[] = {"name",    "groups",     "principals", "database", "allow",   "deny",      "ask",           "on",
                                       "columns", "rows",       "write",      "limits",   "require", "read_only", "functions",     "reason",
                                       "hint",    "unpin",      "approvers",  "quorum",   "expires", "window",    "justification", "mode",
                                       "grant",   "breakglass", "times",      "record",   NULL};
    if (!yaml_keys(n, keys, l->err)) return false;
    const struct yaml_node *allow = yaml_get(n, "allow"), *deny = yaml_get(n, "deny"), *ask = yaml_get(n, "ask"),
                           *name = yaml_get(n, "name"), *db = yaml_get(n, "database");
    if (name == NULL) return yaml_fail(n, l->err, "a rule needs a name");
    r->line = yaml_line(name);
    if (!load_text(l, name, &r->name)) return false;
    if (db == NULL) return yaml_fail(n, l->err, "\"database\" is missing: a name, a list of names, or \"*\"");
    if (allow == NULL && deny == NULL && ask == NULL) return yaml_fail(n, l->err, "a rule needs either allow, deny or ask");
    if ((allow != NULL) + (deny != NULL) + (ask != NULL) > 1)
        return yaml_fail(deny != NULL ? deny : ask, l->err, "a rule has either allow, deny or ask; make two rules of it");
    r->deny = deny != NULL;
    r->ask = ask != NULL;
    if (!load_words(l, yaml_get(n, "groups"), &r->groups) || !load_words(l, yaml_get(n, "principals"), &r->principals) ||
        !load_rule_databases(l, db, r) ||
        !load_actions(l,
                      r->deny  ? deny
                      : r->ask ? ask
                               : allow,
                      &r->actions) ||
        !load_patterns(l, yaml_get(n, "on"), &r->on, &r->non) ||
        !load_patterns(l, yaml_get(n, "functions"), &r->functions, &r->nfunctions) || !load_text(l, yaml_get(n, "reason"), &r->reason) ||
        !load_text(l, yaml_get(n, "hint"), &r->hint))
        return false;
    for (size_t i = 0; i < r->non; i++)
        if (strcmp(r->on[i].schema, "*") == 0 && strcmp(r->on[i].name, "*") == 0) r->everything = true;
    const struct yaml_node *unpin = yaml_get(n, "unpin");
    if (unpin != NULL && !yaml_bool(unpin, &r->unpin, l->err)) return false;
    if (!pol_load_restrictions(l, n, r) || !pol_load_times(l, yaml_get(n, "times"), r) || !load_ask(l, n, r)) return false;
    return check_rule(l, n, r);
}

/* --- the file --- */

static bool load_databases(struct pol_loading *l, const struct yaml_node *n) {
    static const char *const keys[] = {"mode", NULL}, *const modes[] = {"enforce", "observe", NULL};
    if (n == NULL || yaml_kind(n) != YAML_MAP || yaml_len(n) == 0)
        return yaml_fail(n != NULL ? n : yaml_root(l->doc), l->err,
                         "\"databases\" must be a map with at least one database, as in shop: { mode: enforce }");
    l->p->databases = pol_alloc_array(l->p->arena, yaml_len(n), sizeof *l->p->databases);
    if (l->p->databases == NULL) return no_memory(l, n);
    for (size_t i = 0; i < yaml_len(n); i++) {
        const struct yaml_node *mode;
        int m = 0;
        if (!yaml_keys(yaml_at(n, i), keys, l->err)) return false;
        if (strcmp(yaml_key_at(n, i), "*") == 0) return yaml_fail(yaml_key_node_at(n, i), l->err, "list each database by name");
        if ((mode = yaml_get(yaml_at(n, i), "mode")) != NULL && !yaml_enum(mode, modes, &m, l->err)) return false;
        const char *name = pol_strdup(l->p->arena, yaml_key_at(n, i));
        if (name == NULL) return no_memory(l, n);
        l->p->databases[l->p->ndatabases++] = (struct pol_database){name, m == 1};
    }
    return true;
}

static int by_name(const void *a, const void *b) {
    const struct pol_rule *const *x = a, *const *y = b;
    int c = strcmp((*x)->name, (*y)->name);
    return c != 0 ? c : (*x > *y) - (*x < *y);
}

static bool check_names(struct pol_loading *l, const struct yaml_node *rules) {
    const struct pol_rule **all = calloc(l->p->nrules + 1, sizeof *all);
    if (all == NULL) return no_memory(l, rules);
    for (size_t i = 0; i < l->p->nrules; i++) all[i] = &l->p->rules[i];
    qsort(all, l->p->nrules, sizeof *all, by_name);
    bool ok = true;
    for (size_t i = 1; ok && i < l->p->nrules; i++) {
        if (strcmp(all[i - 1]->name, all[i]->name) != 0) continue;
        const struct yaml_node *first = yaml_get(yaml_at(rules, (size_t)(all[i - 1] - l->p->rules)), "name");
        ok = yaml_fail(yaml_get(yaml_at(rules, (size_t)(all[i] - l->p->rules)), "name"), l->err, "the rule \"%.80s\" is already on line %u",
                       all[i]->name, yaml_line(first));
    }
    free(all);
    return ok;
}

static bool load_rules(struct pol_loading *l, const struct yaml_node *n) {
    if (n == NULL || yaml_kind(n) != YAML_LIST)
        return yaml_fail(n != NULL ? n : yaml_root(l->doc), l->err, "\"rules\" must be a list of rules");
    if (yaml_len(n) > MAX_RULES) return yaml_fail(n, l->err, "more than %u rules", MAX_RULES);
    l->p->rules = pol_alloc_array(l->p->arena, yaml_len(n), sizeof *l->p->rules);
    if (l->p->rules == NULL) return no_memory(l, n);
    for (; l->p->nrules < yaml_len(n); l->p->nrules++)
        if (!load_rule(l, yaml_at(n, l->p->nrules), &l->p->rules[l->p->nrules])) return false;
    return check_names(l, n);
}

static bool load_root(struct pol_loading *l) {
    static const char *const keys[] = {"version", "databases", "tags", "rules", NULL};
    const struct yaml_node *root = yaml_root(l->doc), *version;
    int64_t v;
    if (!yaml_keys(root, keys, l->err)) return false;
    if ((version = yaml_get(root, "version")) == NULL) return yaml_fail(root, l->err, "\"version: 1\" is missing");
    return yaml_int(version, 1, 1, &v, l->err) && load_databases(l, yaml_get(root, "databases")) &&
           pol_load_tags(l, yaml_get(root, "tags")) && load_rules(l, yaml_get(root, "rules"));
}

static bool hash_text(struct pol_policy *p, const char *text, size_t len) {
    unsigned char md[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    if (EVP_Digest(text, len, md, &n, EVP_sha256(), NULL) != 1 || n != 32) return false;
    gh_hex(p->hash, md, 32);
    p->hash[64] = '\0';
    return true;
}

struct pol_policy *pol_policy_load_text(const char *name, const char *text, size_t len, struct pol_error *err) {
    struct yaml_doc *doc = yaml_load_text(name, text, len, err);
    if (doc == NULL) return NULL;
    struct pol_policy *p = calloc(1, sizeof *p);
    if (p != NULL) {
        atomic_init(&p->refs, 1);
        p->arena = pol_arena_new();
    }
    struct pol_loading l = {p, doc, err};
    bool ok = p != NULL && p->arena != NULL && hash_text(p, text, len);
    if (!ok) no_memory(&l, yaml_root(doc));
    ok = ok && load_root(&l);
    yaml_doc_free(doc);
    if (ok) return p;
    pol_policy_unref(p);
    return NULL;
}

struct pol_policy *pol_policy_load(const char *path, struct pol_error *err) {
    size_t len;
    char *text = pol_read_file(path, MAX_BYTES, &len, err);
    if (text == NULL) return NULL;
    struct pol_policy *p = pol_policy_load_text(path, text, len, err);
    free(text);
    return p;
}

struct pol_policy *pol_policy_ref(struct pol_policy *p) {
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void pol_policy_unref(struct pol_policy *p) {
    if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1) return;
    pol_arena_free(p->arena);
    free(p);
}

const char *pol_policy_hash(const struct pol_policy *p) { return p->hash; }

bool pol_policy_has_database(const struct pol_policy *p, const char *database) {
    for (size_t i = 0; i < p->ndatabases; i++)
        if (strcmp(p->databases[i].name, database) == 0) return true;
    return false;
}

size_t pol_policy_rules(const struct pol_policy *p) { return p->nrules; }
const char *pol_policy_rule_name(const struct pol_policy *p, size_t i) { return p->rules[i].name; }
bool pol_policy_observes(const struct pol_policy *p, size_t i) { return p->databases[i].observe; }
bool pol_policy_rule_unpins(const struct pol_policy *p, size_t i) { return p->rules[i].unpin; }
bool pol_policy_rule_asks(const struct pol_policy *p, size_t i) { return p->rules[i].ask; }

const char *pol_policy_database(const struct pol_policy *p, size_t i) { return i < p->ndatabases ? p->databases[i].name : NULL; }

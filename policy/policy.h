/* The policy: a YAML file compiled to one immutable object, and the verdict on a statement's facts.
 *
 * An explicit deny wins; otherwise every access that the facts list must be granted by some rule; otherwise denied. When a rule that asks is
 * among those that match, the statement runs only after people have agreed to it. */
#ifndef GH_POLICY_POLICY_H
#define GH_POLICY_POLICY_H

#include "policy/facts.h"
#include "policy/yaml.h"

#include <stddef.h>
#include <string.h>

struct pol_catalog;
struct pol_policy; /* immutable after loading; reference-counted (atomic): may be shared by threads */
struct pol_role;   /* what applies to one identity on one database; holds a reference to its policy; used by one thread at a time */

struct pol_policy *pol_policy_load(const char *path, struct pol_error *err);
struct pol_policy *pol_policy_load_text(const char *name, const char *text, size_t len, struct pol_error *err);
struct pol_policy *pol_policy_ref(struct pol_policy *p);
void pol_policy_unref(struct pol_policy *p);
/* Hex SHA-256 of the file: recorded with every statement. */
const char *pol_policy_hash(const struct pol_policy *p);
bool pol_policy_has_database(const struct pol_policy *p, const char *database);
/* The name of the i-th database that it lists; NULL behind the last. */
const char *pol_policy_database(const struct pol_policy *p, size_t i);

/* Its rules, from 0: for what a reader of the file should be told. */
size_t pol_policy_rules(const struct pol_policy *p);
const char *pol_policy_rule_name(const struct pol_policy *p, size_t i);
bool pol_policy_rule_unpins(const struct pol_policy *p, size_t i);
bool pol_policy_rule_asks(const struct pol_policy *p, size_t i);

struct pol_claim { /* an attribute of the identity, for row filters */
    const char *name, *value;
};
struct pol_subject {
    const char *principal;
    const char *const *groups;
    size_t ngroups;
    const struct pol_claim *claims;
    size_t nclaims;
};
/* Names that unqualified relations may resolve to: the search_path that the session has pinned. */
struct pol_pins {
    const char *const *search_path; /* schemas, without pg_catalog and pg_temp, which the server adds */
    size_t nsearch_path;
    /* Values that SET may repeat; anything else for these settings is refused. */
    const char *time_zone;       /* NULL: not pinned */
    const char *date_style;      /* NULL: not pinned */
    const char *const *settings; /* name, value, name, value, ..., NULL; NULL: none. Other settings of the configuration */
    bool mysql;         /* facts are those of pol_facts_my(): schemas are databases, and the only one of the search_path is the default */
    bool my_mode_known; /* see pol_role_my_mode() */
    unsigned my_mode;
};
/* NULL when out of memory. Strings are copied. */
struct pol_role *pol_role_new(struct pol_policy *p, const struct pol_subject *who, const char *database, const struct pol_pins *pins);
void pol_role_free(struct pol_role *r);
/* What time it is, in seconds since 1970: rules with "times" hold then, or do not. True when other rules hold than before: an earlier verdict may count
 * no more. Before the first call rules that deny hold and others with times do not. */
bool pol_role_at(struct pol_role *r, int64_t unix_s);
/* Some rule hides or masks columns or rows, or limits what may be written: statements on them need pol_rewrite_pg(). */
bool pol_role_restricts(const struct pol_role *r);
/* MySQL: false where what an earlier verdict allowed (pol_verdict.counts) would tell this role of rows that are hidden from it. */
bool pol_role_counts(const struct pol_role *r);
/* The database's catalog, once, before the first verdict; the role keeps a reference. Without it what is restricted cannot be touched (57P03).
 * rewrites: the caller promises to run a statement whose verdict says "rewrite" only as pol_rewrite_pg() writes it; without that promise such
 * statements are denied. */
void pol_role_use_catalog(struct pol_role *r, struct pol_catalog *catalog, bool rewrites);
/* MySQL: the bits of sql_mode (policy/facts_my.h) that the session has; before it is called no sql_mode may be set. */
void pol_role_my_mode(struct pol_role *r, unsigned mode);
/* Some rule says read_only: the session's transactions are to be read-only (default_transaction_read_only), besides what verdicts refuse. */
bool pol_role_read_only(const struct pol_role *r);
/* For a verdict without a session of its own: "unpin" counts for nothing. */
void pol_role_keep_pins(struct pol_role *r);
/* Whether the i-th database that the policy lists is in mode: observe. */
bool pol_policy_observes(const struct pol_policy *p, size_t i);
/* Each claim that a rule's row filter reads, of all rules, or of those that apply to this identity here; a claim may come more than once. */
typedef void (*pol_claim_fn)(void *arg, const char *rule, const char *claim);
void pol_policy_claims(const struct pol_policy *p, pol_claim_fn each, void *arg);
void pol_role_claims(const struct pol_role *r, pol_claim_fn each, void *arg);
/* For tools that were given no catalog: what is refused for want of one says how to get it. */
void pol_role_offline(struct pol_role *r);
/* mode: observe for this database: verdicts are recorded, statements forwarded. */
bool pol_role_observes(const struct pol_role *r);
/* False when no rule at all names this identity here: the login itself may be refused. */
bool pol_role_any(const struct pol_role *r);
/* The rules that apply to this identity here, in the file's order: their names. */
size_t pol_role_rules(const struct pol_role *r);
const char *pol_role_rule(const struct pol_role *r, size_t i);

/* The longest time for which some rule lets this identity break the glass; 0: none does. */
uint64_t pol_role_glass_ms(const struct pol_role *r);

enum pol_effect { POL_ALLOW, POL_DENY, POL_ASK };
/* What the record gets of a result, from the least: nothing was said, so what the configuration says; its numbers; its rows too. */
enum pol_record { POL_RECORD_DEFAULT, POL_RECORD_STATEMENTS, POL_RECORD_RESULTS };
struct pol_limits { /* of one result; 0: no limit */
    uint64_t rows, bytes, ms;
    enum pol_record record; /* the most that any rule says */
};
/* True when no name matters for this identity: it may do everything, nothing is denied to it, and what it is asked about goes by no name. Such an identity may run what changes search_path
 * or role unseen (DO, functions of its own), or, with the rule's "unpin", openly. Once it has (pol_verdict.unpins), names in that session are
 * no longer what the pins say, and a role that is not everything must not judge another statement of it. */
bool pol_role_everything(const struct pol_role *r);

/* How much an agreement for some time covers, from the least: this very statement; the same text with other values; all that the
 * rule asks about. */
enum pol_scope { POL_SCOPE_STATEMENT, POL_SCOPE_KIND, POL_SCOPE_RULE };
const char *pol_scope_name(enum pol_scope s);
/* False when the word is none. */
bool pol_scope_of(const char *word, enum pol_scope *out);

/* What must be agreed to before the statement runs: each of these rules by as many approvers as it says. */
#define POL_ASKS 4
struct pol_ask {
    size_t n;
    struct {
        const char *rule;             /* borrowed from the role's policy, like the groups */
        const char *const *approvers; /* groups whose members may agree; NULL-terminated */
        unsigned quorum;              /* so many different ones */
        uint64_t grant_ms;            /* the longest time for which it may be agreed to; 0: once only */
        enum pol_scope grant_scope;   /* the widest */
        uint64_t glass_ms;            /* how long this identity may break the glass; 0: it may not */
    } by[POL_ASKS];
    uint64_t expires_ms, window_ms; /* of the request; of its use after the decision: the least of the rules' */
    uint64_t wait_ms;               /* the statement may be held so long; 0: refused at once */
    bool justify;                   /* a reason must be given */
};

struct pol_verdict {
    enum pol_effect effect;
    const char *rule;         /* the rule that decided; "" when none did (no rule grants it). Borrowed from the role's policy */
    size_t stmt;              /* index of the statement that was refused */
    uint32_t position;        /* what trips the parser: in the text, in characters from 1; 0: nothing does */
    bool rewrite;             /* allowed, but only as pol_rewrite_pg() writes it */
    struct pol_limits limits; /* the least of all rules about what the text touches */
    bool unpins;              /* allowed, and behind it names may mean something else than the pins say: see pol_role_everything() */
    bool retracks;      /* MySQL: allowed, and what the server reports of its session has to be set again behind it (flt_answer.retrack) */
    bool counts;        /* MySQL: allowed, and behind it the session may tell of rows that are hidden: pol_role_counts() */
    bool blind;         /* PostgreSQL: it changes rows of which it may read none, and the server's errors would show them */
    bool column;        /* refused for one column, which MySQL has a number of its own for (flt_answer.column) */
    struct pol_ask ask; /* POL_ASK */
    char sqlstate[6];   /* 42501; 25006, 0A000, ... where they fit better */
    /* From here on texts alone, see pol_verdict_clear(). */
    char message[512]; /* one sentence: what was refused and why */
    char detail[768];  /* which rule or pin, what tripped it */
    char hint[768];    /* what would be allowed, or what to do */
};
/* v allows, and asks for nothing that than, which allows too, did not: what was not rewritten and not limited by that may leave by this as it is. */
bool pol_verdict_within(const struct pol_verdict *v, const struct pol_verdict *than);
/* As an initializer without values does it, but for the rest of the texts, which is most of the verdict. */
static inline void pol_verdict_clear(struct pol_verdict *v) {
    memset(v, 0, offsetof(struct pol_verdict, message));
    v->message[0] = v->detail[0] = v->hint[0] = '\0';
}
/* Pure: no I/O, no allocation that outlives the call. Judges all statements of the text; the first refused one decides. */
void pol_judge(const struct pol_role *r, const struct pol_facts *f, struct pol_verdict *out);
/* Whether that may take more than some ms: hundreds of relations, and hundreds of rules that each could be about them. */
bool pol_judge_long(const struct pol_role *r, const struct pol_facts *f);
/* A startup parameter (or an item of "options"): judged as SET name = value would be. */
bool pol_judge_setting(const struct pol_role *r, const char *name, const char *value, struct pol_verdict *out);
/* Fills a verdict for a text that has no facts. */
void pol_refuse_parse(const struct pol_parse_error *e, struct pol_verdict *out);

#endif

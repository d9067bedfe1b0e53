/* What a text takes from the session it runs in, and what it leaves there. People agree to a text; in another session, or later in the same one, it must not
 * mean something else. */
#ifndef GH_POLICY_SESSION_STATE_H
#define GH_POLICY_SESSION_STATE_H

#include "policy/policy.h"

/* Why nobody can agree to it, and what to write instead. */
struct pol_unaskable {
    char why[200];
    const char *hint;
};
/* True, and *u says why: the text reads cursors, prepared statements, settings that are not pinned, or what else only the session knows. pins: of the
 * session; NULL: there is none whose settings are known. */
bool pol_reads_session(const struct pol_facts *f, const struct pol_pins *pins, struct pol_unaskable *u);
/* True, likewise: a name in it, of a relation or a type, would mean a temporary object of that name, if there were one. PostgreSQL looks there first, before
 * pg_catalog, for relations and types, and never for functions and operators. */
bool pol_temp_could_shadow(const struct pol_facts *f, struct pol_unaskable *u);
/* It runs code that may read settings which its text does not name: DO, CALL, functions that are not built in or run SQL text. */
bool pol_runs_unseen(const struct pol_facts *f);

/* PostgreSQL: a constant of the text may be 'now', 'today', 'tomorrow' or 'yesterday', in whatever it is a part of. The server puts the time in its place when it
 * reads the text, and a prepared statement keeps that time. True also when that cannot be said in short. Needs POL_STACK_BYTES of stack. */
bool pol_tells_time(const char *sql, size_t len);

/* What it leaves behind in the session, for the texts that follow. */
enum pol_leaves {
    POL_LEAVES_TEMP = 1u << 0,     /* temporary objects */
    POL_LEAVES_UNSEEN = 1u << 1,   /* it ran such code, which may have made some */
    POL_LEAVES_SEED = 1u << 2,     /* random() goes on from where the session wants it to */
    POL_LEAVES_SETTINGS = 1u << 3, /* set_config() of a name that the text does not hold */
};
unsigned pol_leaves(const struct pol_facts *f);

/* For tests: the first name of a table here that stands in the wrong place; NULL when all are sorted. */
const char *pol_session_state_out_of_order(void);

#endif

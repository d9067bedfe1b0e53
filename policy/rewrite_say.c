#include "policy/rewrite_say.h"

#include "policy/text.h"

#include <stdio.h>
#include <string.h>

#define HINT_NAMES 20

static void begin(struct pol_verdict *why, const char *sqlstate, const char *rule) {
    memset(why, 0, sizeof *why);
    why->effect = POL_DENY;
    why->rule = rule;
    snprintf(why->sqlstate, sizeof why->sqlstate, "%s", sqlstate);
}

/* "Columns that you see of public.customers: id, name, ..." */
static void visible_columns(const struct pol_view *v, char *out, size_t size) {
    unsigned shown = 0, more = 0;
    for (size_t i = 0; i < v->relation->ncolumns; i++) {
        if (v->columns[i].visibility == POL_HIDDEN) continue;
        if (shown == HINT_NAMES) {
            more++;
            continue;
        }
        pol_add(out, size, "%s%.64s%s", shown++ > 0 ? ", " : "", v->relation->columns[i].name,
                v->columns[i].visibility == POL_MASKED ? " (masked)" : "");
    }
    if (more > 0) pol_add(out, size, ", and %u more", more);
}

void rw_say(struct pol_verdict *why, const struct pol_view *view, const char *hint, const char *fmt, va_list ap) {
    begin(why, "42501", view != NULL ? view->rule : "");
    pol_vadd(why->message, sizeof why->message, fmt, ap);
    if (view != NULL)
        pol_add(why->detail, sizeof why->detail, "The rule \"%.200s\" hides columns or rows of %.64s.%.64s from you.", view->rule,
                view->relation->schema, view->relation->name);
    if (hint != NULL) {
        pol_add(why->hint, sizeof why->hint, "%s", hint);
    } else if (view != NULL) {
        pol_add(why->hint, sizeof why->hint, "Columns of %.64s.%.64s for you: ", view->relation->schema, view->relation->name);
        visible_columns(view, why->hint, sizeof why->hint);
        pol_add(why->hint, sizeof why->hint, ".");
    }
}

bool rw_refuse_limit(struct pol_verdict *why, bool *refused, bool large) {
    if (*refused) return false;
    begin(why, large ? "54000" : "53200", "");
    pol_add(why->message, sizeof why->message, "%s", large ? RW_TOO_LARGE : "out of memory");
    pol_add(why->hint, sizeof why->hint, "%s", large ? "Send it in smaller pieces." : "");
    *refused = true;
    return false;
}

/* application_name when the configuration has a template for it: a client's SET names what the template puts it into. */
#include "spoa/session_int.h"

#include <stdio.h>
#include <string.h>

static bool names_it(const struct pol_setting *g) { return !g->show && g->value != NULL && strcmp(g->name, "application_name") == 0; }

/* A SET of its own, whose value the text holds. */
static const struct pol_setting *only_set(const struct pol_facts *f) {
    const struct pol_stmt *t = &f->stmts[0];
    if (f->nstmts != 1 || t->kind != POL_K_SET || t->nsettings != 1 ||
        strcmp(t->settings[0].value != NULL ? t->settings[0].value : POL_ANY_VALUE, POL_ANY_VALUE) == 0)
        return NULL;
    return names_it(&t->settings[0]) ? &t->settings[0] : NULL;
}

bool session_label_ok(const struct session *s, const struct pol_facts *f) {
    if (s->db->application_name == NULL || only_set(f) != NULL) return true;
    for (size_t i = 0; i < f->nstmts; i++)
        for (size_t k = 0; k < f->stmts[i].nsettings; k++)
            if (names_it(&f->stmts[i].settings[k])) return false;
    return true;
}

bool session_relabel(const struct session *s, const struct pol_facts *f, char text[SESSION_LABEL]) {
    const struct pol_setting *g = s->db->application_name == NULL ? NULL : only_set(f);
    if (g == NULL) return false;
    const struct startup_who who = {.session = s->id, .principal = s->who->principal};
    char label[STARTUP_LABEL], *at = text;
    startup_label(s->db->application_name, &who, g->value, label);
    at += sprintf(at, "SET %s application_name = '", g->local ? "LOCAL" : "SESSION");
    for (const char *c = label; *c != '\0'; c++) { /* printable ASCII, and standard_conforming_strings is pinned */
        if (*c == '\'') *at++ = '\'';
        *at++ = *c;
    }
    memcpy(at, "'", 2);
    return true;
}

/* PostgreSQL's settings (GUC): which are pinned, which are harmless, and when two values mean the same. */
#ifndef GH_POLICY_PG_SETTINGS_H
#define GH_POLICY_PG_SETTINGS_H

#include "policy/policy.h"

/* Any session may set it: changes neither what text means, nor whose rights apply, nor what is logged. name in lower case. */
bool pg_setting_harmless(const char *name);
/* SHOW of it tells nothing about secrets, files or other sessions. */
bool pg_setting_showable(const char *name);

enum pg_pin { PG_PIN_NONE, PG_PIN_SAME, PG_PIN_OTHER };
/* Whether name is pinned, and if so whether value repeats the pinned value. value NULL: RESET or DEFAULT, which return to the startup packet's
 * value, that is, to the pin (tried on PostgreSQL 15: RESET, RESET ALL and DISCARD ALL do, and ALTER ROLE or DATABASE ... SET yields to the packet),
 * except for role and session_authorization, where it returns to the login role, which is the pin too.
 * *wanted, when not NULL, is the pinned value in words. */
enum pg_pin pg_setting_pin(const struct pol_pins *pins, const char *name, const char *value, const char **wanted);

/* Pinned because it decides what names mean or whose rights apply: an identity for which neither matters may be let change it. What decides how text
 * is read (client_encoding, standard_conforming_strings, backslash_quote) and what the configuration fixes is not. */
bool pg_setting_unpinnable(const char *name);

/* What a text means and does is the same with this value as with any other session's. A text that reads the setting itself is another matter. */
bool pg_setting_inert(const char *name, const char *value);

/* For tests: the first name of a table here that stands in the wrong place; NULL when all are sorted. */
const char *pg_settings_out_of_order(void);

#endif

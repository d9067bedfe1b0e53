/* Which of MySQL's and MariaDB's variables a session may set to what. */
#ifndef GH_POLICY_MY_PIN_H
#define GH_POLICY_MY_PIN_H

#include "policy/pg_settings.h"

/* As pg_setting_pin(): value NULL is DEFAULT, which is the server's global value, and so nothing that is pinned.
 * sql_mode may change in what changes no reading (MY_* of policy/facts_my.h); character sets may become UTF-8, whatever they were. */
enum pg_pin my_setting_pin(const struct pol_pins *pins, const char *name, const char *value, const char **wanted);
/* What a statement means and does is the same whatever it is set to. */
bool my_setting_inert(const char *name);

#endif

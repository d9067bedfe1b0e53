/* gatehousectl catalog: what a database's catalog says, as a text that policy tools read. */
#ifndef GH_CTL_CATALOG_H
#define GH_CTL_CATALOG_H

#include "spoa/config.h"

#include "policy/catalog.h"

int ctl_catalog(int argc, char **argv);
/* Reads the catalog of a database of the configuration over Gatehouse's own connection. The text (free() it) and the object; NULL and an error when
 * either cannot be had. */
struct pol_catalog *ctl_catalog_read(const struct conf *conf, const struct conf_database *db, char **text, size_t *len, char *why,
                                     size_t size, const char **todo);

#endif

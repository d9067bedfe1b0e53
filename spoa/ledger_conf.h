/* A ledger's own copy of its configuration. */
#ifndef GH_SPOA_LEDGER_CONF_H
#define GH_SPOA_LEDGER_CONF_H

#include "spoa/ledger.h"

/* Copies what led_open() says that it copies, fills in defaults, and gives folder and node the names of their slot. False and a sentence in err. */
bool led_conf_copy(struct led_conf *to, const struct led_conf *from, char *err, size_t errsize);
/* Frees the strings of a copy; the password is wiped. All zeros are fine too. */
void led_conf_drop(struct led_conf *c);

#endif

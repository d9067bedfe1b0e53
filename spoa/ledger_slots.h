/* The journals of one node beside each other: which of them a daemon writes, and who ships what a killed one left behind. */
#ifndef GH_SPOA_LEDGER_SLOTS_H
#define GH_SPOA_LEDGER_SLOTS_H

#include "spoa/ledger.h"

/* led_open() in the first slot that no process holds. *slot says which. NULL and a sentence in err; all taken counts as that. */
struct led *led_open_free(const struct led_conf *conf, unsigned *slot, char *err, size_t errsize);

/* A process, this one too, has the journal in this slot: as of now. */
bool led_slot_held(const struct led_conf *conf, unsigned slot);

/* True when some records can be written to a slot that this process holds: the journal itself is not touched. False and a sentence in err. */
bool led_room(const struct led_conf *conf, unsigned slot, char *err, size_t errsize);

/* A thread that looks after the other slots: a journal that nobody holds is shipped to its end, at once, whenever its daemon went away,
 * and again after Redis was away (which may have lost what it had). */
struct led_keeper;
/* own is the ledger in slot mine, and must outlive the keeper; conf's strings too. NULL when the system has no room. */
struct led_keeper *led_keeper_start(const struct led_conf *conf, unsigned mine, const struct led *own);
/* Another process looks after the slots from now on: finishes those in hand and takes no more. Two keepers would take each released slot for one
 * that a daemon had left, and pass all of them to and fro for ever. Any thread. */
void led_keeper_retire(struct led_keeper *k);
void led_keeper_stop(struct led_keeper *k); /* NULL is fine */

#endif

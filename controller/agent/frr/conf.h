/*
 * Configuration of an FRR daemon as a set of items. An item is what is applied and undone as one:
 * it has a key, the place in the command tree it belongs to, the lines that make it and the lines
 * that take it away. Items compare by text, so what was applied can be told from what is wanted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Order in which items are applied; undone in the reverse order. The VNIs come before the EVPN
 * peers, so that bgpd never talks to one with route targets of its own making. */
enum conf_order {
	CONF_POLICY, /* prefix lists, route maps, BFD profiles */
	CONF_BASE,   /* the BGP instance */
	CONF_UPLINK, /* underlay sessions */
	CONF_VNI,
	CONF_PEER, /* EVPN sessions */
};

struct conf_item {
	enum conf_order order;
	char *key;     /* "vni/70001" */
	char *context; /* lines from "configure terminal" to where the item's lines are typed */
	char *apply;   /* lines */
	char *undo;    /* lines, typed in the same context */
	bool in_place; /* a changed item is applied over the old one instead of undone first */
	/* Of applied items. */
	bool sure; /* every command of it was answered well */
	bool redo; /* read back and found wrong: apply again */
	char *fix; /* lines that a redo types before the item's last one; NULL = none */
};

struct conf {
	struct conf_item *items; /* sorted by order, then key */
	size_t count, capacity;
};

void conf_clear(struct conf *c);
struct conf_item *conf_find(const struct conf *c, enum conf_order order, const char *key);
/* Add or replace; copies the strings. Pointers to items are void after it. Returns 0 or -ENOMEM. */
int conf_put(struct conf *c, enum conf_order order, bool in_place, const char *key,
	const char *context, const char *apply, const char *undo);
void conf_remove(struct conf *c, struct conf_item *item);
bool conf_item_equal(const struct conf_item *a, const struct conf_item *b);

/*
 * Keep what was applied to which process of a daemon: a JSON file, written without fsync (the
 * daemons end with the machine's uptime). conf_load() gives an empty set when there is no file, it
 * is malformed, or it speaks of another instance. Return 0 or a negative errno.
 */
int conf_save(const struct conf *c, const char *path, const char *instance);
int conf_load(struct conf *c, const char *path, const char *instance);

/*
 * Which records of the store a change touches. The operations of the change follow from this set
 * and from the state after it: what is there is written, what is not is removed.
 */
#pragma once

#include <stddef.h>

#include "controller/audumsd/strmap.h"
#include "topology/object.h"

enum record_type {
	RECORD_OBJECT,  /* an object and what is allocated to it */
	RECORD_DESIRED, /* generations of a node's desired state */
	RECORD_REST,    /* a freed number; its name is "vni/N" or "rd/NODE/N" */
};

struct touched_record {
	enum record_type type;
	Audums__V1__Kind kind; /* of RECORD_OBJECT */
	const char *name;      /* points into `key` */
	char key[256];         /* of the store */
};

/* All-zero: empty. */
struct touched {
	struct strmap keys; /* key -> struct touched_record */
};

void touched_free(struct touched *touched);

/* Add a record, unless it is there. Returns 0 or -ENOMEM. */
int touched_add(
	struct touched *touched, enum record_type type, Audums__V1__Kind kind, const char *name);

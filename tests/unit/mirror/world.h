/*
 * For the mirror's tests: tables with four kinds of ports, a mirror on them, recordings and texts.
 */
#pragma once

#include <stdint.h>

#include "dataplane/mirror/mirror.h"

struct world {
	struct tables *t;
	struct mirror *m;
};

/* Tables with the uplinks up0, up1 and the access ports p1, p2, p3 (indexes 0 .. 4), all with link.
 */
void world_open(struct world *w);
void world_close(struct world *w);

/* What mirror_print() says; to be freed. */
char *world_text(const struct world *w);

/* Let grace periods pass and assert that no table holds anything. */
void world_assert_empty(struct world *w);

struct chunk {
	uint32_t kind; /* 'E' event, 'D' dump */
	uint32_t len;
	const char *data;
};

struct recording {
	char *bytes;
	struct chunk *chunks; /* one recv(2) each */
	unsigned int n;
};

/* Read DATA_DIR/NAME.nl; fails the test if it can't. */
void recording_read(struct recording *r, const char *name);
void recording_free(struct recording *r);

/* Split the chunks of a kind into single messages (not DONE). Returns an array to be freed. */
struct chunk *recording_messages(const struct recording *r, uint32_t kind, unsigned int *n);

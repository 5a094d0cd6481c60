/*
 * Loads topology and intent files: YAML, then the rules of the schema, then the checks across
 * objects, with every problem mapped to file:line:column. The only file of this library that does
 * I/O.
 */
#pragma once

#include <stddef.h>

#include "proto/lib/locations.h"
#include "proto/lib/problems.h"
#include "topology/object.h"

enum topology_flags {
	TOPOLOGY_STANDALONE =
		1, /* the files are the whole intent: follow references, check it all */
};

struct topology {
	Audums__V1__Document *document;
	struct locations *locations;
};

/*
 * Load `n` files ("-": standard input) into one document. Without TOPOLOGY_STANDALONE, references
 * may name objects that only the controller knows. Returns 0; -EINVAL with at least one problem
 * added (sorted and located; topology->document is then what could be read, or NULL); or -ENOMEM.
 * Free with topology_free() in any case.
 */
int topology_load(const char *const *paths, size_t n, unsigned flags, struct topology *topology,
	struct problems *problems);

/* The same for a text in memory; `file` is the name in error texts. */
int topology_load_text(const char *file, const char *text, size_t len, unsigned flags,
	struct topology *topology, struct problems *problems);
void topology_free(struct topology *topology);

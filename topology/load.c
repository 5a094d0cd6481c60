/*
 * Files into one document, with every problem at its place; see load.h.
 *
 * Invariant: the order is form (pbyaml), rules, objects; each step runs on what the step before
 * left, unless the text broke off, when what is missing would say nothing.
 */
#include "topology/load.h"

#include <errno.h>
#include <string.h>

#include "proto/lib/pbyaml.h"
#include "proto/lib/rules.h"
#include "topology/check.h"

static int objects_check(struct topology *topology, unsigned flags, struct problems *problems)
{
	struct model *model;
	int n;

	if (!(flags & TOPOLOGY_STANDALONE))
		return check_document(topology->document, problems);
	model = model_create(topology->document);
	if (model == NULL)
		return -ENOMEM;
	n = check_model(model, topology->document, problems);
	model_destroy(model);
	return n;
}

/* `err`: what the loading of the texts gave. */
static int topology_finish(
	struct topology *topology, int err, unsigned flags, struct problems *problems)
{
	int n;

	if (err == -ENOMEM)
		return err;
	if (err != -EBADMSG && topology->document != NULL) {
		n = rules_check(&topology->document->base, "", problems);
		if (n < 0)
			return n;
		n = objects_check(topology, flags, problems);
		if (n < 0)
			return n;
	}
	problems_locate(problems, topology->locations);
	problems_sort(problems);
	if (problems->no_memory)
		return -ENOMEM;
	return problems_any(problems) ? -EINVAL : 0;
}

static int topology_start(struct topology *topology)
{
	memset(topology, 0, sizeof(*topology));
	topology->locations = locations_create();
	return topology->locations != NULL ? 0 : -ENOMEM;
}

int topology_load(const char *const *paths, size_t n, unsigned flags, struct topology *topology,
	struct problems *problems)
{
	ProtobufCMessage *message = NULL;
	int err = 0, one;

	if (topology_start(topology) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < n && err != -ENOMEM; i++) {
		one = pbyaml_load_file(&audums__v1__document__descriptor, &message, paths[i],
			topology->locations, problems);
		if (one == -ENOMEM || (one < 0 && err != -EBADMSG))
			err = one;
	}
	topology->document = (Audums__V1__Document *)message;
	return topology_finish(topology, err, flags, problems);
}

int topology_load_text(const char *file, const char *text, size_t len, unsigned flags,
	struct topology *topology, struct problems *problems)
{
	ProtobufCMessage *message = NULL;
	int err;

	if (topology_start(topology) < 0)
		return -ENOMEM;
	err = pbyaml_load_text(&audums__v1__document__descriptor, &message, file, text, len,
		topology->locations, problems);
	topology->document = (Audums__V1__Document *)message;
	return topology_finish(topology, err, flags, problems);
}

void topology_free(struct topology *topology)
{
	if (topology->document != NULL)
		audums__v1__document__free_unpacked(topology->document, NULL);
	locations_destroy(topology->locations);
	memset(topology, 0, sizeof(*topology));
}

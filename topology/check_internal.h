/*
 * What the files of the check share; see check.h. Internal to topology/.
 *
 * Invariant: the checks may meet objects whose own fields are wrong (the rules speak of that): they
 * pass over values they can't read and never say again what is said already.
 */
#pragma once

#include "proto/lib/problems.h"
#include "topology/model.h"

#define PLACE_MAX 96

/* Where a problem could be shown: an object and a field of it ("a.port"; "" = the object). */
struct place {
	const ProtobufCMessage *object;
	char field[PLACE_MAX];
};

struct check {
	const struct model *model;  /* of the intent to be */
	const struct model *change; /* of what is being applied */
	struct problems *problems;
	size_t n_before; /* problems that were there when the check began */
	int n_found;
	bool no_memory;
};

struct place place_at(const void *object, const char *field_fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * Report a problem at the first of the places whose object is being applied; when none is, as
 * "kind/name.field" of the first.
 */
void check_report(struct check *check, const struct place *places, size_t n_places, const char *fmt,
	...) __attribute__((format(printf, 4, 5)));

/* Call `visit` for each reference of an object: path of the field, kind and name it refers to. */
void object_references(const ProtobufCMessage *object,
	void (*visit)(void *context, const ProtobufCMessage *object, const char *field,
		Audums__V1__Kind kind, const char *name),
	void *context);

/* An address prefix as octets; IPv4 takes the first four. */
struct prefix {
	int family;
	unsigned length;
	uint8_t first[16];
	uint8_t last[16];
};

/* Parse "a.b.c.d/n" or the IPv6 form. False when it is none. */
bool prefix_parse(const char *text, struct prefix *prefix);

void check_providers(struct check *check); /* pools: their form, overlaps, size */
void check_nodes(struct check *check);     /* explicit ASNs and VTEPs */
void check_ports(struct check *check);     /* links and attachments on ports */
void check_segments(struct check *check);  /* VNIs, MTU, subnets, quota, reachability */

/*
 * Report links whose deletion would leave nodes of a segment without a path to each other. `doomed`
 * says of each object of `base`, by kind and position, at which place of the request it stands
 * (-1: it stays); `n_refs` is the length of the request. Returns the number of problems, or
 * -ENOMEM.
 */
int check_parting(const struct model *base, ssize_t *const doomed[KIND_COUNT], size_t n_refs,
	struct problems *problems);

/*
 * What the commands about intent share: names of objects on the command line, words for phases.
 */
#pragma once

#include "controller/ctl/ctl.h"
#include "topology/object.h"

/* "segment", "segments", "seg": also the short names. KIND_UNSPECIFIED when it is none. */
Audums__V1__Kind kind_word(const char *text, size_t len);

/* An object as it was named on the command line; `name` is NULL for "all of the kind". */
struct object_word {
	Audums__V1__Kind kind;
	const char *name;
};

/*
 * Read operands like "segments", "segment/registri", "segment registri unigi", "all". Returns how
 * many, or -1 after having said on stderr what is wrong. `max` is the room in `out`.
 */
int object_words(const char *const *operands, unsigned int count, struct object_word *out, int max);

/* "ready", "pending", ... of an object; "" for kinds without status, "unknown" when unset. */
const char *object_phase(const ProtobufCMessage *object);
/* The sentence in an object's status, or "". */
const char *object_message(const ProtobufCMessage *object);
const char *phase_word(Audums__V1__Phase phase);

/* Print what changed, one line an object, with the fields of updates. */
void changes_print(
	FILE *out, const struct ctl *ctl, Audums__V1__Change *const *changes, size_t n, bool plan);

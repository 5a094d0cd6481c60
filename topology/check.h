/*
 * Checks across objects: whether an intent as a whole makes sense. What one field may hold is
 * proto/lib/rules.h, which must have passed before.
 *
 * Each problem is a sentence with what is wrong and what was expected, at a path into the document
 * that is being applied; what is wrong between an applied object and one that was there before is
 * reported at the applied one. When neither is in that document the path is "kind/name.field".
 * Called by the controller before it commits, and by the loader for files that are complete by
 * themselves.
 */
#pragma once

#include <stdbool.h>

#include "proto/lib/problems.h"
#include "topology/model.h"

/*
 * Check the intent `result` that applying `change` would give. `change` may be result's own
 * document (a file that stands alone). Returns the number of problems, or -ENOMEM.
 */
int check_model(
	const struct model *result, const Audums__V1__Document *change, struct problems *problems);

/*
 * What can be said of a document without knowing the others: duplicate names, and the like.
 * References are not followed. Returns the number of problems, or -ENOMEM.
 */
int check_document(const Audums__V1__Document *document, struct problems *problems);

/*
 * Check that the objects named may be deleted from `base`: they exist (unless `if_exists`), nothing
 * that stays refers to them, and no segment's nodes lose their only path to each other, which
 * check_model() would hold against whatever is applied next. Paths are "objects[i]". Returns the
 * number of problems, or -ENOMEM.
 */
int check_delete(const struct model *base, Audums__V1__ObjectRef *const *refs, size_t n_refs,
	bool if_exists, struct problems *problems);

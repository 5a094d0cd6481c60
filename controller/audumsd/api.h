/*
 * The Fabric service: its methods, and what watch.c and show.c share with them.
 *
 * Invariant: nothing is answered before the client's certificate was judged (D20); every request is
 * answered once.
 */
#pragma once

#include "controller/audumsd/access.h"
#include "controller/audumsd/controller.h"

extern const struct rpc_method api_methods[];
extern const size_t api_methods_n;

/* May the client read? If not, the call has been finished. */
bool api_may_read(struct rpc_call *call);

/*
 * A document with one object of the intent and its status, to be freed with
 * audums__v1__document__free_unpacked(). Returns 1; 0 when there is none such (*document is NULL);
 * -ENOMEM.
 */
int api_document(const struct controller *c, Audums__V1__Kind kind, const char *name,
	Audums__V1__Document **document);

/* The store's conformance suite, run for each back end (see store_conformance.c). */
#pragma once

#include "controller/audumsd/store/store.h"

struct store_backend {
	const char *name;
	/* Open the store, whatever it holds. Returns 0 or a negative errno. */
	int (*open)(struct store **store);
	/* Remove all it holds; no store is open. */
	void (*wipe)(void);
};

/* Runs all tests; returns the number of failed ones. */
int store_conformance_run(const struct store_backend *backend);

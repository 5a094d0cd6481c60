/* What the agent's tests share. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "audums/v1/node.pb-c.h"

#define WAIT_MS 20000 /* generous: sanitisers on a busy machine */

struct loop;

/* Turn the loop until `cond` holds; fails the test after WAIT_MS. */
#define wait_for(loop, cond)                                                                       \
	do {                                                                                       \
		const uint64_t wait_until = loop_now_ms() + WAIT_MS;                               \
		while (!(cond)) {                                                                  \
			if (loop_now_ms() > wait_until)                                            \
				fail_msg("waited in vain for %s", #cond);                          \
			assert_true(loop_turn((loop), 20) >= 0);                                   \
		}                                                                                  \
	} while (0)

/* Exit status that meson counts as skipped, after a line that says why; 0 when we are root. */
int support_need_root(void);

/* Run a command line with sh; fails the test (or is ignored) when it ends in anything but 0. */
void support_run(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void support_try(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* A DesiredState with `n` segments seg0.. of VNI `vni`.., one uplink and one EVPN peer, as node n1
 * (or its mirror image, n2). Free with audums__v1__desired_state__free_unpacked(). */
Audums__V1__DesiredState *support_desired(
	unsigned int node, uint64_t generation, unsigned int n, uint32_t vni);
/* Attach a port to segment i. */
void support_attach(
	Audums__V1__DesiredState *m, unsigned int i, const char *name, const char *port);
/* Remove segment i. */
void support_drop(Audums__V1__DesiredState *m, unsigned int i);

/* Whether this network namespace has a device of the name. */
bool support_device(const char *name);

/* A file of tests/unit/agent/data (or any path); *len may be NULL. Freed by the caller. */
char *support_read(const char *name, size_t *len);

/*
 * Keeps the kernel of the network namespace the agent runs in equal to the desired state: watches,
 * plans, writes, reads back. Belongs to the loop's thread; writing is synchronous but cut into
 * slices, so that one turn never takes long.
 */
#pragma once

#include "controller/agent/kernel/journal.h"
#include "controller/agent/kernel/model.h"
#include "controller/agent/kernel/plan.h"
#include "controller/agent/kernel/watch.h"
#include "controller/agent/kernel/write.h"

#include <stdbool.h>
#include <stdint.h>

struct desired;
struct inventory;
struct loop;
struct loop_fd;
struct loop_timer;

struct kernel {
	struct loop *loop;
	struct kmodel model;
	struct kwatch watch;
	struct kwrite write;
	struct journal journal;
	struct kplan plan;
	struct loop_fd *fd;
	struct loop_timer *audit;
	bool up; /* the watch works and holds a complete dump */
	bool base_ok;
	char base_error[KOP_ERROR_MAX];
	uint64_t writes;        /* all changes ever written, sysctls included */
	uint64_t repairs_at_ms; /* start of the current second of repairs */
	unsigned int repairs;
	bool sysctls_due;
	unsigned int failures;  /* slices in a row in which something failed */
	unsigned int fruitless; /* times in a row that nothing came of all rounds */
	/* Called from the loop when something in the kernel changed that may matter. */
	void (*changed)(void *arg);
	/* A difference that nobody had asked for was found. */
	void (*drift)(void *arg, const char *object, const char *message);
	void *arg;
};

/* Open sockets, read the journal (path may be NULL) and the kernel. Returns 0 or a negative errno.
 */
int kernel_open(struct kernel *k, struct loop *loop, const char *journal_path);
void kernel_close(struct kernel *k);

enum kernel_result {
	KERNEL_DONE,    /* nothing left to do now */
	KERNEL_AGAIN,   /* a slice is done, call again from the next turn */
	KERNEL_BACKOFF, /* something failed: call again after a while */
};

/* After KERNEL_BACKOFF: how long to wait before the next attempt. A device that is just being
 * deleted fails once and is tried again at once; what fails again and again is given time. */
unsigned int kernel_backoff_ms(const struct kernel *k);

/* One slice of making the kernel equal to `d`. `settled` says that `d` has not changed since the
 * last KERNEL_DONE, so that every difference is drift. */
enum kernel_result kernel_reconcile(
	struct kernel *k, struct desired *d, const struct inventory *inv, bool settled);

/* Whether a device of this VNI with our mark, or named like ours, is there. */
bool kernel_has_vni(const struct kernel *k, uint32_t vni);

/*
 * The FRR half of the agent: makes bgpd, bfdd and zebra equal to the desired state and reads back
 * what they really hold. Each daemon may be away; the others go on, and it gets everything when it
 * returns. Belongs to the loop's thread and never blocks.
 */
#pragma once

#include "controller/agent/frr/daemon.h"
#include "controller/agent/frr/readback.h"

#include <stdbool.h>
#include <stdint.h>

struct desired;
struct loop;
struct loop_timer;
struct segment;

struct frr {
	struct loop *loop;
	struct daemon bgpd, bfdd, zebra;
	struct desired *desired;
	struct rb_vnis vnis;
	struct rb_summary summary;
	struct rb_bfd bfd;
	bool have_vnis, have_summary; /* of the bgpd that runs now */
	struct loop_timer *timer;
	unsigned int asked; /* answers of bgpd outstanding */
	bool asked_bfdd, asked_zebra;
	char zebra_told[VTY_INSTANCE_MAX]; /* the zebra that bgpd and bfdd have told everything */
	bool zebra_joined;                 /* both are its clients again, one poll ago */
	uint64_t asked_epoch;              /* bgpd's configuration when they were asked */
	uint64_t bfd_epoch;
	uint64_t asked_at_ms, cost_ms;
	unsigned int hurry;     /* quick polls left */
	unsigned int bfd_wrong; /* polls in a row that showed other times than wanted */
	/* A residue of bgpd's that stays is repaired less and less often; 0 = nothing is wrong. */
	uint64_t repair_delay_ms, repair_at_ms;
	/* Something that reports show, or a segment's frr_* fields, may have changed. */
	void (*changed)(void *arg);
	void (*drift)(void *arg, const char *object, const char *message);
	/* Whether the kernel holds a device of this VNI. */
	bool (*kernel_has_vni)(void *arg, uint32_t vni);
	void *arg;
};

/*
 * Begin to connect to the sockets DIR/bgpd.vty and so on. `state_dir` NULL: what was applied is not
 * kept. `desired` stays the caller's; its segments' frr_* fields are written here. Returns 0 or a
 * negative errno.
 */
int frr_open(struct frr *f, struct loop *loop, const char *vty_dir, const char *state_dir,
	struct desired *desired);
void frr_close(struct frr *f);

/* The desired state has changed. Returns 0 or -ENOMEM. */
int frr_apply(struct frr *f);

/* Something was changed that bgpd will learn of soon: look often for a while. */
void frr_hurry(struct frr *f);

/* Set frr_open of all segments: whether their devices may be made. Returns whether one waits. */
bool frr_gate(struct frr *f);

/* All that is wanted is applied, and nothing unwanted is left. */
bool frr_settled(const struct frr *f);

/*
 * The desired state: what the controller (or a file) asks of this node, checked, kept by segment
 * name, and beside each segment what is known of its realisation.
 *
 * Everything comes from outside: whatever is not well-formed is either refused as a whole (the
 * node's base) or kept with the reason in `invalid` (a segment), so that one bad segment harms no
 * other. Invariant: names and VNIs of valid segments are unique; strings of valid ones hold only
 * characters that mean nothing to FRR's command line.
 */
#pragma once

#include "audums/v1/node.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DESIRED_SEGMENT_MAX    20000
#define DESIRED_UPLINK_MAX     256
#define DESIRED_PEER_MAX       1024
#define DESIRED_ATTACHMENT_MAX 1024 /* of one segment */
#define DESIRED_RT_MAX         64
#define DESIRED_VTEP_MAX       1024
#define DESIRED_FILE_MAX       (64u * 1024 * 1024) /* octets of STATE/desired.pb */
#define SEGMENT_ERROR_MAX      200

struct attachment {
	char invalid[SEGMENT_ERROR_MAX];
	char error[SEGMENT_ERROR_MAX]; /* of the kernel, "" = none */
	bool attached;                 /* the TAP is in the bridge as it should be */
	bool link_up;
	int ifindex; /* of the TAP when it was last seen attached; 0 = never */
};

struct segment {
	Audums__V1__SegmentConfig *cfg;
	char invalid[SEGMENT_ERROR_MAX]; /* why it cannot be applied; "" = valid */
	struct attachment *attachments;  /* cfg->n_attachments */
	/* kernel */
	bool kernel_ok; /* bridge and vxlan device are as they should be */
	char kernel_error[SEGMENT_ERROR_MAX];
	/* FRR: set by frr.c */
	bool frr_open;  /* bgpd holds RD and RT (or is not there): the device may be made */
	bool frr_match; /* read back and equal */
	bool frr_ok;    /* and bgpd knows the device */
	char frr_error[SEGMENT_ERROR_MAX];
	char rd[32];           /* as read back; "" = unknown */
	uint64_t frr_since_ms; /* since when RD and RT wait for bgpd; 0 = not */
	unsigned int frr_tries;
	uint64_t reported; /* digest of the report that was sent last; 0 = none */
};

struct desired {
	uint64_t generation;        /* 0 = nothing was ever asked */
	Audums__V1__NodeBase *base; /* NULL = not known */
	struct segment **segments;  /* sorted by name */
	size_t count;
	struct segment **by_vni; /* valid ones, sorted by VNI */
	size_t vni_count;
};

void desired_clear(struct desired *d);

/*
 * Take one message that is complete in itself (`full`), or a difference. `m` is consumed (its parts
 * are moved). Segments that are taken over unchanged keep what is known of them. Returns 0, or
 * -EINVAL / -ENOMEM / -E2BIG with `error`; then nothing has changed.
 */
int desired_merge(struct desired *d, Audums__V1__DesiredState *m, char *error, size_t error_size);

struct segment *desired_find(const struct desired *d, const char *name);
struct segment *desired_vni(const struct desired *d, uint32_t vni);

/* Write to `path` by a temporary file, fsync(2) and rename(2). Returns 0 or a negative errno. */
int desired_save(const struct desired *d, const char *path);

/* Read a DesiredState message as desired_save() writes it. Returns it (free with
 * audums__v1__desired_state__free_unpacked), or NULL with errno (ENOENT, EINVAL, EFBIG...). */
Audums__V1__DesiredState *desired_read(const char *path);

/*
 * Attachment circuits: where tenants' frames come in and go out, a port and the tags they carry
 * there. A bridge domain's local members and the FDB's local destinations are ACs.
 *
 * The first PORT_TBL_MAX ids are the ports' untagged ACs: id and port index are the same number, so
 * untagged frames need no look-up. Ids from AC_TAGGED on are given out: port, and one (802.1Q) or
 * two tags (QinQ, IEEE 802.1ad or 0x8100 outside). A tagged frame finds its AC in an array of its
 * port by the outer VID, and where that VID carries further tags in a second one by the inner VID;
 * both exist only where they are needed.
 *
 * The main thread alone writes. An AC's port and tags never change while it exists; `bd` does. An
 * id is given out again only after a grace period.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_byteorder.h>

#include "dataplane/tables/port_tbl.h"
#include "dataplane/tables/rcu.h"

#define AC_NONE      UINT16_MAX
#define AC_TAGGED    PORT_TBL_MAX /* the first id of a tagged AC */
#define AC_TAGS_MAX  2

#define VLAN_TPID_Q  0x8100 /* IEEE 802.1Q, customer tag */
#define VLAN_TPID_AD 0x88a8 /* IEEE 802.1ad, service tag */
#define VLAN_VIDS    4096

/* What a worker needs of an AC; 16 octets. */
struct ac {
	uint16_t port;
	uint16_t bd;    /* hot: BD_NONE = nothing goes in or out */
	uint8_t n_tags; /* 0 .. AC_TAGS_MAX */
	bool live;      /* tagged: exists, for the main thread */
	uint16_t pad;
	rte_be32_t tags[AC_TAGS_MAX]; /* outer first: TPID and VID as in a frame, priority 0 */
};

/* What makes an AC. VIDs are 1 .. 4094, host order. */
struct ac_config {
	uint16_t port;
	uint8_t n_tags;            /* 1 or 2 */
	uint16_t outer_tpid;       /* VLAN_TPID_Q or VLAN_TPID_AD */
	uint16_t vid[AC_TAGS_MAX]; /* outer first; the inner tag's TPID is VLAN_TPID_Q */
};

/* Private to the inline look-ups below: by outer VID, and by inner VID. */
struct ac_outer {
	struct rcu_entry rcu;
	uint32_t used;
	struct ac_outer_entry {
		uint16_t ac;    /* with this tag alone; 0 = none */
		uint16_t inner; /* index of the array for frames with a second tag; 0 = none */
	} vids[VLAN_VIDS];
};

struct ac_inner {
	struct rcu_entry rcu;
	struct ac_tbl *tbl;
	uint32_t used;
	uint16_t index;
	uint16_t acs[VLAN_VIDS]; /* 0 = none */
};

struct ac_tbl {
	struct ac *acs;
	struct ac_outer *outer[PORT_TBL_MAX][2]; /* by port, and outer TPID (1 = 802.1ad) */
	struct ac_inner **inner;                 /* by index */
	uint32_t *ifindex;                       /* main thread: the kernel's device of an AC */
	uint64_t *busy, *inner_busy;
	uint16_t max; /* ids are below */
	uint16_t end; /* highest tagged id ever given out + 1 */
	uint16_t tagged;
	struct rcu *rcu;
};

/* Room for `max` ACs in all, the ports' PORT_TBL_MAX untagged ones among them. 0, -EINVAL or
 * -ENOMEM. */
int ac_tbl_init(struct ac_tbl *t, struct rcu *rcu, uint16_t max);
void ac_tbl_fini(struct ac_tbl *t);

/*
 * Main thread: a tagged AC in no domain; its port's frames with these tags find it from now on.
 * Returns its id (>= AC_TAGGED), -EINVAL, -EEXIST (an AC has these tags), -ENOSPC, -ENOMEM.
 */
int ac_add(struct ac_tbl *t, const struct ac_config *config);

/* Main thread: no frame finds the AC any more, and it is in no domain. Its port can still be asked
 * for until ac_del(). Only tagged ones. */
void ac_hide(struct ac_tbl *t, uint16_t id);

/* Main thread: give back a hidden AC that no list and no FDB entry names any more. */
void ac_del(struct ac_tbl *t, uint16_t id);

/* Main thread: is the tagged AC `id` exactly this one? */
bool ac_is(const struct ac_tbl *t, uint16_t id, const struct ac_config *config);

/* Main thread: the VIDs of an AC, outer and inner, 0 where it has no such tag. */
void ac_vids(const struct ac_tbl *t, uint16_t id, uint16_t *outer, uint16_t *inner);

/* Main thread: how an operator names the AC's tags: "", "100", "100.7", "100(ad).7". */
struct ac_text {
	char text[20];
};
struct ac_text ac_tags_text(const struct ac_tbl *t, uint16_t id);

/* Main thread: domain, and the kernel's device (0 = none). */
void ac_set_bd(struct ac_tbl *t, uint16_t id, uint16_t bd);
void ac_set_ifindex(struct ac_tbl *t, uint16_t id, uint32_t ifindex);

static inline uint32_t ac_ifindex(const struct ac_tbl *t, uint16_t id)
{
	return t->ifindex[id];
}

/* Workers and main: the AC `id`, which some table named or a port's index is. */
static inline const struct ac *ac_get(const struct ac_tbl *t, uint32_t id)
{
	return &t->acs[id];
}

static inline uint16_t ac_bd(const struct ac_tbl *t, uint32_t id)
{
	return __atomic_load_n(&t->acs[id].bd, __ATOMIC_RELAXED);
}

static inline uint16_t ac_port(const struct ac_tbl *t, uint32_t id)
{
	return t->acs[id].port;
}

/* Workers: the port's array of outer VIDs by TPID (service: 802.1ad); NULL = no AC has such. */
static inline const struct ac_outer *ac_outer(const struct ac_tbl *t, uint16_t port, bool service)
{
	return __atomic_load_n(&t->outer[port][service], __ATOMIC_ACQUIRE);
}

/* Workers: AC of the port with the outer tag `vid` (below VLAN_VIDS) alone; 0 = none. */
static inline uint16_t ac_single(const struct ac_outer *outer, uint16_t vid)
{
	return __atomic_load_n(&outer->vids[vid].ac, __ATOMIC_ACQUIRE);
}

/* Workers: the array of inner VIDs under that outer one; NULL = none. */
static inline const struct ac_inner *ac_inner(
	const struct ac_tbl *t, const struct ac_outer *outer, uint16_t vid)
{
	const uint16_t index = __atomic_load_n(&outer->vids[vid].inner, __ATOMIC_ACQUIRE);

	return index == 0 ? NULL : t->inner[index];
}

/* Workers: AC of the inner VID; 0 = none. */
static inline uint16_t ac_double(const struct ac_inner *inner, uint16_t vid)
{
	return __atomic_load_n(&inner->acs[vid], __ATOMIC_ACQUIRE);
}

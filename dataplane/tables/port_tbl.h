/*
 * The tables' view of ports: what forwarding must know of a port, nothing of how it does I/O.
 *
 * A port's index is its number in the port inventory's order (or what the caller chose) and stays
 * until port_tbl_del(). Fields marked "hot" are read by workers while the main thread changes them:
 * single loads and stores, each valid by itself. The main thread alone writes.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_common.h>
#include <rte_ether.h>

#define PORT_TBL_MAX  256
#define PORT_NONE     UINT16_MAX
#define PORT_NAME_LEN 16 /* with the final NUL */

enum port_kind {
	PORT_KIND_NONE, /* no such port */
	PORT_KIND_UPLINK,
	PORT_KIND_ACCESS,
};

struct port_entry {
	uint8_t kind;              /* hot: enum port_kind */
	uint8_t link_up;           /* hot: the wire has link */
	uint8_t admin_up;          /* hot: the TAP is IFF_UP in the kernel */
	uint16_t mtu;              /* hot: octets of layer 3 */
	struct rte_ether_addr mac; /* set before the port is shown to workers */
	uint32_t tap_ifindex;      /* of the TAP in the site's namespace; 0 = not seen yet */
	char name[PORT_NAME_LEN];
	char tap[PORT_NAME_LEN]; /* interface name of the TAP */
} __rte_cache_aligned;

struct port_tbl {
	struct port_entry ports[PORT_TBL_MAX];
	uint16_t n; /* highest used index + 1 */
};

/*
 * Add port `idx` (< PORT_TBL_MAX): `name` and `tap` are copied (at most 15 octets, else
 * -ENAMETOOLONG). Starts with link down, admin down, no domain. Returns 0, -EINVAL, -EEXIST.
 */
int port_tbl_add(struct port_tbl *t, uint16_t idx, enum port_kind kind, const char *name,
	const char *tap, const struct rte_ether_addr *mac, uint16_t mtu);

/* Remove port `idx`. Nothing may refer to it any more. */
void port_tbl_del(struct port_tbl *t, uint16_t idx);

/* The port `idx` for reading; kind PORT_KIND_NONE where there is none. idx < PORT_TBL_MAX. */
static inline const struct port_entry *port_get(const struct port_tbl *t, uint16_t idx)
{
	return &t->ports[idx];
}

static inline uint16_t port_mtu(const struct port_tbl *t, uint16_t idx)
{
	return __atomic_load_n(&t->ports[idx].mtu, __ATOMIC_RELAXED);
}

/* Frames may leave by this port: link up and IFF_UP. */
static inline bool port_up(const struct port_tbl *t, uint16_t idx)
{
	const struct port_entry *p = &t->ports[idx];
	return __atomic_load_n(&p->link_up, __ATOMIC_RELAXED) &&
	       __atomic_load_n(&p->admin_up, __ATOMIC_RELAXED);
}

/* Index of the port with this inventory name / TAP name / TAP ifindex, or PORT_NONE. */
uint16_t port_by_name(const struct port_tbl *t, const char *name);
uint16_t port_by_tap(const struct port_tbl *t, const char *tap);
uint16_t port_by_ifindex(const struct port_tbl *t, uint32_t ifindex);

/* Setters of the hot fields. tables_port_link() and tables_port_admin() in tables.h also move
 * next-hop groups off the port; use those. */
void port_set_mtu(struct port_tbl *t, uint16_t idx, uint16_t mtu);
void port_set_tap_ifindex(struct port_tbl *t, uint16_t idx, uint32_t ifindex);

/*
 * The tables' view of ports: an array by index and look-ups by name for the main thread.
 *
 * Invariant: a slot's kind is written last when a port is added and first when it is removed, so a
 * worker that sees a kind sees the rest of it.
 */
#include "dataplane/tables/port_tbl.h"

#include <errno.h>
#include <string.h>

int port_tbl_add(struct port_tbl *t, uint16_t idx, enum port_kind kind, const char *name,
	const char *tap, const struct rte_ether_addr *mac, uint16_t mtu)
{
	struct port_entry *p;

	if (idx >= PORT_TBL_MAX || kind == PORT_KIND_NONE || !*name)
		return -EINVAL;
	if (strlen(name) >= PORT_NAME_LEN || strlen(tap) >= PORT_NAME_LEN)
		return -ENAMETOOLONG;
	p = &t->ports[idx];
	if (p->kind != PORT_KIND_NONE || port_by_name(t, name) != PORT_NONE)
		return -EEXIST;
	memset(p, 0, sizeof(*p));
	strcpy(p->name, name);
	strcpy(p->tap, tap);
	p->mac = *mac;
	p->mtu = mtu;
	__atomic_store_n(&p->kind, (uint8_t)kind, __ATOMIC_RELEASE);
	if (idx >= t->n)
		__atomic_store_n(&t->n, (uint16_t)(idx + 1), __ATOMIC_RELEASE);
	return 0;
}

void port_tbl_del(struct port_tbl *t, uint16_t idx)
{
	struct port_entry *p = &t->ports[idx];

	__atomic_store_n(&p->kind, PORT_KIND_NONE, __ATOMIC_RELEASE);
	__atomic_store_n(&p->link_up, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&p->admin_up, 0, __ATOMIC_RELAXED);
	p->tap_ifindex = 0;
	p->name[0] = p->tap[0] = '\0';
}

uint16_t port_by_name(const struct port_tbl *t, const char *name)
{
	for (uint16_t i = 0; i < t->n; i++)
		if (t->ports[i].kind != PORT_KIND_NONE && strcmp(t->ports[i].name, name) == 0)
			return i;
	return PORT_NONE;
}

uint16_t port_by_tap(const struct port_tbl *t, const char *tap)
{
	for (uint16_t i = 0; i < t->n; i++)
		if (t->ports[i].kind != PORT_KIND_NONE && strcmp(t->ports[i].tap, tap) == 0)
			return i;
	return PORT_NONE;
}

uint16_t port_by_ifindex(const struct port_tbl *t, uint32_t ifindex)
{
	for (uint16_t i = 0; i < t->n; i++)
		if (t->ports[i].kind != PORT_KIND_NONE && ifindex != 0 &&
			t->ports[i].tap_ifindex == ifindex)
			return i;
	return PORT_NONE;
}

void port_set_mtu(struct port_tbl *t, uint16_t idx, uint16_t mtu)
{
	__atomic_store_n(&t->ports[idx].mtu, mtu, __ATOMIC_RELAXED);
}

void port_set_tap_ifindex(struct port_tbl *t, uint16_t idx, uint32_t ifindex)
{
	t->ports[idx].tap_ifindex = ifindex;
}

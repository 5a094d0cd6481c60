/*
 * What FRR says of itself: the JSON of `show ...` commands as plain structures. No I/O. Whatever is
 * malformed gives -EINVAL and an empty structure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* `show bgp l2vpn evpn vni json` */
struct rb_vni {
	uint32_t vni;
	bool in_kernel; /* zebra has told bgpd of the device */
	bool is_l2;
	char rd[32];
	char **rt_import, **rt_export;
	size_t import_count, export_count;
};
struct rb_vnis {
	bool advertise_all;
	struct rb_vni *vnis; /* sorted by VNI */
	size_t count;
	void *root; /* the parsed document that the strings point into */
};
int rb_vnis_parse(struct rb_vnis *r, const char *json);
void rb_vnis_clear(struct rb_vnis *r);
const struct rb_vni *rb_vnis_find(const struct rb_vnis *r, uint32_t vni);

/* `show bgp summary json`, of one address family */
struct rb_peer {
	char address[16];
	uint32_t remote_as;
	bool established;
};
struct rb_peers {
	struct rb_peer *peers; /* sorted by address text */
	size_t count;
};
struct rb_summary {
	uint32_t as; /* 0 = no BGP instance */
	char router_id[16];
	struct rb_peers ipv4, evpn;
};
int rb_summary_parse(struct rb_summary *r, const char *json);
void rb_summary_clear(struct rb_summary *r);
const struct rb_peer *rb_peers_find(const struct rb_peers *p, const char *address);

/* `show bfd peers json` */
struct rb_bfd_peer {
	char address[16];
	bool up, multihop;
	uint32_t transmit_ms, receive_ms, multiplier; /* configured */
};
struct rb_bfd {
	struct rb_bfd_peer *peers; /* sorted by address text */
	size_t count;
};
int rb_bfd_parse(struct rb_bfd *r, const char *json);
void rb_bfd_clear(struct rb_bfd *r);
const struct rb_bfd_peer *rb_bfd_find(const struct rb_bfd *r, const char *address);

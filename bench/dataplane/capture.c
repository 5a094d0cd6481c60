/* Captures and OpenFlow rules; see capture.h. */
#include "bench/dataplane/capture.h"

#include <errno.h>
#include <string.h>

#define MAGIC    0xa1b2c3d4u
#define SNAPLEN  65535
#define ETHERNET 1

struct file_head {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, sigfigs, snaplen, network;
};

struct frame_head {
	uint32_t sec, usec, kept, length;
};

int capture_write(const struct bench_case *c, const char *path)
{
	const struct file_head head = {
		.magic = MAGIC, .major = 2, .minor = 4, .snaplen = SNAPLEN, .network = ETHERNET};
	FILE *f = fopen(path, "w");
	struct frame_bytes frame;
	int rc = 0;

	if (f == NULL)
		return -errno;
	if (fwrite(&head, sizeof(head), 1, f) != 1)
		rc = -EIO;
	for (uint32_t i = 0; i < c->flows && rc == 0; i++) {
		struct frame_head fh = {.sec = i};

		case_frame(c, i, &frame);
		fh.kept = fh.length = (uint32_t)frame.len;
		if (fwrite(&fh, sizeof(fh), 1, f) != 1 || fwrite(frame.data, frame.len, 1, f) != 1)
			rc = -EIO;
	}
	if (fclose(f) != 0 && rc == 0)
		rc = -errno;
	return rc;
}

static void mac_text(char text[18], const uint8_t m[6])
{
	snprintf(text, 18, "%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5]);
}

/* For a MAC: as a source, go on with table 1; as a destination, leave by `port`. */
static void mac_rules(FILE *f, const uint8_t mac[6], const char *source, const char *port)
{
	char text[18];

	mac_text(text, mac);
	if (source != NULL)
		fprintf(f, "table=0,in_port=%s,dl_src=%s,actions=resubmit(,1)\n", source, text);
	if (port != NULL)
		fprintf(f, "table=1,dl_dst=%s,actions=output:%s\n", text, port);
}

/* Only MACs that the capture has: more rules would not be hit, and a million take minutes. */
static void mac_rules_of_frames(const struct bench_case *c, FILE *f)
{
	struct frame_bytes frame;
	char port[8];

	for (uint32_t i = 0; i < c->flows; i++) {
		const uint8_t *inner = frame.data;
		uint32_t remote;

		case_frame(c, i, &frame);
		if (c->kind == CASE_DECAP)
			inner += 50;
		/* the number of the MAC behind a VTEP is in its last three octets */
		remote = c->kind == CASE_DECAP ? 6 : 0;
		remote = (uint32_t)inner[remote + 3] << 16 | (uint32_t)inner[remote + 4] << 8 |
			 inner[remote + 5];
		snprintf(port, sizeof(port), "vx%u", remote % CASE_VTEPS);
		if (c->kind == CASE_DECAP) {
			mac_rules(f, inner + 6, port, NULL);
			mac_rules(f, inner, NULL, "out");
		} else {
			mac_rules(f, inner + 6, "in", NULL);
			mac_rules(f, inner, NULL, port);
		}
	}
}

int rules_write(const struct bench_case *c, FILE *f)
{
	char hop[18], own[18], mac[18];
	uint8_t m[6];

	mac_text(hop, case_hop_mac);
	mac_text(own, case_mac[CASE_UPLINK]);
	switch (c->kind) {
	case CASE_ENCAP:
	case CASE_DECAP:
		mac_rules_of_frames(c, f);
		break;
	case CASE_FLOOD:
		for (uint32_t i = 0; i < c->macs; i++) {
			case_local_mac(m, i);
			mac_rules(f, m, "in", NULL);
		}
		mac_text(mac, (const uint8_t[6]){0xff, 0xff, 0xff, 0xff, 0xff, 0xff});
		fprintf(f, "table=1,dl_dst=%s,actions=", mac);
		for (unsigned int i = 0; i < CASE_VTEPS; i++)
			fprintf(f, "%svx%u", i > 0 ? "," : "", i);
		fprintf(f, "\n");
		break;
	case CASE_TRANSIT:
		for (uint32_t i = 0; i < CASE_ROUTES; i++)
			fprintf(f,
				"table=0,priority=24,in_port=in,ip,nw_dst=100.%u.%u.0/24,actions="
				"dec_ttl,mod_dl_src:%s,mod_dl_dst:%s,output:out\n",
				i >> 8, i & 255, own, hop);
		break;
	}
	return ferror(f) ? -EIO : 0;
}

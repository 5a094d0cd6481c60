/*
 * Words and checks of a port's description. Used by the inventory's parser and both ends of the
 * handover, so that all agree on what is valid.
 */
#include "dataplane/port/port_spec.h"

#include <errno.h>
#include <string.h>

const char *port_role_name(enum port_role role)
{
	switch (role) {
	case PORT_ROLE_UPLINK:
		return "uplink";
	case PORT_ROLE_ACCESS:
		return "access";
	}
	return "?";
}

const char *port_backend_name(enum port_backend backend)
{
	switch (backend) {
	case PORT_BACKEND_PACKET:
		return "packet";
	case PORT_BACKEND_ETHDEV:
		return "ethdev";
	}
	return "?";
}

bool port_name_valid(const char *name)
{
	size_t i;

	if (name[0] < 'a' || name[0] > 'z')
		return false;
	for (i = 1; name[i] != '\0'; i++) {
		const char c = name[i];

		if (i >= 14 || ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-'))
			return false;
	}
	return true;
}

int port_spec_check(const struct port_spec *spec, const char **why)
{
	static const uint8_t mac_zero[6];
	const char *reason = NULL;

	if (spec->id >= PORT_MAX)
		reason = "id out of bounds";
	else if (spec->role != PORT_ROLE_UPLINK && spec->role != PORT_ROLE_ACCESS)
		reason = "unknown role";
	else if (spec->backend != PORT_BACKEND_PACKET && spec->backend != PORT_BACKEND_ETHDEV)
		reason = "unknown back end";
	else if (memchr(spec->name, '\0', sizeof(spec->name)) == NULL ||
		 !port_name_valid(spec->name))
		reason = "bad name";
	else if (memchr(spec->tap, '\0', sizeof(spec->tap)) == NULL || !port_name_valid(spec->tap))
		reason = "bad TAP name";
	else if (memchr(spec->device, '\0', sizeof(spec->device)) == NULL ||
		 spec->device[0] == '\0')
		reason = "bad device";
	else if (spec->tap_ifindex == 0)
		reason = "no TAP index";
	else if (spec->backend == PORT_BACKEND_PACKET && spec->wire_ifindex == 0)
		reason = "no wire index";
	else if (spec->mtu < PORT_MTU_MIN || spec->mtu > PORT_MTU_MAX)
		reason = "MTU out of bounds";
	else if (spec->mac[0] & 1)
		reason = "MAC is not unicast";
	else if (spec->backend == PORT_BACKEND_PACKET &&
		 memcmp(spec->mac, mac_zero, sizeof(mac_zero)) == 0)
		reason = "no MAC";
	if (why != NULL)
		*why = reason;
	return reason == NULL ? 0 : -EINVAL;
}

/*
 * gRPC statuses and header values as they stand on the wire: percent-encoding of messages, base64
 * of binary headers, `grpc-timeout`, the details message. Pure functions, fuzzed with frame.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "controller/rpc/rpc.h"

#define STATUS_MESSAGE_MAX 1024 /* octets of a message, before encoding */

/* Percent-encode (gRPC PROTOCOL-HTTP2, "Percent-Encoded") `s` into `out`, NUL-terminated; cut at a
 * whole character when `size` is too small. Returns the length. 3 * strlen(s) + 1 always suffice.
 */
size_t rpc_percent_encode(char *out, size_t size, const char *s);

/* Decode leniently, as the specification asks: what is no valid escape stands for itself. At most
 * `size` - 1 octets and a NUL; a NUL octet becomes '?'. */
void rpc_percent_decode(char *out, size_t size, const uint8_t *v, size_t len);

/* Base64 without padding into `out` (NUL-terminated); needs (len + 2) / 3 * 4 + 1 octets. Returns
 * the length. */
size_t rpc_base64_encode(char *out, const uint8_t *p, size_t len);

/* Decode base64 with or without padding into `out`, which takes len / 4 * 3 + 3 octets. Returns the
 * number of octets, or -EINVAL. */
ssize_t rpc_base64_decode(uint8_t *out, const uint8_t *v, size_t len);

/* Parse a `grpc-timeout`. Returns milliseconds, rounded up, or -EINVAL. */
int64_t rpc_timeout_parse(const uint8_t *v, size_t len);

/* Format milliseconds as a `grpc-timeout`, at least 1 ms; `out` takes 16 octets. */
void rpc_timeout_format(char out[16], uint64_t ms);

/* A `grpc-status` value: 0-16; any other number is RPC_UNKNOWN. */
enum rpc_code rpc_code_parse(const uint8_t *v, size_t len);

/* The code that an HTTP status other than 200 stands for (gRPC "HTTP to gRPC Status Code
 * Mapping"). */
enum rpc_code rpc_code_from_http(int http_status);

/* The code that a stream's HTTP/2 error code stands for (gRPC PROTOCOL-HTTP2, "Errors"). */
enum rpc_code rpc_code_from_h2(uint32_t error_code);

/* Serialise audums.v1.StatusDetails with one detail. Returns memory to be freed, or NULL; *len
 * octets. */
uint8_t *rpc_details_pack(
	enum rpc_code code, const char *message, const ProtobufCMessage *detail, size_t *len);

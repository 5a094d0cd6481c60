"""Small traffic for fabric tests, run in a namespace:  traffic.py KIND listen|send ADDRESS

tcp: 8 MB through one connection; both ends print "sum SHA256".
uso: 20 datagrams in one sendmsg (UDP_SEGMENT); the listener prints "whole" when each came as sent.
garp DEVICE ADDRESS: one gratuitous ARP (a request for one's own address, RFC 5227).
count DEVICE: counts UDP datagrams to 4789 that leave by DEVICE, prints each and "vxlan N" on SIGTERM.
"""
import hashlib
import random
import signal
import socket
import struct
import sys


def family_of(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tcp(role, address):
    digest = hashlib.sha256()
    if role == "listen":
        server = socket.create_server((address, 5001), family=family_of(address))
        print("listening", flush=True)
        connection = server.accept()[0]
        connection.settimeout(20)
        while True:
            data = connection.recv(65536)
            if not data:
                break
            digest.update(data)
    else:
        connection = socket.create_connection((address, 5001), timeout=20)
        data = random.Random(1).randbytes(1 << 20)
        for _ in range(8):
            connection.sendall(data)
            digest.update(data)
        connection.close()
    print("sum", digest.hexdigest(), flush=True)


def uso(role, address):
    sizes = [1000] * 19 + [700]
    s = socket.socket(family_of(address), socket.SOCK_DGRAM)
    if role == "listen":
        s.bind((address, 5002))
        s.settimeout(10)
        print("listening", flush=True)
        for i, size in enumerate(sizes):
            data = s.recv(65536)
            assert data == bytes([i]) * size, (i, len(data))
        print("whole", flush=True)
    else:
        s.setsockopt(17, 103, 1000)  # SOL_UDP, UDP_SEGMENT
        s.connect((address, 5002))
        s.send(b"".join(bytes([i]) * size for i, size in enumerate(sizes)))


def garp(device, address):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    s.bind((device, 0))
    mac, ip = s.getsockname()[4], socket.inet_aton(address)
    s.send(b"\xff" * 6 + mac + struct.pack("!HHHBBH", 0x806, 1, 0x800, 6, 4, 1) + mac + ip +
           bytes(6) + ip)


def count(device, _unused):
    s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    s.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
    s.bind((device, 3))
    seen = [0, 0]

    def end(_signal, _frame):
        print("vxlan", seen[0], "frames", seen[1], flush=True)
        sys.exit(0)

    signal.signal(signal.SIGTERM, end)
    print("listening", flush=True)
    while True:
        data, address = s.recvfrom(128)
        if address[2] != socket.PACKET_OUTGOING:
            continue
        seen[1] += 1
        if len(data) >= 38 and data[12:14] == b"\x08\x00" and data[23] == 17:
            port = 14 + (data[14] & 15) * 4 + 2
            if data[port:port + 2] == struct.pack("!H", 4789):
                seen[0] += 1
                print("frame", data.hex(), flush=True)


if __name__ == "__main__":
    {"tcp": tcp, "uso": uso, "garp": garp, "count": count}[sys.argv[1]](*sys.argv[2:4])

"""For scripts/credentials: signs an image and lets the simulator answer with it; says whether what was stored is still valid."""

import base64
import io
import json
import struct
import sys
import urllib.request
import zlib
from pathlib import Path

import c2pa


def png(width: int, height: int) -> bytes:
    rows = (bytes(v for x in range(width) for v in (x * 255 // width, y * 255 // height, (x ^ y) & 255)) for y in range(height))

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    return b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND", b"")


def state(image: bytes) -> str:
    return json.loads(c2pa.Reader("image/png", io.BytesIO(image)).json())["validation_state"]


def sign(home: Path, url: str) -> None:
    source = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    manifest = {
        "claim_generator_info": [{"name": "Painter", "version": "3"}],
        "assertions": [
            {"label": "c2pa.actions", "data": {"actions": [{"action": "c2pa.created", "digitalSourceType": source}]}}
        ],
    }
    info = c2pa.C2paSignerInfo(
        alg=b"es256", sign_cert=(home / "chain.pem").read_bytes(), private_key=(home / "leaf.key").read_bytes(), ta_url=None
    )
    signed = io.BytesIO()
    c2pa.Builder(json.dumps(manifest)).sign(c2pa.Signer.from_info(info), "image/png", io.BytesIO(png(640, 480)), signed)
    image = signed.getvalue()
    (home / "signed.png").write_bytes(image)
    print(f"{len(image)} bytes, {state(image)}")
    body = {"created": 1, "data": [{"b64_json": base64.b64encode(image).decode()}]}
    rule = {"phase": "submit", "prompt_contains": "signed", "fault": {"kind": "status", "code": 200, "body": body}}
    request = urllib.request.Request(f"{url}/_sim/rules", json.dumps(rule).encode(), {"content-type": "application/json"})
    urllib.request.urlopen(request).read()


def check(home: Path) -> None:
    signed, stored = ((home / name).read_bytes() for name in ("signed.png", "stored.png"))
    print(f"the same {len(stored)} bytes: {signed == stored}; {state(stored)}")
    if signed != stored or state(stored) != "Valid":
        sys.exit("It is not valid any more.")
    broken = stored[:-3000] + bytes([stored[-3000] ^ 1]) + stored[-2999:]
    print(f"with one bit changed: {state(broken)}")


if __name__ == "__main__":
    sign(Path(sys.argv[2]), sys.argv[3]) if sys.argv[1] == "sign" else check(Path(sys.argv[2]))

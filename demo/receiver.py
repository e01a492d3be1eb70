"""A receiver of webhooks that believes the published library `standardwebhooks` alone: receiver.py PORT SECRET MESSAGES.

It ends with 0 when so many messages have come whose signature the library verifies, and whose copy with one byte changed it refuses."""

import http.server
import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

port, secret, messages = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
verified = 0


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global verified
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        message = Webhook(secret).verify(body, headers)
        try:
            Webhook(secret).verify(body.replace(b"succeeded", b"Succeeded", 1), headers)
            sys.exit("a changed message was verified, too")
        except WebhookVerificationError:
            pass
        verified += 1
        print("verified:", json.dumps(message), flush=True)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.HTTPServer(("127.0.0.1", port), Receiver)
print("listening", flush=True)
while verified < messages:
    server.handle_request()

"""Start a server, wait until it is ready, and stop it: run with the Python of the server's image.

Arguments: the address to ask, the name in its certificate, the authority's file, the command.
"""

import ssl
import subprocess
import sys
import time

import httpx

DEADLINE_SECONDS = 90.0
STOP_SECONDS = 30.0

url, name, authority, *command = sys.argv[1:]
client = httpx.Client(verify=ssl.create_default_context(cafile=authority), trust_env=False)
deadline = time.monotonic() + DEADLINE_SECONDS
server = subprocess.Popen(command)
while True:
    if server.poll() is not None:
        sys.exit(f"ended with {server.returncode} before it was ready")
    try:
        client.get(url, extensions={"sni_hostname": name}).raise_for_status()
    except httpx.HTTPError as error:
        if time.monotonic() > deadline:
            server.kill()
            sys.exit(f"not ready after {DEADLINE_SECONDS:g} s: {error}")
    else:
        break
    time.sleep(0.1)
server.terminate()
print("ready, then", server.wait(timeout=STOP_SECONDS))
